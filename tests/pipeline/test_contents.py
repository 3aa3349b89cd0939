"""Layers of two images compared: streamed, unpacked piece by piece, and nothing hostile gets far."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import pytest
import zstandard
from tests.realengine import tar_of

from dsci import unpacking
from dsci.model.layer import entries
from dsci.model.layertar import LayerError
from dsci.model.oci import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Digest, Manifest
from dsci.pipeline import contents
from dsci.pipeline.contents import compare, unpacked

BOMB = 3 << 30


class Memory:
    """An image in memory. Implements `ports.ImageSource`."""

    def __init__(self, *layers: bytes, config: Mapping[str, object] | None = None, annotation: str = "") -> None:
        raw = json.dumps(config or {"history": [{"created_by": "COPY a /a # buildkit"}]}).encode()
        self._blobs = {Digest.of(blob): blob for blob in (raw, *layers)}
        self.manifest = Manifest(
            config=Descriptor.of(OCI_CONFIG, raw),
            layers=tuple(Descriptor.of(OCI_LAYER_GZIP, each) for each in layers),
            annotations={"a": annotation} if annotation else {},
        ).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest)

    def open(self, blob: Descriptor) -> BinaryIO:
        """A blob."""
        return io.BytesIO(self._blobs[blob.digest])


def zipped(files: Mapping[str, str | bytes], level: int = 6) -> bytes:
    """A layer of these files."""
    return gzip.compress(tar_of(files), compresslevel=level, mtime=0)


def read(layer: bytes) -> dict[str, int]:
    """The sizes of a layer's files, as they are read from an image."""
    image = Memory(layer)
    with unpacked(image, Descriptor.of(OCI_LAYER_GZIP, layer)) as stream:
        return {path: entry.size for path, entry in entries(stream)}


def test_what_differs_is_found_with_its_step() -> None:
    same = zipped({"same": "x"})
    old = Memory(zipped({"srv/stamp": "2026-01-01", "srv/gone": "x"}), same)
    new = Memory(zipped({"srv/stamp": "2026-01-02"}), same)
    found = compare(old, new)
    (layer,) = found.layers
    assert (layer.number, layer.step, layer.total) == (1, "COPY a /a", 2)
    assert {file.path: (file.how, file.cause) for file in layer.files} == {
        "srv/gone": ("removed", ""),
        "srv/stamp": ("changed", "time"),
    }
    assert found.config == () and found.notes == ()


def test_other_numbers_of_layers_other_configs_other_manifests() -> None:
    one = zipped({"a": "1"})
    found = compare(Memory(one, one), Memory(one, config={"os": "linux"}))
    assert found.notes == ("2 layers were released, 1 were built",)
    assert [field.field for field in found.config] == ["history.0.created_by", "os"] and found.layers == ()
    assert "how the manifest is written" in compare(Memory(one), Memory(one, annotation="x")).notes[0]


def test_the_same_entries_compressed_otherwise() -> None:
    files = {"a": "text " * 1000}
    (layer,) = compare(Memory(zipped(files, 1)), Memory(zipped(files, 9))).layers
    assert layer.files == () and "compresses" in layer.note


def test_plain_tars_and_gzip_in_several_members() -> None:
    tar = tar_of({"a": b"x" * 100_000, "b": "y"})
    assert read(tar) == {"a": 100_000, "b": 1}
    assert read(gzip.compress(tar[:7]) + gzip.compress(tar[7:50_000]) + gzip.compress(tar[50_000:])) == read(tar)


def test_zstd_in_several_frames() -> None:
    tar = tar_of({"a": b"x" * 100_000, "b": "y"})
    assert read(zstandard.compress(tar)) == {"a": 100_000, "b": 1}
    assert read(zstandard.compress(tar[:50_000]) + zstandard.compress(tar[50_000:], level=19)) == read(tar)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (b"\x28\xb5\x2f\xfd rest", "damaged"),
        (zstandard.compress(tar_of({"a": "x" * 5000}))[:-9], "ends too early|damaged"),
        (zipped({"a": "x" * 5000})[:-40], "ends too early"),
        (zipped({"a": "x"})[:10] + b"\xff" * 50, "damaged"),
        (b"", "ends too early"),
        (b"not a tar at all" * 100, "damaged"),
    ],
)
def test_what_cannot_be_read_is_an_error(layer: bytes, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        read(layer)


def test_a_bomb_takes_no_memory_and_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gigabytes of nothing, in less than a megabyte: it is read in pieces, up to what may be unpacked."""
    header = tarfile.TarInfo("zeros")
    header.size = BOMB
    packer = zlib.compressobj(level=1, wbits=31)
    layer = packer.compress(header.tobuf())
    layer += b"".join(packer.compress(bytes(1 << 20)) for _ in range((BOMB >> 20) // 32)) + packer.flush()
    tracemalloc.start()
    monkeypatch.setattr(unpacking, "UNPACKED_LIMIT", 64 << 20)
    with pytest.raises(LayerError, match="unpacks to more than"):
        read(layer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_config_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_CONFIG_LIMIT", 10)
    with pytest.raises(LayerError, match="too large"):
        compare(Memory(zipped({"a": "1"})), Memory(zipped({"a": "2"})))
