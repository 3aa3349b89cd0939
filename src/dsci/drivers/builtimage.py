"""What came of a build, as an image that can be published: kept in the engine, or as the classic store saved it.

Exports as OCI layouts are `ocitar`'s.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from msgspec.structs import replace

from dsci.drivers.buildstory import INSTALL
from dsci.drivers.ocitar import OciTar
from dsci.errors import BuilderError
from dsci.model.oci import (
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    OciError,
)

_LEVEL = 5


class Kept:
    """An image in the containerd image store as an `ImageSource`: it is saved from there when its bytes are wanted."""

    def __init__(self, descriptor: Descriptor, save: Callable[[], Path]) -> None:
        self.descriptor = descriptor
        self._save = save

    @cached_property
    def _tar(self) -> OciTar:
        tar = OciTar(self._save())
        if tar.descriptor.digest != self.descriptor.digest:
            raise BuilderError(
                f"the engine saved {tar.descriptor.digest} where {self.descriptor.digest} was built",
                hint="what ships must be what was built: see the engine's log, then try again",
            )
        return tar

    @property
    def manifest(self) -> bytes:
        """The manifest's bytes."""
        return self._tar.manifest

    def open(self, blob: Descriptor) -> BinaryIO:
        """A layer, or the config."""
        return self._tar.open(blob)


def told(path: Path) -> Descriptor:
    """The descriptor of what was built, as BuildKit tells it. Raises BuilderError where it does not.

    Source: https://github.com/docker/buildx/blob/master/docs/reference/buildx_build.md#metadata-file
    """
    try:
        descriptor = Descriptor.from_json(json.loads(path.read_bytes())["containerimage.descriptor"])
    except (OSError, ValueError, LookupError, TypeError, OciError):
        raise BuilderError("BuildKit does not tell what it built", hint=INSTALL) from None
    if descriptor.media_type not in MANIFEST_TYPES:
        raise BuilderError(f"BuildKit built a {descriptor.media_type}, where one image was asked for", hint=INSTALL)
    return replace(descriptor, annotations={})


class SavedImage:
    """An image of the classic store as an `ImageSource`: config as it was saved, layers compressed here.

    The same layer always compresses to the same bytes (no time, no name in the gzip header), so that a child's copy of
    its parent's layers has the parent's digests and is not sent again.
    """

    def __init__(self, tar: Path, folder: Path) -> None:
        with tarfile.open(tar) as archive:
            described = archive.extractfile("manifest.json")
            assert described is not None
            (entry,) = json.load(described)
            saved = archive.extractfile(entry["Config"])
            assert saved is not None
            self._config = saved.read()
            config = Descriptor.of(OCI_CONFIG, self._config)
            self._files: dict[Digest, Path] = {}
            layers: list[Descriptor] = []
            for n, name in enumerate(entry["Layers"]):
                layer = archive.extractfile(name)
                assert layer is not None
                layers.append(self._compress(layer, folder / f"layer-{n}"))
        self.manifest = Manifest(config=config, layers=tuple(layers)).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest)

    def _compress(self, layer: Any, path: Path) -> Descriptor:
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=_LEVEL) as out,
        ):
            shutil.copyfileobj(layer, out, 1 << 20)
        with path.open("rb") as written:
            digest = Digest("sha256", hashlib.file_digest(written, "sha256").hexdigest())
        self._files[digest] = path
        return Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size=path.stat().st_size)

    def open(self, blob: Descriptor) -> BinaryIO:
        """A layer, or the config."""
        if blob.digest in self._files:
            return self._files[blob.digest].open("rb")
        return io.BytesIO(self._config)
