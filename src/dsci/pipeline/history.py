"""Every release that HEAD holds, and what each of them brought: one pass over all of history.

A release's entries are the commits that it holds and the stable release before it does not, as far as they touch its
image's inputs: the same that its plan counted. They are read from the commits and never from the messages of tags,
which hold no kinds, authors or links, may be cut short, and are missing where dsci did not make the tag.

One thing is approximate: which paths are an image's inputs is asked of HEAD, and of the newest release under each of
its earlier names, not of every commit anew. A file that was an input once and is none any more tells nothing here.
Releases on branches that HEAD has not merged are not part of its history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from dsci.errors import ConfigError
from dsci.model import changelog, inputs
from dsci.model import commits as commits_model
from dsci.model.changelog import Entry, Parent, Release
from dsci.model.claims import Released, Tag, TagFormat
from dsci.model.commits import Commit
from dsci.model.family import Family
from dsci.model.inputs import Inputs
from dsci.model.text import nearest
from dsci.model.weigh import held, weigh
from dsci.pipeline import remote
from dsci.pipeline.past import watched_now
from dsci.pipeline.remote import Remote
from dsci.pipeline.snapshot import Snapshot, Source, earlier, snapshot
from dsci.pipeline.world import World


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What has been released."""

    now: Snapshot
    doubts: tuple[str, ...] = ()
    """What could not be asked, though there may be more releases than these."""
    releases: tuple[Release, ...]
    """Newest first by their places in history; of one commit, parents first."""


class _Log(msgspec.Struct, frozen=True, kw_only=True):
    """History, and which releases hold each commit of it."""

    commits: Sequence[Commit]
    place: Mapping[str, int]
    held: Mapping[str, int]
    bit: Mapping[str, int]

    def brought(self, commit: str, claim: Released, base: Released | None) -> bool:
        """Whether a release holds a commit that the one before it does not."""
        by = self.held[commit]
        return bool(by & self.bit[claim.tag.commit]) and not (base and by & self.bit[base.tag.commit])


def read(world: World, *, since: str = "") -> History:
    """Read every release, or only those that stand after the Git tag `since`.

    Raises HistoryError on a clone that lacks some of them, ConfigError where `since` is no tag of this history.
    """
    source, git = world.source, world.source.git
    remote.whole(git, world.remote, world.say)
    now = snapshot(source, git.head().commit)
    groups = tuple(now.family.groups)
    form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
    told = remote.ask(git, world.remote)
    known = remote.claims(
        git,
        form,
        groups,
        git.tag_refs(),
        told.tags,
        fetch=world.remote is Remote.FETCH,
        say=world.say,
    )
    start = _start(git.tags(), since) if since else ""
    claims = {group: [claim for claim in found if claim.tag.merged] for group, found in known.items()}
    log = _log(git.commits([]), [claim for found in claims.values() for claim in found], start)
    watched = [*watched_now(now), *_before(source, now, claims)]
    releases = _releases(now, claims, log, inputs.Watch(watched, suites=now.settings.versioning.suites))
    order = {now.family.images[name].group: place for place, name in enumerate(now.family.image_order)}
    return History(
        now=now,
        doubts=told.warnings,
        releases=tuple(
            sorted(
                (each for each in releases if not start or not log.held[each.commit] & log.bit[start]),
                key=lambda each: (log.place[each.commit], order[each.image]),
            )
        ),
    )


def _start(tags: Sequence[Tag], name: str) -> str:
    """The commit of a tag that HEAD holds."""
    tag = next((tag for tag in tags if tag.name == name), None)
    if tag is None:
        known = sorted(tag.name for tag in tags)
        raise ConfigError(f"there is no Git tag {name!r}{nearest(name, known)}", hint="see `git tag`")
    if not tag.merged:
        raise ConfigError(
            f"the Git tag {name} is not part of this history", hint="name one that `git tag --merged` shows"
        )
    return tag.commit


