"""A changelog's rows, parted into what dsci must know of a file that people write: its sections and its links.

Rows keep their ends as they are, `\\n` or `\\r\\n`. Headings count where Markdown would show them: not in fenced code
and not in comments. A fence or comment that nobody closes hides nothing: what is put in below must be found again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import semver

#: What dsci writes stands between these.
BEGIN = re.compile(r"\A<!-- dsci ([0-9a-f]{12}): generated; once edited, it stays as it is -->\Z")
END = "<!-- dsci: end -->"
_FENCE = re.compile(r"\A(?P<run>`{3,}|~{3,})(?P<info>.*)\Z")
_HEADING = re.compile(r"\A(?P<level>#{1,3})[ \t]+(?P<title>\S.*)\Z")
#: What follows the version in a heading without brackets: a date, a title, a link.
_BEHIND = re.compile(r"[ \t][-–—/:(\[]|\(|[ \t]#+\Z")
_DEFINITION = re.compile(r"\A {0,3}\[(?P<label>[^\]\\]+)\]:[ \t]*(?P<url>\S+)")
_WIDTH = 300
UNRELEASED = "unreleased"


class Section(msgspec.Struct, kw_only=True):
    """A part of a changelog: a version's, `[Unreleased]`'s, or with an empty name any other."""

    name: str
    rows: list[str]
    changed: bool = False
    """Whether dsci wrote it, wholly or in part."""


def rows_of(text: str) -> list[str]:
    """The rows of a text with their ends; only a line feed ends one."""
    rows = text.split("\n")
    return [f"{row}\n" for row in rows[:-1]] + ([rows[-1]] if rows[-1] else [])


def bare(row: str) -> str:
    """A row without its end and without a byte order mark."""
    return row.rstrip("\r\n").lstrip("\ufeff")


def trimmed(rows: Sequence[str]) -> list[str]:
    """Rows without the empty ones at both ends."""
    full = [number for number, row in enumerate(rows) if row.strip()]
    return list(rows[full[0] : full[-1] + 1]) if full else []


def loud(rows: Sequence[str]) -> list[bool]:
    """Of each row, whether a heading in it is one."""
    found, number = [True] * len(rows), 0
    hopeless: dict[str, int] = {}
    while number < len(rows):
        end = _closed(rows, number, hopeless)
        found[number : end + 1] = [number == end] * (end + 1 - number)
        number = end + 1
    return found


def whole(rows: Sequence[str]) -> bool:
    """Whether what begins in these rows ends in them: code or a comment that does not would swallow what follows."""
    number, hopeless = 0, dict[str, int]()
    while number < len(rows):
        end = _closed(rows, number, hopeless)
        if end == number and _opened(rows[number]) is not None:
            return False
        number = end + 1
    return True


def _opened(row: str) -> tuple[str, int] | None:
    """The sign and the length of what begins in a row: a fence of code, or (`<`) a comment; None for any other row."""
    text = bare(row).strip()
    fence = _FENCE.match(text)
    if fence is not None and not (fence["run"][0] == "`" and "`" in fence["info"]):
        return fence["run"][0], len(fence["run"])
    return ("<", 0) if text.startswith("<!--") and "-->" not in text else None


def _closed(rows: Sequence[str], start: int, hopeless: dict[str, int]) -> int:
    """Where the code or comment that begins in a row ends; the row itself where none does.

    `hopeless` remembers what nothing closes any more, so that a file is read once.
    """
    opened = _opened(rows[start])
    if opened is None:
        return start
    sign, length = opened
    if length >= hopeless.get(sign, length + 1):
        return start
    for number in range(start + 1, len(rows)):
        below = bare(rows[number]).strip()
        if sign == "<" and "-->" in below and below != END and not BEGIN.match(below):
            return number
        if sign != "<" and len(below) >= length and below == sign * len(below):
            return number
    hopeless[sign] = length
    return start


# --------------------------------------------------------------------------------------------------- sections


def sections(
    rows: Sequence[str], names: Mapping[str, str], *, numbers: type[semver.Version] | None = None
) -> list[Section]:
    """The file's parts, the first one without a heading.

    `names` gives what headings may call a section, in lower case, and its name; with `numbers`, a heading of any
    version of that kind is one as well.
    """
    parts = [Section(name="", rows=[])]
    for row, shown in zip(rows, loud(rows), strict=True):
        heading = _HEADING.match(bare(row)[:_WIDTH]) if shown else None
        if heading is not None:
            name = _name(heading["title"], names, numbers)
            if name or heading["level"] == "##":
                parts.append(Section(name=name, rows=[]))
        parts[-1].rows.append(row)
    return parts


def _name(title: str, names: Mapping[str, str], numbers: type[semver.Version] | None) -> str:
    text = title[1:].partition("]")[0] if title.startswith("[") else _BEHIND.split(title, maxsplit=1)[0]
    text = " ".join(text.split())
    if text.casefold() == UNRELEASED:
        return UNRELEASED
    if text.casefold() in names:
        return names[text.casefold()]
    number = text.removeprefix("v")
    return number if numbers is not None and version_of(number, numbers) is not None else ""


def version_of(text: str, numbers: type[semver.Version]) -> semver.Version | None:
    """The version that a text is; None where it is none."""
    try:
        return numbers.parse(text)
    except ValueError:
        return None


def tail_of(rows: Sequence[str]) -> int:
    """Where the link definitions at the end of a file begin; its end where there are none."""
    shown, start = loud(rows), len(rows)
    for number in range(len(rows) - 1, -1, -1):
        if rows[number].strip():
            if not shown[number] or definition(rows[number]) is None:
                break
            start = number
    return start


def definition(row: str) -> tuple[str, str] | None:
    """The label, in lower case, and the URL of a link definition."""
    found = _DEFINITION.match(bare(row)[:_WIDTH])
    return (" ".join(found["label"].casefold().split()), found["url"]) if found else None
