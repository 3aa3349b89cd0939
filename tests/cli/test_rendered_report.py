"""What a run came to, in a line for people."""

from __future__ import annotations

from tests.model.builders import STACK, look

from dsci.cli import render
from dsci.model.report import Check, Report, SuiteReport, Verdict


def test_what_was_skipped_is_not_counted_as_passed() -> None:
    checks = (
        Check(name="a", verdict=Verdict.PASSED),
        Check(name="b", verdict=Verdict.PASSED, attempts=2),
        Check(name="c", verdict=Verdict.SKIPPED, detail="no GPU"),
    )
    suites = (SuiteReport(target="ml@linux/amd64", suite="a", checks=checks),)
    text = render.report(Report(plan=look(STACK).plan(found={}), suites=suites, seconds=1.0))
    assert text == "0 built, 2 checks passed, 1 of them flaky, 1 skipped in 1.0 s"


def test_nothing_is_said_of_what_there_is_none_of() -> None:
    suites = (SuiteReport(target="x", suite="a", checks=(Check(name="a", verdict=Verdict.PASSED),)),)
    text = render.report(Report(plan=look(STACK).plan(found={}), suites=suites, seconds=1.0))
    assert text == "0 built, 1 checks passed in 1.0 s"
