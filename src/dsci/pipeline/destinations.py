"""The registries that releases go to: which of them answer, what may be pushed there, and whether they show what is
claimed.

A registry that is only copied to holds up no other: while it is down a release does without it, says so, and a later
run makes up for it. What is written there is `publish`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from dsci.errors import AuthError, ConflictError, DsciError, RegistryError
from dsci.model.claims import Released
from dsci.model.family import Family
from dsci.model.plan import Plan
from dsci.model.reference import Repository
from dsci.model.releases import floats
from dsci.model.report import Publication
from dsci.pipeline import attest, publish, scans
from dsci.pipeline.claim import refreshed
from dsci.pipeline.publish import Converged
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.world import Hands, World
from dsci.ports import Registry

#: How often names are written anew that somebody else moves, though nobody claims anything.
_TRIES = 3
#: How many repositories are asked at once whether this run may push.
_AT_ONCE = 8


def silent(registry: Registry, family: Family) -> Mapping[str, DsciError]:
    """The registries that images are only copied to and that cannot be asked anything, and why.

    A refusal is an answer.
    """

    def ask(place: str) -> DsciError | None:
        try:
            registry.resolve(family.mirrors[place].tag("latest"))
        except AuthError:
            return None
        except RegistryError as error:
            return error
        return None

    if not family.mirrors:
        return {}
    with ThreadPoolExecutor(len(family.mirrors)) as pool:
        answers = zip(family.mirrors, pool.map(ask, family.mirrors), strict=True)
        return {place: error for place, error in answers if error is not None}


def prove(world: World, hands: Hands, now: Snapshot, plan: Plan) -> Mapping[str, DsciError]:
    """Prove every right that will be needed, before an hour of building (rule 19).

    Gives the registries that are only copied to and are out of order, and why.
    """
    wanted = [item for item in plan.releases if not item.claimed]
    names = {name for item in plan.releases for name in item.destinations}
    names |= {name for ref in plan.refs for name in ref.destinations}
    repositories = {Repository.parse(name) for name in names}
    repositories |= {
        now.family.images[item.image].repository for item in plan.targets if item.action in ("build", "test")
    }
    lost: dict[str, DsciError] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        checks = {each: pool.submit(hands.registry.check_push, each) for each in sorted(repositories)}
        pushing = pool.submit(world.source.git.check_push, wanted[0].claim or wanted[0].git_tag) if wanted else None
    for repository, check in checks.items():
        try:
            check.result()
        except RegistryError as error:
            if isinstance(error, AuthError) or repository.registry not in now.family.mirrors:
                raise
            lost[repository.registry] = error
    if pushing is not None:
        pushing.result()
    if plan.releases and now.settings.forge != "none":
        hands.forge(now.settings.forge)
    if wanted:
        scans.check(hands, now.settings.scan)
        named = {name for item in wanted for name in item.members}
        attest.check(hands, now.settings.attest, [now.family.images[name].repository for name in sorted(named)])
    return lost


def show(
    world: World,
    hands: Hands,
    now: Snapshot,
    claims: Sequence[Released],
    observed: Mapping[str, Sequence[Released]],
) -> Converged:
    """Have every registry show these claims, and those of the same images that were made since `observed`.

    No registry writes a tag on a condition, so floating tags are written as the claims are at that moment, and then
    the claims are looked at again: who wrote over a newer release, or over what somebody went back to, sees it now, and
    writes that one (rule 15).
    """
    groups = {claim.group for claim in claims}
    wanted = {claim.tag.name: claim for claim in claims}
    known, tries = observed, _TRIES
    published: dict[str, Publication] = {}
    failed: dict[str, DsciError] = {}
    latest = refreshed(world, now)
    while True:
        for claim in (claim for group in sorted(groups) for claim in latest[group] if claim.by_dsci):
            if claim not in known[claim.group]:
                wanted.setdefault(claim.tag.name, claim)
        for group in groups:
            if _held(latest[group]) != _held(known[group]):
                owners = (floats(image, latest[group]).values() for image in now.family.groups[group])
                wanted |= {claim.tag.name: claim for each in owners for claim in each if claim.by_dsci}
        known = latest
        left = now.family.without(failed)
        as_now = {claim.tag.name: claim for group in groups for claim in known[group]}
        current = [as_now.get(name, claim) for name, claim in wanted.items()]
        done = publish.converge(hands.registry, left, current, known, hands.console)
        moved = publish.read_back(hands.registry, done.publications)
        for item in done.publications:
            earlier = published.get(item.reference)
            published[item.reference] = replace(item, changed=item.changed or (earlier is not None and earlier.changed))
        latest = refreshed(world, now)
        wrong = {**moved, **done.failed}
        if all(latest[group] == known[group] for group in groups):
            contested = any(isinstance(error, ConflictError) for error in wrong.values())
            if not contested or not tries:
                return Converged(publications=tuple(published.values()), failed={**failed, **wrong})
            tries -= 1
        for place, error in wrong.items():
            if isinstance(error, ConflictError):
                hands.console.warn(error.message)
            else:
                failed[place] = error


def _held(claims: Sequence[Released]) -> frozenset[str]:
    """The releases that are passed over."""
    return frozenset(claim.tag.name for claim in claims if claim.held)
