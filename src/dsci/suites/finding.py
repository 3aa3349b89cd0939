"""What came of one test, and how what a command did is judged: texts by Go's regular expressions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsci.model import foreign
from dsci.model.bundle import Bundle
from dsci.model.report import Check, Verdict
from dsci.ports import Ran


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one test."""

    name: str
    problems: tuple[str, ...] = ()
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    attempts: int = 1
    skipped: bool = False
    bundle: Bundle | None = None

    @property
    def check(self) -> Check:
        """The same as a check of a report."""
        return Check(
            name=self.name,
            verdict=Verdict.FAILED if self.problems else Verdict.PASSED,
            seconds=self.seconds,
            detail="\n".join(self.problems),
            attempts=self.attempts,
            bundle=self.bundle,
        )


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """What a command must print, and must not."""

    stdout: Sequence[str] = ()
    stdout_lacks: Sequence[str] = ()
    stderr: Sequence[str] = ()
    stderr_lacks: Sequence[str] = ()


def judged(ran: Ran, exit_code: int, wanted: Printed) -> list[str]:
    """What is wrong with what a command did."""
    problems: list[str] = []
    if ran.exit_code is None:
        problems.append(ran.reason)
    elif ran.exit_code != exit_code:
        problems.append(f"exit code {ran.exit_code}, expected {exit_code}")
    problems += matched("stdout", ran.stdout.decode(errors="replace"), wanted.stdout, wanted.stdout_lacks)
    problems += matched("stderr", ran.stderr.decode(errors="replace"), wanted.stderr, wanted.stderr_lacks)
    if ran.exit_code is not None and ran.reason and (problems or wanted.stdout_lacks or wanted.stderr_lacks):
        problems.append(ran.reason)
    return problems


def matched(name: str, text: str, wanted: Sequence[str], unwanted: Sequence[str]) -> list[str]:
    """What a text lacks and what it should not have. A pattern that is none is a problem either way."""
    problems: list[str] = []
    for patterns, expected in ((wanted, True), (unwanted, False)):
        for pattern in patterns:
            try:
                found = matches(pattern, text)
            except foreign.IllegalPattern as error:
                problems.append(f"{pattern!r} is no regular expression: {error}")
                continue
            if found is not expected:
                said = "does not match" if expected else "matches the excluded"
                problems.append(f"{name} {said} {pattern!r}")
    return problems


def matches(pattern: str, text: str) -> bool:
    """Whether Go's `regexp.MatchString` would say so: RE2, not anchored."""
    return foreign.compiled(pattern).search(text) is not None
