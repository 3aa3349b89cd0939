"""A share of a plan: some of its targets, done here on what other machines have pushed.

The plan was made elsewhere. Its pins are used and nothing is resolved, so that every machine comes to the same keys;
where one does not, nothing is built. What a target stands on is found by its key or not at all: it is another job's.
What is still to be done is decided by what the registry holds now, so the same job can be run again.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError, DsciError
from dsci.model.facts import Facts, Request
from dsci.model.family import TargetId
from dsci.model.plan import Plan, PlannedTarget
from dsci.model.reference import Repository
from dsci.pipeline import whole
from dsci.pipeline.observe import observe
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.world import World
from dsci.ports import Registry

_AGAIN = "make the plan again at this commit: dsci plan --json > plan.json"


def share(
    world: World, request: Request, plan: Plan, only: Collection[TargetId], *, tests: bool
) -> tuple[Snapshot, Facts, Plan]:
    """What is left to do of these targets of a plan, with what they stand on; without `tests`, only what to build.

    Raises ConfigError for a plan of another commit, for a target that is not in it and for keys that differ, and
    DsciError where something they stand on is not there yet.
    """
    commit = world.source.git.head().commit
    if plan.commit != commit:
        raise ConfigError(
            f"the plan was made at {plan.commit[:12]!r}, and HEAD is {commit[:12]}",
            hint="check that commit out, or make the plan again here: dsci plan --json > plan.json",
        )
    mine = frozenset(only)
    for target in sorted(mine):
        plan.target(target)
    now, facts = observe(world, request, history=False, pins=plan.pins)
    for target in sorted(mine - now.family.nodes.keys()):
        raise ConfigError(f"the plan has {target}, and there is no such target here", hint=_AGAIN)
    above = now.family.ancestors(mine) - mine
    wanted = [target for target in now.family.order if target in mine | above]
    for target in wanted:
        _compare(now, facts, plan.target(target))
    request = replace(request, release=False, select=frozenset(target.image for target in mine))
    facts, left = whole.plan(world, now.family, facts, request)
    _require(plan, [left.target(target) for target in wanted if target in above])
    verdicts = {"build", "test"} if tests else {"build"}
    targets: list[PlannedTarget] = []
    for target in wanted:
        item = left.target(target)
        done = target in above or item.action not in verdicts
        targets.append(msgspec.structs.replace(item, action="reuse") if done else item)
    return now, facts, msgspec.structs.replace(left, targets=tuple(targets))


def prove_rights(registry: Registry, plan: Plan) -> None:
    """Prove every right to push that will be needed, before an hour of building. Raises AuthError."""
    for name in sorted({item.repository for item in plan.targets if item.action in ("build", "test")}):
        registry.check_push(Repository.parse(name))


def _compare(now: Snapshot, facts: Facts, planned: PlannedTarget) -> None:
    """Raises ConfigError where a target is not what it was to the machine that planned it."""
    target = TargetId.parse(planned.id)
    repository = str(now.family.images[target.image].repository)
    if planned.repository != repository:
        raise ConfigError(
            f"the plan puts {target} into {planned.repository}, and here it is {repository}",
            hint="give the same --registry to every command",
        )
    key = facts.keys[target]
    if planned.key == key:
        return
    if planned.source_key == facts.sources.full[target]:
        hint = "build with the dsci that made the plan, from the same generated `inputs:`"
    else:
        hint = "build with the dsci that made the plan, on a machine of the same kind where $BUILDPLATFORM is used"
    raise ConfigError(f"the plan has {target} under the key {planned.key}, and here it is {key}", hint=hint)


def _require(plan: Plan, parents: Collection[PlannedTarget]) -> None:
    """Raises DsciError for the first of these that has to be built: nobody's child waits for it here."""
    for parent in parents:
        if parent.action != "build":
            continue
        if plan.target(TargetId.parse(parent.id)).action == "build":
            hint = f"run its job first: dsci build --only {parent.id} with the same plan"
        else:
            hint = f"it was there when the plan was made; {_AGAIN}"
        raise DsciError(f"{parent.id} is needed and not in {parent.repository}: {parent.reason}", hint=hint)
