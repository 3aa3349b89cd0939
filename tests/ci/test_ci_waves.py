"""Waves of jobs as GitHub and GitLab read them, and the file of a step's outputs."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from typing import Any

import msgspec
import yaml

from dsci.ci.outputfile import github_output
from dsci.ci.waves import github, gitlab
from dsci.model.matrix import Job, Waves
from tests.githubrunner import outputs


def job(
    name: str, *only: str, needs: tuple[str, ...] = (), action: str = "build", platform: str = "linux/amd64"
) -> Job:
    return Job(
        id=only[0],
        only=only,
        image=name,
        platform=platform,
        os="linux",
        arch=platform.split("/")[1],
        action=action,
        name=f"{name}-{platform.replace('/', '-')}",
        needs=needs,
    )


BASE = job("base", "base@linux/amd64")
ARM = job("base", "base@linux/arm64", platform="linux/arm64", action="test")
ML = job("ml", "ml@linux/amd64", "r@linux/amd64", needs=("base-linux-amd64",))


def read(waves: Waves, count: int) -> dict[str, Any]:
    return dict(json.loads(msgspec.json.encode(github(waves, count))))


def test_github_reads_each_wave_as_a_matrix() -> None:
    values = read(((BASE, ARM), (ML,)), 3)
    assert list(values) == ["has-work", "waves", "wave-0", "wave-1", "wave-2"]
    assert (values["has-work"], values["waves"], values["wave-2"]) == (True, 2, {"include": []})
    assert values["wave-1"] == {
        "include": [
            {
                "id": "ml@linux/amd64",
                "only": ["ml@linux/amd64", "r@linux/amd64"],
                "image": "ml",
                "platform": "linux/amd64",
                "os": "linux",
                "arch": "amd64",
                "action": "build",
                "name": "ml-linux-amd64",
            }
        ]
    }
    assert [row["arch"] for row in values["wave-0"]["include"]] == ["amd64", "arm64"]


def test_github_without_work_can_still_be_read() -> None:
    assert read((), 1) == {"has-work": False, "waves": 0, "wave-0": {"include": []}}


def test_outputs_are_what_the_runner_reads() -> None:
    words = itertools.count()
    values = read(((BASE,),), 2)
    text = github_output(github(((BASE,),), 2), lambda: f"{next(words)}")
    found = outputs(text)
    assert {name: json.loads(value) for name, value in found.items()} == values
    assert (found["has-work"], found["waves"]) == ("true", "1")
    assert text.endswith("\n") and len(set(re.findall("<<(.*)", text))) == len(values)


def test_a_mark_that_stands_in_a_value_is_not_taken() -> None:
    words = iter(["one", "two"])
    assert github_output({"x": "dsci_one"}, lambda: next(words)) == 'x<<dsci_two\n"dsci_one"\ndsci_two\n'


KEYWORDS = {"workflow", "stages"}
#: What every job writes; the template that all of them extend keeps it.
REPORTS = (
    "--report dsci-report --report junit=dsci-report/junit.xml "
    "--report codequality=dsci-report/gl-code-quality-report.json"
)


def child(*waves: tuple[Job, ...], **more: Any) -> dict[str, Any]:
    """A child pipeline, held to what GitLab says of one."""
    text = gitlab(waves, **{"plan": "plan.json", "job": "plan", **more})
    assert "&" not in text and "*" not in text, "no YAML alias"
    document = yaml.safe_load(text)
    assert document["workflow"] == {"rules": [{"if": '$CI_PIPELINE_SOURCE == "parent_pipeline"'}]}
    jobs = {name: value for name, value in document.items() if name not in KEYWORDS and not name.startswith(".")}
    stages = document.get("stages", ["test"])
    assert jobs, "GitLab refuses a pipeline without jobs"
    for value in jobs.values():
        assert value.keys() <= {"extends", "stage", "needs", "script"}
        assert value["script"] and all(isinstance(line, str) for line in value["script"])
        assert value.get("stage", "test") in stages
        if "extends" in value:
            template = document[value["extends"]]
            kept = document[template["extends"]]["artifacts"]["reports"]
            assert all(f"--report {form}={file}" in value["script"][0] for form, file in kept.items()) and kept
        for need in value.get("needs", []):
            if isinstance(need, str):
                assert stages.index(jobs[need]["stage"]) < stages.index(value["stage"])
            else:
                assert need == {"pipeline": "$PARENT_PIPELINE_ID", "job": more.get("job", "plan")}
    return jobs


def test_gitlab_gets_a_child_pipeline() -> None:
    jobs = child((BASE, ARM), (ML,))
    assert list(jobs) == ["base-linux-amd64", "base-linux-arm64", "ml-linux-amd64"]
    parent = {"pipeline": "$PARENT_PIPELINE_ID", "job": "plan"}
    assert jobs["ml-linux-amd64"] == {
        "extends": ".dsci-linux-amd64",
        "stage": "wave-1",
        "needs": [parent, "base-linux-amd64"],
        "script": [f"dsci test --only ml@linux/amd64 --only r@linux/amd64 --plan plan.json {REPORTS}"],
    }
    assert jobs["base-linux-arm64"]["script"] == [f"dsci test --only base@linux/arm64 --plan plan.json {REPORTS}"]
    assert jobs["base-linux-arm64"]["needs"] == [parent]


def test_gitlab_gets_words_that_no_shell_reads_otherwise() -> None:
    jobs = child((BASE,), plan="my $(plan).json", job="a: job", registries=("ghcr.io/acme", "x;y"))
    line = jobs["base-linux-amd64"]["script"][0]
    said = ["--plan", "my $(plan).json", "--registry", "ghcr.io/acme", "--registry", "x;y", *REPORTS.split()]
    assert shlex.split(line)[4:] == said
    assert "'my $(plan).json'" in line


def test_gitlab_gets_a_job_even_without_work() -> None:
    """It runs where the others would: without their `tags`, a project whose runners want some has no runner for it.

    Source: https://docs.gitlab.com/ci/runners/configure_runners/#control-jobs-that-a-runner-can-run
    """
    document = yaml.safe_load(gitlab((), plan="plan.json", job="plan"))
    assert document["workflow"] == {"rules": [{"if": '$CI_PIPELINE_SOURCE == "parent_pipeline"'}]}
    assert list(document) == ["workflow", ".dsci", "nothing-to-do"]
    job = document["nothing-to-do"]
    assert job["extends"] == ".dsci" and "needs" not in job
    assert job["services"] == job["before_script"] == [], "it waits for no engine"
