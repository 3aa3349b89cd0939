"""What happened since each image's last release: its commits, its own source, its direct dependencies.

Earlier commits are read as today's dsci reads them, each once, and history in one pass for all images. What it is worth
is the model's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec

from dsci.errors import ConfigError
from dsci.model import commits as commits_model
from dsci.model import config, inputs, version, weigh
from dsci.model.claims import Released
from dsci.model.commits import Change, Commit
from dsci.model.family import TargetId
from dsci.model.inputs import Inputs
from dsci.model.lines import Line
from dsci.model.pins import Moved
from dsci.model.tree import TreeEntry
from dsci.pipeline.snapshot import Earlier, Snapshot, Source, earlier


class Past:
    """Earlier commits as today's dsci reads them: each once, and of each the images that were released there."""

    def __init__(self, source: Source, now: Snapshot, claims: Mapping[str, Sequence[Released]]) -> None:
        self.git = source.git
        self._source = source
        self._known: dict[str, Earlier | None] = {}
        self._images: dict[str, set[str]] = {}
        for group, members in now.family.groups.items():
            needed = {target for member in members for target in member.targets}
            needed |= {above for target in needed for above in now.family.unreleased_above(target)}
            images = [now.family.images[target.image] for target in needed]
            names = {name for image in images for name in (image.name, *image.previous_names)}
            for claim in claims[group]:
                self._images.setdefault(claim.tag.commit, set()).update(names)

    def at(self, commit: str) -> Earlier | None:
        """A commit where something was released; None if it cannot be read any more."""
        if commit not in self._known:
            try:
                self._known[commit] = earlier(self._source, commit, self._images[commit])
            except ConfigError:
                self._known[commit] = None
        return self._known[commit]


def as_it_was(then: Earlier, now: Snapshot, target: TargetId) -> TargetId | None:
    """What a target was then, perhaps under an earlier name; None where it was not there."""
    names = (target.image, *now.family.images[target.image].previous_names)
    found = (TargetId(name, target.platform) for name in names)
    return next((each for each in found if each in then.own), None)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What happened since each group's last stable release; the fields are those of `Facts`."""

    since: Mapping[str, tuple[Change, ...]]
    touched: Mapping[str, tuple[Change, ...]]
    commits: Mapping[str, Mapping[str, Commit]]
    fresh: Mapping[str, frozenset[str]]


def starts_of(claims: Mapping[str, Sequence[Released]]) -> Sequence[str]:
    """The commits of every group's last stable release; none where a group has none, and all of history counts."""
    bases = {_commit_of(version.stable(found)) for found in claims.values()}
    return [] if "" in bases else sorted(bases)


def history_of(
    past: Past,
    now: Snapshot,
    claims: Mapping[str, Sequence[Released]],
    lines: Mapping[str, Line],
    log: Iterable[Commit],
) -> History:
    """One pass over history for all groups. A message is read only if it may matter to one of them."""
    groups = tuple(claims)
    bases = {group: _commit_of(version.stable(claims[group])) for group in groups}
    settled = {group: _commit_of(version.last(claims[group], lines[group])) for group in groups}
    starts = tuple(dict.fromkeys([*bases.values(), *settled.values()]))
    bit = {start: 1 << n for n, start in enumerate(starts)}
    change = commits_model.reader(now.settings.versioning.rules())
    watch = inputs.Watch(_watched(past, now, bases), suites=now.settings.versioning.suites)
    known: dict[str, Commit] = {}
    holders = weigh.Holders(starts)
    unreleased_yet = {group for group, base in bases.items() if not base}
    telling: list[tuple[Commit, frozenset[str], bool]] = []
    for commit in log:
        known[commit.sha] = commit
        holders.add(commit)
        hit, speaks = watch.touched_by(commit.paths), commits_model.speaks(commit)
        if hit or speaks:
            telling.append((commit, hit, speaks))
            if not unreleased_yet.isdisjoint(hit):
                change(commit)  # It counts for sure, and Git is still writing.
    held = holders.all()
    parts: dict[int, list[tuple[int, Commit]]] = {}
    for place, commit in enumerate(known.values()):
        parts.setdefault(held[commit.sha], []).append((place, commit))
    unreleased: dict[str, Mapping[str, Commit]] = dict.fromkeys(starts, known)
    for start in unreleased.keys() & known.keys():
        free = [each for holders, part in parts.items() if not holders & bit[start] for each in part]
        unreleased[start] = {commit.sha: commit for _, commit in sorted(free, key=itemgetter(0))}
    touched: dict[str, list[Change]] = {group: [] for group in groups}
    since: dict[str, list[Change]] = {group: [] for group in groups}
    for commit, hit, speaks in telling:
        for group in groups if speaks else hit:
            if commit.sha in unreleased[bases[group]]:
                since[group].append(change(commit))
                if group in hit:
                    touched[group].append(change(commit))
    return History(
        since={group: tuple(found) for group, found in since.items()},
        touched={group: tuple(found) for group, found in touched.items()},
        commits={group: unreleased[bases[group]] for group in groups},
        fresh={
            group: frozenset(one.commit.sha for one in found if not held[one.commit.sha] & bit[settled[group]])
            for group, found in since.items()
        },
    )


