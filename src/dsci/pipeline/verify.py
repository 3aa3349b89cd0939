"""A released tag, built again from what is recorded of it, and compared.

The commit's objects are built without any cache, on the very parents and bases of the release, and nothing is written
to a registry. Equal digests are the proof; where they differ, `contents` tells how. What a release is, and what it was
built of, is found by `released`.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from msgspec import structs
from msgspec.structs import replace

from dsci.model.builders import Builders
from dsci.model.oci import Platform
from dsci.model.receipt import BaseUsed
from dsci.model.verification import Verification, Verified
from dsci.pipeline import able, contents
from dsci.pipeline.build import failure_text
from dsci.pipeline.context import write_context
from dsci.pipeline.order import order_of
from dsci.pipeline.released import Recipe, Release, find, recipes
from dsci.pipeline.snapshot import Snapshot, snapshot
from dsci.pipeline.test import ensure_local, in_registry
from dsci.pipeline.transfer import RegistrySource
from dsci.pipeline.workshop import Workshop
from dsci.pipeline.world import Hands, World
from dsci.ports import BuildFailure, ImageSource


def verify(
    world: World,
    hands: Hands,
    now: Snapshot,
    name: str,
    tag: str,
    platforms: Collection[Platform] = (),
    builders: Builders | None = None,
) -> Verification:
    """Build a released tag of an image again, on these platforms or all, and compare.

    `now` is HEAD's snapshot. Raises what `released` raises for what cannot be proven at all, and BuilderError where
    the engine or a builder cannot build it, before any work. `builders` says who builds, instead of HEAD's settings.
    """
    release = find(world.source.git, hands.registry, now, name, tag)
    then = snapshot(world.source, release.claim.tag.commit)
    wanted = recipes(world, hands, then, release, platforms)
    shop = Workshop(
        now=then,
        pins={recipe.target: recipe.pins for recipe in wanted},
        keys=dict.fromkeys(then.family.nodes),
        suites={},
        git=world.source.git,
        engine=hands.engine,
        builder=hands.builder,
        handed=hands.handed,
        known=hands.builders,
        registry=hands.registry,
        console=hands.console,
        unpinned={},
        epochs={recipe.target: recipe.receipt.epoch for recipe in wanted},
        fresh=True,
        network=then.settings.builder.network,
        builders=able.chosen(hands, now, builders),
        nonce=hands.nonce,
    )
    able.check(shop, [recipe.target for recipe in wanted], (), world.source.platform)
    hands.engine.sweep()
    hands.console.say(f"{release.reference} is claimed by {release.claim.tag.name}")
    return Verification(
        image=name,
        version=str(release.claim.version),
        reference=release.reference,
        digest=str(release.digest),
        git_tag=release.claim.tag.name,
        commit=release.claim.tag.commit,
        targets=tuple(_again(shop, hands, release, recipe) for recipe in wanted),
    )


def _again(shop: Workshop, hands: Hands, release: Release, recipe: Recipe) -> Verified:
    """Build one platform on its parents, and compare."""
    target, began = recipe.target, time.monotonic()
    if recipe.receipt.engine not in ("", made_by := shop.made_by(target.platform)):
        note = f"it was released by {recipe.receipt.engine}; this is {made_by}"
        recipe = replace(recipe, notes=(*recipe.notes, note))
    elsewhere = shop.builders.of(target.platform) is not None
    digests = {need: parent.digest for need, parent in recipe.parents.items()}
    hands.console.begin(str(target), "verify")
    try:
        for need, parent in recipe.parents.items():
            if elsewhere:
                shop.handed.take(shop.local_name(need), in_registry(shop, need, parent))
            else:
                ensure_local(shop, need, parent)
        order = replace(order_of(shop, target, digests), load=False)
        with hands.builder.build(
            order,
            lambda stream: write_context(shop, target, order.dockerfile, stream),
            lambda text: hands.console.step(str(target), text),
        ) as built:
            if isinstance(built, BuildFailure):
                failed = failure_text(order.dockerfile_shown, built)
                result = structs.replace(_begun(recipe), notes=(*recipe.notes, failed))
            else:
                result = _compared(hands, release, recipe, built)
    finally:
        shop.handed.remove(shop.local_name(target))
        for need in recipe.parents:
            shop.handed.remove(shop.local_name(need))
            hands.engine.discard(shop.local_name(need))
    status = "ok" if result.status == "equal" else "failed"
    hands.console.end(str(target), "verify", status, time.monotonic() - began, result.status)
    return result


def _begun(recipe: Recipe) -> Verified:
    """What there is to say of a platform before anything is built."""
    return Verified(
        target=str(recipe.target),
        status="failed",
        released=str(recipe.released.digest),
        rebuilt=None,
        epoch=recipe.receipt.epoch,
        parents={str(need): str(parent.digest) for need, parent in recipe.parents.items()},
        bases=tuple(
            BaseUsed(name=name, platform=str(platform), digest=str(digest))
            for (name, platform), digest in sorted(recipe.pins.items(), key=str)
        ),
    )


def _compared(hands: Hands, release: Release, recipe: Recipe, built: ImageSource) -> Verified:
    """What was built against what was released."""
    result = structs.replace(_begun(recipe), status="equal", rebuilt=str(built.descriptor.digest))
    if built.descriptor.digest == recipe.released.digest:
        return result
    hands.console.step(result.target, "compare layers")
    found = contents.compare(RegistrySource(hands.registry, release.image.repository, recipe.released.digest), built)
    return structs.replace(
        result, status="different", config=found.config, layers=found.layers, notes=(*recipe.notes, *found.notes)
    )
