"""Which tags of a repository follow branches and requests, and which of them still do.

`following` says which names a run gives; here the question is the other way round, for what an age is to decide: a
name that stands in a registry is a live branch's, reads like one that a rule of tags gives, or is somebody else's.
What could be a release's name, or follows a Git tag, is never taken for one of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from dsci.model import tagname
from dsci.model.event import Event, Trigger
from dsci.model.family import Family, Image
from dsci.model.following import refs_of
from dsci.model.reference import Repository
from dsci.model.retention import Rule
from dsci.model.tagparts import Field, Part
from dsci.model.tagrule import Guard

#: What tells a name apart that could not be kept (`tagname.assemble`).
_TOLD_APART = r"(?:-[0-9a-f]{12})?"
_OF_REQUESTS = frozenset({Field.PR, Field.BASE_REF})


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The names that follow runs in one repository."""

    live: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Those that live branches give now, and whose each is."""
    shapes: tuple[tuple[Rule, str], ...] = ()
    """Regular expressions of those that rules give, and what decides how long they stay; the first one counts."""
    releases: frozenset[tuple[str, str]] = frozenset()
    """Regular expressions of those that rules can give to releases, each with the end that a variant's have."""

    def rule(self, tag: str) -> Rule | None:
        """What decides how long a tag stays; None where it follows no run."""
        if tag in self.live:
            return Rule.BRANCHES
        if tagname.like_a_version(tag):
            return None
        if any(tag.endswith(end) and re.fullmatch(shape, tag[: len(tag) - len(end)]) for shape, end in self.releases):
            return None
        return next((rule for rule, shape in self.shapes if re.fullmatch(shape, tag)), None)

    def __or__(self, other: Names) -> Names:
        return Names(
            live={**self.live, **other.live},
            shapes=tuple(sorted({*self.shapes, *other.shapes}, key=lambda each: (each[0] is Rule.BRANCHES, each))),
            releases=self.releases | other.releases,
        )


def names_of(
    family: Family, branches: Iterable[str], *, commit: str, default_branch: str, now: int
) -> Mapping[Repository, Names]:
    """What the images of a commit say of the names in their repositories; `branches` have it for their tip.

    `now` is in seconds. The commit's date is not asked for: a name that has it goes by its age, as any day's does.
    """
    found: dict[Repository, Names] = {}
    for image in family.images.values():
        for repository in image.repositories:
            found[repository] = found.get(repository, Names()) | _read(image)
    for branch in branches:
        for trigger in (Trigger.BRANCH, Trigger.SCHEDULE):
            event = Event(trigger=trigger, branch=branch, default_branch=default_branch, now=now)
            claims = dict.fromkeys(family.groups, ())
            for ref in refs_of(family, commit=commit, when=0, event=event, claims=claims):
                live = Names(live=dict.fromkeys(ref.tags, f"the branch {branch}"))
                for repository in family.images[ref.image].repositories:
                    found[repository] |= live
    return found


def _read(image: Image) -> Names:
    """What an image's rules can give."""
    shapes: list[tuple[Rule, str]] = []
    live: dict[str, str] = {}
    for rule in image.tag_rules:
        if rule.guard is not Guard.REF or Field.PUSHED_TAG in rule.fields:
            continue
        if rule.constant:
            live[tagname.suffixed(rule.constant, image.suffix)] = f"the rule {rule.source}"
            continue
        kind = Rule.REQUESTS if rule.fields & _OF_REQUESTS else Rule.BRANCHES
        kind = Rule.COMMITS if Field.SHA in rule.fields else kind
        shape = "".join(map(_shape, rule.parts))
        if kind is not Rule.REQUESTS:
            shape = f"(?:ref-)?{shape}{_TOLD_APART}"
        elif tagname.like_a_version("".join(part.text or "1" for part in rule.parts)):
            shape += _TOLD_APART
        shapes.append((kind, f"{shape}{re.escape(image.suffix)}"))
    releases = {(rule.shape, image.suffix) for rule in image.tag_rules if rule.guard is not Guard.REF}
    return Names(live=live, shapes=tuple(shapes), releases=frozenset(releases))


def _shape(part: Part) -> str:
    """A regular expression of what a part of a rule for runs can give."""
    match part.field:
        case Field.TEXT:
            return re.escape(re.sub(r"[^A-Za-z0-9_.-]+", "-", part.text))
        case Field.SHA:
            return f"[0-9a-f]{{{part.length}}}"
        case Field.PR:
            return "[0-9]+"
        case Field.IS_DEFAULT_BRANCH | Field.IS_NOT_DEFAULT_BRANCH:
            return "(?:true|false)"
    return ".+"
