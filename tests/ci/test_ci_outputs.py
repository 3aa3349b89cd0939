"""Outputs of a step: what they say of a run, and that nothing in a value sets another one."""

from __future__ import annotations

import itertools
import json

import pytest

from dsci.ci.outputfile import plain_output
from dsci.ci.outputs import of_release, of_work
from dsci.model.report import Report, Status
from tests.ci.reports import DIGEST, OTHER, outcome, plan, publication, release, target
from tests.githubrunner import outputs
from tests.hostile import HOSTILE

BUILT = Report(
    plan=plan(target("base", "reuse", digest=OTHER), target("ml"), target("r"), target("old", "test", digest=None)),
    outcomes=(
        outcome("ml@linux/amd64", digest=DIGEST),
        outcome("ml@linux/amd64", "test"),
        outcome("r@linux/amd64", status=Status.FAILED, digest=DIGEST),
    ),
)


def test_work_has_a_digest_of_each_target_that_is_good_for_something() -> None:
    values = of_work(BUILT, "/reports/1")
    assert values.keys() == {"failed", "report", "digests"}
    assert (values["failed"], values["report"]) == ("true", "/reports/1")
    assert json.loads(values["digests"]) == {"base@linux/amd64": OTHER, "ml@linux/amd64": DIGEST}


def test_work_that_came_to_nothing() -> None:
    assert of_work(Report(plan=plan()), "") == {"failed": "false", "report": "", "digests": "{}"}


RELEASES = (
    release("base", "1.0.0", ("1.0.0", "latest"), claimed=True),
    release("ml", "2.1.0", ("v2.1.0", "2.1", "v2.1.0-cuda12", "2.1-cuda12"), members=("ml", "ml:cuda12")),
    release("r", "3.0.0", ("3.0.0",)),
    release("by-hand", "4.0.0", ("4.0.0",), git_tag="by-hand-v4.0.0", claim="by-hand-v4.0.0.dsci"),
)
RELEASED = Report(
    plan=plan(releases=RELEASES),
    released=("base-v1.0.0", "ml-v2.1.0", "by-hand-v4.0.0.dsci"),
    publications=(
        publication("base", "1.0.0", "ghcr.io/acme/base:latest"),
        publication("base", "1.0.0", "ghcr.io/acme/base:1.0.0", changed=False),
        publication("base", "1.0.0", "127.0.0.1:5000/acme/base:1.0.0"),
        publication("ml", "2.1.0", "ghcr.io/acme/ml:2.1-cuda12", OTHER),
        publication("ml", "2.1.0", "ghcr.io/acme/ml:v2.1.0-cuda12", OTHER),
        publication("ml", "2.1.0", "ghcr.io/acme/ml:2.1"),
        publication("ml", "2.1.0", "ghcr.io/acme/ml:v2.1.0"),
        publication("ml", "", "ghcr.io/acme/ml:edge", OTHER),
    ),
)


def test_a_release_says_what_it_released() -> None:
    values = of_release(RELEASED, "/reports/1")
    assert values.keys() == {"failed", "report", "digests", "released", "versions", "tags"}
    assert (values["failed"], values["released"]) == ("false", "true")
    assert json.loads(values["versions"]) == {"base": "1.0.0", "ml": "2.1.0", "by-hand": "4.0.0"}
    assert json.loads(values["digests"]) == {
        "127.0.0.1:5000/acme/base": DIGEST,
        "ghcr.io/acme/base": DIGEST,
        "ghcr.io/acme/ml": DIGEST,
        "ghcr.io/acme/ml:v2.1.0-cuda12": OTHER,
    }
    tags = values["tags"].split("\n")
    assert len(tags) == 8 and "ghcr.io/acme/ml:edge" in tags and "ghcr.io/acme/base:1.0.0" in tags


def test_a_release_that_released_nothing() -> None:
    values = of_release(Report(plan=plan(releases=RELEASES[2:])), "")
    assert (values["released"], values["versions"], values["digests"], values["tags"]) == ("false", "{}", "{}", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_sets_another_output(text: str) -> None:
    words = itertools.count(1)
    lines = plain_output({"failed": "true", "tags": text, "report": text}, lambda: str(next(words)))
    kept = text.replace("\r", "")
    assert outputs(lines) == {"failed": "true", "tags": kept, "report": kept}


def test_a_mark_is_not_said_twice() -> None:
    lines = plain_output(dict.fromkeys("abc", "x"), iter("12345").__next__)
    assert lines == "a<<dsci_1\nx\ndsci_1\nb<<dsci_2\nx\ndsci_2\nc<<dsci_3\nx\ndsci_3\n"