def _log(commits: Sequence[Commit], claims: Sequence[Released], start: str) -> _Log:
    starts = tuple(dict.fromkeys([*(claim.tag.commit for claim in claims), *([start] if start else [])]))
    return _Log(
        commits=commits,
        place={commit.sha: place for place, commit in enumerate(commits)},
        held=held(starts, commits),
        bit={commit: 1 << place for place, commit in enumerate(starts)},
    )


def _before(source: Source, now: Snapshot, claims: Mapping[str, Sequence[Released]]) -> Iterator[tuple[str, Inputs]]:
    """The inputs of images that were renamed, as they were at the newest release under each earlier name."""
    for group, members in now.family.groups.items():
        left = {name for member in members for name in member.previous_names}
        for claim in claims[group]:
            if not left:
                break
            try:
                then = earlier(source, claim.tag.commit, left)
            except ConfigError:
                continue  # That commit cannot be read any more: what it calls its images is not known.
            for target, given in then.inputs.items():
                yield group, given
                left.discard(target.image)


def _releases(
    now: Snapshot, claims: Mapping[str, Sequence[Released]], log: _Log, watch: inputs.Watch[str]
) -> Iterator[Release]:
    """Every group's releases, newest version first, parents folded in."""
    change = commits_model.reader(now.settings.versioning.rules())
    touched: dict[str, list[Commit]] = {group: [] for group in claims}
    for commit in log.commits:
        for group in watch.touched_by(commit.paths):
            touched[group].append(commit)
    reverting = [each for commit in log.commits if commits_model.speaks(commit) and (each := change(commit)).reverts]
    bare: dict[str, list[tuple[Released, Released | None, tuple[Entry, ...]]]] = {}
    for group, found in claims.items():
        bare[group] = []
        for claim in found:
            base = _base(claim, found, log)
            mine = [change(commit) for commit in touched[group] if log.brought(commit.sha, claim, base)]
            since = [each for each in reverting if log.brought(each.commit.sha, claim, base)]
            held_here = (commit for commit in log.commits if log.brought(commit.sha, claim, base))
            everything = {commit.sha: commit for commit in held_here} if since else {}
            noted = (item.change for item in weigh(since, mine, everything) if item.noted)
            bare[group].append((claim, base, changelog.entries(noted)))
    for group, items in bare.items():
        ancestors = above(now.family, group)
        for claim, base, entries in items:
            yield Release(
                image=group,
                version=str(claim.version),
                tag=claim.tag.name,
                since=base.tag.name if base else "",
                commit=claim.tag.commit,
                when=log.commits[log.place[claim.tag.commit]].when,
                entries=entries,
                moved=claim.moved,
                parents=tuple(
                    Parent(image=name, version=str(parent.version), tag=parent.tag.name, entries=own)
                    for name in ancestors
                    for parent, _, own in bare[name]
                    if _moved(parent, claim, base, log)
                ),
            )


def _base(claim: Released, claims: Sequence[Released], log: _Log) -> Released | None:
    """The newest stable release that a release holds beside itself: what its version was counted from."""
    mine = log.bit[claim.tag.commit]
    return next(
        (
            other
            for other in claims
            if not other.version.prerelease
            and log.held[other.tag.commit] & mine
            and (other.tag.commit != claim.tag.commit or other.version < claim.version)
        ),
        None,
    )


def _moved(parent: Released, claim: Released, base: Released | None, log: _Log) -> bool:
    """Whether a release stands on a parent's release and the one before it did not.

    What the first release of an image found already there is no change of it.
    """
    if parent.version.prerelease and not claim.version.prerelease:
        return False
    if base is None:
        return parent.tag.commit == claim.tag.commit
    return log.brought(parent.tag.commit, claim, base)


def above(family: Family, group: str) -> tuple[str, ...]:
    """The groups that a group stands on, nearest first."""
    found: dict[str, None] = {}
    todo = [group]
    while todo:
        todo = sorted({need for each in todo for need in family.group_needs(each)} - {group, *found})
        found |= dict.fromkeys(todo)
    return tuple(found)
