"""A layer's tar as a sequence of members, read from front to back within bounds.

What is read may be anybody's: a header that is longer than an honest one, a damaged or a truncated tar, or one that
never ends is a LayerError, and nothing in it ever becomes a path on this machine. What members mean for each other, in
one layer or in several, is for others to say.

Sources: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar and pax),
https://www.gnu.org/software/tar/manual/html_node/Standard.html (long names and large numbers),
https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

import msgspec

from dsci.errors import DsciError

#: Gives at most as many bytes as asked for; none at the end.
Read = Callable[[int], bytes]

_BLOCK = 512
_PIECE = 1 << 20
#: The longest extended header: xattrs are at most 64 KiB each, names 4 KiB.
_HEADER_LIMIT = 1 << 20
#: What may be kept of one layer: entries, and bytes of their names.
_ENTRIES = 1_000_000
_NAMES = 256 << 20
_KINDS = {
    b"\0": "file",
    b"0": "file",
    b"7": "file",
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": "folder",
    b"6": "fifo",
}
_OCTAL = frozenset(b"01234567")
_XATTR = "SCHILY.xattr."
#: Extended headers that have a field of their own, or say nothing about what is written to disk.
_TOLD = frozenset({"path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime"})


class LayerError(DsciError):
    """A layer that cannot be read, or that nobody honest would write."""

    exit_code = 5
    next_step = "whoever wrote this layer used no usual tool, or means no good: do not use the image"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer says of one path. The names of the fields are those that differences are told by."""

    kind: str
    content: bytes = b""
    """The sha256 of a file's content."""
    size: int = 0
    mode: int = 0
    """Permission bits with setuid, setgid and sticky."""
    owner: tuple[int, int] = (0, 0)
    names: tuple[str, str] = ("", "")
    """The owner's user and group as text."""
    mtime: str = "0"
    """Seconds since the epoch, with a fraction where the layer has one."""
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """Other extended headers."""

    def fingerprint(self) -> bytes:
        """Equal for equal entries, and for no others."""
        return hashlib.blake2b(repr(_VALUES(self)).encode(errors="surrogateescape"), digest_size=16).digest()

    def differs_in(self, other: Entry) -> tuple[str, ...]:
        """The names of the fields that are not equal. A size is told only where no content is."""
        values = zip(_FIELDS, _VALUES(self), _VALUES(other), strict=True)
        names = [name for name, mine, theirs in values if mine != theirs]
        return tuple(name for name in names if name != "size" or "content" not in names)


_FIELDS = Entry.__struct_fields__
_VALUES = attrgetter(*_FIELDS)


def members(read: Read) -> Iterator[tuple[str, Entry, Iterator[bytes]]]:
    """Every member of a tar in its order: its path, its entry, and its content in pieces.

    Content that nobody wants is passed over. Raises LayerError.
    """
    shared: dict[str, str] = {}
    own: dict[str, str] = {}
    count = total = 0
    while True:
        block = _exactly(read, _BLOCK)
        if not block.strip(b"\0"):
            return
        _check_sum(block)
        kind, size = block[156:157], _number(block[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            content = _padded(read, size)
            if kind in (b"L", b"K"):
                own["path" if kind == b"L" else "linkpath"] = _text(content.partition(b"\0")[0])
            else:
                (shared if kind == b"g" else own).update(_records(content))
            continue
        headers, own = {**shared, **own}, {}
        if size < 0:
            raise LayerError("a damaged header in a layer")
        path = _clean(headers.get("path", _name(block)))
        entry = _entry(block, kind, headers, size)
        count += 1
        total += len(path) + len(entry.link) + sum(map(len, headers.values()))
        if count > _ENTRIES or total > _NAMES:
            raise LayerError("a layer has more entries than can be looked at")
        if entry.size and entry.kind != "file":
            raise LayerError(f"{path[:200]!r} in a layer is a {entry.kind} with content")
        left = pieces(read, entry.size)
        yield path, entry, left
        for _ in left:
            pass
        _exactly(read, -entry.size % _BLOCK)


def pieces(read: Read, size: int) -> Iterator[bytes]:
    """So many bytes, some at a time. Raises LayerError where there are fewer."""
    while size:
        piece = _exactly(read, min(size, _PIECE))
        size -= len(piece)
        yield piece


# ------------------------------------------------------------------------------------------------------- headers


def _entry(block: bytes, kind: bytes, headers: Mapping[str, str], size: int) -> Entry:
    if kind not in _KINDS:
        raise LayerError(f"an entry of the kind {kind!r} in a layer")
    is_file = _KINDS[kind] == "file"
    return Entry(
        kind=_KINDS[kind],
        size=_decimal(headers["size"]) if "size" in headers else size,
        mode=_number(block[100:108]) & 0o7777,
        owner=(
            _decimal(headers["uid"]) if "uid" in headers else _number(block[108:116]),
            _decimal(headers["gid"]) if "gid" in headers else _number(block[116:124]),
        ),
        names=(headers.get("uname", _string(block[265:297])), headers.get("gname", _string(block[297:329]))),
        mtime=headers.get("mtime", str(_number(block[136:148]))),
        link="" if is_file else headers.get("linkpath", _string(block[157:257])),
        device=(_number(block[329:337]), _number(block[337:345])) if "device" in _KINDS[kind] else (0, 0),
        xattrs=tuple(
            sorted((key.removeprefix(_XATTR), text) for key, text in headers.items() if key.startswith(_XATTR))
        ),
        headers=tuple(
            sorted((key, text) for key, text in headers.items() if key not in _TOLD and not key.startswith(_XATTR))
        ),
    )


def _records(content: bytes) -> Mapping[str, str]:
    """The records of an extended header: length, space, key, equals sign, value, newline."""
    found: dict[str, str] = {}
    while content:
        length, _, _ = content.partition(b" ")
        size = _decimal(_text(length[:20]))
        record = content[:size]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if size <= len(length) + 1 or len(record) != size or record[-1:] != b"\n" or not equals:
            raise LayerError("an extended header in a layer that cannot be read")
        found[_text(key)] = _text(value)
        content = content[size:]
    return found


def _name(block: bytes) -> str:
    prefix = _string(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_string(block[:100])}" if prefix else _string(block[:100])


def _clean(path: str) -> str:
    """A path as images have it, however it is written: relative to the root, without a slash at its end."""
    return path.removeprefix("./").strip("/")


def _check_sum(block: bytes) -> None:
    told = _number(block[148:156])
    if told != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise LayerError("a damaged header in a layer")


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or with the first bit set, binary."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        # The mark is the first bit; the one after it is the sign.
        return value - (1 << bits) if field[0] == 0xFF else value - (1 << (bits - 1))
    digits = field.strip(b" \0")
    if not _OCTAL.issuperset(digits):
        raise LayerError("a damaged header in a layer")
    return int(digits or b"0", 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise LayerError("an extended header in a layer that cannot be read")
    return int(text)


def _string(field: bytes) -> str:
    return _text(field.partition(b"\0")[0])


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _padded(read: Read, size: int) -> bytes:
    """The content of an extended header, bounded."""
    if not 0 <= size <= _HEADER_LIMIT:
        raise LayerError("a header in a layer is too large")
    content = _exactly(read, size)
    _exactly(read, -size % _BLOCK)
    return content


def _exactly(read: Read, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        piece = read(size)
        if not piece:
            raise LayerError("a layer that ends too early")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
