"""`dsci rollback`, `unhold` and `yank`: a mark goes into the ledger, and the tags that move go where it lets them.

The mark is what counts: it is written first, in one push that either stands or changes nothing, and every later run
obeys it. The tags are moved then, and whoever is cut off in between is finished by the next run of any of these
commands, or of `dsci release` (rules 15 and 19 of the semantics). Nothing is built, and no content is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError, DsciError, HistoryError
from dsci.model import marks as marks_model
from dsci.model.claims import Released
from dsci.model.event import Event
from dsci.model.family import Family
from dsci.model.ledger import BRANCH
from dsci.model.marks import Mark, Marks, Said
from dsci.model.members import check_names
from dsci.model.releases import floats
from dsci.model.report import Publication
from dsci.pipeline import destinations, marks, places
from dsci.pipeline.claim import form_of, refreshed, synchronise
from dsci.pipeline.history import above
from dsci.pipeline.publish import Converged
from dsci.pipeline.snapshot import Snapshot, snapshot
from dsci.pipeline.stock import unconverged_of
from dsci.pipeline.world import Hands, World
from dsci.ports import Git

_AT_ONCE = 8


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What is released, and what was said of it."""

    git: Git
    now: Snapshot
    claims: Mapping[str, Sequence[Released]]
    marks: Marks

    def group(self, name: str) -> str:
        """The group that an image's name, or a variant's, belongs to. Raises ConfigError where it is never released."""
        image = min(check_names([name], self.now.family))
        group = self.now.family.images[image].group
        if group not in self.now.family.released_groups:
            raise ConfigError(f"{name} is never released (release: false)")
        return group

    def claimed(self, group: str, version: str) -> Released:
        """A release. Raises ConfigError that names those there are."""
        return marks_model.claimed(group, self.claims[group], version)


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that moves, and the versions that it names before and after."""

    image: str
    tag: str
    before: str
    after: str | None
    """None where no other release may have it: then it stays where it is."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    marks: tuple[Mark, ...]
    """Those that were written; none where everything stood so already."""
    moved: tuple[Moved, ...]
    """What they move, as versions say it."""
    publications: tuple[Publication, ...] = ()
    failed: dict[str, str] = {}
    """The registries that do not show all of it yet, and why."""


Decide = Callable[[Ground], tuple[Sequence[Mark], Sequence[str]]]


def carry_out(
    world: World,
    hands: Hands,
    decide: Decide,
    *,
    dry_run: bool,
    trouble: Callable[[DsciError], None] = lambda error: None,
) -> Held:
    """Write the marks that `decide` gives, and let every tag that moves be where it belongs.

    `decide` gives the groups that it is about, too. Those are looked at also where nothing new is to be said of them:
    what was cut off is finished so. With `dry_run` nothing is changed. A registry that is only copied to and is down
    holds up no other: `trouble` is told of it. Raises ConfigError where there is no ledger, HistoryError where it
    cannot be written.
    """
    if not dry_run:
        synchronise(world, hands)
    ground = read(world)
    found, touched = decide(ground)
    wanted = tuple(found)
    after = Marks(known={**ground.marks.known, **{mark.id: mark for mark in wanted}})
    claims = after.on(ground.claims)
    moved = _moved(ground.now.family, touched, ground.claims, claims)
    if dry_run:
        return Held(marks=wanted, moved=moved)
    lost = destinations.silent(hands.registry, ground.now.family)
    now = replace(ground.now, family=ground.now.family.without(lost))
    _may_push(hands, now, touched)
    if wanted:
        said = world.source.git.claim({}, marks_model.record(wanted)).detail
        if said:
            raise HistoryError(f"nothing was changed: {said}", hint=f"it takes the right to push the branch {BRANCH}")
        for mark in wanted:
            hands.console.say(f"recorded in {BRANCH}: {shown(mark)}")
    done = _converge(world, hands, now)
    errors = {**lost, **done.failed}
    for error in errors.values():
        trouble(error)
    return Held(
        marks=wanted,
        moved=moved,
        publications=done.publications,
        failed={place: error.message for place, error in errors.items()},
    )


def read(world: World) -> Ground:
    """What is released and said now, here and on the remote. Raises ConfigError where there is no ledger."""
    git = world.source.git
    now = snapshot(world.source, git.head().commit)
    if now.settings.ledger == "none":
        raise ConfigError(
            "this needs the ledger, and dsci.yaml says `ledger: none`: no other run would know of it",
            hint="take that line out: the branch dsci-ledger is made by the next release",
        )
    claims = refreshed(world, now)
    said, _ = marks.read(git, now.settings, form_of(now))
    return Ground(git=git, now=now, claims=claims, marks=said)


