"""Versions: what comes next, and why.

History since the last claim, the image's own source and its parents' releases say how far the next version moves
(rule 14 of the semantics). Each bump carries its reason. Nothing is asked of a registry: a version comes from Git
alone, and, where versions are dates, from the day on which it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import semver

from dsci.model.claims import Released
from dsci.model.commits import Bump, Change, Commit
from dsci.model.lines import Line
from dsci.model.numbers import CalVersion
from dsci.model.pins import Moved
from dsci.model.settings import VersioningSettings
from dsci.model.weigh import Weighed, weigh

_ANY_BRANCH = Line()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a group is released, as what, and why."""

    group: str
    bump: Bump
    version: semver.Version | None
    previous: Released | None
    """The release that it follows."""
    base: Released | None = None
    """The stable release that its version is counted from."""
    weighed: tuple[Weighed, ...] = ()
    """The commits that touched its inputs since the stable release, newest first, and what each is worth."""
    moved: tuple[Moved, ...] = ()
    """The direct dependencies that moved since the stable release, the most important first."""
    parents: tuple[tuple[str, str], ...] = ()
    """Parents released with it, and their versions."""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    """What the commits ask for and cannot have, or may have meant to say."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The commits that a release note speaks of."""
        return tuple(item.change for item in self.weighed if item.noted)


def next_version(
    current: semver.Version | None, bump: Bump, settings: VersioningSettings, *, now: int = 0
) -> semver.Version:
    """The version after a stable one: of the day `now`, or by the bump.

    Before 1.0.0 a breaking change gives a minor version, unless configured.
    """
    numbers = settings.numbers()
    if issubclass(numbers, CalVersion):
        return numbers.following(current, now)
    if current is None:
        return semver.Version.parse(settings.initial)
    if bump is Bump.MAJOR and current.major == 0 and not settings.major_on_zero:
        bump = Bump.MINOR
    match bump:
        case Bump.MAJOR:
            return current.bump_major()
        case Bump.MINOR:
            return current.bump_minor()
        case _:
            return current.bump_patch()


def newest(claims: Iterable[Released]) -> Released | None:
    """The newest release that HEAD can reach, a prerelease among them."""
    return next((claim for claim in claims if claim.tag.merged), None)


def stable(claims: Iterable[Released]) -> Released | None:
    """The newest stable release that HEAD can reach: what the next version is counted from."""
    return next((claim for claim in claims if claim.tag.merged and not claim.version.prerelease), None)


def last(claims: Iterable[Released], line: Line) -> Released | None:
    """The newest release that HEAD can reach and that counts on its branch: what a change is a change from."""
    return next((claim for claim in claims if claim.tag.merged and line.counts(claim.version)), None)


