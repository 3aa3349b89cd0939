"""Pushes an image with one large layer, and tells how much memory that took: the program of test_faults_large."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from images import MemoryImage

from dsci.drivers.registry import HttpRegistry
from dsci.errors import DsciError
from dsci.model.oci import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Digest, Manifest
from dsci.model.reference import Repository

_BLOCK = 1 << 20


class SeededImage(MemoryImage):
    """An image whose only layer is this many MiB out of a seed, of which one is in memory at a time."""

    def __init__(self, mebibytes: int, seed: int) -> None:
        super().__init__()
        self._seed = seed
        hasher = hashlib.sha256()
        stream = self._stream(mebibytes)
        while piece := stream.read(_BLOCK):
            hasher.update(piece)
        layer = Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest("sha256", hasher.hexdigest()), size=mebibytes << 20)
        self.layers = [layer]
        self.manifest = Manifest(config=self.config, layers=(layer,)).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest, self.platform)

    def open(self, blob: Descriptor) -> BinaryIO:
        return super().open(blob) if blob == self.config else self._stream(blob.size >> 20)

    def _stream(self, mebibytes: int) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Seeded(self._seed, mebibytes), _BLOCK))


class _Seeded(io.RawIOBase):
    """One random MiB over and over, each time with its number before it."""

    def __init__(self, seed: int, mebibytes: int) -> None:
        self._noise = random.Random(seed).randbytes(_BLOCK - 8)
        self._left, self._count, self._mebibytes = b"", 0, mebibytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._left and self._count < self._mebibytes:
            self._left = self._count.to_bytes(8, "big") + self._noise
            self._count += 1
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


class _Hasty:
    """Does not really pause."""

    monotonic = staticmethod(time.monotonic)

    def sleep(self, seconds: float, /) -> None:
        pass


def main(host: str, path: str, mebibytes: str, seed: str) -> None:
    image, error = SeededImage(int(mebibytes), int(seed)), ""
    client = HttpRegistry(clock=_Hasty())
    try:
        client.push_image(image, Repository(host, path), "1.0")
    except DsciError as raised:
        error = raised.message
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    print(json.dumps({"digest": str(image.layers[0].digest), "error": error, "peak": int(peak[1]) / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
