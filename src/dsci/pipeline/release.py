"""The way of `dsci release`: observe, plan, build, test, stand, claim, converge.

Git's tags are the lock and the record; everything before the claim is invisible, everything after it can be repeated.
Each run first finishes what earlier runs claimed. A claim that somebody else won is adopted, and the plan is made anew
(rules 18 to 21 of the semantics).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from dsci.errors import ConflictError, DsciError
from dsci.model.claims import Released
from dsci.model.facts import Facts, Request
from dsci.model.family import Image, TargetId
from dsci.model.oci import Digest
from dsci.model.plan import Plan, PlannedRef, PlannedRelease
from dsci.model.report import Outcome, Publication, Report, Status, SuiteReport
from dsci.model.scan import ScanReport
from dsci.model.text import clean
from dsci.pipeline import destinations, follow, pages, publish, standing, whole
from dsci.pipeline import observe as observing
from dsci.pipeline.claim import claims_of, common_base, push, recorded, source_of, synchronise
from dsci.pipeline.run import Work
from dsci.pipeline.scans import scans
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.work import How, all_work, prepare, work_on, workshop
from dsci.pipeline.world import Hands, World
from dsci.ports import Console

#: How often a lost claim is planned anew (rule 20).
REPLANS = 3
#: What is said where a request from a fork is built.
FOREIGN = "a request from another repository: nothing that is built leaves this machine"
_AS_SET = How()


class _Tally(msgspec.Struct, kw_only=True):
    """What a release has come to, over all its replans."""

    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    suites: list[SuiteReport] = msgspec.field(default_factory=list)
    scans: dict[str, ScanReport] = msgspec.field(default_factory=dict)
    publications: list[Publication] = msgspec.field(default_factory=list)
    released: list[str] = msgspec.field(default_factory=list)
    errors: list[DsciError] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    lost: dict[str, DsciError] = msgspec.field(default_factory=dict)
    """The registries that do not show all they should, and why."""

    def lose(self, registries: Mapping[str, DsciError], console: Console) -> None:
        """Tell of these registries; each fails once, whatever else goes wrong there."""
        for place, error in registries.items():
            if place not in self.lost:
                self.lost[place] = error
                self.errors.append(error)
                detail = clean(error.message)
                self.outcomes.append(Outcome(subject=place, stage="publish", status=Status.FAILED, detail=detail))
                console.end(place, "publish", "failed", 0.0, detail)


def release(
    world: World,
    hands: Hands,
    request: Request,
    *,
    how: How = _AS_SET,
    announce: Callable[[Plan], None] = lambda plan: None,
    trouble: Callable[[DsciError], None] = lambda error: None,
) -> Report:
    """Release what HEAD holds, telling each plan before it is carried out.

    `trouble` is told of every error that was an engine's or a registry's doing. Raises ConflictError when claims were
    lost REPLANS times. A request from another repository is only built and tested (rule 11).
    """
    began = time.monotonic()
    tally = _Tally()
    if request.event.foreign:
        return _rehearse(world, hands, request, how, announce, trouble)
    for attempt in range(REPLANS + 1):
        now, theirs, noted = synchronise(world, hands)
        tally.notes += noted
        if attempt == 0:
            tally.lose(destinations.silent(hands.registry, now.family), hands.console)
        now = _reached(now, tally)
        now, facts = observing.observe(world, request, theirs=theirs, now=now)
        if attempt == 0 and (touched := observing.uncommitted(world.source.git, now)):
            hands.console.warn(f"uncommitted changes in {', '.join(touched)} are not part of this release")
        facts, plan = whole.plan(world, now.family, facts, request)
        for text in plan.warnings:
            hands.console.warn(text)
        if plan.has_work:
            announce(plan)
        tally.notes += [f"{name}: superseded by a later commit" for name in plan.superseded]
        if not plan.has_work or _attempt(world, hands, now, facts, plan, tally, how):
            _pages(world, hands, now, facts, tally)
            for error in tally.errors:
                trouble(error)
            return Report(
                plan=plan,
                outcomes=tuple(tally.outcomes),
                suites=tuple(tally.suites),
                scans=tuple(tally.scans.values()),
                publications=tuple(tally.publications),
                released=tuple(dict.fromkeys(tally.released)),
                seconds=round(time.monotonic() - began, 3),
                notes=tuple(dict.fromkeys(tally.notes)),
            )
        hands.console.say("another release was faster: planning again with what it claimed")
    raise ConflictError(
        f"other releases won the claim {REPLANS + 1} times",
        hint="run dsci release again; in CI, let releases of one repository wait for each other",
    )


def _reached(now: Snapshot, tally: _Tally) -> Snapshot:
    """The same, released to the registries alone that have not failed in this run."""
    return replace(now, family=now.family.without(tally.lost)) if tally.lost else now


def _rehearse(
    world: World,
    hands: Hands,
    request: Request,
    how: How,
    announce: Callable[[Plan], None],
    trouble: Callable[[DsciError], None],
) -> Report:
    """Build and test what HEAD changes for this machine alone: nothing is pushed, named, claimed or told to a forge."""
    began = time.monotonic()
    now, facts = observing.observe(world, request)
    facts, plan = whole.plan(world, now.family, facts, request)
    for text in plan.warnings:
        hands.console.warn(text)
    hands.console.say(FOREIGN)
    if plan.has_work:
        announce(plan)
    shop = prepare(world, hands, now, facts, plan, how=how)
    work = work_on(world, hands, shop, facts, plan, how=how, private=all_work(plan))
    for error in work.errors:
        trouble(error)
    return Report(
        plan=plan,
        outcomes=tuple(work.outcomes),
        suites=tuple(work.suites),
        seconds=round(time.monotonic() - began, 3),
        notes=(FOREIGN,),
    )


def _pages(world: World, hands: Hands, now: Snapshot, facts: Facts, tally: _Tally) -> None:
    """Release pages for what this run claimed or finished, and for what an earlier run claimed on this very commit."""
    here = {
        claim.tag.name
        for found in facts.claims.values()
        for claim in found
        if claim.by_dsci and claim.tag.commit == facts.commit
    }
    tags = here | set(tally.released)
    forge = hands.forge(now.settings.forge) if tags and now.settings.forge != "none" else None
    if forge is not None:
        outcomes, errors = pages.write(world, forge, tags, hands.console)
        tally.outcomes += outcomes
        tally.errors += errors


def _attempt(world: World, hands: Hands, now: Snapshot, facts: Facts, plan: Plan, tally: _Tally, how: How) -> bool:
    """Carry a plan out; False when its claim was lost and the plan must be made anew."""
    wanted = [item for item in plan.releases if not item.claimed]
    # What was claimed earlier is finished also where nothing new can be built.
    shop = prepare(world, hands, now, facts, plan, how=how) if not facts.unconverged else None
    tally.lose(destinations.prove(world, hands, now, plan), hands.console)
    now = _reached(now, tally)
    if facts.unconverged:
        pending = [item.claim for item in facts.unconverged]
        # Where tags cannot be pushed together with a branch, a run may have ended between the two.
        if detail := world.source.git.claim({}, recorded(now, pending)).detail:
            hands.console.warn(detail)
        if not _show(world, hands, now, pending, facts, tally):
            tally.released += [claim.tag.name for claim in pending]
        now = _reached(now, tally)
    shop = shop or prepare(world, hands, now, facts, plan, how=how)
    work = work_on(world, hands, shop, facts, plan, how=how)
    looked, found = scans(hands, now.settings.scan, now.family, wanted, work)
    work.outcomes += looked
    tally.scans |= {each.target: each for each in found}
    tally.outcomes += work.outcomes
    tally.suites += work.suites
    tally.errors += work.errors
    held = _held(now, work)
    ready = _ready(hands, now, wanted, work, held, tally)
    made: list[Released] = []
    if ready:
        made = claims_of(world, hands, now, facts, plan, ready, work)
        _see_free(world, hands, now, facts, made)
        claimed = push(world, hands, now, made)
        if not claimed.won:
            hands.console.warn(f"{', '.join(sorted(claimed.taken))} was claimed by another release")
            return False
        where = world.source.git.remote()
        if not where:
            tally.notes.append("there is no Git remote: the claim is in this clone alone until one is pushed to")
        for claim in made:
            hands.console.say(f"claimed {claim.tag.name}" + (f" on {where}" if where else " (here: no remote)"))
        tally.released += [claim.tag.name for claim in made]
        _show(world, hands, now, made, facts, tally)
        now = _reached(now, tally)
    for ref in plan.refs:
        if ref.image not in held:
            published, lost = _point(world, hands, now, facts, ref, made, work)
            tally.publications += published
            tally.lose(lost, hands.console)
    return True


def _point(
    world: World, hands: Hands, now: Snapshot, facts: Facts, ref: PlannedRef, made: Sequence[Released], work: Work
) -> tuple[tuple[Publication, ...], Mapping[str, DsciError]]:
    """Let names that follow this run stand for an image: for its release, where it has one now."""
    image = now.family.images[ref.image]
    digests = {target: found.digest for target, found in work.images.items()}
    claims = (*made, *facts.claims[image.group])
    here = (each.digests.get(image.name) for each in claims if each.tag.commit == facts.commit)
    released = next((digest for digest in here if digest and _holds(hands, image, digest, digests)), None)
    found = hands.registry.manifest(image.repository.at(released)) if released else None
    if found is not None:
        content = found[1]
    else:
        index = publish.index_of(
            image,
            work.images,
            {},
            commit=facts.commit,
            when=facts.when,
            source=source_of(world),
            base=common_base(workshop(world, hands, now, facts), image, work),
        )
        publish.stand(hands.registry, image, index, hands.nonce)
        content = index.to_bytes()
    return follow.point(hands.registry, world.source.git, hands.console, image, ref, content, work.images)


def _holds(hands: Hands, image: Image, released: Digest, images: Mapping[TargetId, Digest]) -> bool:
    """Whether a release's index is over these very manifests."""
    there = standing.look(hands.registry, image.repository.at(released))
    return there is not None and there.children == standing.children_of(image, images)


