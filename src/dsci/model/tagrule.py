"""A tag rule: what it is made of, and the tag that it gives to a subject.

A rule is guarded in one of three ways, by what may move its tag. The two ways to write one down are `tagtemplate`'s and
`tagline`'s; which of the tags a release or a run gets is `tags`' to say.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Literal

import msgspec

from dsci.errors import ConfigError
from dsci.model import tagname, tagparts
from dsci.model.event import Trigger
from dsci.model.tagname import RESERVED
from dsci.model.tagparts import Field, Match, Part, Scheme, Subject


class Guard(StrEnum):
    """What may move a tag."""

    EXACT = "exact"
    """Nothing: it names one version for ever."""
    VERSION = "version"
    """A newer version of its line."""
    REF = "ref"
    """A later commit of what it follows: a branch, a request, a schedule."""


class Flavor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for all tags of an image; docker/metadata-action's input of this name."""

    latest: Literal["auto", "true", "false"] = "auto"
    """Whether releases move `latest`: as the rules imply (`auto`), in any case, or never."""
    prefix: str = ""
    """What stands before every tag whose rule gives no prefix of its own."""
    suffix: str = ""
    """What stands behind every tag whose rule gives no suffix of its own."""
    prefix_latest: bool = False
    """Whether the prefix stands before `latest` too."""
    suffix_latest: bool = False
    """Whether the suffix stands behind `latest` too."""


class PlannedTag(msgspec.Struct, frozen=True, order=True):
    """A tag that a release or a run wants, and whether it may move later."""

    name: str
    moving: bool


class TagRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, as `tags.parse` reads it."""

    source: str
    """The rule as it was written."""
    guard: Guard
    priority: int
    """Rules with a higher one come first."""
    parts: tuple[Part, ...]
    prerelease: tuple[Part, ...] = ()
    """What a prerelease gets instead; nothing where it is empty."""
    scheme: Scheme = Scheme.OWN
    match: Match | None = None
    implies_latest: bool = False
    """Whether releases that have such a rule move `latest` too, unless the flavor says otherwise."""
    enabled: bool = True
    scheduled: bool = False
    """Whether it is for scheduled runs alone."""
    edge: str | None = None
    """The branch it is for, where it is for one alone; empty for the repository's default branch."""
    on_default_branch: bool | None = None
    """Whether it is for the default branch alone, or for everything else."""

    @property
    def fields(self) -> frozenset[Field]:
        """What it names."""
        return frozenset(part.field for part in self.parts)

    @property
    def constant(self) -> str:
        """The one tag that it can give; empty where it depends on anything."""
        if self.fields != {Field.TEXT}:
            return ""
        return tagname.legal("".join(part.text for part in self.parts))

    @property
    def shape(self) -> str:
        """A regular expression of the tags that it can give to releases, and of some more."""
        return "|".join(tagparts.shape(parts) for parts in (self.parts, self.prerelease) if parts)

    def render(self, subject: Subject) -> str | None:
        """The tag for this subject; None where the rule says nothing about it."""
        planned = self.plan(subject)
        return planned.name if planned else None

    def plan(self, subject: Subject, *, taken: Callable[[str], bool] = lambda _: False) -> PlannedTag | None:
        """The tag for this subject, and whether it may move; None where the rule says nothing about it.

        `taken` tells further names that a ref must not get.
        """
        version = subject.version
        if not self.enabled or not self._applies(subject):
            return None
        early = self.guard is not Guard.REF and version is not None and bool(version.prerelease)
        parts = self.prerelease if early else self.parts
        pieces = tagparts.pieces(parts, subject, scheme=self.scheme, match=self.match)
        if not pieces:
            return None
        moving = not early and self.guard is not Guard.EXACT
        if self.guard is Guard.REF:
            moving = Field.SHA not in self.fields
        elif Field.MATCH in self.fields and self.guard is Guard.VERSION:
            # What was matched may be the whole version: then it is this release's for ever, and a prerelease's too.
            moving = not any(piece.foreign and piece.text.endswith(str(version)) for piece in pieces)
            if early and moving:
                return None
        name = tagname.assemble(pieces, self._clear_of(taken))
        return PlannedTag(name, moving) if name else None

    def _applies(self, subject: Subject) -> bool:
        if self.guard is not Guard.REF:
            return subject.version is not None
        event = subject.event
        if subject.requested and not self.fields & {Field.SHA, Field.PR}:
            # Whoever opens a request must not be able to move a name that does not say that it is a request's.
            return False
        if self.scheduled and event.trigger is not Trigger.SCHEDULE:
            return False
        if self.edge is not None and (not event.pushed or event.pushed != (self.edge or event.default_branch)):
            return False
        return self.on_default_branch in (None, event.on_default_branch)

    def _clear_of(self, taken: Callable[[str], bool]) -> Callable[[str], bool]:
        """Which names this rule must not give: a branch and a request may be called like anything else."""
        if not self.fields & {Field.BRANCH, Field.BASE_REF, Field.PR}:
            return lambda _: False
        reads_so = tagname.like_a_version if Field.PR in self.fields else tagname.like_another
        return lambda name: reads_so(name) or taken(name)

    def checked(self) -> TagRule:
        """The rule itself. Raises ConfigError for one that can give nothing, or nothing but dsci's own names."""
        sample = tagname.legal("".join(part.text if part.field is Field.TEXT else "1" for part in self.parts))
        if not sample:
            raise ConfigError(f"tag rule {self.source!r}: nothing of it is legal in a tag")
        if sample.startswith(RESERVED):
            raise ConfigError(f"tag rule {self.source!r}: tags that begin with {RESERVED} are dsci's own")
        refs = self.fields & {Field.BRANCH, Field.PR, Field.PUSHED_TAG}
        if len(refs) > 1:
            what = " and ".join(sorted(refs))
            raise ConfigError(f"tag rule {self.source!r}: no run is about {what} at once: it would never give a tag")
        return self
