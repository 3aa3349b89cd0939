"""An image's files from its layers: as a container would have them, and no layer leads anywhere else."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from images import MemoryImage, index_of, write_tar
from tests.layers import Member, layer, member, save

from dsci.drivers import layerfiles
from dsci.drivers.dockertar import image_in
from dsci.drivers.fetched import Fetched
from dsci.drivers.layerfiles import LayerFiles
from dsci.errors import BuilderError, RegistryError
from dsci.model.layertar import LayerError
from dsci.model.oci import Descriptor, Platform

PLATFORM = Platform.parse("linux/amd64")


def files(*layers: tuple[Member, ...]) -> LayerFiles:
    return LayerFiles(MemoryImage(*(gzip.compress(layer(*members)) for members in layers)))


def there(found: LayerFiles, *paths: str) -> list[str]:
    """Those of the paths where something is."""
    return [path for path in paths if found.stat(path) is not None]


def test_what_layers_say_of_files() -> None:
    found = files(
        (
            member("t/", "folder", mode=0o1777),
            member("./t/x", what="hello", mode=0o4750, uid=12, gid=34),
            member("t/link", "link", "x", mode=0o644),
            member("t/pipe", "pipe"),
            member("t/dev", "device"),
            member("deep/down/f", what="f"),
        )
    )
    x = found.stat("/t/x")
    assert x is not None
    assert (x.kind, x.mode, x.uid, x.gid, x.size) == ("file", 0o4750, 12, 34, 5)
    kinds = {name: entry.kind for name in ("link", "pipe", "dev") if (entry := found.stat(f"/t/{name}"))}
    assert kinds == {"link": "symlink", "pipe": "other", "dev": "other"}
    modes = [entry.mode for path in ("/t", "/deep", "/", "/t/link") if (entry := found.stat(path))]
    assert modes == [0o1777, 0o755, 0o755, 0o777]
    assert there(found, "t/x", "//t/./x", "/t/x/", "/none/../t/x", "/t/x/y", "/t/y", "", "/T/x") == [
        "t/x",
        "//t/./x",
        "/t/x/",
        "/none/../t/x",
        "",
    ]
    assert [found.read(path, 3) for path in ("/t/x", "/t/link", "/t", "/t/pipe", "/t/dev", "/t/y")] == [
        b"hel",
        b"hel",
        None,
        None,
        None,
        None,
    ]
    assert found.folders("/") == ("deep", "t") and found.folders("/deep/down") == () and found.folders("/t/x") is None


def test_upper_layers_hide_and_replace() -> None:
    found = files(
        (
            member("a/gone", what="1"),
            member("a/kept", what="1"),
            member("a/over", what="old"),
            member("opaque/old", what="1"),
            member("again/old", what="1"),
            member("merged", "folder", mode=0o755),
            member("merged/f", what="1"),
            member("file", what="1"),
            member("folder/f", what="1"),
        ),
        (
            member("a/over", what="new", mode=0o600),
            member("a/.wh.gone"),
            member("opaque/new", what="1"),
            member("opaque/.wh..wh..opq"),
            member("again/new", what="1"),
            member(".wh.again"),
            member("merged", "folder", mode=0o700),
            member("file/now", what="a folder"),
            member("folder", what="a file"),
        ),
        (member(".wh.a"), member("a/late", what="1")),
    )
    assert there(found, "/a/gone", "/a/kept", "/a/over", "/a/late") == ["/a/late"]
    assert there(found, "/opaque/old", "/opaque/new") == ["/opaque/new"]
    assert there(found, "/again/old", "/again/new") == ["/again/new"], "a layer hides what is below it alone"
    assert there(found, "/merged/f", "/file/now", "/folder/f") == ["/merged/f", "/file/now"]
    merged, folder = found.stat("/merged"), found.stat("/folder")
    assert merged is not None and folder is not None and (merged.mode, folder.kind) == (0o700, "file")
    assert not there(found, "/a/.wh.gone", "/.wh.a", "/opaque/.wh..wh..opq")


def test_the_newest_content_counts_also_within_a_layer() -> None:
    found = files((member("a", what="1"), member("a", what="2")), (member("b", what="3"), member("b", what="4")))
    assert (found.read("/a", 9), found.read("/b", 9)) == (b"2", b"4")


def test_links_lead_below_the_root_and_nowhere_else() -> None:
    found = files(
        (
            member("etc/hostname", what="image"),
            member("c/x", what="hello"),
            member("absolute", "link", "/c/x"),
            member("folder", "link", "/c"),
            member("relative", "link", "c"),
            member("up", "link", "../../../../c/x"),
            member("c/deep", "link", "../folder/./x"),
            member("self", "link", "self"),
            member("ping", "link", "pong/x"),
            member("pong", "link", "ping/x"),
            member("dangling", "link", "/no/where"),
            member("through", "link", "c/x/../x"),
            member("long", "link", "c/../" * 1000 + "c/x"),
            member("shorter", "link", "c/../" * 800 + "c/x"),
            *(member(f"chain{n}", "link", f"chain{n + 1}") for n in range(60)),
            member("chain60", "link", "c/x"),
        )
    )
    good = ("/absolute", "/shorter", "/folder/x", "/relative/x", "/up", "/c/deep", "/chain21", "/relative/deep")
    assert [found.read(path, 9) for path in good] == [b"hello"] * len(good)
    bad = ("/self", "/ping", "/pong", "/dangling", "/through", "/long", "/chain0", "/folder", "/self/x")
    assert [found.read(path, 9) for path in bad] == [None] * len(bad)
    outside = "/../../../../../../../../../etc/hostname"
    assert found.read(outside, 9) == b"image"
    here = found.stat("/folder")
    assert here is not None and (here.kind, here.link) == ("symlink", "/c")


def test_hard_links_are_the_same_file() -> None:
    found = files(
        (member("a", what="one", uid=7), member("b", "hard", "a"), member("c", "hard", "/../b")),
        (member(".wh.a"),),
    )
    assert [found.read(path, 9) for path in "abc"] == [None, b"one", b"one"]
    entry = found.stat("/c")
    assert entry is not None and (entry.kind, entry.uid) == ("file", 7)


@pytest.mark.parametrize("linked", ["none", "folder", "/", "b"])
def test_a_hard_link_to_no_file_is_refused(linked: str) -> None:
    with pytest.raises(LayerError, match="link to no file"):
        files((member("folder/x"), member("b", "hard", linked))).stat("/")


def test_names_that_mean_no_good_stay_in_the_image() -> None:
    found = files(
        (member("etc/passwd", what="ours"), member("kept", what="x"), member("way", "link", "/../../..")),
        (
            member("../../../../etc/shadow", what="in the image"),
            member("/root/x", what="in the image"),
            member("a/../../../b", what="in the image"),
            member("way/c", what="in the image"),
            member("../.wh.nothing"),
            member(".wh..."),
            member(".wh.."),
            member(".wh."),
            member("none/.wh.x"),
            member("kept/.wh.x"),
            member("none/.wh..wh..opq"),
            member(".wh..wh.plnk", "folder"),
        ),
    )
    paths = ("/etc/shadow", "/root/x", "/b", "/c", "/kept", "/etc/passwd")
    assert there(found, *paths) == list(paths)
    assert found.folders("/") == ("etc", "root")


def test_layers_write_through_links_of_lower_ones_and_never_in_circles() -> None:
    found = files(
        (member("usr/lib/a"), member("lib", "link", "usr/lib"), member("to", "link", "/made/later")),
        (member("lib/b", what="b"), member("to/x", what="x"), member("lib/.wh.a")),
    )
    assert (found.read("/usr/lib/b", 9), found.read("/made/later/x", 9)) == (b"b", b"x")
    assert not there(found, "/usr/lib/a")
    with pytest.raises(LayerError, match="leads in circles"):
        files((member("self", "link", "self"), member("self/x"))).stat("/")


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerfiles, "_ENTRIES", 100)
    assert there(files(tuple(member(str(n)) for n in range(100))), "/99")
    many = tuple(member(str(n)) for n in range(101))
    deep = (member("/".join("x" * 101)),)
    linked = (member("a"), *(member(str(n), "hard", "a") for n in range(100)))
    for layers in (
        (many,),
        (deep,),
        (linked,),
        [(each,) for each in many],
        [(member(f".wh.{n}"),) for n in range(101)],
    ):
        with pytest.raises(LayerError, match="more than 100 entries"):
            files(*layers).stat("/")


def test_what_links_cost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerfiles, "_LINK_BYTES", 100_000)
    slow = [member(f"l{n}", "link", f"{'c/../' * 700}l{n + 1}") for n in range(20)]
    with pytest.raises(LayerError, match="lead through each other"):
        files((member("c/x"), *slow, *(member(f"l0/{n}") for n in range(10)))).stat("/")


def test_a_layer_of_zstd_is_read_wherever_a_file_is() -> None:
    content = {str(n): random.Random(n).randbytes(300_000) for n in range(9)}
    found = LayerFiles(MemoryImage(zstandard.compress(layer(*(member(n, what=what) for n, what in content.items())))))
    for name in ("8", "0", "5"):
        assert found.read(f"/{name}", 1 << 20) == content[name]


def test_layers_that_are_not_whole_are_refused() -> None:
    whole = gzip.compress(layer(member("a", what="x" * 5000)))
    for damaged, said in (
        (whole[:-20], "ends too early|damaged"),
        (whole[:10], "ends too early"),
        (b"\x28\xb5\x2f\xfd", "ends too early|damaged"),
        (layer(member("a", what="x" * 5000))[:3000], "ends too early"),
        (b"no tar" * 200, "damaged"),
    ):
        with pytest.raises(LayerError, match=said):
            LayerFiles(MemoryImage(damaged)).stat("/a")


_WHOLE = layer(
    member("a", "folder"),
    member("a/x", what="x" * 700),
    member("l", "link", "a"),
    member("h", "hard", "a/x"),
    member(".wh.gone"),
    member("l/y", what="y"),
)


@given(st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)), max_size=12), st.booleans())
def test_whatever_stands_in_a_layer_it_is_files_or_an_error(changes: list[tuple[int, int]], mended: bool) -> None:
    """Some bytes are others; with `mended` the sums of the headers are right again."""
    tar = bytearray(_WHOLE)
    for place, byte in changes:
        tar[place] = byte
    for block in range(0, len(tar), 512) if mended else ():
        if tar[block + 257 : block + 262] == b"ustar":
            tar[block + 148 : block + 156] = b" " * 8
            tar[block + 148 : block + 156] = b"%06o\0 " % sum(tar[block : block + 512])
    found = LayerFiles(MemoryImage(bytes(tar)))
    try:
        found.stat("/a/x")
    except LayerError:
        return
    for path in ("/a/x", "/l/x", "/h", "/"):
        found.stat(path), found.read(path, 1000), found.folders(path)


def test_a_layer_with_another_digest_is_refused() -> None:
    image = MemoryImage(layer(member("a")))
    other = layer(member("b"))
    image.blobs[image.layers[0].digest] = other
    with pytest.raises(RegistryError, match="other bytes"):
        LayerFiles(image).stat("/b")


@pytest.mark.parametrize("how", ["gzip", "plain", "members"])
def test_every_file_of_a_large_layer_is_read_where_it_is(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of odd sizes, in no order; marks are set and thinned out on the way."""
    monkeypatch.setattr(layerfiles, "_STEP", 1 << 14)
    monkeypatch.setattr(layerfiles, "_MARKS", 16)
    chance = random.Random(7)
    contents = {f"f{n}": chance.randbytes(chance.choice((0, 1, 511, 512, 513, 70_000))) for n in range(150)}
    tar = layer(*(member(name, what=content) for name, content in contents.items()))
    half = len(tar) // 2
    blob = {
        "gzip": lambda: gzip.compress(tar),
        "plain": lambda: tar,
        "members": lambda: gzip.compress(tar[:half]) + gzip.compress(tar[half:]),
    }[how]()
    found = LayerFiles(MemoryImage(gzip.compress(layer(member("f3", what="below"))), blob))
    names = list(contents)
    chance.shuffle(names)
    for name in names:
        assert found.read(name, 1 << 20) == contents[name], name
        assert found.read(name, 5) == contents[name][:5], name


