"""Versions: which are claimed, and what comes next.

Claims are Git tags; history since the last one, the image's own source and its parents' releases say how far the next
version moves (rule 14 of the semantics). Each bump carries its reason. Nothing is asked of a registry: a version
comes from Git alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import semver

from dsci.errors import ConfigError
from dsci.model.commits import Bump, Change, Commit
from dsci.model.config import VersioningSettings
from dsci.model.lines import Line
from dsci.model.oci import Digest, OciError, Platform
from dsci.model.tags import precedence
from dsci.model.weigh import Weighed, weigh

_ANY_BRANCH = Line()
_TRAILER = re.compile(r"^(Dsci-[A-Z][a-z]+): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A Git tag as Git tells it."""

    name: str
    oid: str
    commit: str
    message: str
    """Empty for a lightweight tag."""
    merged: bool
    """Whether HEAD can reach its commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A version that a Git tag claims. What dsci wrote into the tag's message is read back here."""

    group: str
    version: semver.Version
    tag: Tag
    digests: Mapping[str, Digest] = field(default_factory=dict)
    """The index digest of each member of the group; empty for a tag that dsci did not make."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The content key of each target."""
    bases: Mapping[tuple[str, Platform], Digest] = field(default_factory=dict)
    """What the external bases were."""

    @property
    def by_dsci(self) -> bool:
        """Whether dsci claimed it, so that its content is known."""
        return bool(self.digests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
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
    parents: tuple[tuple[str, str], ...] = ()
    """Parents released with it, and their versions."""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    """What the commits ask for and cannot have, or may have meant to say."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The commits that a release note speaks of."""
        return tuple(item.change for item in self.weighed if item.noted)


class TagFormat:
    """The shape of Git tags: `{image}-v{version}`, or any other with both fields."""

    def __init__(self, template: str, renamed: Mapping[str, str] | None = None) -> None:
        """`renamed` maps earlier names of images to the groups that they mean now."""
        self.template = template
        self.renamed = renamed or {}
        shape = re.escape(template).replace(r"\{image\}", "(?P<image>.+)")
        self._pattern = re.compile(shape.replace(r"\{version\}", r"(?P<version>[0-9]+\.[0-9]+\.[0-9]+[^/]*)"))

    @classmethod
    def of(
        cls, settings: VersioningSettings, groups: Sequence[str], renamed: Mapping[str, str] | None = None
    ) -> TagFormat:
        """The configured format, or the usual one. Raises ConfigError when several images would share tags."""
        template = settings.tag or ("v{version}" if len(groups) == 1 else "{image}-v{version}")
        if template.count("{image}") > 1 or (len(groups) > 1 and "{image}" not in template):
            raise ConfigError(
                f"versioning.tag: {template!r} must name {{image}} once, or several images would share a Git tag",
                hint="use {image} and {version}, such as {image}-v{version}",
            )
        return cls(template, renamed)

    def render(self, group: str, version: semver.Version) -> str:
        """The Git tag of a version."""
        return self.template.replace("{image}", group).replace("{version}", str(version))

    def read(self, name: str, groups: Sequence[str]) -> tuple[str, semver.Version] | None:
        """The group and version that a Git tag names; None for tags of other tools and other images."""
        match = self._pattern.fullmatch(name)
        if match is None:
            return None
        group = self.written(name) or groups[0]
        group = self.renamed.get(group, group)
        if group not in groups:
            return None
        try:
            return group, semver.Version.parse(match["version"])
        except ValueError:
            return None

    def written(self, name: str) -> str:
        """The image that stands in a Git tag, which may be an earlier name; empty where tags name none."""
        match = self._pattern.fullmatch(name)
        return match["image"] if match is not None and "{image}" in self.template else ""


def released(tags: Iterable[Tag], form: TagFormat, groups: Sequence[str]) -> Mapping[str, tuple[Released, ...]]:
    """The claimed versions of every group, newest version first."""
    found: dict[str, list[Released]] = {group: [] for group in groups}
    for tag in tags:
        named = form.read(tag.name, groups)
        if named is not None:
            found[named[0]].append(_read_claim(*named, tag, written=form.written(tag.name) or named[0]))
    return {
        group: tuple(sorted(claims, key=lambda claim: precedence(claim.version), reverse=True))
        for group, claims in found.items()
    }


def claim_trailers(
    digests: Mapping[str, Digest], keys: Mapping[str, str], bases: Mapping[tuple[str, Platform], Digest], *, group: str
) -> str:
    """The lines at the end of a tag's message that say what it claims; `released` reads them back."""
    lines = [
        f"Dsci-Digest: {digest}" + (f" {name}" if name != group else "") for name, digest in sorted(digests.items())
    ]
    lines += [f"Dsci-Key: {key} {target}" for target, key in sorted(keys.items())]
    lines += [f"Dsci-Base: {digest} {platform} {name}" for (name, platform), digest in sorted(bases.items())]
    return "\n".join(lines)


def _read_claim(group: str, version: semver.Version, tag: Tag, *, written: str) -> Released:
    digests: dict[str, Digest] = {}
    keys: dict[str, str] = {}
    bases: dict[tuple[str, Platform], Digest] = {}
    # Only the last paragraph: what stands above it was written by whoever wrote the commits.
    for name, value in _TRAILER.findall(tag.message.rstrip().rpartition("\n\n")[2]):
        first, _, rest = value.strip().partition(" ")
        try:
            if name == "Dsci-Digest":
                digests[rest or written] = Digest.parse(first)
            elif name == "Dsci-Key" and re.fullmatch("[0-9a-f]{64}", first):
                keys[rest] = first
            elif name == "Dsci-Base":
                platform, _, base = rest.partition(" ")
                bases[base, Platform.parse(platform)] = Digest.parse(first)
        except OciError:
            continue  # Somebody wrote a trailer by hand: a claim that cannot be read is one dsci did not make.
    return Released(group=group, version=version, tag=tag, digests=digests, keys=keys, bases=bases)


def next_version(current: semver.Version | None, bump: Bump, settings: VersioningSettings) -> semver.Version:
    """The version after a stable one. Before 1.0.0 a breaking change gives a minor version, unless configured."""
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
) -> Decision:
    """Whether a group is released now, and as what.

    `claims` are its versions, newest first. `since` are the changes after its last reachable stable release that may
    matter, newest first, and `known` all commits since then (None: theirs); `touched` are the changes that touch its
    inputs, `fresh` the shas of those that no release which counts here holds yet (None: all). `source_changed` says how
    its own source differs from that release ("" when it does not); `parents` are the decisions of the groups it stands
    on.
    """
    base, previous = stable(claims), last(claims, line)
    moved = [parent for parent in parents if parent.version is not None]
    pushing = moved if settings.propagate != "none" else []
    names = tuple((parent.group, str(parent.version)) for parent in moved)
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
            parents=names if version else (),
            reason=reason,
            warnings=tuple(warnings),
        )

    if line.other:
        return decision(Bump.NONE, None, f"the branch {line.branch} is for {line.other} alone")
    if line.major is not None and (base is None or not line.holds(base.version)):
        what = f"{base.version} is not of it" if base else "nothing of it is released yet"
        return decision(Bump.NONE, None, f"the branch {line.branch} releases {line.shown}, and {what}")
    asked = _asked_for(group, [each for each in since if fresh is None or each.commit.sha in fresh], touched, warnings)
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
        first = next_version(None, Bump.NONE, settings)
        version = max(first, begun) if begun else first
        return decision(Bump.NONE, version, "first release")
    reasons: list[tuple[Bump, str]] = []
    if source_changed and settings.floor == "patch":
        reasons.append((Bump.PATCH, source_changed))
    if source_changed:
        reasons += [(item.bump, _named(item.change)) for item in weighed]
    for parent in pushing:
        bump = max(parent.bump, Bump.PATCH) if settings.propagate == "same" else Bump.PATCH
        reasons.append((bump, f"parent {parent.group} {parent.version}"))
    if not reasons or max(bump for bump, _ in reasons) is Bump.NONE:
        return decision(Bump.NONE, None, "unchanged" if not source_changed else f"{source_changed} (no commit asks)")
    bump, reason = max(reasons, key=lambda item: item[0])
    following = next_version(base.version if base else None, bump, settings)
    return decision(bump, max(following, begun) if begun else following, reason)


