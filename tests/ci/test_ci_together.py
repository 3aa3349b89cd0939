"""One report of several jobs' reports."""

from __future__ import annotations

from msgspec.structs import replace

from dsci.ci.together import together
from dsci.model.report import Report
from tests.ci.reports import DIGEST, OTHER, failing, outcome, plan, publication, release, target


def test_jobs_did_shares_of_one_plan() -> None:
    built = Report(
        plan=plan(target("base"), warnings=("look out",)),
        outcomes=(outcome("base@linux/amd64", seconds=1.0),),
        seconds=1.25,
        notes=("a", "b"),
    )
    tested = replace(
        failing("one"),
        plan=plan(target("base", "test"), target("ml"), warnings=("look out",)),
        seconds=2.5,
        notes=("b",),
    )
    released = Report(
        plan=plan(target("base", "reuse", digest=DIGEST), releases=(release("base", "1.0.0", ("1.0.0",)),)),
        publications=(publication("base", "1.0.0", "x/base:1.0.0", OTHER), publication("base", "1.0.0", "x/base:1")),
        released=("base-v1.0.0",),
    )
    whole = together((built, tested, released))
    assert [(item.id, item.action) for item in whole.plan.targets] == [
        ("base@linux/amd64", "build"),
        ("ml@linux/amd64", "build"),
    ]
    assert [item.subject for item in whole.outcomes] == ["base@linux/amd64", "ml@linux/amd64"]
    assert whole.failed and len(whole.suites) == 1 and whole.seconds == 3.75
    assert (whole.notes, whole.released, whole.plan.warnings) == (("a", "b"), ("base-v1.0.0",), ("look out",))
    assert len(whole.publications) == 2 and len(whole.plan.releases) == 1
    # What was put together can be read, and put together again.
    again = together((Report.read(whole.to_json(), name="x"), released))
    assert again.publications == whole.publications and again.outcomes == whole.outcomes


def test_reports_of_several_commits_are_told() -> None:
    other = Report(plan=replace(plan(target("ml")), commit="f" * 40, when=9))
    whole = together((Report(plan=plan(target("base"))), other))
    assert whole.plan.commit == "f" * 40
    assert whole.notes == ("these reports are of 2 commits: c0ffeec0ffee, ffffffffffff",)


def test_one_report_is_what_it_was() -> None:
    one = replace(failing("x"), seconds=1.5)
    assert together((one,)) == one