def test_a_file_at_the_end_is_read_without_all_that_is_before_it() -> None:
    class Counting(MemoryImage):
        """Counts the bytes that are read."""

        count = 0

        def open(self, blob: Descriptor) -> BinaryIO:
            image, stream = self, super().open(blob)

            class Counted(io.BytesIO):
                def read(self, size: int | None = -1, /) -> bytes:
                    found = super().read(size)
                    image.count += len(found)
                    return found

            return Counted(stream.read())

    filler = [member(f"f{n}", what=random.Random(n).randbytes(1 << 20)) for n in range(8)]
    image = Counting(gzip.compress(layer(*filler, member("last", what="here"))))
    found = LayerFiles(image)
    assert found.stat("/last") is not None
    image.count = 0
    assert found.read("/last", 9) == b"here" and 0 < image.count < 2 << 20


def test_the_config_is_read_without_any_layer() -> None:
    image = MemoryImage(b"no layer", config={"Env": ["A=1"]})
    found = LayerFiles(image)
    assert found.config()["Env"] == ["A=1"] and found.config()["User"] is None and found.files() is found
    assert image.opened == [image.config.digest]
    assert set(LayerFiles(MemoryImage()).config().values()) == {None}


@pytest.mark.parametrize(
    "config", [{"Env": 5}, {"Env": [{}]}, {"Labels": ["a"]}, {"Cmd": "sh"}, {"User": 0}, {"ExposedPorts": 80}, ["x"]]
)
def test_a_config_that_is_none_is_refused(config: Any) -> None:
    with pytest.raises(BuilderError, match="the image's config cannot be read"):
        LayerFiles(MemoryImage(config=config)).config()


