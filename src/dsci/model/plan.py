"""Facts in, a plan out: what is built, tested and released, and why.

`make` is a pure function: equal facts and requests give equal plans, byte for byte. The plan is a document that can
be printed, compared, stored and carried to another machine; a dry run is a plan that nobody carries out. Facts are
gathered by `pipeline.observe`, effects are had by the rest of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import msgspec
import semver

from dsci.errors import ConfigError, ConflictError
from dsci.model import tags as tags_model
from dsci.model import version as version_model
from dsci.model.changelog import Entry, entries
from dsci.model.claims import BESIDE, Released, TagFormat
from dsci.model.commits import Bump, Change, Commit
from dsci.model.config import Settings
from dsci.model.event import Event, Trigger
from dsci.model.family import Family, Image, TargetId, group_members
from dsci.model.keys import Pins, SourceKeys
from dsci.model.lines import Line
from dsci.model.oci import ANY, Digest
from dsci.model.pins import Moved
from dsci.model.receipt import Receipt
from dsci.model.refs import TagNames
from dsci.model.tags import Subject
from dsci.model.text import plain
from dsci.model.version import Decision

SCHEMA = 1


class Action(IntEnum):
    """What a target needs, cheapest first; the dearest wins."""

    REUSE = 0
    RETAG = 1
    TEST = 2
    BUILD = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the registry holds for a target's key."""

    image: Digest | None = None
    built: Receipt | None = None
    """The receipt that tells what the image was built of."""
    tested: Receipt | None = None
    """The receipt that says the present suites passed."""
    unknown: str = ""
    """Why the registry could not be asked; then the rest says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a plan rests on, observed before it is made."""

    commit: str
    when: int
    settings: Settings
    sources: SourceKeys
    own_changes: Mapping[TargetId, str]
    """How each target's own source differs from its last release ("" when it does not, or there is none)."""
    keys: Mapping[TargetId, str | None]
    suites: Mapping[TargetId, str]
    pins: Pins
    unpinned: Mapping[TargetId, str] = field(default_factory=dict)
    """Why a target's key is not known."""
    found: Mapping[TargetId, Found]
    claims: Mapping[str, tuple[Released, ...]]
    since: Mapping[str, tuple[Change, ...]]
    """Since each group's last stable release, newest first: what touches its inputs, and what may speak of it."""
    touched: Mapping[str, tuple[Change, ...]]
    """Those that touch its inputs."""
    commits: Mapping[str, Mapping[str, Commit]] = field(default_factory=dict)
    """Every commit since each group's last stable release by its sha, newest first."""
    lines: Mapping[str, Line] = field(default_factory=dict)
    """What the branch may release of each group."""
    fresh: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The commits since each group's last stable release that no release which counts here holds yet."""
    moved: Mapping[str, tuple[Moved, ...]] = field(default_factory=dict)
    """The direct dependencies of each group that moved since its last stable release."""
    descendants: frozenset[str] = frozenset()
    """Commits of unmerged claims that HEAD is an ancestor of."""
    unconverged: tuple[Pending, ...] = ()
    """Claimed releases whose tags are not all where they should be."""
    asked: Released | None = None
    """The version that the event's tag, made by hand, asks for; it is none of the claims."""
    dirty: Mapping[TargetId, str] = field(default_factory=dict)
    """Targets whose inputs differ from HEAD in the work tree, and the first such path."""
    tag_names: frozenset[str] = frozenset()
    """Every Git tag's name, here and on the remote, whatever it names."""
    doubts: tuple[str, ...] = ()
    """What could not be asked, though a version may depend on it."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A claimed release that some registry does not show yet."""

    claim: Released
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller wants."""

    event: Event = field(default_factory=Event)
    """What set the run off."""
    release: bool = True
    """Whether versions are decided at all (`build` and `test` want none)."""
    select: frozenset[str] = frozenset()
    """Image names to restrict to, with what they stand on; empty for all."""
    force: bool = False
    """Build even what is found."""
    rerun: bool = False
    """Test even what has passed."""


class PlannedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target of the plan."""

    id: str
    image: str
    platform: str
    key: str | None
    source_key: str
    action: str
    reason: str
    parent: str | None
    needs: tuple[str, ...]
    wave: int
    suites: tuple[str, ...] = ()
    suites_digest: str = ""
    bases: dict[str, str] = {}
    """External bases and the digests they are pinned to."""
    digest: str | None = None
    """The platform manifest found for the key, when nothing needs building."""
    dirty: bool = False


class PlannedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One release of the plan: a claim to be made, or one that was made and is to be finished."""

    image: str
    version: str
    bump: str
    git_tag: str
    claim: str = ""
    """The Git tag that claims it, where `git_tag` was made by hand."""
    tags: tuple[str, ...]
    moving: tuple[str, ...] = ()
    """Those of the tags that float."""
    previous: str | None = None
    reason: str = ""
    claimed: bool = False
    commit: str = ""
    members: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    parents: dict[str, str] = {}
    dependencies: tuple[str, ...] = ()
    """The direct dependencies that moved, the most important first, and how far."""
    changes: tuple[str, ...] = ()
    """Subjects of the commits that count, newest first, each with its short id."""
    entries: tuple[Entry, ...] = ()
    """What its release notes say of them."""
    since: str | None = None
    """The Git tag that its changes are counted from; None for the first release."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The document."""

    schema: int = SCHEMA
    commit: str
    when: int
    targets: tuple[PlannedTarget, ...]
    releases: tuple[PlannedRelease, ...]
    superseded: tuple[str, ...] = ()
    """Images that a descendant of this commit has released already."""
    unreleased: dict[str, str] = {}
    """Images that are not released, and why."""
    warnings: tuple[str, ...] = ()

    @property
    def has_work(self) -> bool:
        """Whether carrying it out would do anything."""
        return bool(self.releases) or any(target.action in ("build", "test") for target in self.targets)

    def target(self, target: TargetId) -> PlannedTarget:
        """The target with this id. Raises ConfigError when the plan has none."""
        for item in self.targets:
            if item.id == str(target):
                return item
        raise ConfigError(f"the plan has no target {target}", hint="its targets are " + ", ".join(self.ids))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its targets, parents first."""
        return tuple(item.id for item in self.targets)

    def to_json(self) -> bytes:
        """The plan as a stable document, two spaces deep."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, content: bytes) -> Plan:
        """Read a plan back. Raises msgspec.DecodeError for what is none."""
        return msgspec.json.decode(content, type=cls)


def make(family: Family, facts: Facts, request: Request) -> Plan:
    """Decide. Raises ConflictError when a version that would come next is taken off this branch."""
    chosen = _select(family, request)
    if request.release and request.event.trigger is Trigger.TAG:
        chosen &= _answering(family, facts)
    actions, reasons = _verdicts(family, facts, request)
    decisions = _decisions(family, facts, request) if request.release else {}
    form = TagFormat.of_images(facts.settings.versioning, family.images.values())
    standing = TagNames(facts.tag_names)
    releases: list[PlannedRelease] = []
    superseded: list[str] = []
    unreleased: dict[str, str] = {}
    for pending in facts.unconverged if request.release else ():
        releases.append(_finish(family, facts, pending))
    for group, decision in decisions.items():
        if chosen.isdisjoint(image.name for image in family.images.values() if image.group == group):
            continue
        mine = (facts.dirty.get(target) for target in family.nodes if family.images[target.image].group == group)
        changed = next(filter(None, mine), None)
        if decision.version is None:
            unreleased[group] = decision.reason
        elif changed:
            unreleased[group] = f"uncommitted change: {changed}"
        elif _overtaken(facts, group, decision.version, decision.base):
            superseded.append(group)
        elif facts.asked is not None:
            releases.append(_answer(family, facts, decision, facts.asked))
        else:
            releases.append(_begin(family, facts, decision, form, standing))
    for release in releases:
        for name in release.members:
            for target in family.images[name].targets if name in family.images else ():
                if actions[target] is Action.REUSE:
                    actions[target] = Action.RETAG
                    reasons[target] = f"{release.image} {release.version}: {release.reason}"
    needed = _needed(family, chosen, superseded)
    told = [text for decision in decisions.values() for text in decision.warnings]
    if request.event.trigger is Trigger.TAG and form.read(request.event.tag) is None:
        told.append(f"the Git tag {request.event.tag} is no release of an image here: nothing is made of it")
    return Plan(
        commit=facts.commit,
        when=facts.when,
        targets=tuple(
            _target(family, facts, target, actions[target], reasons[target])
            for target in family.order
            if target in needed
        ),
        releases=tuple(releases),
        superseded=tuple(superseded),
        unreleased=unreleased,
        warnings=tuple(dict.fromkeys((*family.warnings, *facts.doubts, *facts.warnings, *told))),
    )


