"""What set a run off, as GitHub and GitLab say it, and what is said of it where it is out of the ordinary."""

from __future__ import annotations

from typing import Any

import pytest

from dsci.ci.events import builder, event, read
from dsci.model.event import Event, Trigger
from tests.hostile import HOSTILE

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


PULL = GITHUB | {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_BASE_REF": "main"}
MERGE = GITLAB | {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
OURS, THEIRS = {"repo": {"id": 1}}, {"repo": {"id": 2}}


@pytest.mark.parametrize(
    ("environment", "payload", "foreign"),
    [
        (PULL, {"pull_request": {"head": OURS, "base": OURS}}, False),
        (PULL, {"pull_request": {"head": THEIRS, "base": OURS}}, True),
        (PULL, {"pull_request": {"head": {"repo": None}, "base": OURS}}, True),  # the fork is gone
        (PULL, {"pull_request": {}}, True),
        (PULL, {"pull_request": {"head": OURS}}, True),
        (PULL, {}, False),
        (PULL, None, False),
        # `pull_request_target` has the rights of the base branch, and what it builds is a stranger's all the same.
        (PULL | {"GITHUB_REF": "refs/heads/main"}, {"pull_request": {"head": THEIRS, "base": OURS}}, True),
        (GITHUB | {"GITHUB_REF": "refs/heads/main"}, {"pull_request": {"head": THEIRS, "base": OURS}}, False),
        (MERGE | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1"}, None, False),
        (MERGE | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"}, None, True),
        (MERGE, None, True),
        (GITLAB | {"CI_MERGE_REQUEST_IID": "7"}, None, False),
    ],
)
def test_a_request_from_another_repository_is_foreign(
    environment: dict[str, str], payload: object, foreign: bool
) -> None:
    assert event(environment, payload=payload).foreign is foreign


# ------------------------------------------------------------------------------------------- out of the ordinary

ZEROS, SHA = "0" * 40, "4f5d" * 10
PUSH = GITHUB | {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/next"}
HOME = {"repository": {"default_branch": "main", "id": 1}}


def pushed(**payload: Any) -> tuple[Event, str]:
    """The event and the note of a push with this payload."""
    found = read(PUSH, payload={**HOME, **payload})
    return found.event, "\n".join(found.notes)


NEXT = Event(trigger=Trigger.BRANCH, branch="next", default_branch="main")


def test_a_push_that_replaces_nothing_changes_no_plan_and_is_told() -> None:
    usual, note = pushed(before=SHA, after=SHA, forced=False, deleted=False)
    assert (usual, note) == (NEXT, "")
    first, note = pushed(before=ZEROS, after=SHA, created=True)
    assert first == NEXT
    assert note == (
        "next is new, nothing stood there before: what changed is counted from each image's last release, "
        "not from this push"
    )
    assert pushed(before="0" * 64)[1].startswith("next is new"), "a repository of SHA-256"


def test_a_forced_push_changes_no_plan_and_is_told() -> None:
    forced, note = pushed(before=SHA, after=ZEROS.replace("0", "1"), forced=True)
    assert forced == NEXT
    assert note.startswith(f"next was pushed by force, {SHA[:12]} may be no part of its history any more: what")
    assert pushed(forced=True)[1].startswith("next was pushed by force, its history was replaced")


@pytest.mark.parametrize("payload", [{"deleted": True}, {"after": ZEROS}])
def test_a_branch_that_was_deleted_is_not_released(payload: dict[str, Any]) -> None:
    found, note = pushed(**payload)
    assert found == Event(trigger=Trigger.BRANCH, branch="main", default_branch="main")
    assert note == "next was deleted: this run is about main"


@pytest.mark.parametrize("payload", [{"before": 7}, {"before": None}, {"forced": "yes"}, {"deleted": 1}, {"after": []}])
def test_a_payload_that_is_none_says_nothing(payload: dict[str, Any]) -> None:
    assert pushed(**payload) == (NEXT, "")


QUEUE = f"refs/heads/gh-readonly-queue/release/1.x/pr-12-{SHA}"


@pytest.mark.parametrize(
    ("environment", "payload"),
    [
        (GITHUB | {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF": QUEUE}, HOME),
        ({"GITHUB_REF": QUEUE}, None),  # as --ref says it
        (
            GITHUB | {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF": "refs/heads/new-scheme"},
            {**HOME, "merge_group": {"base_ref": "refs/heads/release/1.x"}},
        ),
    ],
)
def test_a_merge_queue_is_a_request_into_its_branch_that_no_name_follows(
    environment: dict[str, str], payload: object
) -> None:
    found = read(environment, payload=payload)
    default = "main" if payload else ""
    assert found.event == Event(trigger=Trigger.PULL_REQUEST, branch="release/1.x", default_branch=default, queued=True)
    assert found.event.pushed == "" and not found.event.foreign
    (note,) = found.notes
    assert "release/1.x" in note and "nothing is released and no name follows it" in note


@pytest.mark.parametrize(
    "name", ["gh-readonly-queue/main", "gh-readonly-queue/main/pr-x-1", "x/gh-readonly-queue/m/pr-1-a"]
)
def test_a_branch_with_a_name_like_a_queue_is_a_branch(name: str) -> None:
    assert event({"GITHUB_REF": f"refs/heads/{name}"}) == Event(trigger=Trigger.BRANCH, branch=name)


def test_a_request_with_the_rights_of_its_base_is_told() -> None:
    target = PULL | {"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main"}
    found = read(target, payload={**HOME, "number": 12, "pull_request": {"head": THEIRS, "base": OURS}})
    assert found.event == Event(
        trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main", number="12", foreign=True
    )
    assert "from another repository, run with the rights of main" in found.notes[0]
    ours = read(target, payload={"number": "1", "pull_request": {"head": OURS, "base": OURS}})
    assert (ours.event.number, ours.event.foreign) == ("", False)
    assert "of this repository" in ours.notes[0]


def test_a_request_whose_payload_cannot_be_read_is_trusted_with_nothing() -> None:
    found = read(PULL | {"GITHUB_EVENT_NAME": "pull_request"}, payload=None)
    assert found.event.foreign and "counts as one from another repository" in found.notes[0]


@pytest.mark.parametrize(
    ("run", "foreign"),
    [
        ({"head_repository": {"id": 1}}, False),
        ({"head_repository": {"id": 2}}, True),
        ({"head_repository": None}, True),
        (None, False),
    ],
)
def test_a_run_after_a_strangers_run_is_foreign(run: object, foreign: bool) -> None:
    environment = GITHUB | {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_REF": "refs/heads/main"}
    found = read(environment, payload={**HOME, "workflow_run": run})
    assert (found.event.trigger, found.event.foreign) == (Trigger.BRANCH, foreign)
    assert bool(found.notes) is foreign


def test_a_dispatch_is_about_the_branch_or_the_tag_that_it_names() -> None:
    by_hand = GITHUB | {"GITHUB_EVENT_NAME": "workflow_dispatch"}
    assert event(by_hand | {"GITHUB_REF": "refs/heads/main"}, payload=HOME).pushed == "main"
    tag = event(by_hand | {"GITHUB_REF": "refs/tags/ml-v1.0.0"}, payload=HOME)
    assert (tag.trigger, tag.tag) == (Trigger.TAG, "ml-v1.0.0")


def test_gitlab_says_of_a_push_alone_what_was_there_before() -> None:
    branch = GITLAB | {"CI_COMMIT_BRANCH": "next", "CI_COMMIT_BEFORE_SHA": ZEROS}
    assert read(branch | {"CI_PIPELINE_SOURCE": "push"}).notes[0].startswith("next is new, nothing stood there before")
    for source in ("web", "schedule", "api", "trigger", "pipeline"):
        assert read(branch | {"CI_PIPELINE_SOURCE": source}).notes == ()
    assert read(branch | {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BEFORE_SHA": SHA}).notes == ()
    assert event(branch | {"CI_PIPELINE_SOURCE": "web"}) == NEXT


def test_a_merge_train_is_a_request_that_no_name_follows() -> None:
    request = MERGE | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    plain = read(request | {"CI_MERGE_REQUEST_EVENT_TYPE": "merged_result"})
    assert (plain.event.number, plain.event.queued, plain.notes) == ("7", False, ())
    train = read(request | {"CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"})
    assert (train.event.number, train.event.queued, train.event.branch) == ("", True, "main")
    assert "a merge train tries this out for main" in train.notes[0]


def test_a_child_pipeline_is_about_what_its_parent_is_about() -> None:
    child = GITLAB | {"CI_PIPELINE_SOURCE": "parent_pipeline"}
    pushed = read(child | {"CI_COMMIT_BRANCH": "next"})
    assert pushed.event == NEXT and "what set its parent off is not known here" in pushed.notes[0]
    assert event(child | {"CI_COMMIT_TAG": "v1.0.0"}).tag == "v1.0.0"
    assert event(child | {"CI_MERGE_REQUEST_IID": "7"}).trigger is Trigger.PULL_REQUEST


def test_gitlab_builds_for_requests_of_other_forges() -> None:
    request = GITLAB | {
        "CI_PIPELINE_SOURCE": "external_pull_request_event",
        "CI_COMMIT_BRANCH": "feature",
        "CI_EXTERNAL_PULL_REQUEST_IID": "3",
        "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": "fork/stack",
        "CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY": "acme/stack",
    }
    assert event(request) == Event(
        trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main", number="3", foreign=True
    )
    assert not event(request | {"CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": "acme/stack"}).foreign


@pytest.mark.parametrize("name", HOSTILE)
def test_notes_are_one_short_line_whatever_names_are(name: str) -> None:
    readings = [
        read(PUSH | {"GITHUB_REF": f"refs/heads/{name}"}, payload={"before": ZEROS}),
        read(PUSH | {"GITHUB_REF": f"refs/heads/{name}"}, payload={"before": name, "forced": True}),
        read(
            GITHUB | {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF": "x"},
            payload={"merge_group": {"base_ref": name}},
        ),
        read(GITHUB | {"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_BASE_REF": name or "x"}, payload={}),
        read(GITLAB | {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": name, "CI_COMMIT_BEFORE_SHA": ZEROS}),
        read(GITLAB | {"CI_PIPELINE_SOURCE": "parent_pipeline", "CI_COMMIT_BRANCH": name}),
    ]
    for reading in readings:
        (note,) = reading.notes
        assert "\n" not in note and len(note) <= 420
        assert reading.event.tag == ""


def test_the_machines_of_a_ci_system_have_an_address() -> None:
    assert builder({}) == ""
    assert builder(GITHUB) == "https://github.com/actions/runner/self-hosted"
    assert builder(GITLAB | {"CI_PROJECT_URL": "https://gitlab.example/a/b"}) == "https://gitlab.example/a/b/-/runners"
