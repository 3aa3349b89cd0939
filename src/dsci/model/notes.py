"""Release notes: one release's changes as Markdown for a forge's page, and as plain text for its Git tag.

What breaks stands first. Parents are folded: one line for each, with its own changes below where nothing else tells
them. The tag's message holds neither links nor authors nor anything else that depends on who runs dsci: two runners
that claim the same content must write the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from dsci.model.changelog import Entry, Kind, Parent, Release, url
from dsci.model.links import Links
from dsci.model.markdown import escape
from dsci.model.plan import PlannedRelease
from dsci.model.text import line

#: How many entries a release's page and a tag's message show: GitHub takes 125,000 characters.
LIMIT = 200
_PARENT_LIMIT = 50
#: How many commits one entry names.
_COMMITS = 3

_BREAKING = "Breaking changes"
_MOVED = "Dependencies that moved"
_TITLES = {
    Kind.SECURITY: "Security",
    Kind.FEATURE: "Features",
    Kind.FIX: "Fixes",
    Kind.PERFORMANCE: "Performance",
    Kind.DEPRECATION: "Deprecations",
    Kind.REVERT: "Reverts",
    Kind.DEPENDENCY: "Dependencies",
    Kind.OTHER: "Other changes",
}
NOTHING = "No change of its own."


def planned(releases: Sequence[PlannedRelease], *, when: int | None = None) -> tuple[Release, ...]:
    """The releases of a plan that are to be claimed, each with those of its parents in the plan, nearest first.

    `when` is their commit's date in seconds since the epoch, once they are claimed.
    """
    by_image = {item.image: item for item in releases if not item.claimed}
    return tuple(
        Release(
            image=item.image,
            version=item.version,
            tag=item.git_tag,
            since=item.since or "",
            commit=item.commit,
            when=when,
            entries=item.entries,
            moved=item.dependencies,
            parents=tuple(_above(item, by_image)),
            reason=item.reason,
        )
        for item in by_image.values()
    )


def _above(item: PlannedRelease, by_image: dict[str, PlannedRelease]) -> Iterator[Parent]:
    seen, todo = {item.image}, sorted(item.parents.items())
    while todo:
        further: list[tuple[str, str]] = []
        for name, version in todo:
            parent = by_image.get(name)
            if parent is None or name in seen:
                continue
            seen.add(name)
            yield Parent(image=name, version=version, tag=parent.git_tag, entries=parent.entries)
            further += sorted(parent.parents.items())
        todo = further


def grouped(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Entries under their titles: what breaks first, then each kind."""
    breaking = [entry for entry in entries if entry.breaking]
    if breaking:
        yield _BREAKING, breaking
    for kind, title in _TITLES.items():
        found = [entry for entry in entries if entry.kind is kind and not entry.breaking]
        if found:
            yield title, found


def _shown(entries: Sequence[Entry]) -> tuple[list[tuple[str, list[Entry]]], int]:
    """As many entries as are shown, under their titles, and how many more there are."""
    shown: list[tuple[str, list[Entry]]] = []
    left = LIMIT
    for title, found in grouped(entries):
        if left > 0:
            shown.append((title, found[:left]))
        left -= len(found)
    return shown, max(0, -left)


# --------------------------------------------------------------------------------------------------- Markdown


def release_notes(release: Release, links: Links, *, listed: Collection[str] = (), level: int = 3) -> str:
    """The body of a release's page. `listed` are Git tags whose changes are told elsewhere on the same page."""
    shown, hidden = _shown(release.entries)
    parts: list[str] = []
    for title, found in shown:
        parts.append(f"{'#' * level} {title}\n\n" + "\n".join(bullet(entry, links) for entry in found))
    if hidden:
        parts.append(f"… and {hidden} more.")
    if release.moved:
        rows = "\n".join(f"- {escape(line(text, 300))}" for text in release.moved[:LIMIT])
        parts.append(f"{'#' * level} {_MOVED}\n\n{rows}")
    if release.parents:
        parts.append(f"{'#' * level} Parents\n\n" + "\n".join(_folded(each, links, listed) for each in release.parents))
    if not parts:
        parts.append(nothing(release))
    if release.authors:
        parts.append("Authors: " + ", ".join(escape(name, first=False) for name in release.authors))
    if address := url(release, links):
        parts.append(_link(f"All changes since {release.since}" if release.since else release.tag, address))
    return "\n\n".join(parts) + "\n"


