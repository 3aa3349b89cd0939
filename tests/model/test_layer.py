"""Layers read from their tars: what Python's tarfile writes comes back, and nothing hostile gets far."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace
from sampling import examples

from dsci.model import layertar
from dsci.model.layer import Comparison, compare, entries, sample
from dsci.model.layertar import Entry, LayerError

BLOCK = 512


def info(name: str, **fields: object) -> tarfile.TarInfo:
    """A header."""
    found = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def tar(*files: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these headers and contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for header, content in files:
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return out.getvalue()


def read(content: bytes) -> dict[str, Entry]:
    """The entries of a tar; nothing asks for more at once than an honest header has."""
    stream = io.BytesIO(content)

    def give(size: int) -> bytes:
        assert 0 <= size <= 1 << 20
        return stream.read(size)

    return dict(entries(give))


def raw(name: bytes = b"x", kind: bytes = b"0", size: bytes = b"0" * 11, content: bytes = b"", **at: bytes) -> bytes:
    """A header made by hand with its content; `at123=b"…"` lays bytes over it before its sum is made."""
    block = bytearray(BLOCK)
    block[: len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124 : 124 + len(size)] = size
    block[136:148], block[156:157] = b"00000000000\0", kind
    for place, text in at.items():
        start = int(place.removeprefix("at"))
        block[start : start + len(text)] = text
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content + bytes(-len(content) % BLOCK)


END = bytes(2 * BLOCK)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_what_is_written_comes_back(form: int) -> None:
    long = "opt/" + "deep/" * 40 + "file"
    found = read(
        tar(
            (info("./etc/", type=tarfile.DIRTYPE, mode=0o755), b""),
            (info("etc/conf", mode=0o4640, uid=1000, gid=100, uname="a", gname="b", mtime=7), b"x" * 2000),
            (info("etc/link", type=tarfile.SYMTYPE, linkname="../" * 60 + "conf"), b""),
            (info("etc/hard", type=tarfile.LNKTYPE, linkname="etc/conf"), b""),
            (info("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
            (info("dev/sda", type=tarfile.BLKTYPE, devmajor=8), b""),
            (info("run/pipe", type=tarfile.FIFOTYPE), b""),
            (info(long, uid=3_000_000), b"deep"),
            (info("naïve/données"), b"text"),
            form=form,
        )
    )
    assert next(iter(found)) == "etc" and found["etc"].kind == "folder"
    conf = found["etc/conf"]
    assert (conf.kind, conf.mode, conf.owner, conf.names, conf.mtime) == ("file", 0o4640, (1000, 100), ("a", "b"), "7")
    assert conf.content == hashlib.sha256(b"x" * 2000).digest() and conf.size == 2000
    assert (found["etc/link"].kind, found["etc/link"].link) == ("symbolic link", "../" * 60 + "conf")
    assert (found["etc/hard"].kind, found["etc/hard"].link) == ("hard link", "etc/conf")
    assert (found["dev/null"].kind, found["dev/null"].device) == ("character device", (1, 3))
    assert (found["dev/sda"].kind, found["run/pipe"].kind) == ("block device", "fifo")
    assert found[long].owner == (3_000_000, 0)
    assert found["naïve/données"].content == hashlib.sha256(b"text").digest()


def test_extended_headers_count() -> None:
    header = info("bin/ping", pax_headers={"SCHILY.xattr.security.capability": "cap", "LIBARCHIVE.x": "y"})
    header.mtime = 1.5
    ping = read(tar((header, b"")))["bin/ping"]
    assert ping.xattrs == (("security.capability", "cap"),) and ping.headers == (("LIBARCHIVE.x", "y"),)
    assert ping.mtime == "1.5"
    shared = b"13 comment=a\n"
    found = read(raw(kind=b"g", size=b"%011o" % len(shared), content=shared) + raw(b"a") + raw(b"b") + END)
    assert [entry.headers for entry in found.values()] == [(("comment", "a"),)] * 2
    own = b"10 path=p\n" + b"19 linkpath=q/r/st\n" + b"12 size=003\n"
    found = read(raw(kind=b"x", size=b"%011o" % len(own), content=own) + raw(content=b"abc") + raw(b"b") + END)
    assert list(found) == ["p", "b"] and found["p"].size == 3 and found["p"].link == ""


def test_prefixes_belong_to_ustar_alone() -> None:
    assert list(read(raw(b"name", at345=b"pre", at257=b"ustar\x0000") + END)) == ["pre/name"]
    assert list(read(raw(b"name", at345=b"pre", at257=b"ustar  \0") + END)) == ["name"]


def test_a_path_that_comes_twice_is_two_entries() -> None:
    found = read(tar((info("a"), b"1"), (info("a"), b"2"), (info("a"), b"3")))
    assert list(found) == ["a", "a (2)", "a (3)"]


def test_binary_numbers() -> None:
    size = b"\x80" + (3).to_bytes(11, "big")
    assert read(raw(size=size, content=b"abc") + END)["x"].size == 3
    negative = (-1).to_bytes(12, "big", signed=True)
    assert read(raw(at136=negative) + END)["x"].mtime == "-1"


_HOSTILE: dict[str, Callable[[], bytes]] = {
    "a broken sum": lambda: b"\1" + raw()[1:] + END,
    "no digits": lambda: raw(size=b"1_0"),
    "a negative size": lambda: raw(size=(-512).to_bytes(12, "big", signed=True)),
    "an unknown kind": lambda: raw(kind=b"S"),
    "a folder with content": lambda: raw(kind=b"5", size=b"%011o" % 3, content=b"abc"),
    "an end too early": lambda: raw(size=b"%011o" % 3000),
    "no end": lambda: raw(),
    "a header of a gigabyte": lambda: raw(kind=b"x", size=b"%011o" % (1 << 30)),
    "a name of a gigabyte": lambda: raw(kind=b"L", size=b"%011o" % (1 << 30)),
    "a negative header": lambda: raw(kind=b"x", size=(-512).to_bytes(12, "big", signed=True)),
    "a record without a length": lambda: raw(kind=b"x", size=b"%011o" % 4, content=b"x=y\n"),
    "a record of no length": lambda: raw(kind=b"x", size=b"%011o" % 6, content=b"0 x=y\n"),
    "a record that is too long": lambda: raw(kind=b"x", size=b"%011o" % 6, content=b"9 x=y\n"),
    "a record without an equals sign": lambda: raw(kind=b"x", size=b"%011o" % 6, content=b"6 xyz\n"),
    "a record without a newline": lambda: raw(kind=b"x", size=b"%011o" % 6, content=b"6 x=yz"),
    "a size that is no number": lambda: raw(kind=b"x", size=b"%011o" % 11, content=b"11 size=-1\n") + raw() + END,
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_what_no_honest_writer_writes_is_refused(name: str) -> None:
    with pytest.raises(LayerError):
        read(_HOSTILE[name]())


def test_content_that_nobody_wants_is_passed_over() -> None:
    stream = io.BytesIO(raw(b"a", size=b"00000002000", content=b"x" * 1024) + raw(b"b", kind=b"5") + END)
    found = [(path, entry.size) for path, entry, _ in layertar.members(stream.read)]
    assert found == [("a", 1024), ("b", 0)]


def test_entries_and_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    three = raw(b"a") + raw(b"b") + raw(b"c") + END
    monkeypatch.setattr(layertar, "_ENTRIES", 2)
    with pytest.raises(LayerError, match="more entries"):
        read(three)
    monkeypatch.setattr(layertar, "_ENTRIES", 3)
    assert len(read(three)) == 3
    monkeypatch.setattr(layertar, "_NAMES", 2)
    with pytest.raises(LayerError, match="more entries"):
        read(three)


@given(st.binary(max_size=2048))
@hypothesis(max_examples=examples(200))
def test_no_bytes_do_anything_else(content: bytes) -> None:
    with contextlib.suppress(LayerError):
        read(content)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 511))
@hypothesis(max_examples=examples(200))
def test_no_damage_does_anything_else(damage: bytes, place: int) -> None:
    good = bytearray(tar((info("a/b", pax_headers={"k": "v"}), b"content")))
    good[place : place + len(damage)] = damage
    with contextlib.suppress(LayerError):
        read(bytes(good))


def test_no_more_than_is_asked_for_is_in_memory() -> None:
    """A file of a gigabyte is read in pieces."""
    sizes: list[int] = []
    header = raw(size=b"%011o" % (1 << 30))
    left = [len(header) + (1 << 30) + len(END)]

    def give(size: int) -> bytes:
        sizes.append(size)
        begin = len(header) + (1 << 30) + len(END) - left[0]
        left[0] -= size
        return header[begin : begin + size] if begin < len(header) else bytes(size)

    assert dict(entries(give))["x"].size == 1 << 30
    assert max(sizes) == 1 << 20


# -------------------------------------------------------------------------------------------------------- comparing


def listed(*files: tuple[str, Entry]) -> list[tuple[str, Entry]]:
    """Entries in an order."""
    return list(files)


A = Entry(kind="file", content=b"a", size=1, mode=0o644)


def test_equal_layers_do_not_differ() -> None:
    both = listed(("a", A), ("b", A))
    assert compare(both, both) == Comparison()


def test_added_removed_changed() -> None:
    old = listed(("a", A), ("b", A), ("c", A))
    new = listed(("b", replace(A, mode=0o755)), ("c", A), ("d", A))
    found = compare(old, new)
    assert (found.added, found.removed, found.changed, found.order) == (("d",), ("a",), ("b",), False)
    assert found.paths == ("d", "a", "b")


def test_another_order() -> None:
    found = compare(listed(("a", A), ("b", A)), listed(("b", A), ("a", A)))
    assert found == Comparison(order=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "folder"),
        ("content", b"b"),
        ("mode", 0o600),
        ("owner", (1, 0)),
        ("names", ("a", "")),
        ("mtime", "1"),
        ("link", "x"),
        ("device", (1, 1)),
        ("xattrs", (("a", "b"),)),
        ("headers", (("a", "b"),)),
    ],
)
def test_every_field_counts_and_is_named(field: str, value: object) -> None:
    other = replace(A, **{field: value})  # type: ignore[arg-type]
    assert A.fingerprint() != other.fingerprint() and A.differs_in(other) == (field,)
    assert compare([("a", A)], [("a", other)]).changed == ("a",)


def test_a_size_is_told_where_the_content_is_not() -> None:
    assert A.differs_in(replace(A, size=2)) == ("size",)
    assert A.differs_in(replace(A, size=2, content=b"b")) == ("content",)


def test_samples_are_the_beginnings_of_the_files_asked_for() -> None:
    content = tar((info("a"), b"x" * 3_000_000), (info("b"), b"short"), (info("c"), b""), (info("d"), b"no"))
    found = sample(io.BytesIO(content).read, {"a", "b", "c"}, 10)
    assert {path: each.head for path, each in found.items()} == {"a": b"x" * 10, "b": b"short", "c": b""}
    assert found["a"].entry.size == 3_000_000
