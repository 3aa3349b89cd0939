"""The tar of an image's layer, unpacked while it is read: piece by piece, in memory, up to a size no honest layer has.

Reading may be taken up again where it was marked, so that the end of a large layer is not far from its beginning. What
is in the tar is `model.layertar`'s to say.

Sources: https://www.rfc-editor.org/rfc/rfc1952 (members of a gzip file follow one another),
https://www.rfc-editor.org/rfc/rfc8878 (so do frames of zstd)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, Protocol

from dsci.model.layertar import LayerError
from dsci.streams import reader

_CHUNK = 64 * 1024
#: The most that a layer may unpack to.
UNPACKED_LIMIT = 128 << 30
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
#: The largest window that a layer may need, in bytes: as much as zstd itself takes without being asked to take more.
_WINDOW = 128 << 20


class Tar(Protocol):
    """A layer's tar, read from front to back."""

    at: int
    """How many bytes of it have been read."""

    def __call__(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises LayerError."""

    def mark(self) -> Mark:
        """A place at or shortly after the one that was read to."""


class Mark(NamedTuple):
    """A place in a layer's tar, and how to read on from there, out of the layer's blob opened anew."""

    at: int
    resume: Callable[[BinaryIO], Tar]


def unpacked(blob: BinaryIO) -> Tar:
    """The tar of a layer, out of its blob: as it is, or compressed with gzip or zstd."""
    begin = blob.read(4)
    if begin.startswith(_ZSTD):
        return _Unzstd(blob, begin=begin)
    if begin.startswith(_GZIP):
        return _Unzipped(blob, begin=begin, member=zlib.decompressobj(wbits=31))
    return _Plain(blob, begin=begin)


class _Plain:
    """A tar that is not compressed."""

    def __init__(self, blob: BinaryIO, *, begin: bytes = b"", at: int = 0) -> None:
        self._blob, self._begin, self.at = blob, begin, at

    def __call__(self, size: int) -> bytes:
        found, self._begin = self._begin[:size], self._begin[size:]
        found = found or self._blob.read(size)
        self.at += len(found)
        return found

    def mark(self) -> Mark:
        at = self.at

        def resume(blob: BinaryIO) -> Tar:
            blob.seek(at)
            return _Plain(blob, at=at)

        return Mark(at, resume)


class _Unzipped:
    """A gzipped tar; of it never more than a chunk is in memory, and a chunk of what comes in."""

    def __init__(self, blob: BinaryIO, *, member: Any, begin: bytes = b"", offset: int = 0, at: int = 0) -> None:
        self._blob, self._member, self._waiting = blob, member, begin
        self._offset = offset + len(begin)
        self._ready = b""
        self._next = 0
        self.at = at

    def __call__(self, size: int) -> bytes:
        if self._next == len(self._ready):
            self._ready, self._next = self._unpack(), 0
        found = self._ready[self._next : self._next + size]
        self._next += len(found)
        self.at += len(found)
        return found

    def _unpack(self) -> bytes:
        while True:
            if self._member.eof:
                self._waiting = self._member.unused_data
                if not (self._waiting or self._more()):
                    return b""
                self._member = zlib.decompressobj(wbits=31)
            if not self._waiting and not self._more():
                raise LayerError("a layer that ends too early")
            try:
                found: bytes = self._member.decompress(self._waiting, _CHUNK)
            except zlib.error:
                raise LayerError("a layer that is damaged: it cannot be unpacked") from None
            self._waiting = self._member.unconsumed_tail
            _bounded(self.at + len(found))
            if found:
                return found

    def _more(self) -> bool:
        self._waiting = self._blob.read(_CHUNK)
        self._offset += len(self._waiting)
        return bool(self._waiting)

    def mark(self) -> Mark:
        at, offset = self.at + len(self._ready) - self._next, self._offset - len(self._waiting)
        member = self._member.copy()

        def resume(blob: BinaryIO) -> Tar:
            blob.seek(offset)
            return _Unzipped(blob, member=member.copy(), offset=offset, at=at)

        return Mark(at, resume)


class _Unzstd:
    """A tar compressed with zstd. It can be taken up again at its beginning alone: a frame has no way in."""

    def __init__(self, blob: BinaryIO, *, begin: bytes = b"") -> None:
        import zstandard

        self._error = zstandard.ZstdError
        # A window is what unpacking holds in memory. Source: https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._stream = unpacker.stream_reader(reader(_whole(begin, blob)), read_across_frames=True)
        self.at = 0

    def __call__(self, size: int) -> bytes:
        try:
            found: bytes = self._stream.read(min(size, _CHUNK))
        except self._error:
            raise LayerError("a layer that is damaged: it cannot be unpacked") from None
        self.at += len(found)
        _bounded(self.at)
        return found

    def mark(self) -> Mark:
        return Mark(0, _again)


def _again(blob: BinaryIO) -> Tar:
    return _Unzstd(blob)


def _whole(begin: bytes, blob: BinaryIO) -> Iterator[bytes]:
    """A blob of which the beginning has been read already."""
    yield begin
    while chunk := blob.read(_CHUNK):
        yield chunk


def _bounded(at: int) -> None:
    if at > UNPACKED_LIMIT:
        raise LayerError(f"a layer unpacks to more than {UNPACKED_LIMIT >> 30} GiB")