def book(releases: Sequence[Release], links: Links, *, named: bool) -> str:
    """The notes of several releases, one below the other; `named` says whether their headings name the image."""
    listed = {release.tag for release in releases}
    return "\n".join(
        f"## {heading(release, named=named)}\n\n{release_notes(release, links, listed=listed)}" for release in releases
    )


def nothing(release: Release) -> str:
    """What is said of a release that brought nothing of its own."""
    return escape(line(release.reason, 300)) or NOTHING


def heading(release: Release, *, named: bool) -> str:
    """`ml 1.2.3 (2026-01-31)`."""
    yanked = " [YANKED]" if release.yanked else ""
    return f"{label(release, named=named)} ({release.date or 'unreleased'}){yanked}"


def label(release: Release, *, named: bool) -> str:
    """What a release is called: `1.2.3`, or `ml 1.2.3` where several images are told of."""
    return f"{release.image} {release.version}" if named else release.version


def bullet(entry: Entry, links: Links, *, mark: str = "") -> str:
    """An entry as a list item, what breaks below it."""
    before = mark + (f"**{escape(entry.scope, first=False)}:** " if entry.scope else "")
    below = "".join(f"\n  - {escape(text)}" for text in entry.breaks)
    return f"- {before}{escape(entry.summary, first=not before)} ({', '.join(_references(entry, links))}){below}"


def parent_line(parent: Parent) -> str:
    """`python 2.0.0: 3 changes`."""
    count = len(parent.entries)
    told = "no change of its own" if count == 0 else f"{count} change{'s' if count > 1 else ''}"
    return f"{parent.image} {parent.version}: {told}"


def _references(entry: Entry, links: Links) -> Iterator[str]:
    for text in entry.requests:
        yield _link(text, links.request(text))
    for sha in entry.commits[:_COMMITS]:
        yield _link(sha[:7], links.commit(sha))
    if len(entry.commits) > _COMMITS:
        yield f"{len(entry.commits) - _COMMITS} more"
    for text in entry.issues:
        yield f"closes {_link(text, links.issue(text))}"


def _link(text: str, address: str) -> str:
    text = escape(text, first=False)
    return f"[{text}]({address})" if address else text


def _folded(parent: Parent, links: Links, listed: Collection[str]) -> str:
    if not parent.entries or parent.tag in listed:
        return f"- {parent_line(parent)}"
    lines = [bullet(entry, links) for entry in parent.entries[:_PARENT_LIMIT]]
    if len(parent.entries) > _PARENT_LIMIT:
        lines.append(f"- … and {len(parent.entries) - _PARENT_LIMIT} more")
    below = "\n".join(f"  {row}" for item in lines for row in item.split("\n"))
    return f"- <details><summary>{parent_line(parent)}</summary>\n\n{below}\n\n  </details>"


# -------------------------------------------------------------------------------------------------- plain text


def message(release: Release) -> str:
    """What the Git tag says, without a trailer: nothing of it can be taken for one."""
    shown, hidden = _shown(release.entries)
    parts = [f"{release.image} {release.version}"]
    parts += [f"{title}:\n" + "\n".join(map(_plain, found)) for title, found in shown]
    if hidden:
        parts.append(f"… and {hidden} more")
    if release.parents:
        parts.append("Parents:\n" + "\n".join(f"- {parent_line(parent)}" for parent in release.parents))
    if len(parts) == 1:
        parts.append(f"Because: {line(release.reason, 300)}" if release.reason else NOTHING)
    return "\n\n".join(parts)


def _plain(entry: Entry) -> str:
    scope = f"{entry.scope}: " if entry.scope else ""
    requests = "".join(f"{text}, " for text in entry.requests)
    below = "".join(f"\n  - {text}" for text in entry.breaks)
    return f"- {scope}{entry.summary} ({requests}{', '.join(sha[:7] for sha in entry.commits[:_COMMITS])}){below}"