def _select(family: Family, request: Request) -> frozenset[str]:
    """The images asked for and everything they stand on."""
    if not request.select:
        return frozenset(family.images)
    roots = [target for target in family.nodes if target.image in request.select]
    return request.select | {target.image for target in family.ancestors(roots)}


def _answering(family: Family, facts: Facts) -> frozenset[str]:
    """The images of the version that a tag asks for, and what they stand on; none where it was made by dsci."""
    images = [image for image in family.images.values() if facts.asked and image.group == facts.asked.group]
    roots = [target for image in images for target in image.targets]
    return frozenset(image.name for image in images) | {target.image for target in family.ancestors(roots)}


def _overtaken(facts: Facts, group: str, version: semver.Version, base: Released | None) -> bool:
    """Whether a later commit holds a release of the group above its base; a prerelease overtakes prereleases alone."""
    return any(
        claim.tag.commit in facts.descendants
        and (version.prerelease or not claim.version.prerelease)
        and (base is None or claim.version > base.version)
        for claim in facts.claims[group]
    )


def _needed(family: Family, chosen: frozenset[str], superseded: Sequence[str]) -> frozenset[TargetId]:
    """The targets to speak of: for what a later commit has released already, nothing is done any more (rule 20)."""
    images = family.images
    roots = [
        target for target in family.nodes if target.image in chosen and images[target.image].group not in superseded
    ]
    return frozenset(roots) | family.ancestors(roots)


# ------------------------------------------------------------------------------------------------- what to do


def _verdicts(family: Family, facts: Facts, request: Request) -> tuple[dict[TargetId, Action], dict[TargetId, str]]:
    actions: dict[TargetId, Action] = {}
    reasons: dict[TargetId, str] = {}
    for target in family.order:
        actions[target], reasons[target] = _verdict(family, facts, target, actions, request)
    return actions, reasons


def _verdict(
    family: Family, facts: Facts, target: TargetId, actions: Mapping[TargetId, Action], request: Request
) -> tuple[Action, str]:
    """Build, test or reuse one target, and the first reason in the order that a person would look for one."""
    node, found = family.nodes[target], facts.found.get(target, Found())
    rebuilt = next((need for need in node.needs if actions[need] is Action.BUILD), None)
    if node.problem:
        return Action.BUILD, node.problem
    if path := facts.dirty.get(target):
        return Action.BUILD, f"uncommitted change: {path}"
    if request.force:
        return Action.BUILD, "forced"
    if found.image is None or rebuilt is not None:
        return Action.BUILD, _why_build(facts, target, found, rebuilt)
    receipt = found.tested or found.built
    if receipt is None:
        return Action.BUILD, "built without a receipt"
    for need in node.needs:
        image = facts.found[need].image
        if receipt.parents.get(str(need)) != str(image):
            return Action.BUILD, f"parent {need.image} was rebuilt"
    used = {(base.name, base.platform): base.digest for base in receipt.bases}
    for base in node.bases:
        if used.get((str(base.reference), str(base.platform))) != str(facts.pins[target].get(base.key)):
            return Action.BUILD, f"base {base.name} moved"
    if receipt.image != str(found.image):
        return Action.BUILD, "its receipt names another image"
    if found.tested is None:
        return Action.TEST, "suites changed" if facts.claims.get(family.images[target.image].group) else "not tested"
    if request.rerun:
        return Action.TEST, "asked for again"
    return Action.REUSE, "unchanged"


def _why_build(facts: Facts, target: TargetId, found: Found, rebuilt: TargetId | None) -> str:
    if change := facts.own_changes.get(target):
        return change
    if rebuilt is not None:
        return f"parent {rebuilt.image} is built"
    if why := facts.unpinned.get(target):
        return why
    if found.unknown:
        return f"unknown: {found.unknown}"
    return "never built"


# ---------------------------------------------------------------------------------------------- what to release


