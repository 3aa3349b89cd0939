"""What failed, as commands to GitHub's runner: it shows them at the files that they name.

Sources: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands,
https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts (what is escaped, and how)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsci.model.report import Check, SuiteReport, Verdict
from dsci.model.text import clean, line

#: How many of a kind GitHub shows of one step. What is beyond that is told in one.
_SHOWN = 10
_TITLE, _MESSAGE = 200, 2_000


def commands(reports: Iterable[SuiteReport]) -> Iterator[str]:
    """A line for each check that failed, and for each that passed only when it was tried again."""
    checks = [(report, check) for report in reports for check in report.accounted.checks]
    failed = [_command("error", *each) for each in checks if each[1].verdict is Verdict.FAILED]
    flaky = [_command("warning", *each) for each in checks if each[1].flaky]
    for kind, lines in (("error", failed), ("warning", flaky)):
        if len(lines) > _SHOWN:
            lines[_SHOWN - 1 :] = [f"::{kind} title=dsci::and {len(lines) - _SHOWN + 1} more: see the report"]
        yield from lines


def _command(kind: str, report: SuiteReport, check: Check) -> str:
    place = [f"file={_property(clean(check.file))}"] if check.file else []
    place += [f"line={check.line}"] if check.file and check.line else []
    title = line(f"{report.target} {report.suite}: {check.name}", _TITLE)
    text = [clean(check.detail, _MESSAGE).strip() or "failed"]
    if check.flaky:
        text.insert(0, f"passed at attempt {check.attempts}")
    if check.bundle is not None and check.bundle.replay:
        text.append(clean(f"replay: {check.bundle.replay}"))
    return f"::{kind} {','.join([*place, f'title={_property(title)}'])}::{_data(chr(10).join(text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
