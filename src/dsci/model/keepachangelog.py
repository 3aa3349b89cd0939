"""A changelog in the form of Keep a Changelog 1.1.0: its headings, its six groups, its links.

How an existing file takes up new sections is `changelogfile`'s affair. Entries are never left out here: the file is
what remains when forges are gone.

Source: https://keepachangelog.com/en/1.1.0/
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from dsci.model.changelog import Entry, Kind, Release, url
from dsci.model.links import Links
from dsci.model.markdown import escape
from dsci.model.notes import bullet, label, parent_line
from dsci.model.text import line

PREAMBLE = """\
# Changelog

All notable changes to this project will be documented in this file.

The format is based on [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).

## [Unreleased]
"""

GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_GROUP_OF: Mapping[Kind, str] = {
    Kind.FEATURE: "Added",
    Kind.FIX: "Fixed",
    Kind.PERFORMANCE: "Changed",
    Kind.DEPENDENCY: "Changed",
    Kind.OTHER: "Changed",
    Kind.DEPRECATION: "Deprecated",
    Kind.REVERT: "Removed",
    Kind.SECURITY: "Security",
}


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A list item, perhaps with others below it, and the commits that it tells of."""

    rows: tuple[str, ...]
    commits: tuple[str, ...] = ()

    def told_in(self, text: str, rows: Collection[str]) -> bool:
        """Whether a text (and its rows) tells of it already: by one of its commits, or in the same words."""
        return self.rows[0] in rows or any(sha[:7] in text for sha in self.commits)


def heading(release: Release, *, named: bool) -> str:
    """`## [1.2.3] - 2026-01-31`; the image's name stands before the version where several share the file."""
    yanked = " [YANKED]" if release.yanked else ""
    return f"## [{label(release, named=named)}] - {release.date}{yanked}"


def groups(
    releases: Sequence[Release], links: Links, *, listed: Collection[str] = (), named: bool = False
) -> Iterator[tuple[str, list[Item]]]:
    """What these releases brought, in Keep a Changelog's groups; what breaks stands first in each.

    One release's parents are told of; of those in `listed`, which have a section of their own, by one line. `named`
    puts the image before each item: several releases then share one section.
    """
    found: dict[str, list[tuple[bool, Item]]] = {name: [] for name in GROUPS}
    for release in releases:
        image = f"**{release.image}:** " if named else ""
        for entry in release.entries:
            found[_GROUP_OF[entry.kind]].append((not entry.breaking, _item(entry, links, image)))
        for text in release.moved:
            found["Changed"].append((True, Item(rows=(f"- {image}{escape(line(text, 300))}",))))
        for parent in release.parents if not named else ():
            below = [] if parent.tag in listed else [_item(entry, links, "") for entry in parent.entries]
            rows = (f"- {parent_line(parent)}", *(f"  {row}" for item in below for row in item.rows))
            found["Changed"].append((True, Item(rows=rows)))
    for name, items in found.items():
        if items:
            yield name, [item for _, item in sorted(items, key=lambda pair: pair[0])]


def _item(entry: Entry, links: Links, image: str) -> Item:
    mark = image + ("**Breaking:** " if entry.breaking else "") + ("Reverted: " if entry.kind is Kind.REVERT else "")
    return Item(rows=tuple(bullet(entry, links, mark=mark).split("\n")), commits=entry.commits)


def definitions(releases: Sequence[Release], links: Links, *, named: bool) -> Iterator[tuple[str, str]]:
    """The labels of these releases' headings and what they link to, those without a page left out."""
    for release in releases:
        if address := url(release, links):
            yield label(release, named=named), address


def unreleased_url(releases: Sequence[Release], links: Links) -> str:
    """What has happened since the newest stable of these releases, which are newest first."""
    newest = next((release for release in releases if release.stable), None)
    return links.compare(newest.tag, "HEAD") if newest else ""
