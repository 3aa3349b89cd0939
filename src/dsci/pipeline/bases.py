"""What external bases are: as `dsci.lock` has them, else as the last release did, else as they are now (rule 2).

A plan that was made elsewhere carries them, and then nothing else counts. A base that cannot be resolved is a reason,
or an error where work follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dsci.errors import RegistryError
from dsci.model import family, keys, lock
from dsci.model.claims import Released
from dsci.model.family import TargetId
from dsci.model.oci import ANY, INDEX_TYPES, Digest, Index, Platform
from dsci.model.reference import Reference
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.world import World
from dsci.ports import Registry

_PINNED = "a base that dsci.lock pins need not be asked for: run `dsci lock` where it can be, and commit the file"


def pins_of(
    world: World, now: Snapshot, last: Mapping[str, Released | None], warnings: list[str]
) -> tuple[keys.Pins, Mapping[TargetId, str]]:
    """Every base's digest: as dsci.lock has it, else its last release, else as resolved now, once (rule 2)."""
    resolved: dict[tuple[str, Platform], Digest | None] = {}
    why: dict[tuple[str, Platform], str] = {}
    pins: dict[TargetId, dict[tuple[str, Platform], Digest]] = {}
    unpinned: dict[TargetId, str] = {}
    for target in now.family.order:
        node = now.family.nodes[target]
        claim = last[now.family.images[target.image].group]
        pins[target] = {}
        kept = (now.locked, claim.bases if claim else {})
        for reference, platform in node.external:
            key = (str(reference), platform)
            digest, reason = _kept(node, reference, platform, kept), ""
            if digest is None:
                # The platforms of a shared base are looked for in the index that it is pinned to.
                index = pins[target].get((str(reference), ANY))
                wanted = reference.repository.at(index) if index else reference
                asked = (str(wanted), platform)
                if asked not in resolved:
                    where = named_at(now, reference, target)
                    resolved[asked], why[asked] = resolve_now(world, wanted, platform, where)
                digest = resolved[asked]
                reason = why[asked]
            if digest is None:
                unpinned.setdefault(target, reason)
            else:
                pins[target][key] = digest
    warnings += sorted({text for key, text in why.items() if text and resolved[key] is None})
    return pins, unpinned


def carried(now: Snapshot, pins: keys.Pins) -> tuple[keys.Pins, Mapping[TargetId, str]]:
    """The digests that a plan carries, and nothing else: what it does not pin stays unpinned here too."""
    own = {target: pins.get(target, {}) for target in now.family.order}
    unpinned: dict[TargetId, str] = {}
    for target in now.family.order:
        for reference, platform in now.family.nodes[target].external:
            if (str(reference), platform) not in own[target]:
                text = f"{named_at(now, reference, target)}: the plan pins no digest of {reference.familiar}"
                unpinned.setdefault(target, f"{text} (make it again where the registry of that base can be reached)")
    return own, unpinned


def _kept(node: family.Node, reference: Reference, platform: Platform, kept: Iterable[lock.Bases]) -> Digest | None:
    """What the first of these records pins a base to. An index and its platforms come from one record or none."""
    platforms = {wanted for other, wanted in node.external if other == reference}
    for bases in kept:
        digest = bases.get((str(reference), platform))
        if digest is not None and (
            reference not in node.shared or all((str(reference), each) in bases for each in platforms)
        ):
            return digest
    return None


def named_at(now: Snapshot, reference: Reference, target: TargetId) -> str:
    """`file:line` of the first place in a target's Dockerfile that names this base."""
    node = now.family.nodes[target]
    names = {base.name for base in node.bases if base.reference == reference}
    line = next((source.line for source in node.recipe.sources if source.name in names), 1)
    return f"{now.family.images[target.image].dockerfile}:{line}"


def resolve_now(world: World, reference: Reference, platform: Platform, where: str) -> tuple[Digest | None, str]:
    """What a base is now, or None and why that is not known; `where` names it in a Dockerfile."""
    if world.resolve is None:
        return None, f"base {reference.familiar} is not resolved: offline"
    try:
        digest = world.resolve(reference, platform)
    except RegistryError as error:
        if not world.lenient:
            error.message = f"{where}: base {reference.familiar} is not resolved: {error.message}"
            error.hint = "; ".join(filter(None, (error.hint, _PINNED)))
            raise
        return None, f"base {reference.familiar} is not resolved: {error.message}"
    if digest is None:
        text = f"base {reference.familiar} does not exist" + (f" for {platform}" if platform != ANY else "")
        return None, f"{where}: {text} (correct its name, or log in if the image is private)"
    return digest, ""


def resolve_in(registry: Registry, reference: Reference, platform: Platform) -> Digest | None:
    """The platform manifest that a reference names in a registry now; the index itself for ANY."""
    found = registry.manifest(reference)
    if found is None:
        return None
    descriptor, content = found
    if descriptor.media_type not in INDEX_TYPES or platform == ANY:
        return descriptor.digest
    chosen = Index.from_bytes(content).select(platform)
    return chosen.digest if chosen else None
