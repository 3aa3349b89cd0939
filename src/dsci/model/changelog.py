"""What a release brought, as values: entries of one line each, by kind, with their parents' entries folded in.

Commits become entries here; `notes` and `keepachangelog` write them down, `document` gives them to templates and
machines. Which commits belong to a release is `weigh`'s and the pipeline's to say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from dsci.model.commits import LAST_DATE, Change, Statement
from dsci.model.text import line

if TYPE_CHECKING:
    from dsci.model.links import Links
    from dsci.model.mentions import Mentions

SCHEMA = 1

#: What asks dsci or a CI system for something, and tells a reader nothing.
_REQUEST = re.compile(r"\[(?:skip (?:release|ci)|(?:release|ci) skip)\]", re.IGNORECASE)
_SUMMARY_LIMIT = 300
_SCOPE_LIMIT = 60


class Kind(StrEnum):
    """What an entry is about, in the order in which release notes tell it."""

    SECURITY = "security"
    FEATURE = "feature"
    FIX = "fix"
    PERFORMANCE = "performance"
    DEPRECATION = "deprecation"
    REVERT = "revert"
    DEPENDENCY = "dependency"
    OTHER = "other"


_BY_TYPE: Mapping[str, Kind] = {
    "security": Kind.SECURITY,
    "feat": Kind.FEATURE,
    "fix": Kind.FIX,
    "perf": Kind.PERFORMANCE,
    "deprecate": Kind.DEPRECATION,
    "revert": Kind.REVERT,
    "deps": Kind.DEPENDENCY,
}
#: Scopes that say more than the type: what Dependabot and Renovate write.
_BY_SCOPE: Mapping[str, Kind] = {
    "security": Kind.SECURITY,
    "deps": Kind.DEPENDENCY,
    "deps-dev": Kind.DEPENDENCY,
    "dependencies": Kind.DEPENDENCY,
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a changelog. Every text in it is one harmless line, and none of it is Markdown yet."""

    kind: Kind
    type: str = ""
    """The conventional type in lower case; empty where the commit has none."""
    scope: str = ""
    summary: str
    breaking: bool = False
    breaks: tuple[str, ...] = ()
    """What its `BREAKING CHANGE` footers say."""
    commits: tuple[str, ...]
    """The commits that say it, newest first."""
    requests: tuple[str, ...] = ()
    """Pull and merge requests, as `#12` or `!12`."""
    issues: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    """Names without addresses."""


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """A release of an image that another one stands on."""

    image: str
    version: str
    tag: str
    entries: tuple[Entry, ...]


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an image and what it brought."""

    image: str
    version: str
    tag: str
    """Its Git tag."""
    since: str = ""
    """The Git tag that its entries are counted from; empty for the first release."""
    commit: str
    when: int | None = None
    """When its commit was made, in seconds since the epoch; None where it is not released yet."""
    yanked: bool = False
    entries: tuple[Entry, ...] = ()
    moved: tuple[str, ...] = ()
    """Its direct dependencies that moved, and how far."""
    parents: tuple[Parent, ...] = ()
    """Releases that it stands on and its predecessor did not, nearest first."""
    reason: str = ""
    """Why there is a release, where it is known."""

    @property
    def stable(self) -> bool:
        """Whether it is no prerelease."""
        return "-" not in self.version.partition("+")[0]

    @property
    def date(self) -> str:
        """The day of its commit in UTC, as YYYY-MM-DD; empty where it is not released yet."""
        if self.when is None:
            return ""
        return datetime.fromtimestamp(min(max(self.when, 0), LAST_DATE), UTC).date().isoformat()

    @property
    def authors(self) -> tuple[str, ...]:
        """Who wrote its entries, by name."""
        names = {name.casefold(): name for entry in self.entries for name in entry.authors}
        return tuple(name for _, name in sorted(names.items()))


def entries(changes: Iterable[Change]) -> tuple[Entry, ...]:
    """The entries of these changes, newest first. What several commits say alike is said once, with all of them."""
    found: dict[tuple[str, str, str], list[Entry]] = {}
    for change in changes:
        for entry in _said(change):
            found.setdefault((entry.type, entry.scope, entry.summary), []).append(entry)
    return tuple(_joined(same) for same in found.values())


def _said(change: Change) -> Iterator[Entry]:
    from dsci.model.mentions import mentions

    mentioned = mentions(change.commit)
    if not change.statements:
        yield _entry(change, mentioned, None, first=True)
    for number, statement in enumerate(change.statements):
        yield _entry(change, mentioned, statement, first=number == 0)


def _entry(change: Change, mentioned: Mentions, statement: Statement | None, *, first: bool) -> Entry:
    from dsci.model.mentions import title

    summary, requests = title(_REQUEST.sub("", statement.summary if statement else change.summary))
    kind, scope = statement.type if statement else "", line(statement.scope if statement else "", _SCOPE_LIMIT)
    breaking = statement is not None and statement.breaking
    return Entry(
        kind=_kind(kind, scope),
        type=kind,
        scope=scope,
        summary=line(summary, _SUMMARY_LIMIT) or "(no subject)",
        breaking=breaking,
        breaks=mentioned.breaks if breaking and first else (),
        commits=(change.commit.sha,),
        requests=requests or mentioned.requests,
        issues=mentioned.issues if first else (),
        authors=mentioned.authors,
    )


def _kind(type_: str, scope: str) -> Kind:
    by_type = _BY_TYPE.get(type_, Kind.OTHER)
    return by_type if by_type in (Kind.REVERT, Kind.SECURITY) else _BY_SCOPE.get(scope.lower(), by_type)


def _joined(same: Sequence[Entry]) -> Entry:
    def all_of(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for entry in same for text in getattr(entry, name)))

    joined = {name: all_of(name) for name in ("commits", "requests", "issues", "authors", "breaks")}
    return msgspec.structs.replace(same[0], breaking=any(entry.breaking for entry in same), **joined)


def document(releases: Sequence[Release], links: Links, *, unreleased: Sequence[Release] = ()) -> dict[str, Any]:
    """Everything as one JSON document, with URLs where they are known. Texts are as they were written, no Markdown."""
    listed = {release.tag for release in (*releases, *unreleased)}
    return {
        "schema": SCHEMA,
        "repository": links.base or None,
        "releases": [_release(release, links, listed) for release in releases],
        "unreleased": [_release(release, links, listed) for release in unreleased],
    }


def _release(release: Release, links: Links, listed: Collection[str]) -> dict[str, Any]:
    return {
        "image": release.image,
        "version": release.version,
        "tag": release.tag,
        "since": release.since or None,
        "commit": release.commit,
        "date": release.date or None,
        "yanked": release.yanked,
        "url": url(release, links) or None,
        "reason": release.reason,
        "entries": [_linked(entry, links) for entry in release.entries],
        "dependencies": list(release.moved),
        "parents": [
            {
                "image": parent.image,
                "version": parent.version,
                "tag": parent.tag,
                "changes": len(parent.entries),
                "entries": [] if parent.tag in listed else [_linked(entry, links) for entry in parent.entries],
            }
            for parent in release.parents
        ],
        "authors": list(release.authors),
    }


def url(release: Release, links: Links) -> str:
    """The page that shows what a release changed: the comparison with the one before, else its tag."""
    after = release.tag if release.when is not None else "HEAD"
    if release.since:
        return links.compare(release.since, after)
    return links.tag(release.tag) if release.when is not None else ""


def _linked(entry: Entry, links: Links) -> dict[str, Any]:
    return {
        "kind": entry.kind.value,
        "type": entry.type,
        "scope": entry.scope,
        "summary": entry.summary,
        "breaking": entry.breaking,
        "breaks": list(entry.breaks),
        "authors": list(entry.authors),
        "commits": [{"sha": sha, "url": links.commit(sha) or None} for sha in entry.commits],
        "requests": [{"id": text, "url": links.request(text) or None} for text in entry.requests],
        "issues": [{"id": text, "url": links.issue(text) or None} for text in entry.issues],
    }
