"""What bats prints as TAP, read as checks.

The text is foreign: it is made harmless first, and believed only if it tells of every test that it plans, in order.

Source: https://testanything.org/tap-specification.html; the times are bats' own, in one form up to 1.11 and in another
from then on.
"""

from __future__ import annotations

import re

from dsci.model.report import Check, Verdict
from dsci.model.text import clean, plain
from dsci.suites import junit

_RESULT = re.compile(
    r"(?P<failed>not )?ok (?P<number>\d{1,6}) (?P<name>.*?)(?: (?:in (?P<ms>\d{1,12})ms|# in (?P<late>\d{1,12}) ms))?"
    r"(?P<skipped> # skip ?(?P<reason>.*)| # timeout after \d+ s)?"
)
_PLAN = re.compile(r"1\.\.(\d{1,6})")


def checks(printed: bytes) -> tuple[list[Check], bool]:
    """The tests that are told of, and whether they are those of the plan."""
    found: list[Check] = []
    numbers: list[int] = []
    planned: list[int] = []
    for text in plain(printed.decode(errors="replace")).split("\n"):
        if plan := _PLAN.fullmatch(text):
            planned.append(int(plan[1]))
        elif result := _RESULT.fullmatch(text):
            numbers.append(int(result["number"]))
            found.append(_check(result))
        elif text.startswith("#") and found and found[-1].verdict is Verdict.FAILED:
            last = found.pop()
            detail = clean(f"{last.detail}\n{text[2:]}".lstrip("\n"))
            found.append(Check(name=last.name, verdict=last.verdict, seconds=last.seconds, detail=detail))
    return found, planned == [len(found)] and numbers == list(range(1, len(found) + 1))


def _check(result: re.Match[str]) -> Check:
    name, seconds = result["name"], int(result["ms"] or result["late"] or 0) / 1000
    if result["failed"]:
        detail = (result["skipped"] or "").removeprefix(" # ")
        return Check(name=name, verdict=Verdict.FAILED, seconds=seconds, detail=detail)
    if result["reason"] is not None:
        return junit.skip(name, result["reason"], seconds)
    return Check(name=name, verdict=Verdict.PASSED, seconds=seconds)
