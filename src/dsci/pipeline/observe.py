"""Facts: what Git, the registry and the bases say now, gathered in a few passes.

`observe` lays beside the snapshot of HEAD what is claimed, what is found by key and what changed since. Nothing is
decided and nothing is written here. Where a plan only wants to look, an answer that cannot be had becomes "unknown",
with its reason; where work follows, it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import msgspec

from dsci.errors import HistoryError
from dsci.later import Later
from dsci.model import keys, version
from dsci.model.claims import Released, TagFormat
from dsci.model.commits import Change
from dsci.model.event import Trigger
from dsci.model.facts import Facts, Request
from dsci.model.family import TargetId
from dsci.model.following import refs_of
from dsci.model.lines import Line
from dsci.model.marks import Marks
from dsci.model.pins import Moved
from dsci.model.settings import VersioningSettings
from dsci.model.tree import TreeEntry
from dsci.pipeline import marks, remote
from dsci.pipeline.bases import carried, pins_of
from dsci.pipeline.past import History, Past, history_of, moved_of, own_changes_of, starts_of
from dsci.pipeline.remote import Remote, Told
from dsci.pipeline.snapshot import Snapshot, Source, snapshot
from dsci.pipeline.stock import found_of, placed_of, unconverged_of
from dsci.pipeline.world import World
from dsci.ports import Git, Head

_ANY = Request()


def observe(
    world: World,
    request: Request = _ANY,
    *,
    overlay: Mapping[str, TreeEntry | None] | None = None,
    history: bool = True,
    theirs: Mapping[str, str] | None = None,
    pins: keys.Pins | None = None,
    now: Snapshot | None = None,
) -> tuple[Snapshot, Facts]:
    """Read HEAD, its claims, its history and what the registry holds.

    `theirs` are the remote's tags where they are known already. With `pins`, bases are those, and none is asked for.
    `now` is HEAD where it was read already. Raises HistoryError where the clone lacks something that could change a
    version.
    """
    git = world.source.git
    head = git.head()
    told = Told(tags=theirs or {})
    asking = history and theirs is None
    with Later(remote.ask, git, world.remote) if asking else nullcontext() as later:
        now = now or snapshot(world.source, head.commit, overlay=overlay)
        here = git.tag_refs() if history else {}
        told = later.result() if later else told
    groups = tuple(now.family.groups)
    known = _versions(world, request, now, groups, here, told) if history else _Versions.none(groups)
    claims = known.claims
    newest = {group: version.newest(claims[group]) for group in groups}
    warnings = list(known.problems)
    pinned, unpinned = pins_of(world, now, newest, warnings) if pins is None else carried(now, pins)
    found_keys = keys.keys(now.family, now.sources, pinned, generated=now.generated)
    suites = {target: keys.suites_digest(now.family.suites(target), now.tree) for target in now.family.nodes}
    found = found_of(world, now, found_keys, suites)
    refs = refs_of(now.family, commit=head.commit, when=head.when, event=request.event, claims=claims)
    return now, Facts(
        commit=head.commit,
        when=head.when,
        settings=now.settings,
        sources=now.sources,
        own_changes=known.own_changes,
        keys=found_keys,
        suites=suites,
        pins=pinned,
        unpinned=unpinned,
        found=found,
        claims=claims,
        since=known.history.since,
        touched=known.history.touched,
        commits=known.history.commits,
        lines=known.lines,
        fresh=known.history.fresh,
        moved=known.moved,
        descendants=_descendants(git, head, claims),
        unconverged=unconverged_of(world, now.family, claims, known.marks, warnings, request.event),
        asked=known.asked,
        dirty=now.dirty,
        placed=placed_of(world, now.family, refs if request.release else (), found),
        tag_names=known.names,
        doubts=told.warnings,
        warnings=tuple(warnings),
    )


class _Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What Git says of versions; the fields are those of `Facts`."""

    claims: Mapping[str, tuple[Released, ...]]
    history: History
    marks: Marks = Marks()
    asked: Released | None = None
    names: frozenset[str] = frozenset()
    lines: Mapping[str, Line] = msgspec.field(default_factory=dict)
    own_changes: Mapping[TargetId, str] = msgspec.field(default_factory=dict)
    moved: Mapping[str, tuple[Moved, ...]] = msgspec.field(default_factory=dict)
    problems: Sequence[str] = ()

    @classmethod
    def none(cls, groups: Sequence[str]) -> _Versions:
        """Nobody asks for versions."""
        nothing: Mapping[str, tuple[Change, ...]] = dict.fromkeys(groups, ())
        return cls(
            claims=dict.fromkeys(groups, ()), history=History(since=nothing, touched=nothing, commits={}, fresh={})
        )


