"""OCI image layouts in a tar file: read as an `ImageSource` without unpacking, written from any `Registry`.

`docker buildx build --output type=oci,dest=FILE` and `docker save` write such files. The headers are read once, blobs
are read in place by offset, from as many threads as like; nothing is ever extracted; a file with links, devices, odd
names or large JSON is refused. A blob's digest is checked by whoever reads it to the end (`verify`). Layouts in folders
are `layout`'s.

Sources: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md,
https://github.com/containerd/containerd/blob/main/docs/content-flow.md (annotations that name an image).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from msgspec.structs import replace

from dsci.drivers.files import whole_file
from dsci.drivers.verify import chunks, verified
from dsci.errors import BuilderError, RegistryError
from dsci.model.oci import (
    INDEX_TYPES,
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    Index,
    Manifest,
    OciError,
    Platform,
    canonical_json,
)
from dsci.model.reference import Reference
from dsci.ports import Registry
from dsci.streams import reader

#: The annotations by which layouts, containerd and `docker load` know an image.
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'

_ENTRIES = 100_000
_HEADER_LIMIT = 1024 * 1024
CONFIG_LIMIT = 8 * 1024 * 1024
_NESTING = 4


class Span(NamedTuple):
    """A stretch of a file, in bytes."""

    start: int
    size: int


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with an image in a tar is a BuilderError that names the file."""
    try:
        yield
    except (OSError, tarfile.TarError, EOFError, OverflowError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged or no tar"
        raise BuilderError(f"cannot read the image in {path}: {why}", hint="build it again") from None
    except (OciError, RegistryError) as error:
        raise BuilderError(f"{path}: {error.message}", hint=error.hint or "build the image again") from None


class OciTar:
    """The one image of an OCI tar, as an `ImageSource`. Valid as long as the file stays as it is."""

    def __init__(self, path: Path, platform: Platform | None = None) -> None:
        """Find the image in an OCI tar: the one for `platform`, or the only one there is. Raises BuilderError."""
        self._path = path
        with reading(path):
            self._spans = spans(path)
            self.descriptor, self.manifest = self._find(self._json("index.json"), platform)
            config = Manifest.from_bytes(self.manifest).config
            if self.descriptor.platform is None and config.size <= CONFIG_LIMIT:
                self.descriptor = replace(self.descriptor, platform=_platform(self._bytes(config)))

    def open(self, blob: Descriptor) -> BinaryIO:
        """The content of a blob of this image."""
        span = self._spans.get(_blob_path(blob.digest))
        if span is None or span.size != blob.size:
            has = "no blob" if span is None else f"{span.size} bytes"
            raise BuilderError(f"{self._path} has {has} for {blob.digest}", hint="build the image again")
        return cast(BinaryIO, io.BufferedReader(Slice(self._path, span)))

    def _find(self, index: bytes, platform: Platform | None) -> tuple[Descriptor, bytes]:
        for _ in range(_NESTING):
            images = [item for item in Index.from_bytes(index).manifests if not _is_attestation(item)]
            if platform is not None and len(images) > 1:
                images = [item for item in images if item.platform == platform]
            if len({item.digest for item in images}) != 1:
                names = ", ".join(sorted(str(item.platform or item.digest) for item in images)) or "none"
                raise OciError(f"one image is wanted, found: {names}", hint="build one platform at a time")
            found = replace(images[0], annotations={})
            if found.size > MANIFEST_LIMIT:
                raise OciError(f"a manifest of {found.size} bytes is over the limit of {MANIFEST_LIMIT}")
            content = self._bytes(found)
            if found.media_type in MANIFEST_TYPES:
                return found, content
            if found.media_type not in INDEX_TYPES:
                raise OciError(f"{found.digest} is neither a manifest nor an index")
            index = content
        raise OciError(f"indexes nested more than {_NESTING} deep")

    def _bytes(self, blob: Descriptor) -> bytes:
        with self.open(blob) as stream:
            return b"".join(verified(chunks(stream), blob, "the file"))

    def _json(self, name: str) -> bytes:
        span = self._spans.get(name)
        if span is None or span.size > MANIFEST_LIMIT:
            raise OciError(f"there is no {name} of a legal size in it", hint="is it an OCI layout?")
        with Slice(self._path, span) as stream:
            return stream.readall()


def write_oci_tar(registry: Registry, reference: Reference, destination: Path) -> Descriptor:
    """Write an image, or an index with all its images, as a tar that `docker load` takes under this very name.

    Beside the OCI layout stands Docker's own `manifest.json`, for engines with the classic image store; of an index it
    names the image of this machine. The file appears when it is complete. Raises RegistryError.
    """
    found = registry.manifest(reference)
    if found is None:
        raise RegistryError(f"{reference} does not exist", hint="build and release it first, or check its name")
    top, content = found
    tag = reference.tag or "latest"
    name = f"{reference.repository}:{tag}"
    named = replace(top, annotations={REF_NAME: tag, IMAGE_NAME: name})
    manifests = {item.digest: (item, text) for item, text in _manifests(registry, reference, top, content)}
    images = [Manifest.from_bytes(text) for item, text in manifests.values() if item.media_type in MANIFEST_TYPES]
    blobs = {blob.digest: blob for image in images for blob in (image.config, *image.layers)}
    files = {
        "oci-layout": LAYOUT_FILE,
        "index.json": Index(manifests=(named,)).to_bytes(),
        "manifest.json": _docker_manifest(manifests.values(), name),
        **{_blob_path(digest): text for digest, (_, text) in manifests.items()},
    }
    try:
        with (
            whole_file(destination, destination.parent) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path, text in files.items():
                tar.addfile(_header(path, len(text)), io.BytesIO(text))
            for digest, blob in sorted(blobs.items()):
                with registry.open_blob(reference.repository, blob) as pieces:
                    tar.addfile(_header(_blob_path(digest), blob.size), reader(pieces))
    except OSError as error:
        raise RegistryError(
            f"cannot write {destination}: {error.strerror}", hint="free some space there, or choose another place"
        ) from None
    return top


class Slice(io.RawIOBase):
    """A stretch of a file, read by position: no offset is shared with anybody."""

    def __init__(self, path: Path, span: Span) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._start = self._next = span.start
        self._end = span.start + span.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        begin = {io.SEEK_SET: self._start, io.SEEK_CUR: self._next, io.SEEK_END: self._end}[whence]
        self._next = min(max(begin + offset, self._start), self._end)
        return self._next - self._start

    def readinto(self, buffer: Any, /) -> int:
        content = os.pread(self._descriptor, min(len(buffer), self._end - self._next), self._next)
        buffer[: len(content)] = content
        self._next += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed and self._descriptor >= 0:
            os.close(self._descriptor)
        super().close()


class _Bounded(io.FileIO):
    """A file that refuses to read much at once: tarfile trusts the sizes of extended headers."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _HEADER_LIMIT:
            raise tarfile.ReadError("a header is too large")
        return super().read(size) or b""


def spans(path: Path, *, links: bool = False) -> dict[str, Span]:
    """Where each file of the tar stands in it. Raises OciError for whatever an honest writer does not write.

    With `links` a symbolic link is another name of the file that it leads to, if that comes before it.
    """
    found: dict[str, Span] = {}
    with _Bounded(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header for ever
            name = member.name.removeprefix("./").rstrip("/")
            if member.isdir():
                continue
            span = Span(member.offset_data, member.size)
            if links and member.issym():
                span = found.get(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)), span)
            elif member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
                raise OciError(f"{name[:100]!r} in it is no plain file", hint=_HOSTILE)
            if name.startswith("/") or ".." in PurePosixPath(name).parts or name in found or "\0" in name:
                raise OciError(f"{name[:100]!r} is no name for a file in an image", hint=_HOSTILE)
            if len(found) == _ENTRIES:
                raise OciError(f"it has more than {_ENTRIES} files", hint=_HOSTILE)
            found[name] = span
    return found


def _is_attestation(item: Descriptor) -> bool:
    """BuildKit keeps provenance beside the image, for the platform unknown/unknown."""
    return item.annotations.get("vnd.docker.reference.type") == "attestation-manifest"


def _platform(config: bytes) -> Platform | None:
    """The platform that an image's config names; artifacts have none."""
    try:
        value = json.loads(config)
        return Platform.from_json(value) if value.get("os") and value.get("architecture") else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _blob_path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _manifests(
    registry: Registry, reference: Reference, item: Descriptor, content: bytes, depth: int = 0
) -> Iterator[tuple[Descriptor, bytes]]:
    """A manifest and, for an index, everything below it, by plain descriptor."""
    yield replace(item, annotations={}), content
    if item.media_type not in INDEX_TYPES:
        return
    if depth == _NESTING:
        raise RegistryError(f"{reference}: indexes nested more than {_NESTING} deep")
    for child in Index.from_bytes(content).manifests:
        found = registry.manifest(reference.repository.at(child.digest))
        if found is None:
            raise RegistryError(
                f"{reference}: its {child.platform or 'part'} {child.digest} is gone", hint="release it again"
            )
        yield from _manifests(registry, reference, replace(child, media_type=found[0].media_type), found[1], depth + 1)


def _docker_manifest(manifests: Iterable[tuple[Descriptor, bytes]], name: str) -> bytes:
    """What `docker save` writes beside the layout, for the one image that suits this machine (else the first)."""
    images = [(item, text) for item, text in manifests if item.media_type in MANIFEST_TYPES]
    images = [(item, text) for item, text in images if item.platform is not None] or images
    here = Platform.parse(f"linux/{os.uname().machine}")
    images.sort(key=lambda image: image[0].platform != here)
    entries = []
    for _, text in images[:1]:
        image = Manifest.from_bytes(text)
        layers = [_blob_path(layer.digest) for layer in image.layers]
        entries.append({"Config": _blob_path(image.config.digest), "RepoTags": [name], "Layers": layers})
    return canonical_json(entries)


def _header(path: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(path)
    header.size, header.mode = size, 0o644
    return header


_HOSTILE = "whoever wrote this file means no good: do not use it"
