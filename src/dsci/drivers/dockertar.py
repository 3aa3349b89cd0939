"""Images in tars, whoever wrote them: OCI layouts (`ocitar`), and what tools that know nothing of those write.

Older engines, Podman and Bazel write a config, layers and a `manifest.json` that names them. A manifest is made of
that, with the layers as they lie there: nothing is compressed, copied or unpacked.

Source: https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import BinaryIO, cast

from dsci.drivers.ocitar import CONFIG_LIMIT, OciTar, Slice, Span, reading, spans
from dsci.model.oci import (
    MANIFEST_LIMIT,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    OciError,
    Platform,
)
from dsci.ports import ImageSource

_INDEX, _DESCRIBED = "index.json", "manifest.json"
_LAYER = OCI_LAYER_GZIP.removesuffix("+gzip")


def image_in(path: Path, platform: Platform) -> ImageSource:
    """The image in a tar: the one for `platform`, or the only one there is. Raises BuilderError."""
    with reading(path):
        found = spans(path, links=True)
    return DockerTar(path, found) if _DESCRIBED in found and _INDEX not in found else OciTar(path, platform)


class DockerTar:
    """The one image of such a tar, as an `ImageSource`. Valid as long as the file stays as it is."""

    def __init__(self, path: Path, found: dict[str, Span]) -> None:
        """`found` are the tar's files. Raises BuilderError."""
        self._path, self._files = path, found
        self._blobs: dict[Digest, Span] = {}
        with reading(path):
            try:
                entries = json.loads(self._read(_DESCRIBED, MANIFEST_LIMIT))
                if len(entries) != 1:
                    raise OciError(f"one image is wanted, and it holds {len(entries)}", hint="save one image at a time")
                content = self._read(entries[0]["Config"], CONFIG_LIMIT)
                config = Descriptor.of(OCI_CONFIG, content)
                self._blobs[config.digest] = self._span(entries[0]["Config"])
                unpacked = json.loads(content)["rootfs"]["diff_ids"]
                layers = zip(entries[0]["Layers"], unpacked, strict=True)
                self.manifest = Manifest(
                    config=config, layers=tuple(self._layer(name, digest) for name, digest in layers)
                ).to_bytes()
            except (LookupError, TypeError, AttributeError, RecursionError):
                raise OciError("it holds no image that docker can load", hint="save the image again") from None
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest)

    def open(self, blob: Descriptor) -> BinaryIO:
        """A layer, or the config."""
        return cast(BinaryIO, self._open(self._blobs[blob.digest]))

    def _layer(self, name: str, unpacked: str) -> Descriptor:
        """A layer as it lies there. What is not compressed has the digest that the config knows."""
        span = self._span(name)
        with self._open(span) as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            digest = Digest("sha256", hashlib.file_digest(stream, "sha256").hexdigest()) if zipped else None
        found = Descriptor(
            media_type=OCI_LAYER_GZIP if zipped else _LAYER, digest=digest or Digest.parse(unpacked), size=span.size
        )
        self._blobs[found.digest] = span
        return found

    def _span(self, name: str) -> Span:
        found = self._files.get(name)
        if found is None:
            raise OciError(f"{name[:100]!r} is named in it, but not there", hint="save the image again")
        return found

    def _read(self, name: str, limit: int) -> bytes:
        span = self._span(name)
        if span.size > limit:
            raise OciError(f"{name[:100]!r} in it has {span.size} bytes, over the limit of {limit}")
        with self._open(span) as stream:
            return stream.read()

    def _open(self, span: Span) -> io.BufferedReader:
        return io.BufferedReader(Slice(self._path, span))
