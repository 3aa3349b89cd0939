"""What is in an image that stands in a registry: its layers are streamed, each once, and nothing is pulled or written.

A release is held against the Git tag that claims it first (`released`); any other image is taken as its name says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from dsci.errors import ConfigError, DsciError
from dsci.model.inventory import Inventory
from dsci.model.oci import INDEX_TYPES, Digest, Index, Manifest, OciError, Platform
from dsci.model.reference import Reference, Repository
from dsci.pipeline.contents import config_of
from dsci.pipeline.inventories import Inventories
from dsci.pipeline.released import Release
from dsci.pipeline.transfer import RegistrySource
from dsci.ports import Registry

#: What `--platform` says for all that there are.
ALL = "all"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a registry."""

    reference: str
    digest: Digest
    repository: Repository
    platforms: Mapping[Platform, Digest]
    """The manifest of each platform."""
    git_tag: str = ""
    """The tag that claims it, if it is a release."""
    commit: str = ""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an image for one platform."""

    platform: Platform
    digest: Digest
    inventory: Inventory


def of_release(release: Release) -> Image:
    """The image that a release is."""
    return Image(
        reference=release.reference,
        digest=release.digest,
        repository=release.image.repository,
        platforms=_platforms(release.index),
        git_tag=release.claim.tag.name,
        commit=release.claim.tag.commit,
    )


def named(registry: Registry, reference: Reference) -> Image:
    """The image of any name. Raises ConfigError where there is none, RegistryError where that cannot be known."""
    if reference.tag is None and reference.digest is None:
        reference = reference.repository.tag("latest")
    found = registry.manifest(reference)
    if found is None:
        raise ConfigError(f"there is no image {reference}", hint="see whether its name and its tag are right")
    descriptor, content = found
    repository = reference.repository
    if descriptor.media_type in INDEX_TYPES:
        platforms = _platforms(Index.from_bytes(content))
    else:
        source = RegistrySource(registry, repository, descriptor.digest)
        platforms = {_platform(config_of(source, Manifest.from_bytes(content))): descriptor.digest}
    return Image(reference=str(reference), digest=descriptor.digest, repository=repository, platforms=platforms)


def chosen(image: Image, wanted: str, native: Platform) -> tuple[Platform, ...]:
    """The platforms that are meant: `all`, the one that is named, or where none is, this machine's or the only one.

    Raises ConfigError for one that the image is not for.
    """
    known = tuple(sorted(image.platforms))
    if wanted == ALL:
        return known
    platform = (
        Platform.complete(wanted, native) if wanted else native if native in known or len(known) != 1 else known[0]
    )
    if platform not in known:
        told = ", ".join(map(str, known)) or "no platform at all"
        raise ConfigError(f"{image.reference} is not there for {platform}", hint=f"it is for {told}: see --platform")
    return (platform,)


def take(registry: Registry, image: Image, platforms: Sequence[Platform]) -> tuple[Taken, ...]:
    """What is in an image, for these platforms. Raises LayerError, OciError and RegistryError, which name the image."""
    inventories = Inventories()
    return tuple(taken(registry, image, platform, inventories) for platform in platforms)


def taken(registry: Registry, image: Image, platform: Platform, inventories: Inventories) -> Taken:
    """The same for one platform; layers that `inventories` knows are not read again."""
    digest = image.platforms[platform]
    try:
        found = inventories.of(RegistrySource(registry, image.repository, digest))
    except DsciError as error:
        error.about(f"{image.reference} ({platform})")
        raise
    return Taken(platform=platform, digest=digest, inventory=found)


def _platforms(index: Index) -> Mapping[Platform, Digest]:
    """The first manifest of each platform; what is no image (BuildKit's statements) has none."""
    found: dict[Platform, Digest] = {}
    for item in index.manifests:
        if item.platform is not None:
            found.setdefault(item.platform, item.digest)
    return found


def _platform(content: bytes) -> Platform:
    """The platform that an image's config names. Raises ConfigError for what is no image."""
    try:
        return Platform.from_json(json.loads(content))
    except (ValueError, RecursionError, AttributeError, OciError):
        raise ConfigError("that is no image: its config names no platform") from None
