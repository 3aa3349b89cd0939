"""Reports for the tests of what CI systems read: of a plan, with anything in them."""

from __future__ import annotations

from typing import Any

from dsci.model.plan import Plan, PlannedRelease, PlannedTarget
from dsci.model.report import Check, Outcome, Publication, Report, Status, SuiteReport, Verdict

DIGEST = "sha256:" + "12" * 32
OTHER = "sha256:" + "34" * 32


def target(name: str, action: str = "build", **more: Any) -> PlannedTarget:
    return PlannedTarget(
        **{
            "id": f"{name}@linux/amd64",
            "image": name,
            "platform": "linux/amd64",
            "key": "k",
            "source_key": "s",
            "action": action,
            "reason": "its inputs changed",
            "parent": None,
            "needs": (),
            "wave": 0,
        }
        | more
    )


def plan(*targets: PlannedTarget, releases: tuple[PlannedRelease, ...] = (), **more: Any) -> Plan:
    return Plan(**{"commit": "c0ffee" * 6 + "abcd", "when": 5, "targets": targets, "releases": releases} | more)


def release(image: str, version: str, tags: tuple[str, ...], **more: Any) -> PlannedRelease:
    return PlannedRelease(
        **{"image": image, "version": version, "bump": "minor", "git_tag": f"{image}-v{version}", "tags": tags} | more
    )


def outcome(subject: str, stage: str = "build", status: Status = Status.OK, **more: Any) -> Outcome:
    return Outcome(subject=subject, stage=stage, status=status, **more)


def publication(image: str, version: str, reference: str, digest: str = DIGEST, **more: Any) -> Publication:
    return Publication(image=image, version=version, reference=reference, digest=digest, **{"changed": True} | more)


def failing(*names: str, detail: str = "why", **more: Any) -> Report:
    """A report of checks with these names, all of which failed."""
    checks = tuple(Check(name=name, verdict=Verdict.FAILED, detail=detail, **more) for name in names)
    failed = outcome("ml@linux/amd64", "test", Status.FAILED, detail=detail)
    suites = (SuiteReport(target="ml@linux/amd64", suite="ml/a", checks=checks),)
    return Report(plan=plan(target("ml")), outcomes=(failed,), suites=suites)
