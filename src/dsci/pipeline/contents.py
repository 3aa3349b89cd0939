"""What two images hold, compared: their configs, and those of their layers that differ.

Layers are streamed, unpacked in memory piece by piece and never to disk, up to a size that no honest layer has. A
layer that differs is read once for its fingerprints, and once more for the files that differ. What that means is said
in `model.difference`.

Source: https://www.rfc-editor.org/rfc/rfc1952 (members of a gzip file follow one another)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from dsci.model import difference, layer
from dsci.model.difference import ConfigDifference, LayerDifference
from dsci.model.layer import LayerError, Read
from dsci.model.oci import Descriptor, Manifest
from dsci.ports import ImageSource

_CHUNK = 64 * 1024
_CONFIG_LIMIT = 8 << 20
#: The most that a layer may unpack to.
_UNPACKED_LIMIT = 128 << 30
#: How much of a file is looked at for what made it differ.
_HEAD = 32 * 1024
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """How two images differ."""

    config: tuple[ConfigDifference, ...]
    layers: tuple[LayerDifference, ...]
    notes: tuple[str, ...]


def compare(old: ImageSource, new: ImageSource) -> Contents:
    """Compare two images whose manifests differ. Raises LayerError and OciError for what cannot be read."""
    before, after = Manifest.from_bytes(old.manifest), Manifest.from_bytes(new.manifest)
    configs = [_config(source, manifest) for source, manifest in ((old, before), (new, after))]
    config = difference.config_differences(*configs)
    steps = difference.steps(configs[0])
    notes: list[str] = []
    if len(before.layers) != len(after.layers):
        notes.append(f"{len(before.layers)} layers were released, {len(after.layers)} were built")
    layers = [
        _layer(n, steps[n - 1] if n <= len(steps) else "", (old, one), (new, other))
        for n, (one, other) in enumerate(zip(before.layers, after.layers, strict=False), start=1)
        if one.digest != other.digest
    ]
    if not config and not layers and not notes:
        notes.append("config and layers are equal; only how the manifest is written differs")
    return Contents(config=config, layers=tuple(layers), notes=tuple(notes))


def _config(source: ImageSource, manifest: Manifest) -> bytes:
    if manifest.config.size > _CONFIG_LIMIT:
        raise LayerError(f"a config of {manifest.config.size} bytes is too large")
    with source.open(manifest.config) as stream:
        return stream.read()


def _layer(
    number: int, step: str, old: tuple[ImageSource, Descriptor], new: tuple[ImageSource, Descriptor]
) -> LayerDifference:
    with unpacked(*old) as before, unpacked(*new) as after:
        found = layer.compare(layer.entries(before), layer.entries(after))
    paths = frozenset(sorted(found.paths)[: difference.FILES])
    with unpacked(*old) as before, unpacked(*new) as after:
        samples = (layer.sample(before, paths, _HEAD), layer.sample(after, paths, _HEAD)) if paths else ({}, {})
    return difference.layer_difference(number, step, found, *samples)


@contextmanager
def unpacked(source: ImageSource, blob: Descriptor) -> Iterator[Read]:
    """The tar of a layer; at the end the blob is read out, so that its digest is proven. Raises LayerError."""
    with source.open(blob) as stream:
        begin = stream.read(4)
        if begin.startswith(_ZSTD):
            raise LayerError(
                f"the layer {blob.digest} is compressed with zstd, which dsci does not read",
                hint="compare the images with another tool, such as diffoci",
            )
        yield _Unzipped(stream, begin) if begin.startswith(_GZIP) else _Plain(stream, begin)
        while stream.read(_CHUNK):
            pass


class _Plain:
    """A tar that is not compressed."""

    def __init__(self, stream: BinaryIO, begin: bytes) -> None:
        self._stream, self._begin = stream, begin

    def __call__(self, size: int) -> bytes:
        found, self._begin = self._begin[:size], self._begin[size:]
        return found or self._stream.read(size)


class _Unzipped:
    """A gzipped tar; never more of it in memory than was asked for, and a chunk of what comes in."""

    def __init__(self, stream: BinaryIO, begin: bytes) -> None:
        self._stream, self._waiting = stream, begin
        self._member = zlib.decompressobj(wbits=31)
        self._left = _UNPACKED_LIMIT

    def __call__(self, size: int) -> bytes:
        while True:
            if self._member.eof:
                self._waiting = self._member.unused_data
                if not (self._waiting or self._more()):
                    return b""
                self._member = zlib.decompressobj(wbits=31)
            if not self._waiting and not self._more():
                raise LayerError("a layer that ends too early")
            try:
                found = self._member.decompress(self._waiting, size)
            except zlib.error:
                raise LayerError("a layer that is damaged: it cannot be unpacked") from None
            self._waiting = self._member.unconsumed_tail
            self._left -= len(found)
            if self._left < 0:
                raise LayerError(f"a layer unpacks to more than {_UNPACKED_LIMIT >> 30} GiB")
            if found:
                return found

    def _more(self) -> bool:
        self._waiting = self._stream.read(_CHUNK)
        return bool(self._waiting)
