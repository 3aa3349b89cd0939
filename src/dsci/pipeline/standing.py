"""What a name in a registry stands for now: its digest, its platforms' manifests, and the commit it was made of."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dsci.errors import RegistryError
from dsci.model.family import Image, TargetId
from dsci.model.oci import INDEX_TYPES, REVISION, Digest, Index, OciError, Platform
from dsci.model.plan import PlannedRef
from dsci.model.reference import Reference
from dsci.ports import Registry


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a name stands for."""

    digest: Digest
    children: Mapping[Platform, Digest]
    """The manifest of each platform; none where it is no index."""
    revision: str = ""
    """The commit, as its annotation says; empty where it says none."""


def look(registry: Registry, name: Reference) -> Standing | None:
    """What a name stands for, or None. Raises RegistryError for an index that cannot be read."""
    found = registry.manifest(name)
    if found is None:
        return None
    descriptor, content = found
    if descriptor.media_type not in INDEX_TYPES:
        return Standing(digest=descriptor.digest, children={})
    try:
        index = Index.from_bytes(content)
    except OciError as error:
        raise RegistryError(f"{name} is no index that can be read: {error.message}", hint=error.hint) from None
    return Standing(
        digest=descriptor.digest,
        children={each.platform: each.digest for each in index.manifests if each.platform is not None},
        revision=index.annotations.get(REVISION, ""),
    )


def children_of(image: Image, images: Mapping[TargetId, Digest]) -> Mapping[Platform, Digest]:
    """The manifests that an index of an image has: one for each platform that there is."""
    return {target.platform: images[target] for target in image.targets if target in images}


def stands(registry: Registry, image: Image, ref: PlannedRef, images: Mapping[TargetId, Digest]) -> bool:
    """Whether all of these names stand for these manifests already, in every repository of the image."""
    wanted = children_of(image, images)
    names = [repository.tag(tag) for repository in image.repositories for tag in ref.tags]
    return all((found := look(registry, name)) is not None and found.children == wanted for name in names)
