"""Packages: what package managers wrote down is read, junk is passed over, and layers hide what is below them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from packageurl import PackageURL
from sampling import examples

from dsci.model import packagefiles
from dsci.model.inventory import Base, Inventory, Layer, LayerSize, Package, System
from dsci.model.inventoryfiles import RPM_LIMIT, source
from dsci.model.layering import BASE_DIGEST, BASE_NAME, base, combined

DEBIAN = System(id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)")

DPKG = """\
Package: adduser
Status: install ok installed
Priority: important
Maintainer: Debian Adduser Developers <adduser@packages.debian.org>
Architecture: all
Version: 3.134
Description: add and remove users
 and groups
 .
 Package: not-a-field

Package: libstdc++6
Status: hold ok installed
Source: gcc-12 (12.2.0-14)
Architecture: amd64
Version: 12.2.0-14+b1

Package: gone
Status: deinstall ok config-files
Version: 1

Package: no-version
Status: install ok installed

"""
APK = """\
C:Q1abc=
P:musl-utils
V:1.2.5-r0
A:x86_64
L:MIT AND BSD-2-Clause
o:musl
m:Timo <t@alpinelinux.org>
F:sbin
R:ldconfig

P:musl
V:1.2.5-r0
o:musl

junk
"""
METADATA = """\
Metadata-Version: 2.3
Name: Typing_Extensions
Version: 4.12.2
License-Expression: PSF-2.0
Author-email: Guido <g@python.org>
Name: another