def _begun(claims: Iterable[Released]) -> list[semver.Version]:
    """The versions that prereleases in this history are on the way to."""
    return [claim.version.finalize_version() for claim in claims if claim.tag.merged and claim.version.prerelease]


def _named(change: Change) -> str:
    """A commit as a reason names it."""
    return f"{change.commit.subject[:80]} ({change.commit.sha[:7]})"


def _asked_for(
    group: str, since: Sequence[Change], touched: Sequence[Change], warnings: list[str]
) -> tuple[semver.Version, Change] | None:
    """The newest `Release-As` that means this group: by name from any commit, unnamed from one that touches it.

    The newest one counts; if it is no version, that is told and no older one takes its place.
    """
    asked = (
        (change, text)
        for change in since
        for name, text in change.release_as
        if name == group or (name is None and change in touched)
    )
    change, text = next(asked, (None, ""))
    if change is None:
        return None
    if not semver.Version.is_valid(text):
        warnings.append(
            f"{group}: Release-As: {text[:80]} ({change.commit.sha[:7]}) is passed over: it is no version of three"
            " numbers, such as 1.2.0"
        )
        return None
    return semver.Version.parse(text), change


def difference(current: semver.Version | None, version: semver.Version) -> Bump:
    """How far apart two versions are."""
    if current is None:
        return Bump.NONE
    if version.major != current.major:
        return Bump.MAJOR
    return Bump.MINOR if version.minor != current.minor else Bump.PATCH
