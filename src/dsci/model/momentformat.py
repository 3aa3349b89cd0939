"""Dates written by Moment's formats, the language of docker/metadata-action's `{{date 'YYYYMMDD'}}`.

Only what needs no locale but English is known; a letter that stands for nothing is an error, where Moment would print
it. What the date is the date of is not known here.

Source: https://momentjs.com/docs/#/displaying/format/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from dsci.errors import ConfigError

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def _sunday(when: datetime) -> int:
    """The day of the week, Sunday first, as Moment's English has it."""
    return when.isoweekday() % 7


def _week(when: datetime) -> int:
    """The week of the English calendar: weeks begin on Sunday, and 1 January lies in the first one."""
    day = when.timetuple().tm_yday
    # The last days of December are in the first week of a year that begins before that week is over.
    left = 365 + (when.year % 4 == 0 and (when.year % 100 != 0 or when.year % 400 == 0)) - day
    if left < 6 - _sunday(when):
        return 1
    first = (_sunday(when) - day + 1) % 7
    return (day - 1 + first) // 7 + 1


def _offset(when: datetime, colon: str) -> str:
    minutes = int(when.utcoffset().total_seconds()) // 60  # type: ignore[union-attr]  # it always has a zone
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}{colon}{abs(minutes) % 60:02}"


_TOKENS: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda when: f"{when.year:04}",
    "YY": lambda when: f"{when.year % 100:02}",
    "MMMM": lambda when: _MONTHS[when.month - 1],
    "MMM": lambda when: _MONTHS[when.month - 1][:3],
    "MM": lambda when: f"{when.month:02}",
    "M": lambda when: str(when.month),
    "DDDD": lambda when: f"{when.timetuple().tm_yday:03}",
    "DDD": lambda when: str(when.timetuple().tm_yday),
    "DD": lambda when: f"{when.day:02}",
    "D": lambda when: str(when.day),
    "dddd": lambda when: _DAYS[_sunday(when)],
    "ddd": lambda when: _DAYS[_sunday(when)][:3],
    "dd": lambda when: _DAYS[_sunday(when)][:2],
    "d": lambda when: str(_sunday(when)),
    "E": lambda when: str(when.isoweekday()),
    "e": lambda when: str(_sunday(when)),
    "GGGG": lambda when: f"{when.isocalendar().year:04}",
    "WW": lambda when: f"{when.isocalendar().week:02}",
    "W": lambda when: str(when.isocalendar().week),
    "ww": lambda when: f"{_week(when):02}",
    "w": lambda when: str(_week(when)),
    "HH": lambda when: f"{when.hour:02}",
    "H": lambda when: str(when.hour),
    "hh": lambda when: f"{when.hour % 12 or 12:02}",
    "h": lambda when: str(when.hour % 12 or 12),
    "mm": lambda when: f"{when.minute:02}",
    "m": lambda when: str(when.minute),
    "ss": lambda when: f"{when.second:02}",
    "s": lambda when: str(when.second),
    "A": lambda when: "AM" if when.hour < 12 else "PM",
    "a": lambda when: "am" if when.hour < 12 else "pm",
    "X": lambda when: str(int(when.timestamp())),
    "x": lambda when: str(int(when.timestamp()) * 1000),
    "ZZ": lambda when: _offset(when, ""),
    "Z": lambda when: _offset(when, ":"),
}
_PIECE = re.compile(r"\[([^\[\]]*)\]|(" + "|".join(sorted(_TOKENS, key=len, reverse=True)) + r")|(.)", re.DOTALL)
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")
#: What `datetime` can hold, a day away from its ends so that every zone fits.
_FIRST, _LAST = -62_135_510_400, 253_402_214_400


def check(pattern: str, zone: str) -> None:
    """Raises ConfigError for a format or a time zone that means nothing."""
    if not pattern:
        raise ConfigError("a date needs a format", hint="such as YYYYMMDD")
    for _, _, other in _PIECE.findall(pattern):
        if other.isalpha() or (other and other in "[]\\"):
            raise ConfigError(
                f"{other!r} in the date format {pattern!r} stands for nothing",
                hint="known are " + " ".join(_TOKENS) + "; put other letters into brackets: [at]",
            )
    _zone(zone)


def render(pattern: str, when: int, zone: str) -> str:
    """A time, in seconds since the epoch, by a format that `check` let pass.

    Commits may carry any date: one that no calendar holds is taken as the nearest that it does.
    """
    moment = datetime.fromtimestamp(max(_FIRST, min(when, _LAST)), UTC).astimezone(_zone(zone))
    return _PIECE.sub(lambda match: _TOKENS[match[2]](moment) if match[2] else match[1] or match[3] or "", pattern)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ConfigError(f"there is no time zone {name!r}", hint="write one as Europe/Berlin or UTC")
