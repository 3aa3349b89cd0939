"""How the packages of two images differ, told in one line, in Markdown and as JSON.

Names and versions are whatever stands in an image: in Markdown they are text and nothing else, in JSON as they were.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from dsci.model.inventory import System
from dsci.model.markdown import escape
from dsci.model.packagediff import Change, Difference, How, Side, normal
from dsci.model.packageorder import Reach
from dsci.model.text import line, whole

#: Of the JSON document.
SCHEMA = 1
#: How many packages of a kind are told one by one; direct dependencies all are.
LIMIT = 20

_COUNTED = (How.UPGRADED, How.DOWNGRADED, How.ADDED, How.REMOVED, How.REBUILT)
_FIRST = (How.DOWNGRADED, How.REMOVED, How.UPGRADED, How.ADDED, How.REBUILT)
_REACHES = (Reach.EPOCH, Reach.MAJOR, Reach.MINOR, Reach.PATCH, Reach.OTHER, None)
_WIDTH = 80
_FILES = 10
_BAR = re.compile(r"(?<!\\)\|")


def summary(difference: Difference) -> str:
    """One line of text: `12 upgraded, 1 downgraded, 3 added, 2 removed; Debian 12.4 → 12.5`."""
    parts = [_counts(difference.changes) or "no package changed"]
    if difference.moved:
        parts.append(_system(difference.before, difference.after))
    unread = len(difference.unread_before) + len(difference.unread_after)
    if unread:
        parts.append(f"incomplete, {unread} {'file' if unread == 1 else 'files'} could not be read")
    return "; ".join(parts)


def markdown(difference: Difference, *, direct: Collection[str] = (), limit: int = LIMIT) -> str:
    """The summary, a table for each kind, and what could not be read; `direct` names packages that come first."""
    blocks = [_cell(summary(difference), 1_000)]
    kinds: dict[str, list[Change]] = {}
    for change in difference.changes:
        kinds.setdefault(change.kind, []).append(change)
    for kind, changes in kinds.items():
        wanted = {normal(kind, name) for name in direct}
        blocks += _table(kind, changes, wanted, limit)
    for words, files in (("before", difference.unread_before), ("after", difference.unread_after)):
        if files:
            more = f" and {len(files) - _FILES} more" if len(files) > _FILES else ""
            names = ", ".join(_cell(file) for file in files[:_FILES])
            blocks.append(f"Not read in the image {words}, so more may differ: {names}{more}")
    return "\n\n".join(blocks) + "\n"


def document(difference: Difference) -> dict[str, Any]:
    """Everything as one JSON document; the same difference gives the same document."""
    kinds: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for change in difference.changes:
        lists = kinds.setdefault(change.kind, {how.value: [] for how in _COUNTED})
        lists[change.how].append(
            {
                "name": whole(change.name),
                "before": _shown(change.before),
                "after": _shown(change.after),
                "reach": change.reach and change.reach.value,
            }
        )
    return {
        "schema": SCHEMA,
        "summary": summary(difference),
        "complete": difference.complete,
        "unread": {
            "before": [whole(file) for file in difference.unread_before],
            "after": [whole(file) for file in difference.unread_after],
        },
        "system": {
            "moved": difference.moved,
            "before": _distribution(difference.before),
            "after": _distribution(difference.after),
        },
        "counts": {how.value: difference.count(how) for how in _COUNTED},
        "packages": kinds,
    }


def _shown(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "version": whole(side.version),
        "build": whole(side.build),
        "channel": whole(side.channel),
        "architectures": [whole(name) for name in side.architectures],
        "places": [whole(place) for place in side.places],
    }


def _distribution(system: System | None) -> dict[str, str] | None:
    return {"id": whole(system.id), "version": whole(system.version), "name": whole(system.name)} if system else None


def _counts(changes: Collection[Change]) -> str:
    numbers = {how: sum(change.how is how for change in changes) for how in _COUNTED}
    return ", ".join(f"{number} {how}" for how, number in numbers.items() if number)


def _system(before: System | None, after: System | None) -> str:
    """`Debian 12.4 → 12.5`, `Debian 12 → Ubuntu 24.04`."""
    old, new = _called(before), _called(after)
    if before and after and old[0] == new[0] and old[1] and new[1]:
        new = ("", new[1])
    return " → ".join(" ".join(part for part in words if part) for words in (old, new))


def _called(system: System | None) -> tuple[str, str]:
    """What people call a distribution, and its version."""
    if system is None:
        return ("no known distribution", "")
    name = re.split(r"\s+v?[0-9]", line(system.name, _WIDTH))[0].replace(" GNU/Linux", "")
    return (name or line(system.id, _WIDTH), line(system.version, _WIDTH))


def _table(kind: str, changes: Sequence[Change], direct: Collection[str], limit: int) -> list[str]:
    """A table: direct dependencies, then the most surprising changes; how many are left out, of each sort."""
    ordered = sorted(changes, key=lambda change: _rank(change, direct))
    count = max(limit, sum(normal(kind, change.name) in direct for change in ordered))
    rows = [
        f"| {_name(change)} | {_version(change, change.before)} | {_version(change, change.after)} | {_move(change)} |"
        for change in ordered[:count]
    ]
    blocks = [
        f"**{_cell(kind)}**: {_counts(changes)}",
        "\n".join(["| package | before | after | |", "|---|---|---|---|", *rows]),
    ]
    left = ordered[count:]
    return [*blocks, f"and {len(left)} more: {_counts(left)}"] if left else blocks


def _rank(change: Change, direct: Collection[str]) -> tuple[Any, ...]:
    name = normal(change.kind, change.name)
    return (name not in direct, _FIRST.index(change.how), _REACHES.index(change.reach), name)


def _name(change: Change) -> str:
    """The name, and which of several it is."""
    name = _cell(change.name)
    side = change.after or change.before
    if not change.several or side is None:
        return name
    where = [*side.architectures, *side.places]
    more = f" and {len(where) - _FILES} more" if len(where) > _FILES else ""
    return f"{name} ({', '.join(_cell(text) for text in where[:_FILES])}{more})" if where else name


def _version(change: Change, side: Side | None) -> str:
    """A version; of what was rebuilt also what tells the builds apart."""
    if side is None:
        return ""
    texts = [side.version]
    if change.how is How.REBUILT:
        texts += [side.build, side.channel, *side.architectures]
    return " ".join(_cell(text) for text in texts if text)


def _move(change: Change) -> str:
    return f"{change.how}, {change.reach}" if change.reach not in (None, Reach.OTHER) else change.how.value


def _cell(text: str, width: int = _WIDTH) -> str:
    """Somebody's text in a table; a bar would end its cell even inside code."""
    return _BAR.sub(r"\\|", escape(line(text, width), first=False))
