"""Version numbers: semantic ones and calendar ones, how they are ordered, written and read.

A calendar version is a semantic one that is written otherwise: `2026.01.05` is ordered by the numbers 2026, 1 and 5.
Everything that compares, claims or tags versions is therefore the same for both. Which number comes next is `version`'s
to say; the clock is read by the caller.

Sources: https://semver.org, https://calver.org/#scheme
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar

import msgspec
import semver

from dsci.errors import ConfigError

#: In a shape of three dates the third number holds the day and, below it, the count of that day.
_COUNTS = 1_000_000
_COUNT = r"(?P<count>0|[1-9][0-9]{0,5})"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_PRERELEASE = rf"(?:-(?P<prerelease>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"


class _Field(msgspec.Struct, frozen=True):
    """A part of a calendar version: which date it is, and how it is written."""

    what: str
    pattern: str
    width: int = 0
    """Zeros are put before a shorter number."""
    since: int = 0
    """What is taken off a year."""


_FIELDS = {
    "YYYY": _Field("year", "[1-9][0-9]{3}"),
    "YY": _Field("year", "0|[1-9][0-9]{0,2}", since=2000),
    "0Y": _Field("year", "[0-9]{2}|[1-9][0-9]{2}", width=2, since=2000),
    "MM": _Field("month", "[1-9]|1[0-2]"),
    "0M": _Field("month", "0[1-9]|1[0-2]", width=2),
    "WW": _Field("week", "[1-9]|[1-4][0-9]|5[0-3]"),
    "0W": _Field("week", "0[1-9]|[1-4][0-9]|5[0-3]", width=2),
    "DD": _Field("day", "[1-9]|[12][0-9]|3[01]"),
    "0D": _Field("day", "0[1-9]|[12][0-9]|3[01]", width=2),
}
_ORDERS = (("year",), ("year", "month"), ("year", "week"), ("year", "month", "day"))


class CalVersion(semver.Version):
    """A calendar version of one shape; `calendar` makes the class of a shape."""

    shape: ClassVar[str] = ""
    _dates: ClassVar[tuple[_Field, ...]] = ()
    _counted: ClassVar[bool] = False
    """Whether the shape names the count (MICRO); else it is written only where it is not zero."""

    @classmethod
    def parse(cls, version: str | bytes, optional_minor_and_patch: bool = False) -> CalVersion:
        """Read what `str` writes. Raises ValueError for anything else."""
        text = version if isinstance(version, str) else version.decode()
        dates = r"\.".join(f"({date.pattern})" for date in cls._dates)
        count = rf"\.{_COUNT}" if cls._counted else rf"(?:\.(?!0){_COUNT})?"
        match = re.fullmatch(dates + count + _PRERELEASE, text, re.ASCII)
        if match is None:
            raise ValueError(f"{text!r} is no version such as {cls.shape}")
        numbers = [int(match[n + 1]) for n in range(len(cls._dates))]
        return cls._of(numbers, int(match["count"] or 0), match["prerelease"])

    @classmethod
    def _of(cls, dates: list[int], count: int, prerelease: str | None = None) -> CalVersion:
        numbers = [*dates, count, 0] if len(dates) < 3 else [*dates[:2], dates[2] * _COUNTS + count]
        return cls(numbers[0], numbers[1], numbers[2], prerelease)

    @classmethod
    def following(cls, current: semver.Version | None, now: int) -> CalVersion:
        """The version of `now` (seconds since the epoch, read in UTC) that comes after `current`.

        A clock that stands before the current version does not take it back: then the count goes on.
        """
        when = datetime.fromtimestamp(now, UTC)
        year, week, _ = when.isocalendar() if any(date.what == "week" for date in cls._dates) else (when.year, 0, 0)
        parts = {"year": year, "month": when.month, "week": week, "day": when.day}
        today = cls._of([max(0, parts[date.what] - date.since) for date in cls._dates], 0)
        if current is None or precedence(today) > precedence(current):
            return today
        dates, count = cls._split(current)
        return cls._of(dates, count + 1)

    @classmethod
    def _split(cls, version: semver.Version) -> tuple[list[int], int]:
        numbers = [version.major, version.minor, version.patch]
        if len(cls._dates) < 3:
            return numbers[: len(cls._dates)], numbers[len(cls._dates)]
        day, count = divmod(numbers[2], _COUNTS)
        return [*numbers[:2], day], count

    @property
    def parts(self) -> tuple[str, str, str]:
        """Its numbers as they are written: what `{major}`, `{minor}` and `{patch}` of a tag rule say."""
        dates, count = self._split(self)
        written = [f"{number:0{date.width}}" for number, date in zip(dates, self._dates, strict=True)]
        written += [str(count)] if self._counted or count else []
        return written[0], written[1] if len(written) > 1 else "", ".".join(written[2:])

    def __str__(self) -> str:
        """As its shape writes it."""
        text = ".".join(filter(None, self.parts))
        return f"{text}-{self.prerelease}" if self.prerelease else text

    def __repr__(self) -> str:
        """For people who debug."""
        return f"CalVersion({str(self)!r})"


@lru_cache(maxsize=64)
def calendar(shape: str) -> type[CalVersion]:
    """The versions of a shape such as `YYYY.0M.0D` or `YYYY.MM.MICRO`. Raises ConfigError for what is no shape.

    With a week the year is the week's (ISO 8601), so that versions grow over the turn of the year.
    """
    *names, last = shape.split(".")
    counted = last == "MICRO"
    names += [] if counted else [last]
    unknown = next((name for name in names if name not in _FIELDS), None)
    dates = tuple(_FIELDS[name] for name in names if name in _FIELDS)
    if unknown is not None or tuple(date.what for date in dates) not in _ORDERS:
        what = f"{unknown!r} is no part of one" if unknown else "a year, then a month or a week, then a day"
        raise ConfigError(
            f"{shape!r} is no shape of a calendar version: {what}",
            hint=f"put points between {', '.join(_FIELDS)}, the year first, and end with MICRO if you like:"
            " YYYY.MM.MICRO",
        )
    return type("CalVersion", (CalVersion,), {"shape": shape, "_dates": dates, "_counted": counted})


def parts(version: semver.Version) -> tuple[str, str, str]:
    """The three numbers of a version as they are written."""
    if isinstance(version, CalVersion):
        return version.parts
    return str(version.major), str(version.minor), str(version.patch)


#: What versions are sorted by.
Precedence = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def precedence(version: semver.Version) -> Precedence:
    """A version as a key to sort by, which is many times faster than comparing versions two by two.

    Source: https://semver.org/#spec-item-11
    """
    identifiers = version.prerelease.split(".") if version.prerelease else ()
    keys = tuple((False, int(part), "") if part.isdecimal() else (True, 0, part) for part in identifiers)
    return version.major, version.minor, version.patch, not identifiers, keys
