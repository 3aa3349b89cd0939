"""One suite against one image: chooses the kind, times it, and lets no suite pass that tested nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model.family import Suite
from dsci.model.report import Check, SuiteReport, Verdict
from dsci.suites import (
    host,
    inside,
    native,
    nativefile,
    notebooks,
    pytest_inside,
    rscripts,
    service,
    shell,
    structure,
    structurefile,
)
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
    told = tuple(_told(suite, subject, target, checks))
    return SuiteReport(target=target, suite=suite.name, checks=told, seconds=time.monotonic() - began)


#: How many failures of a suite are kept with all that is known of them. What fails in hundreds fails for one reason.
_BUNDLES = 20


def _told(suite: Suite, subject: Subject, target: str, checks: Iterable[Check]) -> Iterator[Check]:
    """The checks with their places, and those that failed with what they failed in."""
    left = _BUNDLES
    for check in checks:
        check = replace(check, **_place(suite, check)) if not check.file else check
        if check.bundle is not None:
            about = {"target": target, "suite": suite.name, "check": check.name, "image": subject.digest}
            check = replace(check, bundle=replace(check.bundle, **about) if left else None)
            left = max(0, left - 1)
        yield check


def _place(suite: Suite, check: Check) -> Mapping[str, Any]:
    """The file that a check stands in: the suite's own, or the last one that what it says names with a line."""
    if suite.files == (suite.path,):
        return {"file": suite.path}
    files = {inside.inner(suite, path): path for path in suite.files}
    said = [(match["file"].rpartition(_SUITE)[2], match["line"]) for match in _LINE.finditer(check.detail)]
    named = [(files[file], int(line)) for file, line in said if file in files]
    return {"file": named[-1][0], "line": named[-1][1]} if named else {}


#: Where the suite's files are in the container, as it may be written from any folder.
_SUITE = f"{inside.SUITE.lstrip('/')}/"
#: How Python, shells and compilers name a line.
_LINE = re.compile(r"^(?P<file>[^\s:][^:\n]*):(?P<line>[0-9]{1,7}):", re.MULTILINE)


def volume(suite: Suite, subject: Subject) -> bytes | None:
    """The tar of what the tests of a suite see at `inside.MOUNT`; None where they see nothing there."""
    match suite.kind:
        case "structure" | "host" | "service":
            return None
        case "notebooks":
            return notebooks.volume(subject, suite)
        case "r":
            return rscripts.volume(subject, suite)
        case "shell":
            return shell.volume(subject, suite)
        case _:
            return pytest_inside.volume(subject, suite)


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
                return _native(subject, text, suite.path)
            return structure.run(subject, *structurefile.located(text, file=suite.path))
        case "host":
            return host.run(subject, suite)
        case "service":
            return service.run(subject, suite)
        case "notebooks":
            return notebooks.run(subject, suite)
        case "r":
            return rscripts.run(subject, suite)
        case "shell":
            return shell.run(subject, suite)
        case _:
            return pytest_inside.run(subject, suite)


def _native(subject: Subject, text: str, path: str) -> Iterator[Check]:
    """The checks of a suite of dsci's own, each with its line. What comes before those of the file is its start."""
    suite, location = nativefile.located(text, file=path)
    found = list(native.run(subject, suite, path=path))
    for number, check in enumerate(found, len(suite.checks) - len(found)):
        place = ("start",) if number < 0 else ("checks", str(number))
        yield replace(check, file=path, line=location.line(*place))
