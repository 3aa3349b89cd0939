"""Images from one registry to another, byte for byte.

A copy is what was tested, never a rebuild: the manifests' bytes and the blobs go over as they are, children before the
index that names them, and what the other side has already is not read. Only the Registry port is spoken here; which
images go where is for `publish` and `release` to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from dsci.errors import RegistryError
from dsci.model.artifact import referrers_tag
from dsci.model.oci import INDEX_TYPES, Descriptor, Digest, Index, Manifest, load_manifest
from dsci.model.reference import Reference, Repository
from dsci.ports import Registry
from dsci.streams import reader

_NESTING = 4
#: Ends of the tags under which cosign keeps signatures and attestations of an image.
#: Source: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery
_TAGGED = (".sig", ".att")


class RegistrySource:
    """An image in a registry, as an `ImageSource`: blobs are read when they are wanted, verified on the way."""

    def __init__(self, registry: Registry, repository: Repository, digest: Digest) -> None:
        """Find the image's manifest. Raises RegistryError when it does not exist."""
        self._registry = registry
        self._repository = repository
        self.descriptor, self.manifest = _find(registry, repository.at(digest))

    def open(self, blob: Descriptor) -> BinaryIO:
        """The content of a blob; closing it ends the transfer."""
        return reader(_chunks(self._registry.open_blob(self._repository, blob)))


def copy_image(
    source: Registry, reference: Reference, target: Registry, repository: Repository, tag: str | None = None
) -> Descriptor:
    """Copy an image or an index with all its images, under `tag` or by digest only; gives what it is called there.

    Within one registry blobs are mounted where it lets us. What stands there already is not written again.
    """
    found, content = _find(source, reference)
    return _copy(source, reference.repository, found, content, target, repository, tag, 0)


def share(registry: Registry, parent: Reference, manifest: bytes, repository: Repository) -> None:
    """Have in a repository the layers that an image shares with one that stands in another of the same registry.

    What cannot be had so, the parent itself included, is left for whoever pushes the image.
    """
    if parent.repository == repository or parent.repository.registry != repository.registry:
        return
    found = registry.manifest(parent)
    if found is None or found[0].media_type in INDEX_TYPES:
        return
    below = {layer.digest for layer in Manifest.from_bytes(found[1]).layers}
    for layer in {layer.digest: layer for layer in Manifest.from_bytes(manifest).layers}.values():
        if layer.digest in below:
            registry.mount(parent.repository, layer, repository)


def copy_attached(
    source: Registry, origin: Repository, image: Digest, target: Registry, repository: Repository
) -> tuple[Digest, ...]:
    """Copy everything that is attached to an image, and to all images of an index; gives what was not there.

    So are signatures that are found by a tag alone, as cosign keeps them. The image itself is not copied. Where two
    registries list what is attached in different ways, each gets it in its own.
    """
    _, content = _find(source, origin.at(image))
    value = load_manifest(content)
    below = Index.from_bytes(content).manifests if "manifests" in value else ()
    copied: list[Digest] = []
    for about in (image, *(child.digest for child in below)):
        copied += _attached(source, origin, about, target, repository, 0)
        for tag in (f"{referrers_tag(about)}{kind}" for kind in _TAGGED):
            found = source.resolve(origin.tag(tag))
            there = target.resolve(repository.tag(tag)) if found else None
            if found and (there is None or there.digest != found.digest):
                copy_image(source, origin.tag(tag), target, repository, tag)
                copied.append(found.digest)
    return tuple(copied)


def _attached(
    source: Registry, origin: Repository, about: Digest, target: Registry, repository: Repository, depth: int
) -> list[Digest]:
    copied: list[Digest] = []
    if depth > _NESTING:
        return copied
    if found := source.referrers(origin, about):
        there = {item.digest for item in target.referrers(repository, about)}
        for item in found:
            if item.digest not in there:
                copy_image(source, origin.at(item.digest), target, repository)
                target.attach(repository, _find(source, origin.at(item.digest))[1])
                copied.append(item.digest)
            copied += _attached(source, origin, item.digest, target, repository, depth + 1)
    return copied


def _copy(
    source: Registry,
    origin: Repository,
    item: Descriptor,
    content: bytes,
    target: Registry,
    repository: Repository,
    tag: str | None,
    depth: int,
) -> Descriptor:
    if depth > _NESTING:
        raise RegistryError(f"{origin.at(item.digest)}: indexes nested more than {_NESTING} deep")
    if item.media_type in INDEX_TYPES:
        for child in Index.from_bytes(content).manifests:
            if target.resolve(repository.at(child.digest)) is None:
                below, text = _find(source, origin.at(child.digest))
                _copy(source, origin, below, text, target, repository, None, depth + 1)
        return target.push_manifest(repository, content, item.media_type, tag)
    if source is target and target.resolve(repository.at(item.digest)) is None:
        manifest = Manifest.from_bytes(content)
        for blob in {blob.digest: blob for blob in (manifest.config, *manifest.layers)}.values():
            target.mount(origin, blob, repository)
    return target.push_image(RegistrySource(source, origin, item.digest), repository, tag)


def _find(registry: Registry, reference: Reference) -> tuple[Descriptor, bytes]:
    found = registry.manifest(reference)
    if found is None:
        raise RegistryError(f"{reference} does not exist", hint="build and push it first, or check its name")
    return found


def _chunks(blob: AbstractContextManager[Iterator[bytes]]) -> Iterator[bytes]:
    """The chunks of a blob; it is opened by the first read, and closed with the generator."""
    with blob as pieces:
        yield from pieces
