"""Inventories of images whose layers are tars: what stands in them, what hides what, and how large they are."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from images import MemoryImage
from tests.layers import Member, layer, member

from dsci.model import inventoryfiles
from dsci.model.inventory import Inventory
from dsci.model.layertar import LayerError
from dsci.pipeline.inventories import Inventories

RPM = gzip.decompress((Path(__file__).parents[1] / "model" / "rpm" / "rpmdb.sqlite.gz").read_bytes())
FOLDER = "usr/lib/sysimage/rpm"
SITE = "opt/venv/lib/python3.12/site-packages"
METADATA = "Name: {}\nVersion: 1\n"


def dist(name: str, *more: Member) -> tuple[Member, ...]:
    return member(f"{SITE}/{name}-1.dist-info/METADATA", what=METADATA.format(name)), *more


def names(image: MemoryImage) -> list[str]:
    return [package.name for package in Inventories().of(image).packages]


def test_everything_is_read_of_layers_however_they_are_compressed() -> None:
    system = "ID=fedora\nVERSION_ID=40\n"
    base = layer(member("etc/os-release", what=system), member(f"{FOLDER}/rpmdb.sqlite", what=RPM))
    python = layer(
        member("usr/local/lib/python3.12/os.py", what="x" * 10),
        member("usr/local/include/python3.12/patchlevel.h", what='#define PY_VERSION "3.12.4"\n'),
        *dist("one", member(f"{SITE}/one-1.dist-info/INSTALLER", what="uv")),
        member("usr/local/share/jupyter/kernels/ir/kernel.json", what='{"language": "R"}'),
    )
    image = MemoryImage(gzip.compress(base), zstandard.ZstdCompressor().compress(python))
    found = Inventories().of(image)
    assert [(each.kind, each.name) for each in found.packages] == [
        ("pypi", "one"),
        *(("rpm", name) for name in ("glibc-minimal", "glibc-minimal-langpack-de", "one", "two")),
    ]
    assert found.packages[0].installer == "uv"
    assert found.system is not None and found.system.id == "fedora"
    assert [(each.name, each.version) for each in found.languages] == [("python", "3.12.4")]
    assert [(each.name, each.language) for each in found.kernels] == [("ir", "R")]
    assert not found.unread
    assert [(each.digest, each.compressed) for each in found.layers] == [
        (str(each.digest), each.size) for each in image.layers
    ]
    assert found.layers[0].unpacked == len(RPM) + len(system)


def test_the_step_that_made_a_layer_is_told_where_the_history_is_of_these_layers() -> None:
    one, two = layer(*dist("one")), layer(*dist("two"))
    history = [
        {"created_by": "ADD rootfs.tar /"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "RUN |1 SECRET=x /bin/sh -c pip install two # buildkit"},
    ]
    told = Inventories().of(MemoryImage(one, two, history=history))
    assert [each.step for each in told.layers] == ["ADD rootfs.tar /", "RUN pip install two"]
    other = Inventories().of(MemoryImage(one, history=history))
    assert [each.step for each in other.layers] == [""]


@pytest.mark.parametrize(
    ("upper", "left"),
    [
        (member(f"{SITE}/.wh.one-1.dist-info"), ["two"]),
        (member("opt/.wh..wh..opq"), []),
        (member(f"{SITE}/one-1.dist-info/.wh.METADATA"), ["two"]),
        (member("opt/venv", "link", "/usr"), []),
        (member(f"{SITE}/three-1.dist-info/METADATA", what=METADATA.format("three")), ["one", "three", "two"]),
        (member(f"{SITE}/one-1.dist-info/METADATA", what="empty"), ["two"]),
    ],
)
def test_a_layer_hides_what_is_below_it(upper: Member, left: list[str]) -> None:
    assert names(MemoryImage(layer(*dist("one"), *dist("two")), layer(upper))) == left


def test_hard_links_out_of_condas_store_are_installed_and_the_rest_of_it_is_not() -> None:
    store = "opt/conda/pkgs/x-1/site-packages"
    members = [
        member(f"{store}/{name}-1.dist-info/METADATA", what=METADATA.format(name)) for name in ("linked", "only-kept")
    ]
    link = f"{SITE}/linked-1.dist-info/METADATA"
    image = MemoryImage(layer(*members, member(link, "hard", f"{store}/linked-1.dist-info/METADATA")))
    (found,) = Inventories().of(image).packages
    assert (found.name, found.paths) == ("linked", (f"/{link}",))
    kept = "opt/conda/pkgs/y-1/site-packages/y-1.dist-info/METADATA"
    assert names(MemoryImage(layer(*members[:1], member(kept, "hard", members[0][0].name)))) == []


@pytest.mark.parametrize("beside", ["rpmdb.sqlite-wal", "Packages", "Packages.db"])
def test_what_rpm_has_not_written_to_its_database_is_said_to_be_unread(beside: str) -> None:
    base = layer(member(f"{FOLDER}/rpmdb.sqlite", what=RPM), member(f"{FOLDER}/{beside}", what="changes"))
    found = Inventories().of(MemoryImage(base))
    assert len(found.packages) == 4 and found.unread == (f"/{FOLDER}/{beside}",)
    for upper in (member(f"{FOLDER}/{beside}"), member(f"{FOLDER}/.wh.{beside}")):
        assert Inventories().of(MemoryImage(base, layer(upper))).unread == ()


def test_what_is_damaged_or_too_large_is_unread_and_the_lower_layers_word_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = layer(member(f"{FOLDER}/rpmdb.sqlite", what=RPM))
    for upper in (layer(member(f"{FOLDER}/rpmdb.sqlite", what=RPM[:9000])), layer(member("var/lib/dpkg/status"))):
        found = Inventories().of(MemoryImage(good, upper))
        assert (len(found.packages), found.unread) in [(0, (f"/{FOLDER}/rpmdb.sqlite",)), (4, ())]
    linked = layer(
        member(f"{FOLDER}/rpmdb.sqlite", what="junk"),
        member("var/lib/rpm/rpmdb.sqlite", "hard", f"{FOLDER}/rpmdb.sqlite"),
    )
    assert Inventories().of(MemoryImage(linked)).unread == (f"/{FOLDER}/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite")
    small = inventoryfiles.source("x/release")
    assert small is not None
    large = "JAVA_VERSION=17\n" + "#" * small.limit
    found = Inventories().of(MemoryImage(layer(member("x/release", what=large))))
    assert not found.languages and not found.unread, "no Java has such a file, and no package is missed"


def test_a_layer_is_read_once_and_one_that_is_no_tar_is_an_error() -> None:
    inventories = Inventories()
    one = MemoryImage(layer(*dist("one")))
    assert inventories.of(one) == inventories.of(one)
    assert one.opened.count(one.layers[0].digest) == 1
    for junk in (b"no tar at all", b"x" * 1024, gzip.compress(b"x" * 1024), gzip.compress(layer(*dist("one"))[:700])):
        with pytest.raises(LayerError):
            Inventories().of(MemoryImage(junk))


def test_an_image_without_layers_is_empty() -> None:
    assert Inventories().of(MemoryImage()) == Inventory()
