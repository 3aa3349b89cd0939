"""CI systems' dialects, pure: an environment says what set the run off, and waves of jobs are written as they are read.

GitHub Actions and GitLab CI are known; anything else is a run by hand. Nothing is read here but the mapping that is
handed in, and nothing of it is trusted to be well formed.

Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/variables,
https://docs.gitlab.com/ci/variables/predefined_variables/, https://docs.gitlab.com/ci/yaml/
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from dsci.model.event import Event, Trigger

if TYPE_CHECKING:
    from dsci.model.matrix import Job, Waves

_PULL = re.compile(r"\Arefs/pull/([0-9]+)/(?:merge|head)\Z")

_GITLAB = ("CI_PIPELINE_SOURCE", "CI_COMMIT_BRANCH", "CI_COMMIT_TAG", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")


def event(environment: Mapping[str, str], *, now: int = 0, payload: object = None) -> Event:
    """What set this run off, as far as the environment tells, and GitHub's payload of the event, where it is known."""
    if environment.get("GITHUB_ACTIONS") == "true" or environment.get("GITHUB_REF"):
        found = _github(environment, now)
        request = found.trigger is Trigger.PULL_REQUEST
        return replace(
            found,
            default_branch=_default(payload) or found.default_branch,
            foreign=request and _from_elsewhere(payload),
        )
    if environment.get("GITLAB_CI") == "true" or any(environment.get(name) for name in _GITLAB):
        return _gitlab(environment, now)
    return Event(now=now)


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


def _from_elsewhere(payload: object) -> bool:
    """Whether GitHub's payload tells of a pull request from a fork, which may be gone by now; False without a word."""
    pull = payload.get("pull_request") if isinstance(payload, Mapping) else None
    if not isinstance(pull, Mapping):
        return False
    head, base = (_repository(pull.get(side)) for side in ("head", "base"))
    return head is None or head != base


def _repository(side: object) -> object:
    """The number of the repository on one side of a pull request; None where it is gone."""
    repository = side.get("repo") if isinstance(side, Mapping) else None
    return repository.get("id") if isinstance(repository, Mapping) else None


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
            foreign=environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
            != environment.get("CI_MERGE_REQUEST_PROJECT_ID", ""),
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


# ---------------------------------------------------------------------------------------------------- fan-out

#: A workflow of GitHub's has its waves written down one by one, so there are this many and no more.
GITHUB_WAVES = 8

#: What GitLab lets a job need, unless its administrator allows more.
#: Source: https://docs.gitlab.com/administration/instance_limits/
GITLAB_NEEDS = 50


def github(waves: Waves, count: int) -> Mapping[str, Any]:
    """The waves as outputs of a job: `has-work`, `waves`, and `wave-0` and on, each to be a `strategy.matrix`.

    There are `count` of them: those without jobs can still be read, though a matrix of none must not be run.
    """
    values: dict[str, Any] = {"has-work": bool(waves), "waves": len(waves)}
    for number in range(max(count, len(waves))):
        jobs = waves[number] if number < len(waves) else ()
        values[f"wave-{number}"] = {"include": [_without_needs(job) for job in jobs]}
    return values


def _without_needs(job: Job) -> Mapping[str, Any]:
    """A job as a row of a matrix, which knows of no other rows: its wave says what it waits for."""
    row: dict[str, Any] = msgspec.to_builtins(job)
    del row["needs"]
    return row


def github_output(values: Mapping[str, Any], token: Callable[[], str]) -> str:
    """The lines that set these outputs as JSON, each between two marks that nobody could foresee.

    `token` gives another random word at each call; a mark that stands in a value is not taken.
    Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#multiline-strings
    """
    lines: list[str] = []
    for name, value in values.items():
        text = msgspec.json.encode(value).decode()
        while (mark := f"dsci_{token()}") in text:
            pass
        lines += [f"{name}<<{mark}", text, mark]
    return "".join(f"{line}\n" for line in lines)


def gitlab(waves: Waves, *, plan: str, job: str, registries: Sequence[str] = ()) -> str:
    """The waves as a child pipeline, in YAML: `plan` is the file that the parent's job of this name keeps of the plan.

    Jobs extend `.dsci-OS-ARCH`, which extend `.dsci`: a file that is included beside this one says there what they
    run on. A pipeline without jobs is refused by GitLab, so there is always one.
    """
    # Imported where it is wanted: events are read in every run.
    import yaml

    document: dict[str, Any] = {"workflow": {"rules": [{"if": '$CI_PIPELINE_SOURCE == "parent_pipeline"'}]}}
    if not waves:
        document["nothing-to-do"] = {"script": ["echo 'every image is built and tested'"]}
        return yaml.safe_dump(document, sort_keys=False)
    document["stages"] = [f"wave-{number}" for number in range(len(waves))]
    # What a machine did is found by its key: a job that lost its machine goes on where it was.
    document[".dsci"] = {"retry": {"max": 1, "when": ["runner_system_failure", "stuck_or_timeout_failure"]}}
    for platform in sorted({each.platform for wave in waves for each in wave}):
        document[_template(platform)] = {"extends": ".dsci", "variables": {"DSCI_PLATFORM": platform}}
    for number, wave in enumerate(waves):
        for each in wave:
            document[each.name] = {
                "extends": _template(each.platform),
                "stage": f"wave-{number}",
                "needs": [{"pipeline": "$PARENT_PIPELINE_ID", "job": job}, *each.needs],
                "script": [_command(verb, each, plan, registries) for verb in _verbs(each)],
            }
    return yaml.safe_dump(document, sort_keys=False, width=1 << 20)


def _template(platform: str) -> str:
    return ".dsci-" + platform.replace("/", "-")


def _verbs(job: Job) -> tuple[str, ...]:
    return ("build", "test") if job.action == "build" else ("test",)


def _command(verb: str, job: Job, plan: str, registries: Sequence[str]) -> str:
    words = ["dsci", verb, *(word for target in job.only for word in ("--only", target)), "--plan", plan]
    return shlex.join([*words, *(word for registry in registries for word in ("--registry", registry))])
