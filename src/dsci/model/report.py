"""What happened, as values and as documents: JSON, Markdown, JUnit XML.

Outcomes are gathered while a plan is carried out; a report is the plan and all of them. Text that a container or a
build printed is foreign: it is stripped of control characters and bounded before it enters any document. Nothing is
written to disk here.

Source of the JUnit dialect: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import assert_never

import msgspec

from dsci.model.plan import Plan
from dsci.model.room import Took
from dsci.model.text import clean


class Verdict(StrEnum):
    """How a single check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Status(StrEnum):
    """How a stage of a target ended."""

    OK = "ok"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a suite."""

    name: str
    verdict: Verdict
    seconds: float = 0.0
    detail: str = ""


class SuiteReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one suite found in one target."""

    target: str
    suite: str
    checks: tuple[Check, ...]
    seconds: float = 0.0

    def count(self, verdict: Verdict) -> int:
        """How many checks ended so."""
        return sum(check.verdict is verdict for check in self.checks)

    @property
    def problem(self) -> str:
        """Why the suite has not passed, or "". No test at all, or none but skipped ones, is a failure."""
        failed = [check for check in self.checks if check.verdict is Verdict.FAILED]
        if failed:
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            return f"{failed[0].name}{more}"
        if not self.checks:
            return "no test ran"
        if self.count(Verdict.SKIPPED) == len(self.checks):
            return "every test was skipped"
        return ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one stage of one subject (a target, an image's release) ended."""

    subject: str
    stage: str
    status: Status
    seconds: float = 0.0
    detail: str = ""
    digest: str | None = None
    took: Took | None = None
    """What a build took of the disk."""


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that stands in a registry now."""

    image: str
    version: str
    reference: str
    digest: str
    changed: bool
    """Whether this run wrote it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what came of it."""

    schema: int = 1
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    suites: tuple[SuiteReport, ...] = ()
    publications: tuple[Publication, ...] = ()
    released: tuple[str, ...] = ()
    """Git tags that were claimed or finished."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything failed; what was only blocked by a failure does not count twice."""
        return any(outcome.status is Status.FAILED for outcome in self.outcomes)

    def to_json(self) -> bytes:
        """The report as a document, two spaces deep."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def to_junit(reports: Iterable[SuiteReport]) -> bytes:
    """JUnit XML that is well formed whatever the tests printed."""
    reports = tuple(reports)
    total = sum(len(report.checks) for report in reports)
    failed = sum(report.count(Verdict.FAILED) for report in reports)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="dsci" tests="{total}" failures="{failed}">',
    ]
    for report in reports:
        name = clean(f"{report.target} {report.suite}")
        lines.append(
            f'  <testsuite name={_attribute(name)} tests="{len(report.checks)}" errors="0"'
            f' failures="{report.count(Verdict.FAILED)}" skipped="{report.count(Verdict.SKIPPED)}"'
            f' time="{report.seconds:.3f}">'
        )
        lines += [_testcase(name, check) for check in report.checks]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""]).encode()


def _testcase(suite: str, check: Check) -> str:
    """One check as a JUnit test case."""
    detail = clean(check.detail)
    first = _attribute(detail.strip().partition("\n")[0][:300])
    head = f"    <testcase classname={_attribute(suite)} name={_attribute(clean(check.name, 500))}"
    head += f' time="{check.seconds:.3f}"'
    match check.verdict:
        case Verdict.PASSED:
            return f"{head}/>"
        case Verdict.FAILED:
            return f"{head}><failure message={first}>{html.escape(detail, quote=False)}</failure></testcase>"
        case Verdict.SKIPPED:
            return f"{head}><skipped message={first}/></testcase>"
        case _:
            assert_never(check.verdict)


def to_markdown(report: Report) -> str:
    """The report for people: what was planned, what failed and why, what is released under which tags."""
    plan = report.plan
    title = "failed" if report.failed else "done"
    lines = [f"# dsci: {title}", "", f"Commit `{plan.commit[:12]}`, {report.seconds:.1f} s.", ""]
    lines += ["| target | action | why | result | seconds |", "|---|---|---|---|---|"]
    results: dict[str, list[Outcome]] = {}
    for outcome in report.outcomes:
        results.setdefault(outcome.subject, []).append(outcome)
    for target in plan.targets:
        ended = results.get(target.id, [])
        worst = next((o for o in ended if o.status is not Status.OK), ended[-1] if ended else None)
        result = f"{worst.status} ({worst.stage})" if worst else "–"
        seconds = sum(outcome.seconds for outcome in ended)
        lines.append(f"| {target.id} | {target.action} | {_cell(target.reason)} | {result} | {seconds:.1f} |")
    for outcome in report.outcomes:
        if outcome.status is Status.FAILED:
            lines += ["", f"## {outcome.subject}: {outcome.stage} failed", "", _fenced(outcome.detail)]
    if report.publications:
        lines += ["", "## Released", "", "| reference | digest |", "|---|---|"]
        lines += [f"| `{item.reference}` | `{item.digest}` |" for item in report.publications]
    if report.notes:
        lines += ["", *(f"- {_cell(note)}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def _attribute(text: str) -> str:
    """Text as a quoted XML attribute; what a parser would fold into a space stays what it was."""
    return '"' + html.escape(text).replace("\n", "&#10;").replace("\t", "&#9;") + '"'


def _cell(text: str) -> str:
    return html.escape(clean(text, 300), quote=False).replace("|", "\\|").replace("\n", " ").replace("`", "'")


def _fenced(text: str) -> str:
    body = clean(text)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body}\n{fence}"
