"""Chunks as a file, for whoever wants to call `read`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast


def reader(chunks: Iterator[bytes]) -> BinaryIO:
    """A file over chunks, read once from front to back. Closing it closes the generator that gives them."""
    return cast(BinaryIO, io.BufferedReader(_Chunks(chunks)))


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        super().close()
