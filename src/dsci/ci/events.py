"""What set a run off, as a CI system's environment and GitHub's payload tell it, and what is to be said of it.

GitHub Actions and GitLab CI are known; anything else is a run by hand. Plans never rest on what a push replaced: what
changed is counted from each image's last release. So a first push, a forced one or a deletion changes no plan; it is
told, for whoever wonders.

Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows,
https://docs.github.com/en/webhooks/webhook-events-and-payloads,
https://docs.gitlab.com/ci/variables/predefined_variables/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from dsci.model.event import Event, Trigger
from dsci.model.text import line

_PULL = re.compile(r"\Arefs/pull/([0-9]+)/(?:merge|head)\Z")
#: The branches on which GitHub tries out what waits in a merge queue.
#: Source: https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue
_QUEUE = re.compile(r"\Arefs/heads/gh-readonly-queue/(?P<base>.+)/pr-(?P<number>[0-9]+)-[0-9a-f]+\Z")
_GITLAB = ("CI_PIPELINE_SOURCE", "CI_COMMIT_BRANCH", "CI_COMMIT_TAG", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
#: The id that stands where there is no commit; of SHA-1 or SHA-256.
_ZEROS = re.compile(r"\A(?:0{40}|0{64})\Z")
#: How much of a name is told.
_SHOWN = 100

_SINCE = "what changed is counted from each image's last release, not from this push"
_BLIND = "the payload of the event cannot be read, so the request counts as one from another repository"
_QUEUED = "nothing is released and no name follows it: what is merged in the end may be another commit"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment tells."""

    event: Event
    notes: tuple[str, ...] = ()
    """What is out of the ordinary, a line each; no plan depends on it."""


def event(environment: Mapping[str, str], *, now: int = 0, payload: object = None) -> Event:
    """What set this run off, as far as the environment tells, and GitHub's payload of the event, where it is known."""
    return read(environment, now=now, payload=payload).event


def read(environment: Mapping[str, str], *, now: int = 0, payload: object = None) -> Reading:
    """What set this run off, and what there is to say of it."""
    if environment.get("GITHUB_ACTIONS") == "true" or environment.get("GITHUB_REF"):
        found = _github(environment, now, payload if isinstance(payload, Mapping) else {})
        blind = not isinstance(payload, Mapping) and environment.get("GITHUB_EVENT_NAME", "").startswith("pull_request")
        if blind and found.event.trigger is Trigger.PULL_REQUEST:
            return Reading(event=replace(found.event, foreign=True), notes=(*found.notes, _BLIND))
        return found
    if environment.get("GITLAB_CI") == "true" or any(environment.get(name) for name in _GITLAB):
        return _gitlab(environment, now)
    return Reading(event=Event(now=now))


def builder(environment: Mapping[str, str]) -> str:
    """An address that stands for the CI system's machines that build here; "" where there is no such system.

    It is the same for every run and every such machine. Sources: `RUNNER_ENVIRONMENT` (GitHub), `CI_PROJECT_URL`.
    """
    if environment.get("GITHUB_ACTIONS") == "true":
        server = environment.get("GITHUB_SERVER_URL") or "https://github.com"
        return f"{server}/actions/runner/{environment.get('RUNNER_ENVIRONMENT') or 'self-hosted'}"
    if environment.get("GITLAB_CI") == "true" and (project := environment.get("CI_PROJECT_URL")):
        return f"{project}/-/runners"
    return ""


# ------------------------------------------------------------------------------------------------------------- GitHub


def _github(environment: Mapping[str, str], now: int, payload: Mapping[str, Any]) -> Reading:
    reference = environment.get("GITHUB_REF", "")
    name = environment.get("GITHUB_EVENT_NAME", "")
    default = _text(payload, "repository", "default_branch")
    pull, queue = _PULL.match(reference), _QUEUE.match(reference)
    base = environment.get("GITHUB_BASE_REF", "")
    if queue is not None or name == "merge_group":
        return _merge_queue(queue, Event(default_branch=default, now=now), payload)
    if pull is not None or base:
        # `pull_request_target` runs on the base branch: only the variable tells that it is about a request.
        told = payload.get("number")
        number = pull[1] if pull else str(told) if isinstance(told, int) and name == "pull_request_target" else ""
        foreign = _from_elsewhere(payload)
        request = Event(
            trigger=Trigger.PULL_REQUEST, branch=base, number=number, default_branch=default, foreign=foreign, now=now
        )
        return Reading(event=request, notes=_of_request(name, request))
    if reference.startswith("refs/tags/"):
        tag = reference.removeprefix("refs/tags/")
        return Reading(event=Event(trigger=Trigger.TAG, tag=tag, default_branch=default, now=now))
    scheduled = name == "schedule"
    branch = reference.removeprefix("refs/heads/") if reference.startswith("refs/heads/") else ""
    pushed = Event(
        trigger=Trigger.SCHEDULE if scheduled else Trigger.BRANCH,
        branch=branch,
        # A schedule runs on the default branch alone.
        default_branch=default or (branch if scheduled else ""),
        now=now,
    )
    if name == "push":
        return _push(pushed, payload)
    if name == "workflow_run" and _of_strangers(payload):
        note = "this run was set off by a workflow of another repository: nothing that is built leaves this machine"
        return Reading(event=replace(pushed, foreign=True), notes=(note,))
    return Reading(event=pushed)


