"""Equal requests give byte-equal plans, on a laptop as on the machines of GitHub and GitLab (rule 17)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.scratchfamily import Family, make_family

NOW = "2026-11-28T00:00:00Z"
SETTINGS = """\
platforms: [linux/amd64]
versioning: {prereleases: {next: rc}}
tags: ["{version}", "{major}.{minor}", latest, "sha-{sha}", "type=ref,event=branch", "type=ref,event=pr", "type=edge",
  "type=sha", "type=schedule,pattern=nightly"]
"""
MACHINES = {
    "a laptop": {},
    "GitHub": {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_REF": "refs/heads/another",
        "GITHUB_SHA": "f" * 40,
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REPOSITORY": "acme/stack",
        "GITHUB_RUN_ID": "17",
        "RUNNER_ENVIRONMENT": "github-hosted",
    },
    "GitLab": {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_PIPELINE_SOURCE": "schedule",
        "CI_COMMIT_BRANCH": "another",
        "CI_DEFAULT_BRANCH": "another",
        "CI_COMMIT_SHA": "f" * 40,
        "CI_COMMIT_BEFORE_SHA": "0" * 40,
        "CI_PROJECT_URL": "https://gitlab.example/acme/stack",
    },
}


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    made = make_family(tmp_path, monkeypatch)
    made.repo.commit("feat: names", {"dsci.yaml": SETTINGS})
    return made


def plan(family: Family, machine: str, *arguments: str) -> bytes:
    """A plan as a machine prints it, whose payload of the event tells of a push of another branch."""
    payload = family.state / "event.json"
    payload.write_text(json.dumps({"repository": {"default_branch": "another", "id": 1}, "before": "0" * 40}))
    environment = {**os.environ, **MACHINES[machine]}
    if machine == "GitHub":
        environment["GITHUB_EVENT_PATH"] = str(payload)
    command = [sys.executable, "-m", "dsci", "plan", "--json", "--offline", "--now", NOW, *arguments]
    ended = subprocess.run(command, cwd=family.repo.folder, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


@pytest.mark.parametrize(
    ("trigger", "reference"),
    [
        ("branch", "refs/heads/main"),
        ("branch", "refs/heads/next"),
        ("pull-request", "refs/pull/7/merge"),
        ("schedule", "refs/heads/main"),
        ("tag", "refs/tags/ml-v1.0.0"),
        ("pull-request", f"refs/heads/gh-readonly-queue/main/pr-7-{'a' * 40}"),
    ],
)
def test_equal_requests_give_equal_plans_everywhere(family: Family, trigger: str, reference: str) -> None:
    plans = {name: plan(family, name, "--trigger", trigger, "--ref", reference) for name in MACHINES}
    assert plans["GitHub"] == plans["a laptop"]
    assert plans["GitLab"] == plans["a laptop"]


def names(content: bytes) -> set[str]:
    """The names that follow a run, and the versions that it releases."""
    value = json.loads(content)
    assert value["commit"] != "f" * 40, "what is checked out is planned, not what a variable says"
    return {tag for ref in value["refs"] for tag in ref["tags"]} | {item["version"] for item in value["releases"]}


def test_other_requests_give_other_plans(family: Family) -> None:
    """The machines can tell requests apart, or the test above would say nothing."""
    main = names(plan(family, "a laptop", "--ref", "refs/heads/main"))
    assert {"main", "0.1.0"} <= main
    assert "0.1.0-rc.1" in names(plan(family, "GitHub", "--ref", "refs/heads/next"))
    assert "nightly" in names(plan(family, "GitLab", "--trigger", "schedule", "--ref", "refs/heads/main"))
    assert "pr-7" in names(plan(family, "GitHub", "--ref", "refs/pull/7/merge"))
    assert plan(family, "GitHub") != plan(family, "GitLab"), "without --ref, the machine says what the run is about"


def test_a_merge_queue_releases_nothing_and_no_name_follows_it(family: Family) -> None:
    queue = plan(family, "a laptop", "--ref", f"refs/heads/gh-readonly-queue/main/pr-7-{'a' * 40}")
    assert names(queue) == set()
    value = json.loads(queue)
    assert {item["action"] for item in value["targets"]} == {"build"}, "it is built and tested all the same"
    assert "a request releases nothing" in value["unreleased"]["ml"]