# ------------------------------------------------------------------------------------------------------------- tars


def test_what_older_engines_save(tmp_path: Path) -> None:
    layers = [layer(member("a", what="1")), gzip.compress(layer(member("b", what="2")))]
    path = save(tmp_path / "i.tar", layers, {"Env": ["A=1"]}, links={"2/layer.tar": "../0/layer.tar"})
    found = LayerFiles(image_in(path, PLATFORM))
    assert found.config()["Env"] == ["A=1"]
    assert (found.read("/a", 9), found.read("/b", 9)) == (b"1", b"2")


def test_a_layer_that_is_not_what_the_config_says(tmp_path: Path) -> None:
    path = save(tmp_path / "i.tar", [layer(member("a", what="1"))], {})
    content = path.read_bytes()
    path.write_bytes(content.replace(hashlib.sha256(layer(member("a", what="1"))).hexdigest().encode(), b"0" * 64))
    with pytest.raises(RegistryError, match="other bytes"):
        LayerFiles(image_in(path, PLATFORM)).stat("/a")


def test_oci_layouts_in_tars(tmp_path: Path) -> None:
    image = MemoryImage(gzip.compress(layer(member("a", what="x" * 100_000), member("b", what="2"))))
    found = LayerFiles(image_in(image.tar(tmp_path / "i.tar"), PLATFORM))
    assert (found.read("/b", 9), len(found.read("/a", 1 << 20) or b"")) == (b"2", 100_000)


