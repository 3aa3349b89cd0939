"""What failed, as commands to GitHub's runner: it shows them at the files that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsci.ci.commands import command
from dsci.ci.place import place_of
from dsci.model.report import Check, SuiteReport, Verdict
from dsci.model.text import clean, line

#: How many of a kind GitHub shows of one step. What is beyond that is told in one.
SHOWN = 10
_TITLE, _MESSAGE = 200, 2_000


def of_checks(reports: Iterable[SuiteReport]) -> Iterator[str]:
    """A line for each check that failed, and for each that passed only when it was tried again."""
    checks = [(report, check) for report in reports for check in report.accounted.checks]
    failed = [_annotation("error", *each) for each in checks if each[1].verdict is Verdict.FAILED]
    flaky = [_annotation("warning", *each) for each in checks if each[1].flaky]
    for kind, lines in (("error", failed), ("warning", flaky)):
        if len(lines) > SHOWN:
            lines[SHOWN - 1 :] = [command(kind, f"and {len(lines) - SHOWN + 1} more: see the report", title="dsci")]
        yield from lines


def _annotation(kind: str, report: SuiteReport, check: Check) -> str:
    title = line(f"{report.target} {report.suite}: {check.name}", _TITLE)
    text = [clean(check.detail, _MESSAGE).strip() or "failed"]
    if check.flaky:
        text.insert(0, f"passed at attempt {check.attempts}")
    if check.bundle is not None and check.bundle.replay:
        text.append(clean(f"replay: {check.bundle.replay}"))
    file, number = place_of(check)
    return command(kind, "\n".join(text), file=file, line=number, title=title)