def decide(
    group: str,
    *,
    claims: Sequence[Released],
    since: Sequence[Change],
    touched: Sequence[Change],
    source_changed: str,
    parents: Sequence[Decision],
    settings: VersioningSettings,
    line: Line = _ANY_BRANCH,
    fresh: frozenset[str] | None = None,
    known: Mapping[str, Commit] | None = None,
    moved: Sequence[Moved] = (),
    names: frozenset[str] = frozenset(),
    now: int = 0,
) -> Decision:
    """Whether a group is released now, and as what.

    `claims` are its versions, newest first. `since` are the changes after its last reachable stable release that may
    matter, newest first, and `known` all commits since then (None: theirs); `touched` are the changes that touch its
    inputs, `fresh` the shas of those that no release which counts here holds yet (None: all). `source_changed` says how
    its own source differs from that release ("" when it does not); `parents` are the decisions of the groups it stands
    on. `moved` are its direct dependencies that moved since the stable release. `names` are its images, and `now` is
    the time of the run, in seconds since the epoch.
    """
    base, previous = stable(claims), last(claims, line)
    coming = [parent for parent in parents if parent.version is not None]
    pushing = coming if settings.propagate != "none" else []
    above = tuple((parent.group, str(parent.version)) for parent in coming)
    weighed = weigh(since, touched, known)
    new = [item for item in weighed if item.noted and (fresh is None or item.change.commit.sha in fresh)]
    warnings = [f"{_named(item.change)}: {text}" for item in new for text in item.change.warnings]

    def decision(bump: Bump, version: semver.Version | None, reason: str) -> Decision:
        return Decision(
            group=group,
            bump=bump,
            version=line.number(version, [claim.version for claim in claims]) if version else None,
            previous=previous,
            base=base,
            weighed=weighed,
            moved=tuple(moved),
            parents=above if version else (),
            reason=reason,
            warnings=tuple(warnings),
        )

    if line.other:
        return decision(Bump.NONE, None, f"the branch {line.branch} is for {line.other} alone")
    if line.major is not None and (base is None or not line.holds(base.version)):
        what = f"{base.version} is not of it" if base else "nothing of it is released yet"
        return decision(Bump.NONE, None, f"the branch {line.branch} releases {line.shown}, and {what}")
    asked = _asked_for(
        group,
        [each for each in since if fresh is None or each.commit.sha in fresh],
        touched,
        warnings,
        names=names | {group},
        numbers=settings.numbers(),
    )
    if asked is not None:
        version, change = asked
        current = max((claim.version for claim in (base, previous) if claim), default=None)
        if current is None or line.number(version, [claim.version for claim in claims]) > current:
            bump = difference(base.version if base else None, version)
            return decision(bump, version, f"Release-As: {version} ({change.commit.sha[:7]})")
        warnings.append(
            f"{group}: Release-As: {version} ({change.commit.sha[:7]}) is passed over: {current} is released already,"
            " and versions only grow"
        )
    if new and all(item.change.skip for item in new) and not pushing:
        return decision(Bump.NONE, None, f"deferred by [skip release] ({new[0].change.commit.sha[:7]})")
    begun = max((each for each in _begun(claims) if base is None or each > base.version), default=None)
    if previous is None and base is None:
        first = next_version(None, Bump.NONE, settings, now=now)
        version = max(first, begun) if begun else first
        return decision(Bump.NONE, version, "first release")
    reasons: list[tuple[Bump, str]] = []
    if source_changed and settings.floor == "patch":
        reasons.append((Bump.PATCH, source_changed))
    if source_changed:
        reasons += [(item.bump, _named(item.change)) for item in weighed]
        reasons += [(move.bump, move.why) for move in moved]
    for parent in pushing:
        bump = max(parent.bump, Bump.PATCH) if settings.propagate == "same" else Bump.PATCH
        reasons.append((bump, f"parent {parent.group} {parent.version}"))
    if not reasons or max(bump for bump, _ in reasons) is Bump.NONE:
        return decision(Bump.NONE, None, "unchanged" if not source_changed else f"{source_changed} (no commit asks)")
    bump, reason = max(reasons, key=lambda item: item[0])
    following = next_version(base.version if base else None, bump, settings, now=now)
    return decision(bump, max(following, begun) if begun else following, reason)


def answer(
    group: str,
    *,
    asked: Released,
    claims: Sequence[Released],
    since: Sequence[Change],
    touched: Sequence[Change],
    line: Line = _ANY_BRANCH,
    known: Mapping[str, Commit] | None = None,
    moved: Sequence[Moved] = (),
) -> Decision:
    """The decision that a tag made by hand has taken already; `claims` are the other versions."""
    base = stable(claims)
    return Decision(
        group=group,
        bump=difference(base.version if base else None, asked.version),
        version=asked.version,
        previous=last(claims, line),
        base=base,
        weighed=weigh(since, touched, known),
        moved=tuple(moved),
        reason=f"the Git tag {asked.tag.name} asks for it",
    )


def _begun(claims: Iterable[Released]) -> list[semver.Version]:
    """The versions that prereleases in this history are on the way to."""
    return [claim.version.finalize_version() for claim in claims if claim.tag.merged and claim.version.prerelease]


def _named(change: Change) -> str:
    """A commit as a reason names it."""
    return f"{change.commit.subject[:80]} ({change.commit.sha[:7]})"


def _asked_for(
    group: str,
    since: Sequence[Change],
    touched: Sequence[Change],
    warnings: list[str],
    *,
    names: frozenset[str],
    numbers: type[semver.Version],
) -> tuple[semver.Version, Change] | None:
    """The newest `Release-As` that means this group: by name from any commit, unnamed from one that touches it.

    The newest one counts; if it is no version, that is told and no older one takes its place.
    """
    asked = (
        (change, text)
        for change in since
        for name, text in change.release_as
        if name in names or (name is None and change in touched)
    )
    change, text = next(asked, (None, ""))
    if change is None:
        return None
    try:
        return numbers.parse(text), change
    except ValueError:
        such = numbers.shape if issubclass(numbers, CalVersion) else "1.2.0"
        warnings.append(
            f"{group}: Release-As: {text[:80]} ({change.commit.sha[:7]}) is passed over: it is no version such as"
            f" {such}"
        )
        return None


def difference(current: semver.Version | None, version: semver.Version) -> Bump:
    """How far apart two versions are."""
    if current is None:
        return Bump.NONE
    if version.major != current.major:
        return Bump.MAJOR
    return Bump.MINOR if version.minor != current.minor else Bump.PATCH
