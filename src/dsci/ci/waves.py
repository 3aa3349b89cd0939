"""Waves of jobs as CI systems read them: outputs of a job for GitHub, a child pipeline for GitLab.

Which targets make a job is `model.matrix`'s to say; nothing is written here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from dsci.model.matrix import Job, Waves

#: A workflow of GitHub's has its waves written down one by one, so there are this many and no more.
GITHUB_WAVES = 8

#: What GitLab lets a job need, unless its administrator allows more.
#: Source: https://docs.gitlab.com/administration/instance_limits/
GITLAB_NEEDS = 50

#: What a job of GitLab's keeps of its reports.
#: Source: https://docs.gitlab.com/ci/yaml/artifacts_reports/
_REPORT = "dsci-report"
_REPORTS = {"junit": "junit.xml", "codequality": "gl-code-quality-report.json"}


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


def gitlab(waves: Waves, *, plan: str, job: str, registries: Sequence[str] = ()) -> str:
    """The waves as a child pipeline, in YAML: `plan` is the file that the parent's job of this name keeps of the plan.

    Jobs extend `.dsci-OS-ARCH`, which extend `.dsci`: a file that is included beside this one says there what they
    run on. A pipeline without jobs is refused by GitLab, so there is always one.
    """
    # Imported where it is wanted: events are read in every run.
    import yaml

    document: dict[str, Any] = {"workflow": {"rules": [{"if": '$CI_PIPELINE_SOURCE == "parent_pipeline"'}]}}
    # What a machine did is found by its key: a job that lost its machine goes on where it was.
    retry = {"max": 1, "when": ["runner_system_failure", "stuck_or_timeout_failure"]}
    if not waves:
        # It has the others' image and tags, without which no runner may take it, and not their engine.
        document[".dsci"] = {"retry": retry}
        document["nothing-to-do"] = {
            "extends": ".dsci",
            "variables": {"GIT_STRATEGY": "none"},
            "services": [],
            "before_script": [],
            "script": ["echo 'every image is built and tested'"],
        }
        return yaml.safe_dump(document, sort_keys=False)
    document["stages"] = [f"wave-{number}" for number in range(len(waves))]
    document[".dsci"] = {
        "retry": retry,
        "artifacts": {
            "when": "always",
            "paths": [f"{_REPORT}/"],
            "expire_in": "1 month",
            "reports": {form: f"{_REPORT}/{file}" for form, file in _REPORTS.items()},
        },
    }
    for platform in sorted({each.platform for wave in waves for each in wave}):
        document[_template(platform)] = {"extends": ".dsci", "variables": {"DSCI_PLATFORM": platform}}
    for number, wave in enumerate(waves):
        for each in wave:
            document[each.name] = {
                "extends": _template(each.platform),
                "stage": f"wave-{number}",
                "needs": [{"pipeline": "$PARENT_PIPELINE_ID", "job": job}, *each.needs],
                "script": [_command(each, plan, registries)],
            }
    return yaml.safe_dump(document, sort_keys=False, width=1 << 20)


def _template(platform: str) -> str:
    return ".dsci-" + platform.replace("/", "-")


def _command(job: Job, plan: str, registries: Sequence[str]) -> str:
    """What a job runs: `dsci test` builds what is not built yet, so one report has all that the job did."""
    words = ["dsci", "test", *(word for target in job.only for word in ("--only", target)), "--plan", plan]
    words += [word for registry in registries for word in ("--registry", registry)]
    words += ["--report", _REPORT]
    words += [word for form, file in _REPORTS.items() for word in ("--report", f"{form}={_REPORT}/{file}")]
    return shlex.join(words)
