"""A family built by several machines: each has a clone, the plan and the registry, and nothing else in common."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import DOCKERFILES, NOTED, Ended, Project, outcomes
from tests.secondengine import second_engine

pytestmark = pytest.mark.engine


@pytest.fixture
def planned(tiny: Project) -> tuple[Project, Path]:
    """The tiny family with a suite, pushed, and the plan of its first release in a file."""
    tiny.push("test: the note", {"images/base/suites/base.yaml": NOTED})
    plan = tiny.state.parent / "plan.json"
    plan.write_text(tiny.dsci("plan", "--json").stdout)
    return tiny, plan


def built(ended: Ended) -> dict[str, str]:
    """The digests that a run built, by image."""
    return {
        item["subject"].partition("@")[0]: item["digest"]
        for item in ended.json["outcomes"]
        if item["stage"] == "build" and item["status"] == "ok"
    }


def published(project: Project, name: str) -> list[str]:
    """The manifests of an image's release."""
    assert project.registry is not None
    index = project.registry.manifest(f"{project.prefix}/{name}", "0.1.0")
    return [item["digest"] for item in index["manifests"]]


def test_machines_go_on_from_each_other_and_a_release_builds_nothing(planned: tuple[Project, Path]) -> None:
    project, plan = planned
    waves = project.dsci("matrix", "--plan", str(plan)).json
    (base,), (ml,) = [[job["only"][0] for job in wave] for wave in waves]
    one, two = project.elsewhere(project.state.parent / "one"), project.elsewhere(project.state.parent / "two")
    # The child cannot be built before its parent, and the parent is named.
    early = two.dsci("build", "--json", "--only", ml, "--plan", str(plan), code=1)
    assert f"{base} is needed" in early.stderr and f"--only {base}" in early.stderr
    first = one.dsci("build", "--json", "--only", base, "--plan", str(plan))
    assert outcomes(first) == {"base build": "ok"}
    second = two.dsci("build", "--json", "--only", ml, "--plan", str(plan))
    assert outcomes(second) == {"ml build": "ok"}, "the parent is taken from the registry"
    digests = built(first) | built(second)
    # Suites are another command, on any machine; what passed is not run again.
    assert outcomes(two.dsci("test", "--json", "--only", base, "--plan", str(plan))) == {"base test": "ok"}
    assert outcomes(one.dsci("test", "--json", "--only", base, "--plan", str(plan))) == {}
    assert outcomes(one.dsci("test", "--json", "--only", ml, "--plan", str(plan))) == {"ml test": "ok"}
    # A job that is run again finds its own work.
    assert outcomes(one.dsci("build", "--json", "--only", f"{base} {ml}", "--plan", str(plan))) == {}
    assert project.dsci("matrix").json == []
    released = project.release()
    assert outcomes(released) == {}, "nothing is built or tested"
    assert set(released.json["released"]) == {"base-v0.1.0", "ml-v0.1.0"}
    assert {name: published(project, name) for name in digests} == {name: [digest] for name, digest in digests.items()}


def test_one_job_builds_and_tests_what_is_folded_into_it(planned: tuple[Project, Path]) -> None:
    project, plan = planned
    ((job,),) = project.dsci("matrix", "--plan", str(plan), "--max-waves", "1").json
    other = project.elsewhere(project.state.parent / "other")
    only = [word for target in job["only"] for word in ("--only", target)]
    ended = other.dsci("test", "--json", *only, "--plan", str(plan))
    assert outcomes(ended) == dict.fromkeys(("base build", "base test", "ml build", "ml test"), "ok")
    assert project.release().json["outcomes"] == []


def test_two_engines_one_of_which_dies(small: Project) -> None:
    """One machine builds the parents, the other (its own engine, in its own network namespace) the children; a job
    that is killed in the middle is run again elsewhere, and the release is made of what each of them pushed."""
    small.push("feat: slow", {"images/ml/Dockerfile": DOCKERFILES["ml"] + "RUN sleep 4 && date > /tmp/when\n"})
    plan = small.state.parent / "plan.json"
    plan.write_text(small.dsci("plan", "--json").stdout)
    waves = [[job["only"][0] for job in wave] for wave in small.dsci("matrix", "--plan", str(plan)).json]
    assert [sorted(name.partition("@")[0] for name in wave) for wave in waves] == [
        ["base"],
        ["python", "r"],
        ["jupyter"],
        ["ml"],
    ]
    one = small.elsewhere(small.state.parent / "one")
    digests: dict[str, str] = {}

    def job(where: Project, target: str) -> None:
        digests.update(built(where.dsci("build", "--json", "--only", target, "--plan", str(plan))))
        assert set(outcomes(where.dsci("test", "--json", "--only", target, "--plan", str(plan))).values()) <= {"ok"}

    for target in [*waves[0], *waves[1]]:
        job(one, target)
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint:
        two = small.elsewhere(small.state.parent / "two")
        two.environment["DOCKER_HOST"] = endpoint
        job(two, waves[2][0])
        (ml,) = waves[3]
        cut = two.start("build", "--json", "--only", ml, "--plan", str(plan))
        time.sleep(2.5)
        cut.kill()
        cut.communicate(timeout=60)
        assert small.registry is not None
        assert not [tag for tag in small.registry.tags(f"{small.prefix}/ml", public=False) if "." in tag]
    # The second machine is gone altogether.
    job(one, ml)
    ended = small.release()
    assert outcomes(ended) == {} and len(ended.json["released"]) == 5
    for name, digest in digests.items():
        assert small.registry is not None
        index = small.registry.manifest(f"{small.prefix}/{name}", "1.0.0")
        assert [item["digest"] for item in index["manifests"]] == [digest]
    assert digests.keys() == set(DOCKERFILES)
