"""Small images in memory, for tests of registries."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from dsci.model.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Index,
    Manifest,
    Platform,
)


class MemoryImage:
    """An ImageSource held in memory; it counts how often its blobs were opened."""

    def __init__(
        self,
        *layers: bytes,
        platform: str = "linux/amd64",
        config: Mapping[str, object] | None = None,
        history: Sequence[Mapping[str, object]] = (),
    ) -> None:
        self.platform = Platform.parse(platform)
        more = {"rootfs": {"type": "layers", "diff_ids": []}, **({"config": config} if config else {})}
        more |= {"history": list(history)} if history else {}
        contents = [
            (OCI_CONFIG, json.dumps(self.platform.to_json() | more).encode()),
            *((OCI_LAYER_GZIP, layer) for layer in layers),
        ]
        self.blobs = {Digest.of(content): content for _, content in contents}
        self.config, *self.layers = [Descriptor.of(kind, content) for kind, content in contents]
        self.manifest = Manifest(config=self.config, layers=tuple(self.layers)).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest, self.platform)
        self.opened: list[Digest] = []

    def open(self, blob: Descriptor) -> BinaryIO:
        self.opened.append(blob.digest)
        return io.BytesIO(self.blobs[blob.digest])

    def tar(self, path: Path, *, extra: tuple[tarfile.TarInfo, ...] = (), omit: str = "") -> Path:
        """What buildx writes with `type=oci`: a layout whose index names this image."""
        index = Index(manifests=(self.descriptor,)).to_bytes()
        files = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": index,
            f"blobs/sha256/{self.descriptor.digest.hex}": self.manifest,
            **{f"blobs/sha256/{digest.hex}": content for digest, content in self.blobs.items()},
        }
        write_tar(path, {name: content for name, content in files.items() if name != omit}, extra)
        return path


class LargeImage(MemoryImage):
    """An image with a layer of this many zeros, which are never in memory at once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        hasher = hashlib.sha256()
        for _ in range(size >> 16):
            hasher.update(bytes(1 << 16))
        self.layers = [Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest("sha256", hasher.hexdigest()), size=size)]
        self.manifest = Manifest(config=self.config, layers=tuple(self.layers)).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest, self.platform)

    def open(self, blob: Descriptor) -> BinaryIO:
        return super().open(blob) if blob == self.config else cast(BinaryIO, io.BufferedReader(_Zeros(blob.size)))


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        return count


def write_tar(path: Path, files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> None:
    with tarfile.open(path, "w") as tar:
        for name in ("blobs", "blobs/sha256"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info, io.BytesIO(bytes(info.size)))


def index_of(*images: MemoryImage, **annotations: str) -> bytes:
    return Index(manifests=tuple(image.descriptor for image in images), annotations=annotations).to_bytes()


__all__ = ["OCI_INDEX", "LargeImage", "MemoryImage", "index_of", "write_tar"]