def _push(pushed: Event, payload: Mapping[str, Any]) -> Reading:
    """A push of a branch: what it replaced is told, and what was deleted is not released."""
    shown = line(pushed.branch or _text(payload, "ref"), _SHOWN)
    before, after = _text(payload, "before"), _text(payload, "after")
    if payload.get("deleted") is True or _ZEROS.match(after):
        # GitHub runs it on the default branch: "the SHA in the workflow run reverts to the default branch".
        home = pushed.default_branch
        return Reading(
            event=replace(pushed, branch=home),
            notes=(f"{shown} was deleted: this run is about {line(home, _SHOWN) or 'what is checked out'}",),
        )
    if _ZEROS.match(before):
        return Reading(event=pushed, notes=(f"{shown} is new, nothing stood there before: {_SINCE}",))
    if payload.get("forced") is True:
        old = line(before[:12], 12)
        told = f"{old} may be no part of its history any more" if old else "its history was replaced"
        return Reading(event=pushed, notes=(f"{shown} was pushed by force, {told}: {_SINCE}",))
    return Reading(event=pushed)


def _merge_queue(queue: re.Match[str] | None, about: Event, payload: Mapping[str, Any]) -> Reading:
    """What waits in a queue, merged on trial: like a request to its base branch (decision 39)."""
    told = _text(payload, "merge_group", "base_ref").removeprefix("refs/heads/")
    base = queue["base"] if queue is not None else told
    found = replace(about, trigger=Trigger.PULL_REQUEST, branch=base, queued=True)
    return Reading(event=found, notes=(f"a merge queue tries this out for {line(base, _SHOWN)}: {_QUEUED}",))


def _of_request(name: str, request: Event) -> tuple[str, ...]:
    if name == "pull_request_target":
        whose = "from another repository" if request.foreign else "of this repository"
        return (
            f"pull_request_target: a request {whose}, run with the rights of {line(request.branch, _SHOWN)}; "
            "what is checked out decides what is built",
        )
    return ()


def _text(payload: Mapping[str, Any], *path: str) -> str:
    """A text of the payload; "" where it is not there, or is none."""
    found: object = payload
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _from_elsewhere(payload: Mapping[str, Any]) -> bool:
    """Whether GitHub's payload tells of a pull request from a fork, which may be gone by now; False without a word."""
    pull = payload.get("pull_request")
    if not isinstance(pull, Mapping):
        return False
    head, base = (_repository(pull.get(side)) for side in ("head", "base"))
    return head is None or head != base


def _of_strangers(payload: Mapping[str, Any]) -> bool:
    """Whether another workflow's run, which set this one off, was about a request from another repository."""
    run = payload.get("workflow_run")
    if not isinstance(run, Mapping):
        return False
    theirs, ours = run.get("head_repository"), payload.get("repository")
    ids = [side.get("id") if isinstance(side, Mapping) else None for side in (theirs, ours)]
    return ids[0] is None or ids[0] != ids[1]


def _repository(side: object) -> object:
    """The number of the repository on one side of a pull request; None where it is gone."""
    repository = side.get("repo") if isinstance(side, Mapping) else None
    return repository.get("id") if isinstance(repository, Mapping) else None


# ------------------------------------------------------------------------------------------------------------- GitLab


def _gitlab(environment: Mapping[str, str], now: int) -> Reading:
    about = Event(default_branch=environment.get("CI_DEFAULT_BRANCH", ""), now=now)
    source = environment.get("CI_PIPELINE_SOURCE", "")
    request = _merge_request(environment, source, about)
    if request is not None:
        return request
    if tag := environment.get("CI_COMMIT_TAG", ""):
        return Reading(event=replace(about, trigger=Trigger.TAG, tag=tag))
    branch = environment.get("CI_COMMIT_BRANCH", "")
    trigger = Trigger.SCHEDULE if source == "schedule" else Trigger.BRANCH
    notes: tuple[str, ...] = ()
    # Of pipelines that nobody pushed there is always none before.
    if source == "push" and _ZEROS.match(environment.get("CI_COMMIT_BEFORE_SHA", "")):
        notes = (f"{line(branch, _SHOWN)} is new, nothing stood there before: {_SINCE}",)
    elif source == "parent_pipeline":
        notes = (f"a child pipeline: what set its parent off is not known here, it counts as a push of {branch}",)
    return Reading(event=replace(about, trigger=trigger, branch=branch), notes=tuple(line(n, 400) for n in notes))


def _merge_request(environment: Mapping[str, str], source: str, about: Event) -> Reading | None:
    """A merge request, GitLab's own or one of a repository that it builds for; None for everything else.

    Children of such a pipeline have its variables too, whatever their own source is.
    """
    number = environment.get("CI_MERGE_REQUEST_IID", "")
    target = environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "")
    theirs = environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
    ours = environment.get("CI_MERGE_REQUEST_PROJECT_ID", "")
    if source == "external_pull_request_event":
        number = environment.get("CI_EXTERNAL_PULL_REQUEST_IID", "")
        target = environment.get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME", "")
        theirs = environment.get("CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY", "")
        ours = environment.get("CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY", "")
    elif not number and not target and source != "merge_request_event":
        return None
    request = replace(about, trigger=Trigger.PULL_REQUEST, branch=target, number=number, foreign=theirs != ours)
    if environment.get("CI_MERGE_REQUEST_EVENT_TYPE") != "merge_train":
        return Reading(event=request)
    # The request keeps its name for what it is without the others of the train.
    note = f"a merge train tries this out for {line(target, _SHOWN)}: {_QUEUED}"
    return Reading(event=replace(request, number="", queued=True), notes=(note,))
