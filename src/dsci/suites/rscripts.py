"""R scripts, each in a container of its own by the image's own R: tests of testthat, or a script that must succeed.

A file that calls `test_that()`, or `describe()` and `it()`, is run by the image's testthat: a check for each test. Any
other is one check, passed if Rscript ends with exit code 0. A file runs in its own folder, which it may write to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import Ran
from dsci.suites import inside, junit
from dsci.suites.inside import MOUNT, OUT, SUITE
from dsci.suites.subject import Subject

_JUNIT = f"{OUT}/junit.xml"
_RSCRIPT = ("Rscript", "--vanilla")
_TESTTHAT = re.compile(r"(?m)^[^#\n]*\b(?:test_that|it)\s*\(")


def volume(subject: Subject, suite: Suite) -> bytes:
    """The tar of the suite, and of what runs tests of testthat."""
    return inside.volume(subject, suite, {"run_testthat.R": inside.script("run_testthat.R")}, writable=True)


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the R files of a suite. A script has the time of a check, and so has each test of a file of tests."""
    filled = volume(subject, suite)
    texts = {inside.inner(suite, path): subject.read(path).decode(errors="replace") for path in suite.files}

    def one(path: str) -> Sequence[Check]:
        place = f"{SUITE}/{path}"
        tests = _TESTTHAT.search(texts[path]) is not None
        runner = (f"{MOUNT}/run_testthat.R", place, _JUNIT, f"{subject.clock.one().seconds:.3f}")
        found = inside.run(
            subject,
            filled,
            ((*_RSCRIPT, *(runner if tests else (place,))),),
            lambda container, ran: _tests(path, ran, container.copy_out(_JUNIT)) if tests else [_script(path, ran)],
            folder=inside.folder_of(path),
            several=tests,
        )
        return found or [inside.failed(path, "the image has no R: Rscript is not on its PATH")]

    return inside.each(subject, suite, one)


def _tests(path: str, ran: Ran, record: bytes | None) -> list[Check]:
    found = [replace(check, name=f"{path}::{check.name}") for check in junit.checks(record)]
    if record is not None and not found and ran.exit_code == 0:
        return [inside.failed(path, "no test ran", ran)]
    return inside.accounted(path, ran, found, empty={})


def _script(path: str, ran: Ran) -> Check:
    if ran.exit_code != 0:
        return inside.failed(path, inside.unfinished(ran), ran)
    # R tells of warnings, and packages of what they mask, there.
    said = clean(ran.stderr.decode(errors="replace")).strip()
    return Check(name=path, verdict=Verdict.PASSED, seconds=ran.seconds, detail=said)
