"""Carrying out a plan's targets: what that needs, for a release and for this machine alone.

The order of targets is `run`'s; what is released of them is `release`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from dsci.errors import RegistryError
from dsci.model import caches
from dsci.model.builders import Builders
from dsci.model.caches import Cache, Means
from dsci.model.facts import Facts
from dsci.model.family import TargetId
from dsci.model.plan import Plan
from dsci.model.quantities import seconds, size
from dsci.model.reference import Repository
from dsci.model.room import Took
from dsci.model.schedule import Step
from dsci.pipeline import able
from dsci.pipeline.epochs import epochs_of
from dsci.pipeline.room import Rooms
from dsci.pipeline.run import Runner, Work
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.workshop import Workshop
from dsci.pipeline.world import Hands, World
from dsci.suites.clock import Total


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How the caller wants work to be done."""

    jobs: int | None = None
    """How many targets at once; None: as the settings say."""
    keep: bool = False
    """Whether images stay in the engine."""
    fail_fast: bool = False
    """Whether nothing begins any more once something has failed."""
    fresh: bool = False
    """Whether what is built is built without what BuildKit remembers of earlier builds."""
    speculate: bool = True
    """Whether images may be built on what is still being tested, unless the settings say no."""
    seconds: Mapping[Step[TargetId], float] = msgspec.field(default_factory=dict)
    """What building and testing targets took before."""
    took: Mapping[TargetId, Took] = msgspec.field(default_factory=dict)
    """What their builds took of the disk."""
    means: Means = msgspec.field(default_factory=Means)
    """What there is to keep build steps with."""
    builders: Builders | None = None
    """Who builds for which platform, instead of what the settings say."""


def prepare(
    world: World, hands: Hands, now: Snapshot, facts: Facts, plan: Plan, *, how: How, tests: bool = True
) -> Workshop:
    """What work on a plan needs, before any of it is begun, and before a right is proven.

    Raises BuilderError and ConfigError where whoever is to build or to test something cannot.
    """
    builds = [TargetId.parse(item.id) for item in plan.targets if item.action == "build"]
    builders = able.chosen(hands, now, how.builders) if builds else Builders()
    shop = workshop(world, hands, now, facts, builders)
    able.check_times(shop, builds)
    able.check(shop, builds, all_work(plan) if tests else (), world.source.platform)
    return shop


def work_on(
    world: World,
    hands: Hands,
    shop: Workshop,
    facts: Facts,
    plan: Plan,
    *,
    how: How,
    tests: bool = True,
    bring: frozenset[str] = frozenset(),
    private: frozenset[TargetId] = frozenset(),
) -> Work:
    """Build and test the plan's targets in a workshop that was prepared for it.

    `bring` names images to be in the engine at the end.
    """
    now = shop.now
    if bring or any(item.action in ("build", "test") for item in plan.targets):
        hands.engine.sweep()
        hands.console.say(hands.engine.version())
    elif not plan.releases and not plan.refs:
        return Work()
    shop = replace(
        shop,
        private=private,
        epochs=epochs_of(world.source.git, now, facts, all_work(plan)),
        fresh=how.fresh,
    )
    shop = replace(shop, caches=_caches(shop, plan, how.means))
    builder = now.settings.builder
    rooms = Rooms(
        hands.machine,
        hands.engine,
        hands.console,
        memory=size(builder.memory),
        disk=size(builder.min_free_disk),
        took=how.took,
        elsewhere=lambda target: shop.builders.of(target.platform) is not None,
    )
    return Runner(
        shop,
        plan,
        rooms,
        jobs=how.jobs or builder.jobs,
        speculate=how.speculate and builder.speculate,
        seconds=how.seconds,
        tests=tests,
        keep=how.keep,
        fail_fast=how.fail_fast,
        bring=bring,
    ).run()


def all_work(plan: Plan) -> frozenset[TargetId]:
    """Everything that a plan builds or tests: what a run keeps to itself that is not to be trusted (rule 11)."""
    return frozenset(TargetId.parse(item.id) for item in plan.targets if item.action in ("build", "test"))


def _caches(shop: Workshop, plan: Plan, means: Means) -> Mapping[TargetId, Cache]:
    """The caches of what is to be built; which they are, and why, is told once."""
    builds = [TargetId.parse(item.id) for item in plan.targets if item.action == "build"]
    family = shop.now.family
    choices = {
        target: caches.choose(
            shop.now.settings,
            family.images[target.image],
            family.nodes[target],
            replace(means, exports=shop.builders.of(target.platform) is not None or shop.engine.mode == "containerd"),
            private=target in shop.private,
            fresh=shop.forgets(target),
        )
        for target in builds
    }
    for line in caches.told(choices.values()):
        shop.console.say(line)
    return {target: choice.cache for target, choice in choices.items() if choice.cache is not None}


def private_targets(hands: Hands, now: Snapshot, facts: Facts, plan: Plan) -> frozenset[TargetId]:
    """What a local build keeps to this machine: uncommitted work, and images that may not or cannot be pushed."""
    private = set(now.dirty)
    refused: set[Repository] = set()
    for item in plan.targets:
        target = TargetId.parse(item.id)
        repository = now.family.images[target.image].repository
        if item.action == "reuse" or target in private:
            continue
        if facts.keys[target] is None or facts.found[target].unknown or repository in refused:
            private.add(target)
            continue
        try:
            hands.registry.check_push(repository)
        except RegistryError as error:
            hands.console.warn(f"{repository} stays untouched, {item.image} is for this machine alone: {error.message}")
            refused.add(repository)
            private.add(target)
    return frozenset(private | now.family.descendants(private))


def workshop(world: World, hands: Hands, now: Snapshot, facts: Facts, builders: Builders | None = None) -> Workshop:
    """Everything that work on a snapshot's targets needs, but for what only building needs."""
    return Workshop(
        now=now,
        pins=facts.pins,
        keys=facts.keys,
        unpinned=facts.unpinned,
        suites=facts.suites,
        git=world.source.git,
        engine=hands.engine,
        builder=hands.builder,
        handed=hands.handed,
        known=hands.builders,
        builders=builders or Builders(),
        registry=hands.registry,
        console=hands.console,
        network=now.settings.builder.network,
        inactivity=seconds(now.settings.builder.inactivity),
        host=hands.host,
        time=Total(seconds(now.settings.suites.total_timeout)),
        host_side=hands.host_side,
        nonce=hands.nonce,
    )
