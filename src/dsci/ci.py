"""CI systems' dialects, pure: an environment says what set the run off.

GitHub Actions and GitLab CI are known; anything else is a run by hand. Nothing is read here but the mapping that is
handed in, and nothing of it is trusted to be well formed.

Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/variables,
https://docs.gitlab.com/ci/variables/predefined_variables/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from dsci.model.event import Event, Trigger

_PULL = re.compile(r"\Arefs/pull/([0-9]+)/(?:merge|head)\Z")

_GITLAB = ("CI_PIPELINE_SOURCE", "CI_COMMIT_BRANCH", "CI_COMMIT_TAG", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")


def event(environment: Mapping[str, str], *, now: int = 0, payload: object = None) -> Event:
    """What set this run off, as far as the environment tells, and GitHub's payload of the event, where it is known."""
    if environment.get("GITHUB_ACTIONS") == "true" or environment.get("GITHUB_REF"):
        found = _github(environment, now)
        return replace(found, default_branch=_default(payload) or found.default_branch)
    if environment.get("GITLAB_CI") == "true" or any(environment.get(name) for name in _GITLAB):
        return _gitlab(environment, now)
    return Event(now=now)


def _github(environment: Mapping[str, str], now: int) -> Event:
    reference = environment.get("GITHUB_REF", "")
    pull = _PULL.match(reference)
    base = environment.get("GITHUB_BASE_REF", "")
    if pull is not None or base:
        # `pull_request_target` runs on the base branch: only the variable tells that it is about a request.
        return Event(trigger=Trigger.PULL_REQUEST, branch=base, number=pull[1] if pull else "", now=now)
    if reference.startswith("refs/tags/"):
        return Event(trigger=Trigger.TAG, tag=reference.removeprefix("refs/tags/"), now=now)
    scheduled = environment.get("GITHUB_EVENT_NAME") == "schedule"
    branch = reference.removeprefix("refs/heads/") if reference.startswith("refs/heads/") else ""
    return Event(
        trigger=Trigger.SCHEDULE if scheduled else Trigger.BRANCH,
        branch=branch,
        # A schedule runs on the default branch alone.
        default_branch=branch if scheduled else "",
        now=now,
    )


def _default(payload: object) -> str:
    """The repository's main branch, which GitHub tells in the payload alone."""
    repository = payload.get("repository") if isinstance(payload, Mapping) else None
    name = repository.get("default_branch") if isinstance(repository, Mapping) else None
    return name if isinstance(name, str) else ""


def _gitlab(environment: Mapping[str, str], now: int) -> Event:
    default = environment.get("CI_DEFAULT_BRANCH", "")
    number = environment.get("CI_MERGE_REQUEST_IID", "")
    target = environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "")
    if number or target or environment.get("CI_PIPELINE_SOURCE") == "merge_request_event":
        return Event(
            trigger=Trigger.PULL_REQUEST,
            branch=target,
            default_branch=default,
            number=number,
            now=now,
        )
    tag = environment.get("CI_COMMIT_TAG", "")
    if tag:
        return Event(trigger=Trigger.TAG, default_branch=default, tag=tag, now=now)
    return Event(
        trigger=Trigger.SCHEDULE if environment.get("CI_PIPELINE_SOURCE") == "schedule" else Trigger.BRANCH,
        branch=environment.get("CI_COMMIT_BRANCH", ""),
        default_branch=default,
        now=now,
    )
