"""Which versions are released, under which tags: a decision per group, and what it becomes in a plan.

How far a version moves is `version`'s to say. What cannot stand (a name that is taken, a line that would climb) is
refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from dsci.errors import ConflictError
from dsci.model import tags as tags_model
from dsci.model import version as version_model
from dsci.model.changelog import entries
from dsci.model.claims import BESIDE, Released, TagFormat
from dsci.model.commits import Bump
from dsci.model.event import Event, Trigger
from dsci.model.facts import Facts, Pending, Request
from dsci.model.family import Family, Image, TargetId
from dsci.model.gitnames import TagNames
from dsci.model.lines import Line
from dsci.model.members import ending_of
from dsci.model.plan import PlannedRelease
from dsci.model.tagname import suffixed
from dsci.model.tags import Subject
from dsci.model.text import plain
from dsci.model.version import Decision


def decisions_of(family: Family, facts: Facts, request: Request) -> dict[str, Decision]:
    """A decision per release group, parents first, so that children see what their parents do."""
    event = request.event
    if event.trigger is Trigger.TAG:
        return _by_tag(facts, event)
    decisions: dict[str, Decision] = {}
    wanted, moved = family.chosen_groups(request.select), _moved(family, facts)
    for group in family.release_order:
        if group not in wanted:
            continue
        members = family.groups[group]
        changed = [
            change for member in members for target in member.targets if (change := facts.own_changes.get(target))
        ]
        decisions[group] = version_model.decide(
            group,
            claims=facts.claims[group],
            since=facts.since[group],
            touched=facts.touched[group],
            source_changed=changed[0] if changed else "",
            parents=[
                decisions[parent]
                for parent in family.group_needs(group)
                if parent in decisions and _reaches(family, parent, group, moved)
            ],
            settings=facts.settings.versioning,
            line=facts.lines.get(group, Line()),
            fresh=facts.fresh.get(group),
            known=facts.commits.get(group),
            moved=facts.moved.get(group, ()),
            names=frozenset(member.name for member in members),
            now=event.now,
        )
        if event.trigger is Trigger.PULL_REQUEST and decisions[group].version is not None:
            coming = decisions[group]
            decisions[group] = replace(coming, version=None, reason=f"a request releases nothing ({coming.reason})")
    return decisions


def _moved(family: Family, facts: Facts) -> frozenset[TargetId]:
    """The targets that are not what their last release had, or stand on such a one."""
    moved: set[TargetId] = set()
    for target in family.order:
        group = family.images[target.image].group
        if facts.own_changes.get(target) or not facts.claims[group] or not moved.isdisjoint(family.nodes[target].needs):
            moved.add(target)
    return frozenset(moved)


def _reaches(family: Family, parent: str, group: str, moved: Collection[TargetId]) -> bool:
    """Whether a release of one group is news to another: of an image with variants, if those that it needs moved."""
    if not any(member.variant for member in family.groups[parent]):
        return True
    needs = (need for member in family.groups[group] for each in member.targets for need in family.nodes[each].needs)
    return any(need in moved for need in needs if family.images[need.image].group == parent)


def _by_tag(facts: Facts, event: Event) -> dict[str, Decision]:
    """A tag that was pushed: made by dsci, only its release is finished; made by hand, its version is asked for."""
    decisions: dict[str, Decision] = {}
    for group in facts.claims:
        decision = Decision(
            group=group, bump=Bump.NONE, version=None, previous=None, reason=f"this run is about the tag {event.tag}"
        )
        if facts.asked is not None and facts.asked.group == group:
            line = facts.lines.get(group, Line())
            decision = version_model.answer(
                group,
                asked=facts.asked,
                claims=facts.claims[group],
                since=facts.since[group],
                touched=facts.touched[group],
                line=line,
                known=facts.commits.get(group),
                moved=facts.moved.get(group, ()),
            )
        decisions[group] = decision
    return decisions


def begin(
    family: Family, facts: Facts, decision: Decision, form: TagFormat, standing: TagNames, *, notes: bool = True
) -> PlannedRelease:
    """A release that is not claimed yet."""
    version, group = decision.version, decision.group
    assert version is not None
    git_tag = form.render(group, version)
    claims = facts.claims[group]  # newest version first
    rivals = takewhile(lambda claim: claim.version >= version, claims)
    taken = next((claim for claim in rivals if claim.version == version), None)
    if taken is not None:
        raise ConflictError(
            f"{group} {version} comes next, but the Git tag {taken.tag.name} already stands on"
            f" {taken.tag.commit[:7]}, which is not part of this history",
            hint=f"merge that commit, or commit with the footer `Release-As: {group}@VERSION`",
        )
    if rival := standing.rival(git_tag):
        kind = "names no commit" if rival == git_tag else f"cannot stand beside {git_tag} on every file system"
        raise ConflictError(
            f"{group} {version} comes next, but the Git tag {plain(rival)} stands already and {kind}",
            hint=f"take that tag away, here and on the remote (git tag -d {plain(rival)}),"
            f" or commit with the footer `Release-As: {group}@VERSION`",
        )
    line = facts.lines.get(group, Line())
    if not line.holds(version):
        raise ConflictError(
            f"{group} {version} comes next ({decision.reason}), but the branch {line.branch} releases {line.shown}",
            hint=f"take that change off {line.branch}, or release it from another branch",
        )
    done = next((claim for claim in claims if version.prerelease and claim.version == version.finalize_version()), None)
    if done is not None or (decision.previous and version <= decision.previous.version):
        there = done.tag.name if done else str(decision.previous.version if decision.previous else "")
        raise ConflictError(
            f"{group} {version} comes next on {line.branch or 'this branch'}, but {there} is released already",
            hint=f"merge {there} first, or commit with the footer `Release-As: {group}@VERSION`",
        )
    return _planned(family, facts, decision, git_tag, facts.commit, notes=notes)


def answer(family: Family, facts: Facts, decision: Decision, asked: Released, *, notes: bool = True) -> PlannedRelease:
    """A release that somebody asked for by making its tag by hand: it is claimed by a tag beside that one."""
    if asked.tag.commit != facts.commit:
        raise ConflictError(
            f"the Git tag {asked.tag.name} stands on {asked.tag.commit[:7]}, but HEAD is {facts.commit[:7]}",
            hint=f"check out the tag first: git switch --detach {asked.tag.name}",
        )
    release = _planned(family, facts, decision, asked.tag.name, asked.tag.commit, notes=notes)
    return msgspec.structs.replace(release, claim=f"{asked.tag.name}{BESIDE}")


def _planned(
    family: Family, facts: Facts, decision: Decision, git_tag: str, commit: str, *, notes: bool
) -> PlannedRelease:
    version, group = decision.version, decision.group
    assert version is not None
    members = family.groups[group]
    subject = Subject(sha=commit, version=version, git_tag=git_tag)
    planned = _all_tags(members, subject, facts.claims[group])
    return PlannedRelease(
        image=group,
        version=str(version),
        bump=str(version_model.difference(decision.base.version, version)) if decision.base else "initial",
        git_tag=git_tag,
        tags=tuple(tag.name for tag in planned),
        moving=tuple(tag.name for tag in planned if tag.moving),
        previous=str(decision.previous.version) if decision.previous else None,
        reason=decision.reason,
        commit=commit,
        members=tuple(member.name for member in members),
        destinations=_destinations(members),
        parents=dict(decision.parents),
        dependencies=tuple(move.why for move in decision.moved),
        changes=tuple(f"{change.commit.subject} ({change.commit.sha[:7]})" for change in decision.changes),
        entries=entries(decision.changes) if notes else (),
        since=decision.base.tag.name if decision.base else None,
    )


def finish(family: Family, facts: Facts, pending: Pending) -> PlannedRelease:
    """A release that was claimed and cut off before all its tags stood."""
    claim = pending.claim
    members = [member for member in family.groups[claim.group] if member.name in claim.digests]
    planned = _all_tags(members, _subject(claim), facts.claims[claim.group], held=bool(claim.held))
    return PlannedRelease(
        image=claim.group,
        version=str(claim.version),
        bump="none",
        git_tag=claim.tag.name,
        tags=tuple(tag.name for tag in planned),
        moving=tuple(tag.name for tag in planned if tag.moving),
        previous=str(claim.version),
        reason=f"claimed, but {', '.join(pending.missing[:3])} not in place",
        claimed=True,
        commit=claim.tag.commit,
        members=tuple(member.name for member in members),
        destinations=_destinations(members),
    )


def _destinations(members: Sequence[Image]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(repository) for member in members for repository in member.repositories))


def _all_tags(
    members: Sequence[Image], subject: Subject, claims: Sequence[Released], *, held: bool = False
) -> tuple[tags_model.PlannedTag, ...]:
    """The tags of all members, the default one's first; those of images without variants are most often the same.

    A version that is `held` moves none.
    Raises ConflictError for a tag that would read as another variant's.
    """
    planned: dict[tags_model.PlannedTag, None] = {}
    for member in members:
        suffixes = {each.suffix for each in members if each.declared == member.declared}
        for tag in _tags(member, subject, claims):
            if ending_of(tag.name, suffixes) != member.suffix:
                raise ConflictError(
                    f"{member.name} {subject.version} would be tagged {tag.name}, which is a variant's name",
                    hint=f"give the variants of {member.declared} another suffix, or the tag rule or the version"
                    " another name",
                )
            if not (held and tag.moving):
                planned[tag] = None
    return tuple(sorted(planned, key=lambda tag: tag.moving))


def release_tags(image: Image, claim: Released, claims: Sequence[Released]) -> tuple[tags_model.PlannedTag, ...]:
    """The tags that a claimed release should have now in an image's repositories, given all claims of its group.

    One that is passed over has those alone that never move.
    """
    planned = _tags(image, _subject(claim), claims)
    return tuple(tag for tag in planned if not tag.moving) if claim.held else planned


def floats(image: Image, claims: Sequence[Released]) -> Mapping[str, Released]:
    """Every tag of an image that moves, and the release that should have it: `release_tags` of all claims at once.

    `claims` are those of its group, newest first. A tag that only versions which are passed over want is left out.
    """
    never = fixed(image, claims)
    found: dict[str, Released] = {}
    for claim, tag in _wishes(image, claims):
        if tag.moving and not claim.held and tag.name not in never:
            found.setdefault(tag.name, claim)
    return found


def fixed(image: Image, claims: Sequence[Released]) -> Mapping[str, Released]:
    """Every tag of an image that never moves, and the release that has it: of several that want one, the oldest."""
    return {tag.name: claim for claim, tag in _wishes(image, claims) if not tag.moving}


def _wishes(image: Image, claims: Sequence[Released]) -> Iterator[tuple[Released, tags_model.PlannedTag]]:
    """Every tag that every release would have if it were the only one, newest release first."""
    for claim in _about(image, claims):
        for tag in tags_model.plan_tags(image.tag_rules, _subject(claim), ()):
            yield claim, replace(tag, name=suffixed(tag.name, image.suffix))


def marked(family: Family, group: str, claims: Sequence[Released], mentioned: Collection[str]) -> frozenset[str]:
    """The versions of a group whose floats marks have moved, or had moved until they were taken back.

    `mentioned` are the versions that marks have ever passed over.
    """
    bare = [replace(claim, held="") for claim in claims]
    touched = set(mentioned)
    for image in family.groups[group] if mentioned else ():
        now, before = floats(image, claims), floats(image, bare)
        touched |= {str(now[name].version) for name in now if now[name].version != before[name].version}
    return frozenset(touched)


def _tags(image: Image, subject: Subject, claims: Sequence[Released]) -> tuple[tags_model.PlannedTag, ...]:
    """The tags of an image, its suffix behind them; of the claims, those that speak of this image count."""
    planned = tags_model.plan_tags(image.tag_rules, subject, _others(_about(image, claims)))
    return tuple(replace(tag, name=suffixed(tag.name, image.suffix)) for tag in planned)


def _about(image: Image, claims: Sequence[Released]) -> list[Released]:
    """The claims that speak of an image: those of before it was a variant do not."""
    names = {image.name, *image.previous_names}
    return [claim for claim in claims if not (claim.by_dsci and image.variant) or names & claim.digests.keys()]


def left_behind(family: Family, claims: Sequence[Released]) -> str:
    """A word about variants that the newest release has and the family no more: nothing moves their tags."""
    newest = version_model.newest(claims)
    if newest is None or newest.group not in family.groups:
        return ""
    images = family.groups[newest.group]
    known = {name for image in images for name in (image.name, *image.previous_names)}
    gone = [name for name in sorted(newest.digests) if ":" in name and name not in known]
    if not gone:
        return ""
    endings = ", ".join(f"*-{name.partition(':')[2]}" for name in gone)
    return f"{', '.join(gone)}: no variant any more; the tags {endings} stay where {newest.version} has put them"


def _subject(claim: Released) -> Subject:
    return Subject(sha=claim.tag.commit, version=claim.version, git_tag=claim.tag.name)


def _others(claims: Sequence[Released]) -> list[tags_model.Other]:
    return [tags_model.Other(claim.version, claim.tag.name, bool(claim.held), claim.tag.commit) for claim in claims]