def _versions(
    world: World, request: Request, now: Snapshot, groups: Sequence[str], here: Mapping[str, str], told: Told
) -> _Versions:
    git, settings = world.source.git, now.settings.versioning
    # A run that is about a tag is about whatever image that tag names.
    select = frozenset() if request.event.trigger is Trigger.TAG else request.select
    # What is never released has no version, and its history is that of what stands on it.
    wanted = now.family.chosen_groups(select) & now.family.released_groups
    form = TagFormat.of_images(settings, now.family.images.values())
    fetch = world.remote is Remote.FETCH
    # Git writes its log while tags and the files of earlier commits are read. Of an image that no tag names all of
    # history counts: that is known at once.
    named = {each.group for each in map(form.read, here) if each is not None}
    begin = not fetch and not named.issuperset(wanted) and not git.is_shallow()
    whole = git.log(()) if begin else None
    claims = remote.claims(git, form, groups, here, told.tags, fetch=fetch, say=world.say)
    said, behind = marks.read(git, now.settings, form, fetch=fetch)
    asked, claims = _asked(request, said.on(claims))
    branch = _branch(world.source, git.head(), settings)
    lines = {group: Line.of(branch, settings.prereleases, group) for group in groups}
    counting = {group: claims[group] for group in groups if group in wanted}
    past = Past(world.source, now, claims)
    log = whole or git.log(starts_of(counting))
    last = {group: version.last(found, lines[group]) for group, found in counting.items()}
    own_changes = own_changes_of(past, now, last)
    moved, problems = moved_of(past, now, counting)
    history = history_of(past, now, counting, lines, log)
    return _Versions(
        claims=claims,
        history=history,
        asked=asked,
        names=frozenset(here.keys() | told.tags.keys()),
        lines=lines,
        own_changes=own_changes,
        moved=moved,
        problems=[*problems, *filter(None, [behind])],
        marks=said,
    )


def uncommitted(git: Git, now: Snapshot) -> tuple[str, ...]:
    """The images whose inputs differ in the work tree from the commit that the snapshot was made of."""
    dirty = git.dirty()
    touched = {target.image for target, given in now.inputs.items() if any(given.touches(path) for path in dirty)}
    return tuple(sorted(touched))


def _asked(
    request: Request, claims: Mapping[str, tuple[Released, ...]]
) -> tuple[Released | None, Mapping[str, tuple[Released, ...]]]:
    """The version that the event's tag asks for, where it was made by hand, and the other claims (rule 17)."""
    if request.event.trigger is not Trigger.TAG:
        return None, claims
    found = (claim for each in claims.values() for claim in each if claim.tag.name == request.event.tag)
    asked = next((claim for claim in found if not claim.by_dsci), None)
    if asked is None:
        return None, claims
    return asked, {
        group: tuple(claim for claim in each if claim is not asked) if group == asked.group else each
        for group, each in claims.items()
    }


def _branch(source: Source, head: Head, settings: VersioningSettings) -> str:
    """The branch that is released. Raises HistoryError where it is not known and decides what a version is."""
    branch = source.branch or head.branch or ""
    if not branch and settings.prereleases:
        raise HistoryError(
            "HEAD is detached, and versioning.prereleases makes the next version depend on the branch",
            hint="say which one it is: --branch NAME",
        )
    return branch


def _descendants(git: Git, head: Head, claims: Mapping[str, Sequence[Released]]) -> frozenset[str]:
    """Commits of unmerged claims that stand on HEAD: a newer run has overtaken this one."""
    unmerged = {claim.tag.commit for found in claims.values() for claim in found if not claim.tag.merged}
    return frozenset(commit for commit in unmerged if git.is_ancestor(head.commit, commit))
