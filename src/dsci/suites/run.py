"""One suite against one image: chooses the kind, times it, and lets no suite pass that tested nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dsci.errors import ConfigError
from dsci.model.family import Suite
from dsci.model.report import Check, SuiteReport, Verdict
from dsci.suites import native, nativefile, pytest_inside, structure, structurefile
from dsci.suites.subject import Subject


def run(suite: Suite, subject: Subject, *, target: str) -> SuiteReport:
    """Run a suite to its end. What is wrong with the suite itself is a failed check, so that others go on.

    Raises BuilderError when the engine fails: that is nobody's verdict.
    """
    began = time.monotonic()
    checks: list[Check] = []
    try:
        with subject.clock.total.running():
            for check in _checks(suite, subject):
                checks.append(check)
    except ConfigError as error:
        detail = f"{error.message}\n{error.hint}".strip()
        checks.append(Check(name=suite.name, verdict=Verdict.FAILED, detail=detail))
    return SuiteReport(target=target, suite=suite.name, checks=tuple(checks), seconds=time.monotonic() - began)


def executes(suite: Suite, read: Callable[[str], bytes]) -> bool:
    """Whether a suite runs something in the image; others only look at it. One that cannot be read runs nothing."""
    if suite.kind != "structure":
        return True
    text = read(suite.path).decode("utf-8", errors="replace")
    try:
        if nativefile.is_native(text):
            return native.executes(nativefile.parse(text, file=suite.path))
        return bool(structurefile.parse(text, file=suite.path).command_tests)
    except ConfigError:
        return False


def _checks(suite: Suite, subject: Subject) -> Iterator[Check]:
    match suite.kind:
        case "structure":
            text = subject.read(suite.path).decode("utf-8", errors="replace")
            if nativefile.is_native(text):
                return native.run(subject, nativefile.parse(text, file=suite.path), path=suite.path)
            return structure.run(subject, structurefile.parse(text, file=suite.path))
        case _:
            return pytest_inside.run(subject, suite)
