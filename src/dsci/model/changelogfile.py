"""A CHANGELOG.md, updated in place: what is missing is put in, what stands there stays.

Sections of versions that are there are never touched, whoever wrote them and however their headings look. A release
that is missing gets a section below those that are newer; a new stable one takes over what people wrote under
`[Unreleased]`. What dsci itself writes there stands between two marks with its digest: as long as nobody edits it, it
is written anew each time; once somebody does, it is theirs. Updating twice changes nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import semver

from dsci.model import changelogbody, changelogrows, keepachangelog
from dsci.model.changelog import Release
from dsci.model.changelogrows import UNRELEASED, Section, bare, definition, rows_of, trimmed, version_of
from dsci.model.links import Links
from dsci.model.notes import label, nothing
from dsci.model.numbers import precedence

_SINCE = re.compile(r"/compare/\S+\.\.\.HEAD\Z")


def update(
    text: str,
    releases: Sequence[Release],
    *,
    unreleased: Sequence[Release] = (),
    links: Links | None = None,
    named: bool = False,
    numbers: type[semver.Version] = semver.Version,
) -> str:
    """The file with these releases, newest first, in it; an empty text gives a new file.

    `unreleased` is what comes next, to stand under `[Unreleased]`. `named` puts images' names into headings: several
    share the file then; else its releases stand in the order of their versions, which are of the kind `numbers`.
    """
    text = text if text.strip("\ufeff \t\r\n") else keepachangelog.PREAMBLE
    return _File(text, releases, links or Links(), None if named else numbers).updated(unreleased)


def missing(
    text: str, releases: Sequence[Release], *, named: bool = False, numbers: type[semver.Version] = semver.Version
) -> tuple[Release, ...]:
    """Those of the releases that a file has no section of."""
    return tuple(_File(text, releases, Links(), None if named else numbers).absent)


class _File:
    """A changelog on its way to be updated."""

    def __init__(
        self, text: str, releases: Sequence[Release], links: Links, numbers: type[semver.Version] | None
    ) -> None:
        """`numbers` says how versions are ordered; None: several images share the file."""
        named = numbers is None
        if numbers is not None:
            releases = sorted(releases, key=lambda each: precedence(numbers.parse(each.version)), reverse=True)
        self.releases, self.links, self.named = releases, links, named
        self.end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
        self.names = _names(releases, named)
        rows = rows_of(text)
        start = changelogrows.tail_of(rows)
        self.sections = changelogrows.sections(rows[:start], self.names, numbers=numbers)
        self.tail = Section(name="", rows=rows[start:])
        present = {section.name for section in self.sections}
        self.absent = [release for release in releases if self._label(release) not in present]
        self.newness = _newness([self._label(release) for release in releases], present, numbers)

    def updated(self, unreleased: Sequence[Release]) -> str:
        """The whole text."""
        present = [row for part in (*self.sections, self.tail) for row in part.rows]
        self._insert()
        self._come(unreleased)
        self._define({found[0] for row in present if (found := definition(row))})
        rows: list[str] = []
        changed = False
        for part in (*self.sections, self.tail):
            if part.rows:
                if rows and rows[-1].strip() and (changed or part.changed):
                    rows.append(self.end)
                rows += part.rows
                changed = part.changed
        last = len(rows) - 1
        return "".join(row + self.end if n < last and not row.endswith("\n") else row for n, row in enumerate(rows))

    def _label(self, release: Release) -> str:
        return label(release, named=self.named)

    def _coming(self) -> Section | None:
        return next((section for section in self.sections if section.name == UNRELEASED), None)

    # ------------------------------------------------------------------------------------------------ sections

    def _insert(self) -> None:
        """Give every release that is missing its section."""
        coming, heir = self._coming(), self._heir()
        inherited: list[str] = []
        if coming is not None and heir is not None:
            inherited = trimmed(changelogbody.by_hand(coming.rows[1:]))
            if not changelogrows.whole(inherited):
                inherited = []
            if inherited:
                self._rewrite(coming, [], [])
        listed = {release.tag for release in self.releases} if self.named else set[str]()
        new: dict[int, list[Section]] = {}
        places = _places([section.name for section in self.sections], list(map(self._label, self.absent)), self.newness)
        for release, place in zip(self.absent, places, strict=True):
            items = keepachangelog.groups([release], self.links, listed=listed)
            hand = inherited if release is heir else []
            body = changelogbody.merged(hand, changelogbody.left(items, hand, self.end), self.end)
            body = body or [nothing(release) + self.end]
            rows = [keepachangelog.heading(release, named=self.named) + self.end, self.end, *body]
            new.setdefault(place, []).append(Section(name=self._label(release), rows=rows, changed=True))
        parts: list[Section] = []
        for place, section in enumerate(self.sections):
            parts += [*new.get(place, ()), section]
        self.sections = [*parts, *new.get(len(self.sections), ())]

    def _heir(self) -> Release | None:
        """The new release that takes over what people wrote under `[Unreleased]`.

        A prerelease does not: its stable release would not tell of it. Nor does any where several images have new
        ones: whose it is, a person must say.
        """
        there = [self.newness[section.name] for section in self.sections if section.name in self.newness]
        newest = max(there, default=-1)
        new = [each for each in self.absent if each.stable and self.newness[self._label(each)] > newest]
        return new[0] if len({release.image for release in new}) == 1 else None

    def _come(self, unreleased: Sequence[Release]) -> None:
        """Write what comes next below `[Unreleased]`, beside what people wrote there."""
        coming = self._coming()
        old = coming.rows[1:] if coming else []
        hand = trimmed(changelogbody.by_hand(old))
        listed = {release.tag for release in (*self.releases, *unreleased)} if self.named else set[str]()
        items = keepachangelog.groups(unreleased, self.links, listed=listed, named=self.named)
        rows = changelogbody.left(items, hand, self.end)
        if coming is None:
            if not rows:
                return
            coming = Section(name=UNRELEASED, rows=[f"## [Unreleased]{self.end}"])
            place = next((n for n, each in enumerate(self.sections) if each.name), len(self.sections))
            self.sections.insert(place, coming)
        elif not rows and hand == trimmed(old):
            return
        self._rewrite(coming, changelogbody.merged([], rows, self.end), hand)

    def _rewrite(self, coming: Section, generated: Sequence[str], hand: Sequence[str]) -> None:
        """Put a new body below a heading; empty rows at its end stay."""
        full = len(coming.rows) - next(n for n, row in enumerate(reversed(coming.rows)) if row.strip())
        heading, empty = coming.rows[0], coming.rows[full:]
        rows = [heading if heading.endswith("\n") else heading + self.end]
        if generated:
            rows += [self.end, *changelogbody.marked(generated, self.end)]
        if hand:
            rows += [self.end, *hand]
        coming.rows, coming.changed = [*rows, *empty], True

    # --------------------------------------------------------------------------------------------------- links

    def _define(self, defined: Collection[str]) -> None:
        """Complete the link definitions at the end of the file."""
        headings = {section.name: bare(section.rows[0]) for section in self.sections if section.name}
        wanted = {
            text: address
            for text, address in keepachangelog.definitions(self.releases, self.links, named=self.named)
            if text.casefold() not in defined and _refers(headings.get(text, ""), text)
        }
        labels = [found[0] if (found := definition(row)) else "" for row in self.tail.rows]
        names = [self.names.get(text, text if text == UNRELEASED else "") for text in labels]
        new: dict[int, list[str]] = {}
        for text, place in zip(wanted, _places(names, list(wanted), self.newness), strict=True):
            new.setdefault(place, []).append(f"[{text}]: {wanted[text]}{self.end}")
        since = "" if self.named else keepachangelog.unreleased_url(self.releases, self.links)
        if since and UNRELEASED not in defined and _refers(headings.get(UNRELEASED, ""), "Unreleased"):
            new.setdefault(0, []).insert(0, f"[unreleased]: {since}{self.end}")
        rows: list[str] = []
        for place, (row, text) in enumerate(zip(self.tail.rows, labels, strict=True)):
            rows += [*new.get(place, ()), self._since(row, since) if text == UNRELEASED else row]
        self.tail = Section(name="", rows=[*rows, *new.get(len(labels), ())], changed=bool(new))

    def _since(self, row: str, address: str) -> str:
        """The definition of `[unreleased]` from the newest release on; one that says something else stays."""
        shown = bare(row)
        old = shown.rpartition(" ")[2]
        if not address or not old.startswith(f"{self.links.base}/") or not _SINCE.search(old):
            return row
        return row.replace(old, address)


def _names(releases: Sequence[Release], named: bool) -> Mapping[str, str]:
    """What headings may call each release, in lower case: its label, its Git tag, its version with a `v`."""
    found: dict[str, str] = {}
    for release in releases:
        text = label(release, named=named)
        before = (f"{release.image} v", f"{release.image}@", f"{release.image}-v") if named else ("v",)
        for other in (text, release.tag, *(start + release.version for start in before)):
            found.setdefault(other.casefold(), text)
    return found


def _newness(
    labels: Sequence[str], present: Collection[str], numbers: type[semver.Version] | None
) -> Mapping[str, int]:
    """How new each name is among the others: by version, or for several images by their place in history."""
    if numbers is None:
        return {text: len(labels) - place for place, text in enumerate(labels)}
    versions = {name: version for name in {*labels, *present} if (version := version_of(name, numbers)) is not None}
    order = sorted(versions, key=lambda name: (precedence(versions[name]), name))
    return {name: place for place, name in enumerate(order)}


def _places(names: Sequence[str], new: Sequence[str], newness: Mapping[str, int]) -> list[int]:
    """Before which of these names each new one (newest first) stands: the first older one, else behind the versions."""
    known = [(place, newness[name]) for place, name in enumerate(names) if name in newness]
    highest = max((rank for _, rank in known), default=-1)
    coming = names.index(UNRELEASED) + 1 if UNRELEASED in names else len(names)
    places: list[int] = []
    at = 0
    for name in new:
        while at < len(known) and known[at][1] > newness[name]:
            at += 1
        place = known[at][0] if at < len(known) else known[-1][0] + 1 if known else len(names)
        # What is newer than everything stands right below `[Unreleased]`.
        places.append(min(coming, place) if newness[name] > highest else place)
    return places


def _refers(heading: str, text: str) -> bool:
    """Whether a heading refers to a definition of this label."""
    return f"[{text.casefold()}]" in heading.casefold() and "](" not in heading
