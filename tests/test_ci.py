"""CI systems' environments: what set the run off, as GitHub and GitLab say it."""

from __future__ import annotations

import pytest

from dsci.ci import event
from dsci.model.event import Event, Trigger

GITHUB = {"GITHUB_ACTIONS": "true"}
GITLAB = {"GITLAB_CI": "true", "CI_DEFAULT_BRANCH": "main"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Event()),
        ({"CI": "true"}, Event()),
        (GITHUB | {"GITHUB_REF": "refs/heads/main"}, Event(trigger=Trigger.BRANCH, branch="main")),
        ({"GITHUB_REF": "refs/heads/a/b"}, Event(trigger=Trigger.BRANCH, branch="a/b")),
        (GITHUB | {"GITHUB_REF": "refs/tags/ml-v1.0.0"}, Event(trigger=Trigger.TAG, tag="ml-v1.0.0")),
        (
            GITHUB | {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_BASE_REF": "main"},
            Event(trigger=Trigger.PULL_REQUEST, branch="main", number="12"),
        ),
        (
            GITHUB | {"GITHUB_REF": "refs/heads/main", "GITHUB_BASE_REF": "main"},
            Event(trigger=Trigger.PULL_REQUEST, branch="main"),
        ),
        (
            GITHUB | {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "schedule"},
            Event(trigger=Trigger.SCHEDULE, branch="main", default_branch="main"),
        ),
        (GITHUB, Event(trigger=Trigger.BRANCH)),
        (GITHUB | {"GITHUB_REF": "refs/pull/x/merge"}, Event(trigger=Trigger.BRANCH)),
        (
            GITLAB | {"CI_COMMIT_BRANCH": "next"},
            Event(trigger=Trigger.BRANCH, branch="next", default_branch="main"),
        ),
        (
            GITLAB | {"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "schedule"},
            Event(trigger=Trigger.SCHEDULE, branch="main", default_branch="main"),
        ),
        (GITLAB | {"CI_COMMIT_TAG": "v1.0.0"}, Event(trigger=Trigger.TAG, tag="v1.0.0", default_branch="main")),
        (
            GITLAB | {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
            Event(trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main", number="7"),
        ),
        ({"CI_COMMIT_BRANCH": "main"}, Event(trigger=Trigger.BRANCH, branch="main")),
        (
            {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "next"},
            Event(trigger=Trigger.PULL_REQUEST, branch="next"),
        ),
        (
            {"CI_PIPELINE_SOURCE": "merge_request_event"},
            Event(trigger=Trigger.PULL_REQUEST),
        ),
    ],
)
def test_events(environment: dict[str, str], expected: Event) -> None:
    assert event(environment) == expected


@pytest.mark.parametrize(
    ("payload", "branch"),
    [
        ({"repository": {"default_branch": "trunk"}}, "trunk"),
        ({"repository": {"default_branch": 7}}, ""),
        ({"repository": []}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_github_tells_its_main_branch_in_the_payload(payload: object, branch: str) -> None:
    found = event(GITHUB | {"GITHUB_REF": "refs/heads/trunk"}, payload=payload)
    assert found.default_branch == branch
    scheduled = GITHUB | {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "schedule"}
    assert event(scheduled, payload=payload).default_branch == (branch or "main")
