"""The tags an image gets: rules, and what they say for a version.

A rule is a template such as `{major}.{minor}` or `latest`. A rule that names the whole version, or a commit, gives an
immutable tag; every other one floats, and moves only to the newest stable version of its line. Every tag is legal by
construction. Which images are released, and when tags are written, is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import semver

from dsci.errors import ConfigError
from dsci.model.numbers import CalVersion, parts, precedence
from dsci.model.reference import check_tag

DEFAULT_RULES = ("{version}", "{major}.{minor}", "{major}", "latest", "sha-{sha}")

#: Tags that begin so are dsci's own: content keys, receipts, release indexes.
RESERVED = "dsci-"

_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = ("version", "major", "minor", "patch", "sha")


@dataclass(frozen=True, slots=True, order=True)
class PlannedTag:
    """A tag that a release wants, and whether it may move later."""

    name: str
    moving: bool


@dataclass(frozen=True, slots=True)
class TagRule:
    """One template. `moving` tells a float from an immutable tag."""

    template: str

    @classmethod
    def parse(cls, text: str) -> TagRule:
        """Check a template. Raises ConfigError for unknown fields and for tags that could never be legal."""
        for field in _FIELD.findall(text):
            if field not in _FIELDS:
                raise ConfigError(
                    f"unknown field {{{field}}} in tag rule {text!r}", hint="known fields: " + ", ".join(_FIELDS)
                )
        sample = _FIELD.sub("1", text)
        if "{" in sample or "}" in sample:
            raise ConfigError(f"a lone brace in tag rule {text!r}")
        check_tag(sample)
        if sample.startswith(RESERVED):
            raise ConfigError(f"tag rule {text!r}: tags that begin with {RESERVED} are dsci's own")
        return cls(text)

    @property
    def _fields(self) -> frozenset[str]:
        return frozenset(_FIELD.findall(self.template))

    @property
    def exact(self) -> bool:
        """Whether the tag tells a prerelease from its release."""
        return bool(self._fields & {"version", "sha"})

    @property
    def moving(self) -> bool:
        """Whether two stable versions can want the same tag from this rule."""
        return not self.exact and not {"major", "minor", "patch"} <= self._fields

    def render(self, version: semver.Version, *, sha: str) -> str:
        """The tag for this version. `+` of build metadata becomes `_`, as tags know no `+`."""
        major, minor, patch = parts(version)
        values = {
            "version": str(version).replace("+", "_"),
            "major": major,
            "minor": minor,
            "patch": patch,
            "sha": sha[:12],
        }
        # A date may have fewer than three parts: no point is left behind for those that are not there.
        return check_tag(_FIELD.sub(lambda match: values[match[1]], self.template).rstrip("."))


def plan_tags(
    rules: Iterable[TagRule], version: semver.Version, others: Iterable[semver.Version], *, sha: str
) -> tuple[PlannedTag, ...]:
    """The tags of a release, immutable ones first, given every other claimed version of the image.

    A float is given only if no newer stable version wants the same one. A prerelease moves no float at all, and takes
    no tag that its release will want.
    """
    others = tuple(others)
    newer = [other for other in others if not other.prerelease and precedence(other) > precedence(version)]
    rules = tuple(rules)
    # A date such as 2026.02 may be a whole version and the beginning of another: then it names the version for ever.
    dates = [each for each in (version, *others) if isinstance(each, CalVersion)]
    whole = {rule.render(each, sha=sha) for rule in rules if rule.exact for each in dates}
    planned: dict[str, PlannedTag] = {}
    for rule in rules:
        name = rule.render(version, sha=sha)
        if rule.moving and name in whole:
            continue
        if version.prerelease and not rule.exact:
            continue
        if rule.moving and any(rule.render(other, sha=sha) == name for other in newer):
            continue
        planned.setdefault(name, PlannedTag(name, rule.moving))
    return tuple(sorted(planned.values(), key=lambda tag: tag.moving))
