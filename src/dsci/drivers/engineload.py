"""An image as the engine takes it in: a tar that is written while it is read, blob by blob."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dsci.model.oci import Manifest
from dsci.model.reference import Reference
from dsci.ports import ImageSource


def loadable(source: ImageSource, name: Reference) -> Iterator[bytes]:
    """A tar that `docker load` takes on both image stores: an OCI layout with a `manifest.json` beside it."""
    manifest = Manifest.from_bytes(source.manifest)
    descriptor = source.descriptor
    annotations = {
        "io.containerd.image.name": str(name),
        "org.opencontainers.image.ref.name": name.tag or "latest",
    }
    index = {
        "schemaVersion": 2,
        "manifests": [descriptor.to_json() | {"annotations": annotations}],
    }
    legacy = [
        {
            "Config": _blob(manifest.config.digest.hex),
            "RepoTags": [str(name)],
            "Layers": [_blob(layer.digest.hex) for layer in manifest.layers],
        }
    ]
    yield from _member("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
    yield from _member("index.json", json.dumps(index).encode())
    yield from _member("manifest.json", json.dumps(legacy).encode())
    yield from _member(_blob(descriptor.digest.hex), source.manifest)
    sent = {descriptor.digest}
    for blob in (manifest.config, *manifest.layers):
        if blob.digest in sent:
            continue
        sent.add(blob.digest)
        info = tarfile.TarInfo(_blob(blob.digest.hex))
        info.size = blob.size
        yield info.tobuf()
        with source.open(blob) as stream:
            while chunk := stream.read(1 << 20):
                yield chunk
        yield b"\0" * (-blob.size % 512)
    yield b"\0" * 1024


def _blob(hex_digest: str) -> str:
    return str(Path("blobs") / "sha256" / hex_digest)


def _member(name: str, content: bytes) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    yield info.tobuf() + content + b"\0" * (-len(content) % 512)
