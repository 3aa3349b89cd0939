"""A plan as a page of Markdown for people: what is to be done and released. Showing it is the caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dsci.model.plan import Plan
from dsci.model.reportpage import Section, code, row

_IDLE = "reuse"


def sections(plan: Plan) -> Iterator[Section]:
    """The page's parts; what is used as it stands is counted and not listed."""
    counts = Counter(target.action for target in plan.targets)
    work = [f"{counts[action]} to {action}" for action in ("build", "test", "retag") if counts[action]]
    if plan.releases:
        work.append(f"{len(plan.releases)} to release")
    busy = [target for target in plan.targets if target.action != _IDLE]
    yield Section(
        head=(
            f"## Plan: {', '.join(work) or 'nothing to do'}",
            "",
            f"Commit {code(plan.commit[:12])}; {counts[_IDLE]} of {len(plan.targets)} targets stay as they are.",
            *(("", "| target | action | why |", "|---|---|---|") if busy else ()),
        ),
        rows=tuple(row(target.id, target.action, target.reason) for target in busy),
    )
    if plan.releases:
        yield Section(
            head=("", "### Releases", "", "| image | version | why |", "|---|---|---|"),
            rows=tuple(row(each.image, each.version, each.reason) for each in plan.releases),
        )
    if plan.warnings:
        yield Section(head=("", "### Warnings", "", "| |", "|---|"), rows=tuple(row(text) for text in plan.warnings))