Name: in-the-description
"""
RECORD = {
    "name": "numpy",
    "version": "1.26.4",
    "build": "py312h",
    "subdir": "linux-64",
    "channel": "https://conda.anaconda.org/conda-forge/linux-64",
    "license": "BSD-3-Clause",
    "files": ["lib/x"],
}
DESCRIPTION = """\
Package: data.table
Version: 1.15.0
License: MPL-2.0 | file LICENSE
Maintainer: T <t@example.org>
Built: R 4.2.2; x86_64-pc-linux-gnu; 2024-01-01; unix
"""


def names(found: Inventory) -> list[str]:
    return [package.name for package in found.packages]


def test_dpkg() -> None:
    adduser, library = packagefiles.dpkg(DPKG)
    assert (adduser.name, adduser.version, adduser.architecture, adduser.source) == ("adduser", "3.134", "all", "")
    assert adduser.supplier.startswith("Debian Adduser")
    assert library.source == "gcc-12@12.2.0-14"
    assert library.purl(DEBIAN) == (
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bb1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"
    )
    assert [each.name for each in packagefiles.dpkg("Package: base-files\nVersion: 12\nSource: odd ( )\n")] == [
        "base-files"
    ]
    assert library.purl(None).startswith("pkg:deb/debian/")


def test_apk() -> None:
    utils, musl = packagefiles.apk(APK)
    assert (utils.license, utils.source, musl.source) == ("MIT AND BSD-2-Clause", "musl", "")
    assert utils.purl(System(id="alpine", version="3.20.1")) == (
        "pkg:apk/alpine/musl-utils@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1&upstream=musl"
    )


def test_python() -> None:
    (found,) = packagefiles.python(METADATA)
    assert (found.name, found.version, found.license) == ("Typing_Extensions", "4.12.2", "PSF-2.0")
    assert found.purl(DEBIAN) == "pkg:pypi/typing-extensions@4.12.2"
    assert found.supplier == "Guido <g@python.org>"


def test_conda() -> None:
    (found,) = packagefiles.conda(json.dumps(RECORD))
    assert found.purl(None) == "pkg:conda/numpy@1.26.4?build=py312h&channel=conda-forge&subdir=linux-64"
    (short,) = packagefiles.conda(json.dumps({"name": "x", "version": "1", "channel": "defaults", "license": 3}))
    assert (short.channel, short.license, short.architecture) == ("defaults", "", "")
    for text in ("junk", "[1]", "[" * 100_000, json.dumps(RECORD | {"version": 1})):
        assert not list(packagefiles.conda(text))


def test_r() -> None:
    (found,) = packagefiles.r(DESCRIPTION)
    assert found.purl(None) == "pkg:cran/data.table@1.15.0"
    (other,) = packagefiles.r(DESCRIPTION + "biocViews: Infrastructure\n")
    assert other.purl(None) == "pkg:generic/bioconductor/data.table@1.15.0"
    sources = DESCRIPTION.replace("Built:", "Was:")
    assert not list(packagefiles.r(sources))
    assert [each.name for each in packagefiles.r(sources.replace("MPL-2.0", "Part of R 4"))] == ["data.table"], (
        "R's own translations"
    )


def test_systems() -> None:
    text = 'NAME=Debian\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# x\n'
    assert list(packagefiles.system(text)) == [DEBIAN]
    assert not list(packagefiles.system("NAME=x\n"))
    assert not list(packagefiles.system("ID=two words\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"url": "file:///src/mine", "dir_info": {"editable": True}}, "file:///src/mine (editable)"),
        ({"url": "file:///src/mine", "dir_info": {}}, "file:///src/mine"),
        (
            {"url": "https://me:secret@example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            "git+https://example.org/x.git@12ab",
        ),
        ({"url": "https://example.org/x.git", "vcs_info": {}}, "vcs+https://example.org/x.git"),
        ({"url": "https://example.org/x.whl", "archive_info": {}}, "https://example.org/x.whl"),
        ({"url": 1}, None),
        ([], None),
    ],
)
def test_where_a_python_package_came_from(text: object, said: str | None) -> None:
    found = list(packagefiles.direct_url(json.dumps(text)))
    assert [note.source for note in found] == ([] if said is None else [said])


CONTENTS = {
    "dpkg": (DPKG, "adduser"),
    "apk": (APK, "musl-utils"),
    "python": (METADATA, "Typing_Extensions"),
    "conda": (json.dumps(RECORD), "numpy"),
    "r": (DESCRIPTION, "data.table"),
    "system": ("ID=debian\n", "debian"),
}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("var/lib/dpkg/status", "dpkg"),
        ("var/lib/dpkg/status.d/tzdata", "dpkg"),
        ("lib/apk/db/installed", "apk"),
        ("usr/lib/apk/db/installed", "apk"),
        ("opt/conda/conda-meta/numpy-1.json", "conda"),
        ("conda-meta/x.json", "conda"),
        ("usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO", "python"),
        ("usr/lib/python3/dist-packages/six-1.16.0.egg-info", "python"),
        ("opt/venv/lib/python3.12/site-packages/numpy-1.26.4.dist-info/METADATA", "python"),
        ("usr/lib/R/library/stats/DESCRIPTION", "r"),
        ("etc/os-release", "system"),
        ("usr/lib/os-release", "system"),
    ],
)
def test_which_files_are_read(path: str, kind: str) -> None:
    found = source(path)
    assert found is not None and not found.cached and found.of_packages
    text, name = CONTENTS[kind]
    (first, *_) = found.read(path, text.encode()) or ()
    assert getattr(first, "name", "") == name or first == System(id=name)


@pytest.mark.parametrize(
    "path",
    [
        "var/lib/dpkg/status.d/tzdata.md5sums",
        "var/lib/dpkg/status-old",
        "opt/conda/conda-meta/history",
        "home/conda.json",
        "home/x/METADATA",
        "x.egg-info",
        "home/etc/os-release",
        "var/lib/rpm/other",
        "home/Packages",
        "home/x/kernel.json",
    ],
)
def test_which_files_are_not(path: str) -> None:
    assert source(path) is None


def test_what_conda_keeps_unpacked_counts_only_where_it_is_linked() -> None:
    for path in (
        "numpy-1/site-packages/numpy-1.dist-info/METADATA",
        "r-base/lib/R/library/stats/DESCRIPTION",
        "a.egg-info",
    ):
        found = source(f"opt/conda/pkgs/{path}")
        assert found is not None and found.cached


@pytest.mark.parametrize("name", ["Packages", "Packages.db", "rpmdb.sqlite-wal"])
def test_what_rpm_keeps_in_other_forms_is_not_read(name: str) -> None:
    found = source(f"var/lib/rpm/{name}")
    assert found is not None and found.of_packages and found.limit < RPM_LIMIT
    assert found.read(name, b"x") is None
    assert found.read(name, b"") == (), "an empty one says nothing, and hides one that says something"


def package(name: str) -> tuple[Package, ...]:
    return (Package(kind="pypi", name=name, version="1"),)


def test_layers_hide_what_is_below_them() -> None:
    venv, conda = "opt/venv/lib/site-packages", "opt/conda/conda-meta"
    base = Layer(
        facts={
            f"{venv}/one-1.dist-info/METADATA": package("one"),
            f"{venv}/two-1.dist-info/METADATA": package("two"),
            f"{conda}/three-1.json": package("three"),
            "var/lib/dpkg/status": package("old"),
            "usr/lib/os-release": (DEBIAN,),
        },
        unread=("var/lib/rpm/Packages", "lib/apk/db/installed"),
    )
    upper = Layer(
        facts={"var/lib/dpkg/status": package("new"), f"{conda}/four-1.json": package("four")},
        hides=frozenset({f"{venv}/one-1.dist-info", conda, "var/lib/rpm/Packages"}),
    )
    found = combined([base, upper])
    assert names(found) == ["four", "new", "two"]
    assert found.unread == ("/lib/apk/db/installed",)
    assert found.system == DEBIAN
    assert found.packages[1].paths == ("/var/lib/dpkg/status",)
    gone = combined([base, Layer(hides=frozenset({""}))])
    assert gone == Inventory()
    assert names(combined([base, Layer(facts={"lib/apk/db/installed": package("musl")})]))
    assert combined([base, Layer(facts={"etc/os-release": (System(id="own"),)})]).system == System(id="own")
    assert combined([base, Layer(facts={"lib/apk/db/installed": ()})]).unread == ("/var/lib/rpm/Packages",)


def test_what_a_layer_makes_unreadable_is_not_told_as_it_was() -> None:
    found = combined([Layer(facts={"var/lib/dpkg/status": package("old")}), Layer(unread=("var/lib/dpkg/status",))])
    assert found == Inventory(unread=("/var/lib/dpkg/status",))


def test_one_package_in_two_places_is_one() -> None:
    layer = Layer(facts={"a/x-1.dist-info/METADATA": package("x"), "b/x-1.dist-info/METADATA": package("x")})
    (found,) = combined([layer]).packages
    assert found.paths == ("/a/x-1.dist-info/METADATA", "/b/x-1.dist-info/METADATA")


def test_what_files_beside_it_say_of_a_package() -> None:
    def layer(folder: str, **files: str) -> Layer:
        made = {}
        for name, text in {"METADATA": "Name: x\nVersion: 1\n", **files}.items():
            path = f"{folder}/x-1.dist-info/{name.replace('url', 'url.json')}"
            read = source(path)
            assert read is not None
            found = read.read(path, text.encode())
            assert found is not None
            made[path] = found
        return Layer(facts=made)

    (found,) = combined([layer("a", INSTALLER="uv\n", direct_url='{"url": "file:///src"}')]).packages
    assert (found.installer, found.source) == ("uv", "file:///src")
    (found,) = combined([layer("a", INSTALLER="pip\n")]).packages
    assert (found.installer, found.source) == ("pip", "")
    assert len(combined([layer("a", INSTALLER="pip"), layer("b")]).packages) == 2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"config": {"Labels": {BASE_NAME: "debian", BASE_DIGEST: "sha256:1"}}},
            Base(name="debian", digest="sha256:1"),
        ),
        ({"config": {"Labels": {BASE_NAME: "debian\nx"}}}, Base(name="debian")),
        ({"config": {"Labels": {BASE_NAME: 1}}}, None),
        ({"config": {"Labels": None}}, None),
        ({"config": 1}, None),
        ([], None),
    ],
)
def test_what_an_image_says_that_it_was_built_on(config: object, said: Base | None) -> None:
    assert base(json.dumps(config).encode()) == said


def test_sizes_add_up() -> None:
    layers = tuple(LayerSize(digest=f"sha256:{n}", compressed=n, unpacked=2 * n) for n in (1, 10))
    found = Inventory(layers=layers)
    assert (found.compressed, found.unpacked) == (11, 22)


@hypothesis(max_examples=examples(60))
@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=300) | st.sampled_from([DPKG, APK, METADATA, DESCRIPTION])
)
def test_no_text_makes_a_reader_fail_or_a_package_that_cannot_be_named(text: str) -> None:
    for read in (packagefiles.dpkg, packagefiles.apk, packagefiles.python, packagefiles.conda, packagefiles.r):
        for found in read(text):
            url = PackageURL.from_string(found.purl(next(packagefiles.system(text), None)))
            assert url.version == found.version
            found.supplier.encode()
