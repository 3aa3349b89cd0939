"""One report of several: each job of a fan-out has done a share of the same plan, and says what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from dsci.model.plan import Plan, PlannedTarget
from dsci.model.report import Report

_DEAREST = ("reuse", "retag", "test", "build")


def together(reports: Sequence[Report]) -> Report:
    """What all of them say, in their order; of several plans for a target, the one that had most to do.

    Of another commit nothing is left out, and a note says that there are several. There is at least one report.
    """
    targets: dict[str, PlannedTarget] = {}
    for report in reports:
        for target in report.plan.targets:
            known = targets.get(target.id)
            if known is None or _dear(target) >= _dear(known):
                targets[target.id] = target
    commits = list(dict.fromkeys(report.plan.commit for report in reports))
    notes = [note for report in reports for note in report.notes]
    if len(commits) > 1:
        notes.insert(0, f"these reports are of {len(commits)} commits: {', '.join(name[:12] for name in commits)}")
    newest = max(reports, key=lambda report: report.plan.when).plan
    releases = {(item.image, item.version): item for report in reports for item in report.plan.releases}
    refs = {(item.image, item.tags): item for report in reports for item in report.plan.refs}
    plan = Plan(
        commit=newest.commit,
        when=newest.when,
        targets=tuple(targets.values()),
        releases=tuple(releases.values()),
        refs=tuple(refs.values()),
        warnings=tuple(dict.fromkeys(text for report in reports for text in report.plan.warnings)),
    )
    return Report(
        plan=plan,
        outcomes=tuple(outcome for report in reports for outcome in report.outcomes),
        suites=tuple(suite for report in reports for suite in report.suites),
        scans=tuple(scan for report in reports for scan in report.scans),
        publications=tuple({item.reference: item for report in reports for item in report.publications}.values()),
        released=tuple(dict.fromkeys(name for report in reports for name in report.released)),
        seconds=round(sum(report.seconds for report in reports), 3),
        notes=tuple(dict.fromkeys(notes)),
    )


def _dear(target: PlannedTarget) -> int:
    return _DEAREST.index(target.action) if target.action in _DEAREST else -1
