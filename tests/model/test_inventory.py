"""Inventories: what package managers wrote down is read, junk is passed over, and layers hide what is below them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from packageurl import PackageURL
from sampling import examples

from dsci.model import inventory
from dsci.model.inventory import Inventory, Layer, Package, System, combined, is_foreign, is_system, reader

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
    adduser, library = inventory.dpkg(DPKG)
    assert (adduser.name, adduser.version, adduser.architecture, adduser.source) == ("adduser", "3.134", "all", "")
    assert adduser.supplier.startswith("Debian Adduser")
    assert library.source == "gcc-12@12.2.0-14"
    assert library.purl(DEBIAN) == (
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bb1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"
    )
    assert [each.name for each in inventory.dpkg("Package: base-files\nVersion: 12\nSource: odd ( )\n")] == [
        "base-files"
    ]
    assert library.purl(None).startswith("pkg:deb/debian/")


def test_apk() -> None:
    utils, musl = inventory.apk(APK)
    assert (utils.license, utils.source, musl.source) == ("MIT AND BSD-2-Clause", "musl", "")
    assert utils.purl(System(id="alpine", version="3.20.1")) == (
        "pkg:apk/alpine/musl-utils@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1&upstream=musl"
    )


def test_python() -> None:
    (found,) = inventory.python(METADATA)
    assert (found.name, found.version, found.license) == ("Typing_Extensions", "4.12.2", "PSF-2.0")
    assert found.purl(DEBIAN) == "pkg:pypi/typing-extensions@4.12.2"
    assert found.supplier == "Guido <g@python.org>"


def test_conda() -> None:
    (found,) = inventory.conda(json.dumps(RECORD))
    assert found.purl(None) == "pkg:conda/numpy@1.26.4?build=py312h&channel=conda-forge&subdir=linux-64"
    (short,) = inventory.conda(json.dumps({"name": "x", "version": "1", "channel": "defaults", "license": 3}))
    assert (short.channel, short.license, short.architecture) == ("defaults", "", "")
    for text in ("junk", "[1]", "[" * 100_000, json.dumps(RECORD | {"version": 1})):
        assert not list(inventory.conda(text))


def test_r() -> None:
    (found,) = inventory.r(DESCRIPTION)
    assert found.purl(None) == "pkg:cran/data.table@1.15.0"
    (other,) = inventory.r(DESCRIPTION + "biocViews: Infrastructure\n")
    assert other.purl(None) == "pkg:generic/bioconductor/data.table@1.15.0"
    sources = DESCRIPTION.replace("Built:", "Was:")
    assert not list(inventory.r(sources))
    assert [each.name for each in inventory.r(sources.replace("MPL-2.0", "Part of R 4"))] == ["data.table"], (
        "R's own translations"
    )


def test_systems() -> None:
    text = 'NAME=Debian\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# x\n'
    assert inventory.system(text) == DEBIAN
    assert inventory.system("NAME=x\n") is None
    assert inventory.system("ID=two words\n") is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("var/lib/dpkg/status", inventory.dpkg),
        ("var/lib/dpkg/status.d/tzdata", inventory.dpkg),
        ("lib/apk/db/installed", inventory.apk),
        ("opt/conda/conda-meta/numpy-1.json", inventory.conda),
        ("conda-meta/x.json", inventory.conda),
        ("usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO", inventory.python),
        ("usr/lib/python3/dist-packages/six-1.16.0.egg-info", inventory.python),
        ("opt/venv/lib/python3.12/site-packages/numpy-1.26.4.dist-info/METADATA", inventory.python),
        ("usr/lib/R/library/stats/DESCRIPTION", inventory.r),
        ("var/lib/dpkg/status.d/tzdata.md5sums", None),
        ("var/lib/dpkg/status-old", None),
        ("opt/conda/pkgs/numpy-1/site-packages/numpy-1.dist-info/METADATA", None),
        ("opt/conda/pkgs/r-base/lib/R/library/stats/DESCRIPTION", None),
        ("opt/conda/conda-meta/history", None),
        ("home/x/METADATA", None),
    ],
)
def test_which_files_are_read(path: str, kind: object) -> None:
    assert reader(path) is kind


def test_other_files_that_count() -> None:
    assert is_system("etc/os-release") and not is_system("home/etc/os-release")
    assert is_foreign("var/lib/rpm/rpmdb.sqlite") and is_foreign("usr/lib/sysimage/rpm/Packages.db")
    assert not is_foreign("var/lib/rpm/other")


def package(name: str) -> tuple[Package, ...]:
    return (Package(kind="pypi", name=name, version="1"),)


def test_layers_hide_what_is_below_them() -> None:
    venv, conda = "opt/venv/lib/site-packages", "opt/conda/conda-meta"
    base = Layer(
        packages={
            f"{venv}/one-1.dist-info/METADATA": package("one"),
            f"{venv}/two-1.dist-info/METADATA": package("two"),
            f"{conda}/three-1.json": package("three"),
            "var/lib/dpkg/status": package("old"),
        },
        systems={"usr/lib/os-release": DEBIAN},
        unread=("var/lib/rpm/Packages", "lib/apk/db/installed"),
    )
    upper = Layer(
        packages={"var/lib/dpkg/status": package("new"), f"{conda}/four-1.json": package("four")},
        hides=frozenset({f"{venv}/one-1.dist-info", conda, "var/lib/rpm/Packages"}),
    )
    found = combined([base, upper])
    assert names(found) == ["four", "new", "two"]
    assert found.unread == ("/lib/apk/db/installed",)
    assert found.system == DEBIAN
    assert found.packages[1].paths == ("/var/lib/dpkg/status",)
    gone = combined([base, Layer(hides=frozenset({""}))])
    assert gone == Inventory()
    assert names(combined([base, Layer(packages={"lib/apk/db/installed": package("musl")})]))
    assert combined([base, Layer(systems={"etc/os-release": System(id="own")})]).system == System(id="own")


def test_one_package_in_two_places_is_one() -> None:
    layer = Layer(packages={"a/x-1.dist-info/METADATA": package("x"), "b/x-1.dist-info/METADATA": package("x")})
    (found,) = combined([layer]).packages
    assert found.paths == ("/a/x-1.dist-info/METADATA", "/b/x-1.dist-info/METADATA")


@hypothesis(max_examples=examples(60))
@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=300) | st.sampled_from([DPKG, APK, METADATA, DESCRIPTION])
)
def test_no_text_makes_a_reader_fail_or_a_package_that_cannot_be_named(text: str) -> None:
    for read in (inventory.dpkg, inventory.apk, inventory.python, inventory.conda, inventory.r):
        for found in read(text):
            url = PackageURL.from_string(found.purl(inventory.system(text)))
            assert url.version == found.version
            found.supplier.encode()
