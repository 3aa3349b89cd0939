"""What happened, as a page of Markdown for people: what was planned, what failed and why, what is released.

Text that a container or a build printed is foreign: it is cleaned, bounded and fenced. What happened is `report`'s.
"""

from __future__ import annotations

import html
import re

from dsci.model.report import Outcome, Report, Status, Verdict
from dsci.model.text import clean

#: The most rows of a list of checks.
_ROWS = 100


def document(report: Report) -> str:
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
    checks = [(suite, check) for suite in report.suites for check in suite.checks]
    for title, chosen in (
        ("Flaky", [(suite, check, f"passed at attempt {check.attempts}") for suite, check in checks if check.flaky]),
        ("Skipped", [(s, check, check.detail) for s, check in checks if check.verdict is Verdict.SKIPPED]),
        ("To run again", [(s, check, check.bundle.replay) for s, check in checks if check.bundle is not None]),
    ):
        if chosen:
            lines += ["", f"## {title}", "", "| target | suite | check | |", "|---|---|---|---|"]
            lines += [
                f"| {suite.target} | {_cell(suite.suite)} | {_cell(check.name)} | {_cell(text)} |"
                for suite, check, text in chosen[:_ROWS]
            ]
            lines += ["", f"and {len(chosen) - _ROWS} more"] if len(chosen) > _ROWS else []
    if report.publications:
        lines += ["", "## Released", "", "| reference | digest |", "|---|---|"]
        lines += [f"| `{item.reference}` | `{item.digest}` |" for item in report.publications]
    if report.notes:
        lines += ["", *(f"- {_cell(note)}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return html.escape(clean(text, 300), quote=False).replace("|", "\\|").replace("\n", " ").replace("`", "'")


def _fenced(text: str) -> str:
    body = clean(text)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body}\n{fence}"
