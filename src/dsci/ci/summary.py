"""A job's summary on GitHub: the report's page, within the bytes that there are.

GitHub takes 1 MiB of each step, and shows nothing at all of a file that is larger. So each section has a share, which
those after it inherit as far as it is not used, and says how many rows are left out.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsci.model.markdown import escape
from dsci.model.plan import Plan
from dsci.model.report import Report
from dsci.model.reportpage import Section, plan_sections, sections
from dsci.model.text import line

#: What all calls of dsci in one step may write: GitHub's limit less what others may want to say there.
BUDGET = 900_000
#: The share of a section of what is left: the first ones are the most important.
_SHARE = 0.5
_TITLE = 200
_MORE = 40
"""Bytes kept for the line that says how many rows are left out."""


def summary(report: Report, *, title: str, budget: int = BUDGET) -> str:
    """The report's page under a title of its own, in at most `budget` bytes; "" where not even its head has room.

    What is not shown stands in the report itself.
    """
    first, *rest = sections(report)
    head = (f"## {_title(title)}: {'failed' if report.failed else 'done'}", *first.head[1:])
    return fitted([Section(head=head, rows=first.rows, left_out=first.left_out), *_deeper(rest)], budget)


def planned(plan: Plan, *, title: str, budget: int = BUDGET) -> str:
    """What a plan would do, in at most `budget` bytes; "" where not even its title has room."""
    return fitted([Section(head=(f"## {_title(title)}",), rows=()), *plan_sections(plan)], budget)


def fitted(parts: Sequence[Section], budget: int) -> str:
    """Sections as Markdown in at most so many bytes of UTF-8."""
    text = ""
    for number, part in enumerate(parts):
        left = budget - _size(text)
        last = number == len(parts) - 1
        text += _fit(part, left if last else max(int(left * _SHARE), min(left, _SMALL)))
    return text


_SMALL = 2_000
"""What every section may have, however little is left for those after it."""


def _fit(part: Section, allowed: int) -> str:
    whole = _lines(part.lines())
    if _size(whole) <= allowed:
        return whole
    used = _size(_lines(part.head)) + _MORE
    count = 0
    for row in part.rows:
        used += _size(row) + 1
        if used > allowed:
            break
        count += 1
    text = _lines(part.lines(count))
    return text if _size(text) <= allowed else ""


def _title(text: str) -> str:
    return escape(line(text, _TITLE), first=False)


def _deeper(parts: Iterable[Section]) -> list[Section]:
    """The same sections, a level below the summary's own title."""
    return [
        Section(head=tuple(map(_lower, part.head)), rows=tuple(map(_lower, part.rows)), left_out=part.left_out)
        for part in parts
    ]


def _lower(text: str) -> str:
    return text.replace("## ", "### ", 1) if text.lstrip("\n").startswith("## ") else text


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{each}\n" for each in lines)


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))
