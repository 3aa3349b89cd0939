"""What tag rules are made of: fields, the texts between them, and what each says of a subject.

Both ways to write a rule, dsci's templates (`tagtemplate`) and docker/metadata-action's lines (`tagline`), become the
parts defined here; `tagrule` puts them together to names.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import semver

from dsci.model import foreign, tagname
from dsci.model.event import Event, Trigger
from dsci.model.numbers import parts as numbers_of
from dsci.model.tagname import Piece

if TYPE_CHECKING:
    from packaging.version import Version


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tagged: a commit, and the version released of it where there is one."""

    sha: str
    when: int = 0
    """The commit's date, in seconds since the epoch."""
    version: semver.Version | None = None
    git_tag: str = ""
    """The Git tag of the release."""
    event: Event = msgspec.field(default_factory=Event)
    """What set the run off; only what follows a ref depends on it."""

    @property
    def requested(self) -> bool:
        """Whether this is about a pull or merge request."""
        return self.event.trigger is Trigger.PULL_REQUEST


class Field(StrEnum):
    """What a part of a rule stands for."""

    TEXT = "text"
    VERSION = "version"
    RAW = "raw"
    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    SHA = "sha"
    TAG = "tag"
    MATCH = "match"
    PUSHED_TAG = "pushed-tag"
    BRANCH = "branch"
    BASE_REF = "base_ref"
    PR = "pr"
    DATE = "date"
    COMMIT_DATE = "commit_date"
    IS_DEFAULT_BRANCH = "is_default_branch"
    IS_NOT_DEFAULT_BRANCH = "is_not_default_branch"


#: The fields that say which version it is, each in full.
WHOLE = frozenset({Field.VERSION, Field.RAW, Field.TAG})
NUMBERS = (Field.MAJOR, Field.MINOR, Field.PATCH)
OF_VERSION = WHOLE | frozenset((*NUMBERS, Field.MATCH))
#: The fields that say something about the run, and not about the release.
OF_RUN = frozenset(Field) - OF_VERSION - {Field.TEXT, Field.SHA}
#: Those whose text somebody else chose.
FOREIGN = frozenset({Field.TAG, Field.MATCH, Field.PUSHED_TAG, Field.BRANCH, Field.BASE_REF, Field.PR})


class Part(msgspec.Struct, frozen=True):
    """A text or a field of a rule, with what the field needs to know."""

    field: Field
    text: str = ""
    """The text itself, or the format of a date."""
    zone: str = "UTC"
    length: int = 12
    """How much of a commit's id is shown."""


class Match(msgspec.Struct, frozen=True):
    """A regular expression (RE2) on a Git tag, and which of its groups counts."""

    pattern: str
    group: int = 1
    every: bool = False
    """Whether `group` counts matches (JavaScript's flag `g`) instead of groups."""

    def find(self, text: str) -> str | None:
        """What counts of a text; None where it does not match."""
        found = compiled(self.pattern)
        if self.every:
            return next((hit[0] for n, hit in enumerate(found.finditer(text)) if n == self.group), None)
        hit = found.search(text)
        return hit[self.group] if hit else None


class Scheme(StrEnum):
    """How the numbers of a version are read."""

    OWN = "own"
    """As the release has them."""
    SEMVER = "semver"
    PEP440 = "pep440"


def pieces(parts: tuple[Part, ...], subject: Subject, *, scheme: Scheme, match: Match | None) -> list[Piece] | None:
    """What each part says of a subject; None where one of them says nothing."""
    said: list[Piece] = []
    values = _version_values(subject, scheme, match)
    if scheme is not Scheme.OWN and not values:
        return None
    for part in parts:
        value = part.text if part.field is Field.TEXT else _value(part, subject, values)
        if value is None or (not value and part.field not in (Field.TEXT, Field.MINOR, Field.PATCH)):
            return None
        if not value and said and part.field is not Field.TEXT:
            # A date may have fewer than three parts: no point is left behind for those that are not there.
            said[-1] = Piece(said[-1].text.rstrip("."), said[-1].foreign)
        if part.field is Field.TAG:
            said += _git_tag(subject, value)
        else:
            said.append(Piece(value, part.field in FOREIGN, part.field is Field.SHA))
    return said


def _git_tag(subject: Subject, name: str) -> list[Piece]:
    """A Git tag; the `+` of the version that it ends in can be told from every other character."""
    number = str(subject.version)
    if "+" in number and name.endswith(number):
        return [Piece(name[: -len(number)], foreign=True), Piece(number.replace("+", "_"))]
    return [Piece(name, foreign=True)]


def _value(part: Part, subject: Subject, values: dict[Field, str | None]) -> str | None:
    event = subject.event
    match part.field:
        case Field.SHA:
            return subject.sha[: part.length]
        case Field.PUSHED_TAG:
            return event.tag
        case Field.BRANCH:
            return event.pushed
        case Field.BASE_REF:
            return event.branch if subject.requested else ""
        case Field.PR:
            return event.number if subject.requested else ""
        case Field.DATE:
            return _date(part, event.now)
        case Field.COMMIT_DATE:
            return _date(part, subject.when)
        case Field.IS_DEFAULT_BRANCH:
            return str(event.on_default_branch).lower()
        case Field.IS_NOT_DEFAULT_BRANCH:
            return str(not event.on_default_branch).lower()
    return values.get(part.field)


def _date(part: Part, when: int) -> str:
    from dsci.model import momentformat

    return momentformat.render(part.text, when, part.zone)


def _version_values(subject: Subject, scheme: Scheme, match: Match | None) -> dict[Field, str | None]:
    version = subject.version
    if version is None:
        return {}
    written = str(version)
    raw = f"v{written}" if subject.git_tag.endswith(f"v{written}") else written
    if match is not None and scheme is Scheme.OWN:
        return {Field.MATCH: match.find(subject.git_tag), Field.TAG: subject.git_tag}
    if match is not None:
        # A tag that does not match is read whole, as docker/metadata-action does.
        raw = (match.find(subject.git_tag) or subject.git_tag).replace("/", "-")
        if raw.strip().lstrip("=v") != written:
            return {}
    major, minor, patch = numbers_of(version)
    if scheme is Scheme.PEP440:
        number = pep440(written)
        if number is None:
            return {}
        written = str(number)
        major, minor, patch = str(number.major), str(number.minor), str(number.micro)
    return {
        Field.VERSION: written.replace("+", "_"),
        Field.RAW: raw.replace("+", "_"),
        Field.MAJOR: major,
        Field.MINOR: minor,
        Field.PATCH: patch,
        Field.TAG: subject.git_tag,
    }


def pep440(text: str) -> Version | None:
    """A version as Python packages have it; None for what is none. The rules are PEP 440's."""
    # Imported where it is wanted: few rules ask for it.
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """A regular expression of a rule. Raises IllegalPattern for what is none."""
    return foreign.compiled(pattern)


def shape(parts: tuple[Part, ...]) -> str:
    """A regular expression of the tags that these parts of a rule for releases can give, and of some more."""
    return "".join(_shape(part) for part in parts)


def _shape(part: Part) -> str:
    match part.field:
        case Field.TEXT:
            return re.escape(part.text).replace(r"\.", r"\.?")
        case Field.VERSION | Field.RAW:
            return f"(?:{tagname.VERSION})"
        case Field.MAJOR | Field.MINOR | Field.PATCH:
            return "[0-9.]*"
        case Field.SHA:
            return f"[0-9a-f]{{{part.length}}}"
    return r".*[0-9]\.[0-9].*"