def at_the_time(ground: Ground, group: str, then: Released) -> Mapping[str, Released]:
    """What each other group had released when a release of `group` was made: its newest that that commit can reach."""
    found: dict[str, Released] = {}
    for other in sorted(ground.now.family.released_groups - {group}):
        for claim in ground.claims[other]:
            if not claim.by_dsci or claim.version.prerelease or claim.held:
                continue
            if claim.tag.commit == then.tag.commit or ground.git.is_ancestor(claim.tag.commit, then.tag.commit):
                found[other] = claim
                break
    return found


def rollback(ground: Ground, name: str, version: str, said: Said, *, family: bool) -> tuple[list[Mark], list[str]]:
    """The holds that let an image's floats go back to a version, and with `family` those of all others with it.

    Raises ConfigError for a version that cannot be gone back to.
    """
    group = ground.group(name)
    target = ground.claimed(group, version)
    targets = {group: target, **(at_the_time(ground, group, target) if family else {})}
    found = [marks_model.rollback(each, ground.claims[each], to, said) for each, to in targets.items()]
    return [mark for mark in found if mark], list(targets)


def yank(
    ground: Ground, name: str, version: str, said: Said, *, family: bool, undo: bool
) -> tuple[list[Mark], list[str]]:
    """The marks that pass over a version for good, and with `family` over all releases that were built on it.

    With `undo` those that take that back.
    """
    group = ground.group(name)
    target = ground.claimed(group, version)
    targets = [(group, target), *(_built_on(ground, group, target) if family else [])]
    found = [
        marks_model.unyank(each, str(claim.version), ground.marks, said)
        if undo
        else marks_model.yank(each, claim, ground.marks, said)
        for each, claim in targets
    ]
    return [mark for mark in found if mark], list(dict.fromkeys(each for each, _ in targets))


def unhold(ground: Ground, names: Sequence[str], said: Said) -> tuple[list[Mark], list[str]]:
    """The marks that take every hold of these images back, or of all where none is named."""
    groups = list(dict.fromkeys(map(ground.group, names))) or sorted(ground.now.family.released_groups)
    return [mark for each in groups if (mark := marks_model.unhold(each, ground.marks, said))], groups


def shown(mark: Mark) -> str:
    """A mark for people, in a line."""
    match mark.kind:
        case marks_model.Kind.HOLD:
            text = f"{mark.image} is held at {mark.version}, over {', '.join(mark.passes)}"
        case marks_model.Kind.YANK:
            text = f"{mark.image} {mark.version} is yanked"
        case marks_model.Kind.LIFT:
            text = f"{mark.image}: {len(mark.lifts)} mark{'s' if len(mark.lifts) > 1 else ''} lifted"
    return f"{text} ({mark.why})" if mark.why else text


def _built_on(ground: Ground, group: str, target: Released) -> list[tuple[str, Released]]:
    """The releases of the groups that stand on a group which were made while that release was its newest one."""
    family = ground.now.family
    found: list[tuple[str, Released]] = []
    for other in sorted(family.released_groups - {group}):
        if group not in above(family, other):
            continue
        for claim in ground.claims[other]:
            if claim.by_dsci and _newest_at(ground, group, claim) is target:
                found.append((other, claim))
    return found


def _newest_at(ground: Ground, group: str, claim: Released) -> Released | None:
    """The newest release of a group that the commit of another group's release can reach."""
    for each in ground.claims[group]:
        if each.tag.commit == claim.tag.commit or ground.git.is_ancestor(each.tag.commit, claim.tag.commit):
            return each
    return None


def _moved(
    family: Family,
    groups: Sequence[str],
    before: Mapping[str, Sequence[Released]],
    after: Mapping[str, Sequence[Released]],
) -> tuple[Moved, ...]:
    """The floats of these groups that have another release afterwards."""
    found: list[Moved] = []
    for group in groups:
        for image in family.groups[group]:
            then, now = floats(image, before[group]), floats(image, after[group])
            # A tag that nobody might have stayed where it was, and has its release again.
            for tag, old in sorted(then.items()):
                new = now.get(tag)
                if new is None or old.version != new.version:
                    after_it = str(new.version) if new else None
                    found.append(Moved(image=image.name, tag=tag, before=str(old.version), after=after_it))
    return tuple(found)


def _may_push(hands: Hands, now: Snapshot, groups: Sequence[str]) -> None:
    """Prove the right to every repository whose tags may move, before anything is said."""
    repositories = {each for group in groups for image in now.family.groups[group] for each in image.repositories}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(hands.registry.check_push, sorted(repositories, key=str)))


def _converge(world: World, hands: Hands, now: Snapshot) -> Converged:
    """Let every release be where all that is known now lets it be, also those that another run left unfinished."""
    claims = refreshed(world, now)
    said, _ = marks.read(world.source.git, now.settings, form_of(now))
    pending = unconverged_of(world, now.family, claims, said, [], Event())
    wanted = [each.claim for each in pending]
    done = destinations.show(world, hands, now, wanted, claims)
    if not now.settings.promote:
        return done
    there = places.settle(hands, now, refreshed(world, now))
    return Converged(publications=(*done.publications, *there.publications), failed={**done.failed, **there.failed})