def _decisions(family: Family, facts: Facts, request: Request) -> dict[str, Decision]:
    """A decision per release group, parents first, so that children see what their parents do."""
    event = request.event
    if event.trigger is Trigger.TAG:
        return _by_tag(facts, event)
    groups = group_members(family.images.values())
    decisions: dict[str, Decision] = {}
    for name in family.image_order:
        group = family.images[name].group
        members = groups[group]
        if group in decisions or not all(member.release for member in members):
            continue
        needs = {need for member in members for need in family.image_needs(member.name)}
        above = sorted({family.images[need].group for need in needs} - {group})
        changed = [
            change for member in members for target in member.targets if (change := facts.own_changes.get(target))
        ]
        decisions[group] = version_model.decide(
            group,
            claims=facts.claims[group],
            since=facts.since[group],
            touched=facts.touched[group],
            source_changed=changed[0] if changed else "",
            parents=[decisions[parent] for parent in above if parent in decisions],
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


def _begin(family: Family, facts: Facts, decision: Decision, form: TagFormat, standing: TagNames) -> PlannedRelease:
    """A release that is not claimed yet."""
    version, group = decision.version, decision.group
    assert version is not None
    git_tag = form.render(group, version)
    claims = facts.claims[group]
    taken = next((claim for claim in claims if claim.version == version), None)
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
    return _planned(family, facts, decision, git_tag, facts.commit)


def _answer(family: Family, facts: Facts, decision: Decision, asked: Released) -> PlannedRelease:
    """A release that somebody asked for by making its tag by hand: it is claimed by a tag beside that one."""
    if asked.tag.commit != facts.commit:
        raise ConflictError(
            f"the Git tag {asked.tag.name} stands on {asked.tag.commit[:7]}, but HEAD is {facts.commit[:7]}",
            hint=f"check out the tag first: git switch --detach {asked.tag.name}",
        )
    release = _planned(family, facts, decision, asked.tag.name, asked.tag.commit)
    return msgspec.structs.replace(release, claim=f"{asked.tag.name}{BESIDE}")


def _planned(family: Family, facts: Facts, decision: Decision, git_tag: str, commit: str) -> PlannedRelease:
    version, group = decision.version, decision.group
    assert version is not None
    members = group_members(family.images.values())[group]
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
        entries=entries(decision.changes),
        since=decision.base.tag.name if decision.base else None,
    )


def _finish(family: Family, facts: Facts, pending: Pending) -> PlannedRelease:
    """A release that was claimed and cut off before all its tags stood."""
    claim = pending.claim
    members = group_members(family.images.values())[claim.group]
    planned = _all_tags(members, _subject(claim), facts.claims[claim.group])
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
    members: Sequence[Image], subject: Subject, claims: Sequence[Released]
) -> tuple[tags_model.PlannedTag, ...]:
    """The tags of all members, the default one's first; most often they are the same."""
    rules = dict.fromkeys(member.tag_rules for member in members)
    planned = [tag for each in rules for tag in tags_model.plan_tags(each, subject, _others(claims))]
    return tuple(sorted(dict.fromkeys(planned), key=lambda tag: tag.moving))


def release_tags(image: Image, claim: Released, claims: Sequence[Released]) -> tuple[tags_model.PlannedTag, ...]:
    """The tags that a claimed release should have now in an image's repositories, given all claims of its group."""
    return tags_model.plan_tags(image.tag_rules, _subject(claim), _others(claims))


def _subject(claim: Released) -> Subject:
    return Subject(sha=claim.tag.commit, version=claim.version, git_tag=claim.tag.name)


def _others(claims: Sequence[Released]) -> list[tags_model.Other]:
    return [tags_model.Other(claim.version, claim.tag.name) for claim in claims]


def _target(family: Family, facts: Facts, target: TargetId, action: Action, reason: str) -> PlannedTarget:
    node, found = family.nodes[target], facts.found.get(target, Found())
    pinned = facts.pins[target]
    pins = {base.name: pinned.get((str(base.reference), ANY)) or pinned.get(base.key) for base in node.bases}
    return PlannedTarget(
        id=str(target),
        image=target.image,
        platform=str(target.platform),
        key=facts.keys[target],
        source_key=facts.sources.full[target],
        action=str(action),
        reason=reason,
        parent=str(node.parent) if node.parent else None,
        needs=tuple(map(str, node.needs)),
        wave=family.waves[target],
        suites=tuple(suite.name for suite in family.suites(target)),
        suites_digest=facts.suites[target],
        bases={name: str(digest) for name, digest in pins.items() if digest is not None},
        digest=str(found.image) if found.image and action is not Action.BUILD else None,
        dirty=target in facts.dirty,
    )
