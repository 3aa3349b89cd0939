"""The body of one section of a changelog: what people wrote, what dsci writes, and how the two stand together.

What dsci writes between marks carries its digest. A person who edits it makes it theirs, without knowing of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dsci.model.changelogrows import BEGIN, END, bare, loud, trimmed
from dsci.model.hashing import sha256
from dsci.model.keepachangelog import Item

_GROUP = re.compile(r"\A#{3}[ \t]+(?P<title>[^#\s].*)\Z")
_WIDTH = 300


def marked(rows: Sequence[str], end: str) -> list[str]:
    """Generated rows between their marks."""
    return [
        f"<!-- dsci {_digest(rows)}: generated; once edited, it stays as it is -->{end}",
        end,
        *rows,
        end,
        END + end,
    ]


def by_hand(rows: Sequence[str]) -> list[str]:
    """A section's rows without what is generated. Once somebody has edited that, it is theirs, without the marks."""
    rows = list(rows)
    while True:
        begin, found = 0, None
        for number, row in enumerate(rows):
            if mark := BEGIN.match(bare(row)):
                begin, found = number, mark
            elif found is not None and bare(row) == END:
                inner = rows[begin + 1 : number]
                kept = [] if _digest(inner) == found[1] else inner
                rows[begin : number + 1] = kept
                break
        else:
            return rows


def _digest(rows: Iterable[str]) -> str:
    text = "\n".join(bare(row).rstrip() for row in rows if row.strip())
    return sha256(text.encode(errors="surrogateescape"))[:12]


def merged(hand: Sequence[str], generated: Sequence[tuple[str, list[str]]], end: str) -> list[str]:
    """What people wrote, with generated rows put below the groups that they belong to, or behind it all."""
    parts: list[tuple[str, list[str]]] = [("", [])]
    for row, shown in zip(hand, loud(hand), strict=True):
        group = _GROUP.match(bare(row)[:_WIDTH]) if shown else None
        if group is not None:
            parts.append((group["title"].rstrip("# \t").casefold(), []))
        parts[-1][1].append(row)
    for name, rows in generated:
        place = next((part for title, part in parts if title == name.casefold()), None)
        if place is None:
            parts.append((name.casefold(), [f"### {name}{end}", end, *rows]))
            continue
        there = trimmed(place)
        goes_on = there[-1].lstrip().startswith(("- ", "* ", "+ "))
        place[:] = [*there[:-1], _ended(there[-1], end), *([] if goes_on else [end]), *rows]
    result: list[str] = []
    for _, part in parts:
        rows = trimmed(part)
        result += [end, *rows] if result and rows else rows
    return [_ended(row, end) for row in result]


def _ended(row: str, end: str) -> str:
    return row if row.endswith("\n") else row + end


def left(groups: Iterable[tuple[str, list[Item]]], hand: Sequence[str], end: str) -> list[tuple[str, list[str]]]:
    """The rows of those items that people do not tell of already, by group."""
    text, told = "".join(hand), {bare(row) for row in hand}
    found = ((name, [item for item in items if not item.told_in(text, told)]) for name, items in groups)
    return [(name, [row + end for item in items for row in item.rows]) for name, items in found if items]
