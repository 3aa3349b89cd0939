"""What two images hold, compared: their configs, and those of their layers that differ.

Layers are streamed and never unpacked to disk (`unpacking`). A layer that differs is read once for its fingerprints,
and once more for the files that differ. What that means is said in `model.difference`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from dsci import unpacking
from dsci.model import difference, layer
from dsci.model.difference import ConfigDifference, LayerDifference
from dsci.model.layertar import LayerError, Read
from dsci.model.oci import Descriptor, Manifest
from dsci.ports import ImageSource

_CHUNK = 64 * 1024
_CONFIG_LIMIT = 8 << 20
#: How much of a file is looked at for what made it differ.
_HEAD = 32 * 1024


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """How two images differ."""

    config: tuple[ConfigDifference, ...]
    layers: tuple[LayerDifference, ...]
    notes: tuple[str, ...]


def compare(old: ImageSource, new: ImageSource) -> Contents:
    """Compare two images whose manifests differ. Raises LayerError and OciError for what cannot be read."""
    before, after = Manifest.from_bytes(old.manifest), Manifest.from_bytes(new.manifest)
    configs = [config_of(source, manifest) for source, manifest in ((old, before), (new, after))]
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


def config_of(source: ImageSource, manifest: Manifest) -> bytes:
    """An image's config. Raises LayerError for one that is too large."""
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
        yield unpacking.unpacked(stream)
        while stream.read(_CHUNK):
            pass
