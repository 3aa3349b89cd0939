"""How two releases differ, for people: as text, as Markdown, and for programs as a JSON document (docs/inventory.md).

Names and versions are whatever stands in an image: in Markdown they are text and nothing else, in JSON as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsci.model import changelog, notes, packagenotes
from dsci.model.imagediff import Contents, ImageDifference, Moved, PlatformDifference, Side, Size
from dsci.model.inventory import Base
from dsci.model.links import Links
from dsci.model.markdown import escape
from dsci.model.packagediff import Change, How
from dsci.model.packageorder import Reach
from dsci.model.quantities import amount
from dsci.model.text import line, whole

SCHEMA = 1
_WIDTH = 200
_NONE = "nothing"

Row = tuple[str, ...]


def title(difference: ImageDifference) -> str:
    """`ml 1.4.0 → 1.5.2`."""
    before, after = difference.before, difference.after
    named = f"{after.image} " if after.image != before.image else ""
    return f"{before.image} {before.version} → {named}{after.version}"


def facts(contents: Contents) -> Iterator[Row]:
    """What is told before the packages: a word, and what became of it."""
    base = _base(contents.base_before), _base(contents.base_after)
    if base[0] != base[1]:
        yield "base", f"{base[0]} → {base[1]}"
    for moved in contents.moved:
        yield _called(moved), f"{_versions(moved.before)} → {_versions(moved.after)}"
    before, after = contents.size_before, contents.size_after
    yield "size", f"{_change(before.compressed, after.compressed)} compressed"
    yield "unpacked", _change(before.unpacked, after.unpacked)
    yield "packages", packagenotes.summary(contents.packages)


def rows(contents: Contents) -> Iterator[Row]:
    """A line for each package that is not the same: its kind and name, what became of it, from what to what."""
    for change in contents.packages.changes:
        reach = f", {change.reach}" if change.reach not in (None, Reach.OTHER) else ""
        yield change.kind, _name(change), f"{change.how}{reach}", _versions_of(change)


def said(each: PlatformDifference) -> str:
    """What there is to say of a platform where nothing is compared; "" where something is."""
    if each.contents is not None:
        return ""
    if each.before == each.after:
        return "the same image"
    return "only the first one is there for it" if each.before else "only the second one is there for it"


def markdown(difference: ImageDifference, links: Links, *, level: int = 2) -> str:
    """All of it as Markdown, below a heading of this level."""
    mark = "#" * level
    parts = [f"{mark} {escape(title(difference))}"]
    for each in difference.platforms:
        parts.append(f"{mark}# {escape(each.platform)}")
        if each.contents is None:
            parts.append(f"{said(each)[0].upper()}{said(each)[1:]}.")
            continue
        parts.append(
            "\n".join(
                f"- {escape(line(name, _WIDTH))}: {escape(line(text, 2 * _WIDTH), first=False)}"
                for name, text in facts(each.contents)
                if name != "packages"
            )
        )
        parts.append(packagenotes.markdown(each.contents.packages).rstrip("\n"))
    if difference.releases:
        several = len({release.image for release in difference.releases}) > 1
        listed = {release.tag for release in difference.releases}
        parts.append(f"{mark}# Commits")
        for release in difference.releases:
            told = notes.release_notes(release, links, listed=listed, level=level + 3).rstrip("\n")
            parts.append(f"{mark}## {notes.heading(release, named=several)}\n\n{told}")
    return "\n\n".join(parts) + "\n"


def document(difference: ImageDifference, links: Links) -> Mapping[str, Any]:
    """All of it for programs."""
    return {
        "schema": SCHEMA,
        "differs": bool(difference),
        "before": _side(difference.before),
        "after": _side(difference.after),
        "platforms": [
            {
                "platform": each.platform,
                "before": each.before or None,
                "after": each.after or None,
                "contents": _contents(each.contents) if each.contents else None,
            }
            for each in difference.platforms
        ],
        "releases": changelog.document(difference.releases, links)["releases"],
    }


def _side(side: Side) -> Mapping[str, str]:
    return {name: getattr(side, name) for name in side.__struct_fields__}


def _contents(contents: Contents) -> Mapping[str, Any]:
    return {
        "base": {"before": _base_of(contents.base_before), "after": _base_of(contents.base_after)},
        "size": {
            "before": _size_of(contents.size_before),
            "after": _size_of(contents.size_after),
        },
        "moved": [
            {
                "what": moved.what,
                "name": whole(moved.name),
                "before": [whole(text) for text in moved.before],
                "after": [whole(text) for text in moved.after],
            }
            for moved in contents.moved
        ],
        "packages": packagenotes.document(contents.packages),
    }


def _base_of(base: Base | None) -> Mapping[str, str] | None:
    return {"name": whole(base.name), "digest": whole(base.digest)} if base else None


def _size_of(size: Size) -> Mapping[str, int]:
    return {"compressed": size.compressed, "unpacked": size.unpacked}


def _base(base: Base | None) -> str:
    return "@".join(part for part in (base.name, base.digest) if part) if base else "not told"


def _called(moved: Moved) -> str:
    return moved.name if moved.what == "language" else f"{moved.what} {moved.name}"


def _versions(versions: Sequence[str]) -> str:
    return ", ".join(versions) or _NONE


def _name(change: Change) -> str:
    side = change.after or change.before
    if not change.several or side is None:
        return change.name
    where = ", ".join((*side.architectures, *side.places))
    return f"{change.name} ({where})" if where else change.name


def _versions_of(change: Change) -> str:
    """`1.0 → 1.1`; of what was rebuilt, with what tells the builds apart."""
    sides = []
    for side in (change.before, change.after):
        if side is not None:
            more = (side.build, side.channel, *side.architectures) if change.how is How.REBUILT else ()
            sides.append(" ".join(part for part in (side.version, *more) if part))
    return " → ".join(sides)


def _change(before: int, after: int) -> str:
    """`70.1 MB → 75.0 MB (+7.0 %)`."""
    if before == after:
        return f"{amount(before)}, as before"
    share = f"{100 * (after - before) / before:+.1f} %" if before else f"+{amount(after)}"
    return f"{amount(before)} → {amount(after)} ({share})"