def _suites_changed(then: Earlier, now: Snapshot, target: TargetId) -> str:
    """How an image's own suites differ from those that it had."""
    paths = then.inputs[target].suites | now.inputs[target].suites
    return _shown(path for path in paths if then.tree.get(path) != now.tree.get(path))


def _shown(changed: Iterable[str]) -> str:
    """The first of some changed paths, and how many more there are; "" where there is none."""
    paths = sorted(changed)
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]} changed{more}" if paths else ""


def _commit_of(claim: Released | None) -> str:
    """The commit of a claim; empty where there is none, and all of history counts."""
    return claim.tag.commit if claim else ""


def watched_now(now: Snapshot) -> Iterator[tuple[str, Inputs]]:
    """Every group's input filters: its own, and those of what it stands on and is never released."""
    for group, members in now.family.groups.items():
        own = [target for member in members for target in member.targets]
        above = {each for target in own for each in now.family.unreleased_above(target)}
        for target in (*own, *sorted(above)):
            yield group, now.inputs[target]


def _watched(past: Past, now: Snapshot, bases: Mapping[str, str]) -> Iterator[tuple[str, Inputs]]:
    """Every group's input filters: its own, those of what it stands on and is never released, those it had before."""
    yield from ((group, given) for group, given in watched_now(now) if group in bases)
    for group, base in bases.items():
        members = now.family.groups[group]
        own = [target for member in members for target in member.targets]
        renamed = base and any(member.previous_names for member in members)
        then = past.at(base) if renamed else None
        if then is not None:
            # Before it was renamed, its commits touched what were its inputs then.
            for target in own:
                before = as_it_was(then, now, target)
                if before is not None:
                    yield group, then.inputs[before]


def own_changes_of(past: Past, now: Snapshot, last: Mapping[str, Released | None]) -> Mapping[TargetId, str]:
    """How each target's own source differs from its last release, by running today's dsci on that commit too.

    What it stands on and is never released itself counts as its own.
    """
    head = past.git.head().commit
    found: dict[TargetId, str] = {}
    for target in now.family.order:
        claim = last.get(now.family.images[target.image].group)
        if claim is None or (claim.tag.commit == head and not now.dirty):
            continue
        then = past.at(claim.tag.commit)
        told = (target, *now.family.unreleased_above(target))
        differences = (_difference(then, now, each, str(claim.version)) for each in told)
        found[target] = next(filter(None, differences), "")
    return found


def moved_of(
    past: Past, now: Snapshot, claims: Mapping[str, Sequence[Released]]
) -> tuple[Mapping[str, tuple[Moved, ...]], Sequence[str]]:
    """Each group's direct dependencies that moved since its last stable release, and what could not be read of them."""
    settings = now.settings.versioning.content
    if settings.dependencies == "none":
        return {}, ()
    from dsci.pipeline.dependencies import Dependencies, Side

    reader = Dependencies(git=past.git, rules=settings.rules())
    found: dict[str, dict[Moved, None]] = {}
    for target in now.family.order:
        image = now.family.images[target.image]
        base = version.stable(claims.get(image.group, ()))
        then = past.at(base.tag.commit) if base else None
        for each in (target, *now.family.unreleased_above(target)):
            before = as_it_was(then, now, each) if then else None
            if then is None or before is None or then.own[before] == now.sources.own[each]:
                continue
            siblings = now.family.nodes[each].siblings.keys()
            old = Side(image=then.images[before.image], tree=then.tree, files=then.files[before], siblings=siblings)
            new = Side(
                image=now.family.images[each.image],
                tree=now.tree,
                files=now.files[each],
                siblings=siblings,
                changed=now.changed,
            )
            found.setdefault(image.group, {}).update(dict.fromkeys(reader.moved(old, new, each)))
    moved = {group: tuple(sorted(moves, key=lambda move: move.rank)) for group, moves in found.items()}
    # A Dockerfile that cannot be read is told of already.
    broken = {now.family.images[target.image].dockerfile for target, node in now.family.nodes.items() if node.problem}
    told = sorted(problem for problem in reader.problems if problem.path not in broken)
    return moved, [f"{problem.path}: {problem.why}: what it pins is not known" for problem in told]


def files_of(of: Earlier | Snapshot, target: TargetId) -> dict[str, TreeEntry]:
    """What a target is made of: the files of its context and its Dockerfile."""
    images = of.images if isinstance(of, Earlier) else of.family.images
    dockerfile = images[target.image].dockerfile
    return {**{file.source: file.entry for file in of.files[target]}, dockerfile: of.tree[dockerfile]}


def _difference(then: Earlier | None, now: Snapshot, target: TargetId, release: str) -> str:
    if then is None:
        return f"the sources of {release} cannot be read any more"
    before = as_it_was(then, now, target)
    if before is None:
        named = f"{target.image} is " if now.family.images[target.image].variant else ""
        return f"{named}new since {release}"
    if before != target:
        return f"renamed from {before.image}"
    if then.own[target] == now.sources.own[target]:
        return _suites_changed(then, now, target) if now.settings.versioning.suites else ""
    old, new = files_of(then, target), files_of(now, target)
    changed = _shown(path for path in {**old, **new} if old.get(path) != new.get(path))
    return changed or f"{config.FILE_NAME} changed its settings"
