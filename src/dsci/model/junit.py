"""What suites found, as JUnit XML: what GitLab, Jenkins, and most that show tests, read.

It is XML 1.0 whatever containers printed, and holds what the schema of Jenkins allows. A suite in which no test ran
has a case that failed, or whoever counts cases would call it good.

Sources: https://github.com/jenkinsci/xunit-plugin (junit-10.xsd),
https://docs.gitlab.com/ci/testing/unit_test_reports/, https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import assert_never

from dsci.model.report import Check, SuiteReport, Verdict
from dsci.model.text import clean

#: What all failures together may say, and the least and the most that one of them may, in characters.
_ROOM, _LEAST, _MOST = 4_000_000, 400, 16_000
_NAME, _MESSAGE = 500, 300


def document(reports: Iterable[SuiteReport]) -> bytes:
    """All of them, one `testsuite` each."""
    reports = tuple(report.accounted for report in reports)
    total = sum(len(report.checks) for report in reports)
    failed = sum(report.count(Verdict.FAILED) for report in reports)
    seconds = sum(report.seconds for report in reports)
    room = max(_LEAST, min(_MOST, _ROOM // max(1, failed)))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="dsci" tests="{total}" failures="{failed}" errors="0" time="{seconds:.3f}">',
    ]
    for report in reports:
        name = clean(f"{report.target} {report.suite}", _NAME)
        lines.append(
            f'  <testsuite name={_attribute(name)} tests="{len(report.checks)}" errors="0"'
            f' failures="{report.count(Verdict.FAILED)}" skipped="{report.count(Verdict.SKIPPED)}"'
            f' time="{report.seconds:.3f}">'
        )
        lines += [_testcase(name, check, room) for check in report.checks]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""]).encode()


def _testcase(suite: str, check: Check, room: int) -> str:
    """One check as a test case."""
    head = f"    <testcase classname={_attribute(suite)} name={_attribute(clean(check.name, _NAME))}"
    head += f' time="{check.seconds:.3f}"'
    inside = _inside(check, room)
    return f"{head}>{inside}</testcase>" if inside else f"{head}/>"


def _inside(check: Check, room: int) -> str:
    detail = clean(check.detail, room)
    first = _attribute(detail.strip().partition("\n")[0][:_MESSAGE])
    match check.verdict:
        case Verdict.PASSED if check.flaky:
            why = _attribute(f"passed at attempt {check.attempts}")
            return f'<flakyFailure type="flaky" message={why}>{_text(detail)}</flakyFailure>'
        case Verdict.PASSED:
            return ""
        case Verdict.FAILED:
            return f"<failure message={first}>{_text(detail)}</failure>{_bundle(check, room)}"
        case Verdict.SKIPPED:
            return f"<skipped message={first}/>"
        case _:
            assert_never(check.verdict)


def _bundle(check: Check, room: int) -> str:
    """What a check that failed has printed, and how it is run again."""
    bundle = check.bundle
    if bundle is None:
        return ""
    about = [f"$ {list(bundle.argv)}", f"ended: {bundle.ended}", f"image: {bundle.image}", f"replay: {bundle.replay}"]
    out = "\n".join([*about, *([bundle.stdout] if bundle.alone else [])])
    found = f"<system-out>{_text(clean(out, room))}</system-out>"
    if bundle.alone and bundle.stderr:
        found += f"<system-err>{_text(clean(bundle.stderr, room))}</system-err>"
    return found


def _text(text: str) -> str:
    return html.escape(text, quote=False)


def _attribute(text: str) -> str:
    """Text as a quoted attribute; what a parser would fold into a space stays what it was."""
    return '"' + html.escape(text).replace("\n", "&#10;").replace("\t", "&#9;") + '"'
