"""The way of `dsci release`: observe, plan, build, test, stand, claim, converge.

Git's tags are the lock and the record; everything before the claim is invisible, everything after it can be repeated.
Each run first finishes what earlier runs claimed. A claim that somebody else won is adopted, and the plan is made anew
(rules 18 to 21 of the semantics).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dsci.errors import ConflictError, DsciError, RegistryError
from dsci.model import claims as claiming
from dsci.model import ledger, notes, planning
from dsci.model.claims import Released, Tag, TagFormat
from dsci.model.facts import Facts, Request
from dsci.model.family import Image, TargetId
from dsci.model.links import Links
from dsci.model.oci import Digest, Platform
from dsci.model.plan import Plan, PlannedRef, PlannedRelease
from dsci.model.reference import Repository
from dsci.model.report import Outcome, Publication, Report, Status, SuiteReport
from dsci.model.text import clean
from dsci.pipeline import follow, pages, publish, remote, standing
from dsci.pipeline import observe as observing
from dsci.pipeline.build import Workshop, base_of
from dsci.pipeline.run import Runner, Work
from dsci.pipeline.snapshot import Snapshot, snapshot
from dsci.pipeline.world import World
from dsci.ports import Builder, Claimed, Console, Engine, Forge, Registry, TagObject

#: How often a lost claim is planned anew (rule 20).
REPLANS = 3


@dataclass(frozen=True, kw_only=True)
class Hands:
    """Whom effects are had through."""

    registry: Registry
    engine: Engine
    builder: Builder
    console: Console
    forge: Callable[[str], Forge | None]
    """The forge of this kind (`auto`, `github`, `gitlab`); None where `auto` finds none that it may write to."""
    nonce: str
    """The part of this run's id that goes into names."""


