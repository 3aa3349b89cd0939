"""What begins first, how many at once, and what a failure holds back, on a real engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.e2e.conftest import DOCKERFILES, Ended, Project

pytestmark = pytest.mark.engine


def order(ended: Ended) -> list[str]:
    return [item["subject"].partition("@")[0] for item in ended.json["outcomes"] if item["stage"] == "build"]


def noted(project: Project) -> dict[str, Any]:
    (path,) = (project.state / "dsci" / "measured").iterdir()
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def believe(project: Project, **seconds: float) -> None:
    """Have it noted that builds took so long."""
    folder = project.state / "dsci" / "measured"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project.git('rev-list', '--max-parents=0', 'HEAD')[:12]}.json"
    path.write_text(json.dumps({f"{name}@linux/amd64": {"build": took} for name, took in seconds.items()}))


@pytest.mark.slow
def test_what_most_work_waits_for_begins_first(small: Project) -> None:
    first = small.dsci("release", "--json", "--jobs", "1")
    assert order(first) == ["base", "python", "jupyter", "ml", "r"], "the longest chain, where nothing is known"
    took = noted(small)
    assert took.keys() == {f"{name}@linux/amd64" for name in DOCKERFILES}
    for each in took.values():
        assert each["build"] > 0 and each["test"] > 0, "they are kept apart"
        assert each["took"]["engine"] > 0
    assert took["base@linux/amd64"]["took"]["engine"] > 30_000_000, "with the base that it stands on"
    assert took["ml@linux/amd64"]["took"]["engine"] < 1_000_000, "without its parent"
    small.commit("feat: all of it", {"images/base/Dockerfile": DOCKERFILES["base"] + "ENV A=1\n"})
    believe(small, base=1, python=1, jupyter=1, ml=1, r=500)
    assert order(small.dsci("release", "--json", "--jobs", "1")) == ["base", "r", "python", "jupyter", "ml"]
    assert noted(small)["r@linux/amd64"]["build"] < 500, "what it took now is what counts the next time"


def test_a_file_of_durations_that_is_none_is_no_obstacle(tiny: Project) -> None:
    folder = tiny.state / "dsci" / "measured"
    for text in (
        "{",
        '{"x": "y"}',
        '{"no target": {"build": 5}, "ml@linux/amd64": {"build": -3}, "base@linux/amd64": 4}',
        "[]",
        '{"ml@linux/amd64": {"build": 1e999, "took": {"engine": "x"}}}',
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{tiny.git('rev-parse', 'HEAD')[:12]}.json").write_text(text)
        assert tiny.dsci("build", "--json").json["outcomes"] is not None


@pytest.mark.slow
def test_fail_fast_begins_nothing_after_a_failure(small: Project) -> None:
    small.commit("feat: broken", {"images/r/Dockerfile": DOCKERFILES["r"] + "RUN false\n"})
    believe(small, r=900)
    ended = small.dsci("release", "--json", "--jobs", "1", "--fail-fast", code=1)
    told = {item["subject"].partition("@")[0]: (item["status"], item["detail"]) for item in ended.json["outcomes"]}
    assert told["base"][0] == "ok" and told["r"][0] == "failed"
    for name in ("python", "jupyter", "ml"):
        assert told[name] == ("blocked", "r@linux/amd64 failed, and nothing begins after a failure")
    # Without it everything else is built to the end.
    ended = small.dsci("release", "--json", "--jobs", "2", code=1)
    assert {"python", "jupyter", "ml"} <= set(order(ended))
    assert small.tags() == set()
