"""A family as GitLab jobs with real `needs:`, to be included beside the templates of `ci-templates/`.

A job says which target it is for and what it waits for; how it runs, and when, is in `.dsci-target` of the templates.

Sources: https://docs.gitlab.com/ci/yaml/#needs, https://docs.gitlab.com/administration/instance_limits/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsci.ci.waves import GITLAB_NEEDS
from dsci.cisetup.graph import TargetJob
from dsci.errors import ConfigError

_WORDS = """\
# A job for each target. It waits for what the target stands on and takes its work from the plan of the run: where there
# is nothing to do it ends at once. Commit this file; with --check the same command tells when it is behind.
#
# It is included beside pipeline.yml (or plan.yml and build.yml) of dsci's templates. To give a platform runners of its
# own, say so in .gitlab-ci.yml:  .{prefix}-linux-arm64: {{tags: [arm64]}}
"""


def document(jobs: Sequence[TargetJob], prefix: str) -> str:
    """The file. Raises ConfigError for a target that needs more jobs than GitLab lets one need."""
    import yaml

    plan = f"{prefix}-plan"
    content: dict[str, Any] = {}
    for platform in sorted({job.platform for job in jobs}):
        content[_template(prefix, platform)] = {
            "extends": f".{prefix}-target",
            "variables": {"DSCI_PLATFORM": platform},
        }
    for job in jobs:
        if len(job.needs) >= GITLAB_NEEDS:
            raise ConfigError(
                f"{job.target} needs {len(job.needs)} others, and GitLab lets a job need {GITLAB_NEEDS} with its plan",
                hint="let a child pipeline do the work (graph: child), which folds them",
            )
        content[job.name] = {
            "extends": _template(prefix, job.platform),
            "needs": [plan, *({"job": need, "artifacts": False} for need in job.needs)],
            "variables": {"DSCI_ONLY": job.target},
        }
    words = _WORDS.format(prefix=prefix)
    return words + yaml.safe_dump(content, sort_keys=False, width=1 << 20)


def _template(prefix: str, platform: str) -> str:
    return f".{prefix}-" + platform.replace("/", "-")