@dataclass(kw_only=True)
class _Tally:
    """What a release has come to, over all its replans."""

    outcomes: list[Outcome] = field(default_factory=list)
    suites: list[SuiteReport] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    errors: list[DsciError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def release(
    world: World,
    hands: Hands,
    request: Request,
    *,
    keep: bool = False,
    announce: Callable[[Plan], None] = lambda plan: None,
    trouble: Callable[[DsciError], None] = lambda error: None,
) -> Report:
    """Release what HEAD holds, telling each plan before it is carried out.

    `trouble` is told of every error that was an engine's or a registry's doing. Raises ConflictError when claims were
    lost REPLANS times.
    """
    began = time.monotonic()
    tally = _Tally()
    for attempt in range(REPLANS + 1):
        theirs = _synchronise(world, hands, tally)
        now, facts = observing.observe(world, request, theirs=theirs)
        if attempt == 0 and (touched := observing.uncommitted(world.source.git, now)):
            hands.console.warn(f"uncommitted changes in {', '.join(touched)} are not part of this release")
        plan = planning.make(now.family, facts, request)
        for text in plan.warnings:
            hands.console.warn(text)
        if plan.has_work:
            announce(plan)
        tally.notes += [f"{name}: superseded by a later commit" for name in plan.superseded]
        if not plan.has_work or _attempt(world, hands, now, facts, plan, tally, keep=keep):
            _pages(world, hands, now, facts, tally)
            for error in tally.errors:
                trouble(error)
            return Report(
                plan=plan,
                outcomes=tuple(tally.outcomes),
                suites=tuple(tally.suites),
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


def _synchronise(world: World, hands: Hands, tally: _Tally) -> Mapping[str, str]:
    """Know the remote's claims, and give it those that were made here without it (rule 19); gives the remote's tags."""
    git = world.source.git
    if git.remote() is None:
        return {}
    here = git.tag_refs()
    now = snapshot(world.source, git.head().commit)
    form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
    theirs = git.remote_tags()
    ours = {tag.name: tag for tag in git.tags()}
    remote.check_moved(git, form, here, theirs, claiming.released(ours.values(), form, form.groups))
    wanted = [name for name in theirs if form.read(name) and name not in here]
    if wanted:
        git.fetch_tags(wanted)
        hands.console.say(f"fetched {len(wanted)} release tags from {git.remote()}")
    claims = claiming.released(ours.values(), form, form.groups)
    unpushed = [
        claim
        for found in claims.values()
        for claim in found
        if claim.by_dsci and not {claim.tag.name, claim.claimed_by.name} <= theirs.keys()
    ]
    if unpushed:
        claimed = _claim(world, hands, now, unpushed)
        if not claimed.won:
            raise ConflictError(
                f"{', '.join(sorted(claimed.taken))}: claimed here without the remote, and otherwise on the remote",
                hint="the remote's tag is the claim: delete the local one with `git tag -d`, then run dsci again",
            )
        names = ", ".join(sorted(claim.tag.name for claim in unpushed))
        hands.console.say(f"pushed {names} to {git.remote()}")
        tally.notes.append(f"pushed earlier local claims: {names}")
    return theirs


def _claim(world: World, hands: Hands, now: Snapshot, claims: Sequence[Released]) -> Claimed:
    """Claim these versions, and record them in the ledger."""
    record = _record(now, claims)
    # A version that was tagged by hand is claimed by the tag beside it; its own may not be on the remote yet.
    tags = {tag.name: tag.oid for claim in claims for tag in (claim.tag, claim.claimed_by)}
    claimed = world.source.git.claim(tags, record)
    if claimed.won and claimed.detail:
        hands.console.warn(claimed.detail)
    return claimed


def _record(now: Snapshot, claims: Sequence[Released]) -> Mapping[str, bytes]:
    """What the ledger is to hold of these claims."""
    return ledger.record(claims) if now.settings.ledger == "branch" else {}


def _attempt(world: World, hands: Hands, now: Snapshot, facts: Facts, plan: Plan, tally: _Tally, *, keep: bool) -> bool:
    """Carry a plan out; False when its claim was lost and the plan must be made anew."""
    wanted = [item for item in plan.releases if not item.claimed]
    _preflight(world, hands, now, plan)
    if facts.unconverged:
        pending = [item.claim for item in facts.unconverged]
        # Where tags cannot be pushed together with a branch, a run may have ended between the two.
        if detail := world.source.git.claim({}, _record(now, pending)).detail:
            hands.console.warn(detail)
        _converge(hands, now, pending, facts.claims, tally)
    work = work_on(world, hands, now, facts, plan, keep=keep)
    tally.outcomes += work.outcomes
    tally.suites += work.suites
    tally.errors += work.errors
    held = _held(now, work)
    ready = _ready(hands, now, wanted, work, held, tally)
    made: list[Released] = []
    if ready:
        made = _claims(world, hands, now, facts, plan, ready, work)
        claimed = _claim(world, hands, now, made)
        if not claimed.won:
            hands.console.warn(f"{', '.join(sorted(claimed.taken))} was claimed by another release")
            return False
        where = world.source.git.remote()
        if not where:
            tally.notes.append("there is no Git remote: the claim is in this clone alone until one is pushed to")
        for claim in made:
            hands.console.say(f"claimed {claim.tag.name}" + (f" on {where}" if where else " (here: no remote)"))
        everything = {
            group: (*(claim for claim in made if claim.group == group), *found) for group, found in facts.claims.items()
        }
        _converge(hands, now, made, _refreshed(world, now, everything), tally)
    for ref in plan.refs:
        if ref.image not in held:
            tally.publications += _point(world, hands, now, facts, ref, made, work)
    return True


def _point(
    world: World, hands: Hands, now: Snapshot, facts: Facts, ref: PlannedRef, made: Sequence[Released], work: Work
) -> tuple[Publication, ...]:
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
            source=_source(world),
            base=_common_base(workshop(world, hands, now, facts), image, work),
        )
        publish.stand(hands.registry, image, index)
        content = index.to_bytes()
    return follow.point(hands.registry, world.source.git, hands.console, image, ref, content, work.images)


def _holds(hands: Hands, image: Image, released: Digest, images: Mapping[TargetId, Digest]) -> bool:
    """Whether a release's index is over these very manifests."""
    there = standing.look(hands.registry, image.repository.at(released))
    return there is not None and there.children == standing.children_of(image, images)


def _source(world: World) -> str | None:
    """Where the source code is: the remote's page, the same for every way to write its address."""
    origin = world.source.git.head().origin
    return Links.of(origin).base or origin


def _refreshed(
    world: World, now: Snapshot, fallback: Mapping[str, Sequence[Released]]
) -> Mapping[str, Sequence[Released]]:
    """All claims as they stand after ours: a float must not pass over a newer one made meanwhile."""
    git = world.source.git
    form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
    theirs = git.remote_tags()
    known = git.tag_refs()
    missing = [name for name in theirs if name not in known and form.read(name)]
    if missing:
        git.fetch_tags(missing)
    return claiming.released(git.tags(), form, tuple(fallback))


def _preflight(world: World, hands: Hands, now: Snapshot, plan: Plan) -> None:
    """Prove every right that will be needed, before an hour of building (rule 19)."""
    wanted = [item for item in plan.releases if not item.claimed]
    repositories = {name for item in plan.releases for name in item.destinations}
    repositories |= {name for ref in plan.refs for name in ref.destinations}
    repositories |= {
        str(now.family.images[item.image].repository) for item in plan.targets if item.action in ("build", "test")
    }
    for name in sorted(repositories):
        hands.registry.check_push(Repository.parse(name))
    if plan.releases and now.settings.forge != "none":
        hands.forge(now.settings.forge)
    if wanted:
        world.source.git.check_push(wanted[0].claim or wanted[0].git_tag)


def work_on(
    world: World,
    hands: Hands,
    now: Snapshot,
    facts: Facts,
    plan: Plan,
    *,
    keep: bool = False,
    tests: bool = True,
    bring: frozenset[str] = frozenset(),
    private: frozenset[TargetId] = frozenset(),
) -> Work:
    """Build and test the plan's targets; `bring` names images to be in the engine at the end."""
    if bring or any(item.action in ("build", "test") for item in plan.targets):
        hands.engine.sweep()
        hands.console.say(hands.engine.version())
    elif not plan.releases and not plan.refs:
        return Work()
    shop = workshop(world, hands, now, facts, private)
    return Runner(shop, plan, jobs=now.settings.builder.jobs, tests=tests, keep=keep, bring=bring).run()


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


def workshop(
    world: World, hands: Hands, now: Snapshot, facts: Facts, private: frozenset[TargetId] = frozenset()
) -> Workshop:
    """Everything that work on a snapshot's targets needs."""
    return Workshop(
        now=now,
        pins=facts.pins,
        keys=facts.keys,
        unpinned=facts.unpinned,
        suites=facts.suites,
        git=world.source.git,
        engine=hands.engine,
        builder=hands.builder,
        registry=hands.registry,
        console=hands.console,
        epochs=_epochs(now, facts),
        network=now.settings.builder.network,
        private=private,
        nonce=hands.nonce,
    )


def _epochs(now: Snapshot, facts: Facts) -> Mapping[TargetId, int]:
    """The date of the last commit that touched a target's inputs or its parents'; HEAD's where none is known."""
    found: dict[TargetId, int] = {}
    for target in now.family.order:
        own = [change.commit.when for change in facts.touched[now.family.images[target.image].group]]
        above = [found[need] for need in now.family.nodes[target].needs]
        found[target] = max(own + above, default=facts.when)
    return found


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


def _claims(
    world: World,
    hands: Hands,
    now: Snapshot,
    facts: Facts,
    plan: Plan,
    ready: Sequence[PlannedRelease],
    work: Work,
) -> list[Released]:
    """Let every release's index stand, and write the tag objects that would claim them."""
    git = world.source.git
    shop = workshop(world, hands, now, facts)
    made: list[Released] = []
    told = {release.tag: notes.message(release) for release in notes.planned(plan.releases)}
    for item in ready:
        members = [now.family.images[name] for name in item.members]
        digests: dict[str, Digest] = {}
        keys: dict[str, str] = {}
        bases: dict[tuple[str, Platform], Digest] = {}
        for image in members:
            index = publish.release_index(
                image,
                item,
                work.images,
                when=facts.when,
                source=_source(world),
                base=_common_base(shop, image, work),
            )
            digests[image.name] = publish.stand(hands.registry, image, index)
            for target in image.targets:
                key = facts.keys[target]
                assert key is not None
                keys[str(target)] = key
                bases |= facts.pins[target]
        message = f"{told[item.git_tag]}\n\n" + claiming.claim_trailers(digests, keys, bases, group=item.image)
        name = item.claim or item.git_tag
        oid = git.make_tag(TagObject(name=name, commit=item.commit, when=facts.when, message=message))
        tag = Tag(name=name, oid=oid, commit=item.commit, message=message, merged=True)
        made.append(
            Released(
                group=item.image,
                version=now.settings.versioning.numbers().parse(item.version),
                tag=facts.asked.tag if item.claim and facts.asked else tag,
                digests=digests,
                keys=keys,
                bases=bases,
                beside=tag if item.claim else None,
            )
        )
    return made


def _common_base(shop: Workshop, image: Image, work: Work) -> Mapping[str, str]:
    """What an image stands on, as far as all its platforms stand on the same."""
    digests = {target: found.digest for target, found in work.images.items()}
    labels = [base_of(shop, target, digests).items() for target in image.targets]
    return dict(sorted(set(labels[0]).intersection(*labels)))


def _converge(
    hands: Hands,
    now: Snapshot,
    claims: Sequence[Released],
    everything: Mapping[str, Sequence[Released]],
    tally: _Tally,
) -> None:
    published = publish.converge(hands.registry, now.family, claims, everything, hands.console)
    publish.read_back(hands.registry, published)
    tally.publications += published
    tally.released += [claim.tag.name for claim in claims]
