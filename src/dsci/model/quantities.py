"""Durations and sizes as people write them in settings, on command lines and in suite files."""

from __future__ import annotations

import re


def seconds(duration: str) -> float:
    """`90s`, `10m` or `1h` in seconds. Raises ValueError for anything else, zero included."""
    number, unit = duration[:-1], duration[-1:]
    factor = {"s": 1, "m": 60, "h": 3600}.get(unit)
    if factor is None or not re.fullmatch("[0-9]{1,9}", number) or int(number) == 0:
        raise ValueError(duration)
    return float(int(number) * factor)


def duration(seconds: float) -> str:
    """Seconds as they are written in settings: `10m`; tenths of one where it must be."""
    for unit, factor in (("h", 3600), ("m", 60)):
        if seconds >= factor and seconds % factor == 0:
            return f"{int(seconds // factor)}{unit}"
    return f"{round(seconds, 1):g}s"


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def size(text: str) -> int:
    """`500MB`, `1.5GiB` or `0` in bytes. Raises ValueError for anything else, a number without a unit included."""
    match = re.fullmatch(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?) ?(?P<unit>[kmgt]i?|)b", text.lower())
    if match is None:
        if text == "0":
            return 0
        raise ValueError(text)
    return int(float(match["number"]) * _UNITS[match["unit"]])


def amount(count: int) -> str:
    """Bytes as a person reads them: `70.1 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
