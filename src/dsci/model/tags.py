"""The tags an image gets: rules, and what they say of a release or of a run.

A release's tags are immutable, or float and move only to the newest stable version of their line; they depend on the
version, its Git tag and its commit alone, so that every later run knows them too. A run's tags follow a branch, a
request or a schedule. Every tag is legal by construction. Which images are released, and when tags are written, is
decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
import semver
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import tagrecord, tagtemplate
from dsci.model.numbers import CalVersion, precedence
from dsci.model.tagname import RESERVED
from dsci.model.tagparts import Subject
from dsci.model.tagrule import Flavor, Guard, PlannedTag, TagRule

__all__ = [
    "DEFAULT_RULES",
    "RESERVED",
    "Flavor",
    "Guard",
    "Other",
    "PlannedTag",
    "Subject",
    "TagRule",
    "lines",
    "parse",
    "plan_tags",
    "ref_tags",
    "rules",
]

DEFAULT_RULES = ("{version}", "{major}.{minor}", "{major}", "latest", "sha-{sha}")
_USUAL = frozenset(DEFAULT_RULES)
_LATEST = "latest"


class Other(msgspec.Struct, frozen=True):
    """Another version that is claimed, and the Git tag that claims it."""

    version: semver.Version
    git_tag: str = ""
    held: bool = False
    """Whether it is passed over: it has no float, and keeps what it has for ever."""
    sha: str = ""
    """Its commit, where more than one version may stand on one: a prerelease, and what it was promoted to."""


def lines(given: str | Sequence[str]) -> tuple[str, ...]:
    """The rules of a setting: a list, or docker/metadata-action's block of lines with `#` before comments."""
    if not isinstance(given, str):
        return tuple(given)
    stripped = [line.strip() for line in given.splitlines()]
    return tuple(line for line in stripped if line and not line.startswith("#"))


def parse(text: str, flavor: Flavor = Flavor()) -> TagRule:  # noqa: B008  # it is frozen
    """Read one rule, a template or a line of docker/metadata-action. Raises ConfigError that quotes it."""
    if not tagrecord.is_line(text):
        return tagtemplate.parse(text, flavor)
    from dsci.model import tagline

    return tagline.parse(text, flavor)


def rules(given: str | Sequence[str], flavor: Flavor = Flavor()) -> tuple[TagRule, ...]:  # noqa: B008
    """The rules of an image. Raises ConfigError for one that means nothing, or that takes releases' names."""
    return _rules(tuple(lines(given)), flavor)


@lru_cache(maxsize=256)
def _rules(given: tuple[str, ...], flavor: Flavor) -> tuple[TagRule, ...]:
    """The same for lines. Most images of a family have the same, at every commit."""
    found = [rule for rule in (parse(line, flavor) for line in given) if rule.enabled]
    if flavor.latest == "false":
        found = [rule for rule in found if rule.source != _LATEST]
    elif flavor.latest == "true" or any(rule.implies_latest for rule in found):
        found.append(replace(parse(_LATEST, flavor), priority=-(10**9)))
    releases = [rule for rule in found if rule.guard is not Guard.REF]
    for rule in found:
        name = rule.constant if rule.guard is Guard.REF else ""
        other = next((each for each in releases if name and _gives(each, name)), None)
        if other is not None and not other.constant:
            raise ConfigError(
                f"tag rule {rule.source!r}: {name} could be a release's tag, by the rule {other.source!r}",
                hint="give it another prefix or suffix: a release's tag moves to other releases alone, or never",
            )
    return tuple(found)


def _gives(rule: TagRule, name: str) -> bool:
    """Whether a rule for releases could give this tag to one."""
    return re.fullmatch(rule.shape, name, re.DOTALL) is not None


def plan_tags(rules: Iterable[TagRule], subject: Subject, others: Iterable[Other]) -> tuple[PlannedTag, ...]:
    """The tags of a release, immutable ones first, given every other claimed version of the image.

    A float is given only if no newer stable version wants the same one that is not passed over, and no version at all
    has its name for ever. A prerelease moves no float, and takes no tag that its release will want.
    """
    version = subject.version
    if version is None:
        return ()
    order = precedence(version)
    wanted = [rule for rule in rules if rule.guard is not Guard.REF]
    if _USUAL.issuperset(rule.source for rule in wanted) and not isinstance(version, CalVersion):
        # By the default rules no older semantic version of another commit has a name that this one wants: hundreds
        # need no look.
        others = (other for other in others if other.sha == subject.sha or precedence(other.version) >= order)
    others = tuple(other for other in others if str(other.version) != str(version))
    rank = (order, str(version))
    planned = _ordered(wanted, (rule.plan(subject) for rule in wanted))
    # Who else wants these names: newer stable versions as floats, any version for ever (`2026.02` may be a whole
    # version and the beginning of another); of those that want one for ever the lowest has it.
    for other in others:
        theirs = replace(subject, version=other.version, git_tag=other.git_tag, sha=other.sha)
        their_rank = (precedence(other.version), str(other.version))
        for rule in wanted:
            tag = rule.plan(theirs)
            mine = planned.get(tag.name) if tag is not None else None
            if tag is None or mine is None:
                continue
            if mine.moving:
                lost = not tag.moving or (their_rank > rank and not other.held)
            else:
                lost = their_rank < rank and not tag.moving
            if lost:
                del planned[tag.name]
    return tuple(planned.values())


def _ordered(rules: Sequence[TagRule], tags: Iterable[PlannedTag | None]) -> dict[str, PlannedTag]:
    """The tags that rules gave by their names: immutable ones first, then by priority, then as written."""
    given = [(rule.priority, tag) for rule, tag in zip(rules, tags, strict=True) if tag is not None]
    planned: dict[str, PlannedTag] = {}
    for _, tag in sorted(given, key=lambda each: (each[1].moving, -each[0])):
        planned.setdefault(tag.name, tag)
    return planned


def ref_tags(
    rules: Iterable[TagRule],
    subject: Subject,
    *,
    releases: Iterable[Other] = (),
    suffixes: Iterable[str] = (),
) -> tuple[PlannedTag, ...]:
    """The tags that follow what this run is about: its branch, its request, its schedule; immutable ones first.

    A name that belongs to a release is never among them: a branch that would read so gets another name, and what a
    rule gives to one of `releases` is left out. `suffixes` are those that tell the tags of a group's members.
    """
    rules = tuple(rules)
    following = [rule for rule in rules if rule.guard is Guard.REF]
    if not following:
        return ()
    of_releases = [rule for rule in rules if rule.guard is not Guard.REF]
    endings = tuple(filter(None, suffixes))

    def taken(name: str) -> bool:
        return name.endswith(endings) or any(_gives(rule, name) for rule in of_releases)

    given = {rule.constant for rule in of_releases if rule.constant}
    for release in releases:
        theirs = replace(subject, version=release.version, git_tag=release.git_tag, sha="")
        given.update(tag.name for tag in (rule.plan(theirs) for rule in of_releases) if tag)
    planned = _ordered(following, (rule.plan(subject, taken=taken) for rule in following))
    return tuple(tag for tag in planned.values() if tag.name not in given)