def _held(now: Snapshot, work: Work) -> frozenset[str]:
    """The images that nothing is released of after what came of the targets (rule 21)."""
    bad = {target.image for target in work.bad}
    if not bad or now.settings.gate == "family":
        return frozenset(now.family.images if bad else ())
    parts = now.family.components(target.image for target in now.family.nodes)
    return frozenset(name for part in parts if part & bad for name in part)


def _ready(
    hands: Hands,
    now: Snapshot,
    wanted: Sequence[PlannedRelease],
    work: Work,
    held: frozenset[str],
    tally: _Tally,
) -> list[PlannedRelease]:
    """The releases that may be claimed; the others are told."""
    bad = {target.image for target in work.bad}
    ready: list[PlannedRelease] = []
    for item in wanted:
        if held.isdisjoint(item.members):
            ready.append(item)
            continue
        own = bad & set(item.members)
        detail = f"{', '.join(sorted(own or bad))} did not pass (gate: {now.settings.gate})"
        outcome = Outcome(
            subject=f"{item.image} {item.version}", stage="release", status=Status.BLOCKED, detail=clean(detail)
        )
        tally.outcomes.append(outcome)
        hands.console.end(outcome.subject, "release", "blocked", 0.0, detail)
    return ready


def _see_free(world: World, hands: Hands, now: Snapshot, facts: Facts, made: Sequence[Released]) -> None:
    """See that no immutable tag of what is to be claimed was given to other content by somebody else.

    Raises ConflictError for one that was, unless another run claims that version: then this one is about to lose it.
    """
    try:
        publish.check_free(hands.registry, now.family, made, facts.claims)
    except ConflictError:
        git = world.source.git
        if git.remote() is None or git.remote_tags().keys().isdisjoint(claim.claimed_by.name for claim in made):
            raise


def _show(
    world: World, hands: Hands, now: Snapshot, claims: Sequence[Released], facts: Facts, tally: _Tally
) -> Mapping[str, DsciError]:
    """Have every registry show these claims; gives those that do not, and why."""
    done = destinations.show(world, hands, now, claims, facts.claims)
    tally.publications += done.publications
    tally.lose(done.failed, hands.console)
    return done.failed
