"""Images that are used again, and whether everything they are made of is still there.

A registry can keep a manifest and lose a blob that it names, which shows in no manifest. So what a plan goes on from
(parents of what is built, what is tested or gets a name) is looked at to the last layer before work begins; what is not
whole counts as lost and is built again. Where nothing is to be done, nothing is asked.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from dsci.errors import RegistryError
from dsci.model import planning
from dsci.model.facts import Facts, Found, Request
from dsci.model.family import Family, TargetId
from dsci.model.oci import Digest, Manifest, OciError
from dsci.model.plan import Plan
from dsci.model.reference import Repository
from dsci.pipeline.world import World
from dsci.ports import Registry

_LOOKUPS = 8


def plan(world: World, family: Family, facts: Facts, request: Request) -> tuple[Facts, Plan]:
    """The plan that goes on from whole images alone, and the facts it is made of."""
    whole: set[TargetId] = set()
    while True:
        made = planning.make(family, facts, request)
        lost = _lost(world, family, facts, _used(made) - whole)
        if not lost:
            return facts, made
        whole |= _used(made) - lost.keys()
        facts = replace(facts, found={**facts.found, **lost})


def gone(registry: Registry, repository: Repository, image: Digest) -> str:
    """What of an image is not there, in words; empty when it is whole."""
    found = registry.manifest(repository.at(image))
    if found is None:
        return f"its image {image.short} is gone"
    try:
        manifest = Manifest.from_bytes(found[1])
    except OciError as error:
        return f"its image {image.short} is none: {error.message}"
    blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    lacking = [blob for blob in blobs.values() if registry.lacks(repository, blob)]
    return f"its image {image.short} has lost {len(lacking)} of {len(blobs)} blobs" if lacking else ""


def _used(made: Plan) -> frozenset[TargetId]:
    """The targets whose images a plan takes as they stand: to build on, to test or to give names to."""
    wanted = {need for item in made.targets if item.action == "build" for need in item.needs}
    named = {ref.image for ref in made.refs}
    return frozenset(
        TargetId.parse(item.id)
        for item in made.targets
        if item.action in ("test", "retag") or (item.action == "reuse" and (item.id in wanted or item.image in named))
    )


def _lost(world: World, family: Family, facts: Facts, targets: frozenset[TargetId]) -> dict[TargetId, Found]:
    """What is no longer to be found of these targets, as facts."""
    registry = world.registry
    if registry is None or not targets:
        return {}

    def look(target: TargetId) -> str:
        image = facts.found[target].image
        assert image is not None
        try:
            return gone(registry, family.images[target.image].repository, image)
        except RegistryError:
            if not world.lenient:
                raise
            return ""

    order = sorted(targets)
    with ThreadPoolExecutor(_LOOKUPS) as pool:
        answers = zip(order, pool.map(look, order), strict=True)
        return {target: Found(lost=answer) for target, answer in answers if answer}
