"""How large an image is, and how large its last release was: what manifests say of their layers."""

from __future__ import annotations

from dsci.model import claims
from dsci.model.claims import TagFormat
from dsci.model.family import TargetId
from dsci.model.oci import Digest, Index, Manifest
from dsci.pipeline.workshop import Workshop


def size(manifest: bytes) -> int:
    """The bytes of all layers, as they are pushed."""
    return sum(layer.size for layer in Manifest.from_bytes(manifest).layers)


def released(shop: Workshop, target: TargetId) -> tuple[str, int] | None:
    """The version and the size of the last stable release for this platform.

    None where there was none, and where the registry has it no more. Raises RegistryError.
    """
    image = shop.now.family.images[target.image]
    form = TagFormat.of_images(shop.now.settings.versioning, shop.now.family.images.values())
    for claim in claims.released(shop.git.tags(), form, shop.now.family.groups)[image.group]:
        index = claim.of((image.name, *image.previous_names))
        if index is not None and not claim.version.prerelease:
            found = _of(shop, target, index)
            return None if found is None else (str(claim.version), found)
    return None


def _of(shop: Workshop, target: TargetId, index: Digest) -> int | None:
    repository = shop.now.family.images[target.image].repository
    whole = shop.registry.manifest(repository.at(index))
    child = Index.from_bytes(whole[1]).select(target.platform) if whole else None
    manifest = shop.registry.manifest(repository.at(child.digest)) if child else None
    return size(manifest[1]) if manifest else None