def test_one_platform_of_several(tmp_path: Path) -> None:
    images = [
        MemoryImage(gzip.compress(layer(member("a", what=platform))), platform=platform)
        for platform in ("linux/amd64", "linux/arm64")
    ]
    blobs = {digest: content for image in images for digest, content in image.blobs.items()}
    blobs |= {image.descriptor.digest: image.manifest for image in images}
    names = {f"blobs/sha256/{digest.hex}": content for digest, content in blobs.items()}
    write_tar(tmp_path / "i.tar", {"index.json": index_of(*images), **names})
    for platform in ("linux/amd64", "linux/arm64"):
        found = LayerFiles(image_in(tmp_path / "i.tar", Platform.parse(platform)))
        assert found.read("/a", 99) == platform.encode()
    with pytest.raises(BuilderError, match="one image is wanted, found"):
        image_in(tmp_path / "i.tar", Platform.parse("linux/s390x"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "damaged or no tar"),
        (b"x" * 2000, "damaged or no tar"),
        (gzip.compress(b"x" * 2000), "damaged or no tar"),
    ],
)
def test_what_is_no_tar_is_refused_by_name(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "i.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BuilderError, match=said) as raised:
        image_in(path, PLATFORM)
    assert str(path) in raised.value.message


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ("[]", "holds 0"),
        ('[{"Config":"c"},{"Config":"c"}]', "holds 2"),
        ('[{"Config":"none"}]', "'none' is named"),
        ('[{"Config":"c"}]', "no image"),
        ('[{"Config":"c","Layers":["l"]}]', "'l' is named"),
        ('[{"Config":"c","Layers":[]}]', "damaged"),
        ('[{"Config":["c"]}]', "no image"),
        ("7", "no image"),
        ("{", "damaged"),
    ],
)
def test_what_describes_no_image_is_refused(tmp_path: Path, described: str, said: str) -> None:
    path = tmp_path / "i.tar"
    config = '{"rootfs": {"diff_ids": ["sha256:' + "0" * 64 + '"]}}'
    path.write_bytes(layer(member("c", what=config), member("manifest.json", what=described)))
    with pytest.raises(BuilderError, match=said):
        image_in(path, PLATFORM)


def test_blobs_of_a_registry_come_once_and_only_when_they_are_wanted(tmp_path: Path) -> None:
    image = MemoryImage(gzip.compress(layer(member("a", what="1"), member("b", what="2"))), config={"User": "me"})
    found = LayerFiles(Fetched(image, tmp_path))
    assert found.config()["User"] == "me" and image.opened == [image.config.digest]
    assert [found.read(path, 9) for path in "abab"] == [b"1", b"2"] * 2
    assert image.opened == [image.config.digest, image.layers[0].digest]
    with pytest.raises(BuilderError, match="cannot be kept"):
        Fetched(image, tmp_path / "none").open(image.layers[0])
