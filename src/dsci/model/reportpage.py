"""What happened, as a page of Markdown for people: what was planned, what failed and why, what is released.

Text that a container or a build printed is foreign: it is cleaned, bounded and fenced, or made inert. What happened is
`report`'s. A page comes in sections, each with rows that stand for themselves: whoever has little room takes fewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from dsci.model.markdown import escape
from dsci.model.plan import Plan
from dsci.model.report import Outcome, Report, Status, Verdict
from dsci.model.text import clean, line

#: The most rows of a list of checks.
_ROWS = 100
_CELL = 300


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the page."""

    head: tuple[str, ...] = ()
    """The lines before its rows: a heading, the head of a table."""
    rows: tuple[str, ...]
    left_out: int = 0
    """How many rows more there are."""

    def lines(self, count: int | None = None) -> list[str]:
        """Its lines, with so many of its rows, and how many are left out."""
        rows = self.rows if count is None else self.rows[:count]
        more = len(self.rows) - len(rows) + self.left_out
        return [*self.head, *rows, *(["", f"and {more} more"] if more else [])]


def document(report: Report) -> str:
    """The report for people: what was planned, what failed and why, what is released under which tags."""
    return "\n".join(text for part in sections(report) for text in part.lines()) + "\n"


def sections(report: Report) -> Iterator[Section]:
    """The page's parts, the most important first; none is empty."""
    yield _targets(report)
    failed = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
    if failed:
        yield Section(rows=tuple(_failure(outcome) for outcome in failed))
    checks = [(suite, check) for suite in report.suites for check in suite.checks]
    for title, chosen in (
        ("Flaky", [(suite, check, f"passed at attempt {check.attempts}") for suite, check in checks if check.flaky]),
        ("Skipped", [(s, check, check.detail) for s, check in checks if check.verdict is Verdict.SKIPPED]),
        ("To run again", [(s, check, check.bundle.replay) for s, check in checks if check.bundle is not None]),
    ):
        if chosen:
            yield Section(
                head=("", f"## {title}", "", "| target | suite | check | |", "|---|---|---|---|"),
                rows=tuple(_row(suite.target, suite.suite, check.name, text) for suite, check, text in chosen[:_ROWS]),
                left_out=max(0, len(chosen) - _ROWS),
            )
    if report.publications:
        yield Section(
            head=("", "## Released", "", "| reference | digest |", "|---|---|"),
            rows=tuple(f"| {_code(item.reference)} | {_code(item.digest)} |" for item in report.publications),
        )
    if report.notes:
        yield Section(head=("",), rows=tuple(f"- {_cell(note)}" for note in report.notes))


def plan_sections(plan: Plan) -> Iterator[Section]:
    """What a plan would do, as such parts: what is to be built and tested, and what comes to be released."""
    work = [target for target in plan.targets if target.action in ("build", "test")]
    counts = {action: sum(target.action == action for target in work) for action in ("build", "test")}
    said = ", ".join(f"{count} to {action}" for action, count in counts.items() if count) or "nothing to build or test"
    if work:
        yield Section(
            head=("", f"Commit {_code(plan.commit[:12])}: {said}.", "", "| target | action | why |", "|---|---|---|"),
            rows=tuple(_row(target.id, target.action, target.reason) for target in work),
        )
    else:
        yield Section(head=("", f"Commit {_code(plan.commit[:12])}: {said}."), rows=())
    if plan.releases:
        yield Section(
            head=("", "### Releases", "", "| image | version | why |", "|---|---|---|"),
            rows=tuple(_row(item.image, item.version, item.reason) for item in plan.releases),
        )


def _targets(report: Report) -> Section:
    plan = report.plan
    head = [f"# dsci: {'failed' if report.failed else 'done'}", ""]
    head += [f"Commit {_code(plan.commit[:12])}, {report.seconds:.1f} s.", ""]
    head += ["| target | action | why | result | seconds |", "|---|---|---|---|---|"]
    results: dict[str, list[Outcome]] = {}
    for outcome in report.outcomes:
        results.setdefault(outcome.subject, []).append(outcome)
    rows: list[str] = []
    for target in plan.targets:
        ended = results.get(target.id, [])
        worst = next((o for o in ended if o.status is not Status.OK), ended[-1] if ended else None)
        result = f"{worst.status} ({worst.stage})" if worst else "–"
        seconds = sum(outcome.seconds for outcome in ended)
        rows.append(_row(target.id, target.action, target.reason, result, f"{seconds:.1f}"))
    return Section(head=tuple(head), rows=tuple(rows))


def _failure(outcome: Outcome) -> str:
    title = f"## {_cell(outcome.subject)}: {_cell(outcome.stage)} failed"
    return f"\n{title}\n\n{_fenced(outcome.detail)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """A cell of a table. A code span could hold what ends a cell, so there is none but around what would be a link."""
    return escape(line(text, _CELL).replace("`", "'"), first=False)


def _code(text: str) -> str:
    """A name in a code span, within a cell or outside."""
    return f"`{re.sub('[`|]', '?', line(text, _CELL))}`"


def _fenced(text: str) -> str:
    body = clean(text)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body}\n{fence}"
