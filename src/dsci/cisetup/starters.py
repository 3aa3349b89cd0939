"""The files that a repository begins with, and what a person has to set that no file can.

They call dsci's reusable workflows, or include its templates, at an address that the caller names.

Sources: https://docs.github.com/en/actions/how-tos/reuse-automations/reuse-workflows,
https://docs.gitlab.com/ci/components/, https://docs.gitlab.com/ci/jobs/ci_job_token/
"""

from __future__ import annotations

import json
import re

import msgspec

from dsci.errors import ConfigError

_COMMIT = re.compile(r"\A[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[0-9a-f]{40}\Z")
_COMPONENT = re.compile(r"\A(?P<project>[A-Za-z0-9_.$-]+(?:/[A-Za-z0-9_.-]+){2,})@(?P<version>[A-Za-z0-9_.~-]+)\Z")
_LOCAL = re.compile(r"\A\./(?P<folder>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)\Z")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the files are to say."""

    uses: str
    """Where the workflows or templates are."""
    registry: str = ""
    branch: str = "main"
    image: str = ""
    """GitLab: what jobs run in."""


def github(wanted: Wanted) -> dict[str, str]:
    """The callers of the reusable workflows, by path. Raises ConfigError for an address that is no commit."""
    if not _COMMIT.match(wanted.uses):
        raise ConfigError(
            f"--uses {wanted.uses or 'is missing'}: a workflow names another by repository and commit",
            hint="--uses OWNER/REPO@ with the 40 digits of the commit: a tag can be moved, a commit cannot",
        )
    repository, _, commit = wanted.uses.partition("@")
    inputs = f"    with:\n      registry: {json.dumps(wanted.registry)}\n" if wanted.registry else ""
    return {
        ".github/workflows/dsci.yml": f"""\
# Builds, tests and releases what a push changes.
name: images
on:
  push:
    branches: [{json.dumps(wanted.branch)}]
permissions: {{}}
jobs:
  images:
    permissions:
      contents: write # release tags
      packages: write # images
      id-token: write # keyless signatures
    uses: {repository}/.github/workflows/dsci-pipeline.yml@{commit}
{inputs}""",
        ".github/workflows/dsci-pr.yml": f"""\
# Builds and tests what a pull request changes; no secret is handed on, so requests from forks are treated alike.
name: images of a request
on: pull_request
permissions: {{}}
jobs:
  images:
    permissions:
      contents: read
    uses: {repository}/.github/workflows/dsci-pr.yml@{commit}
{inputs}""",
    }


def gitlab(wanted: Wanted, jobs: str) -> dict[str, str]:
    """What includes the templates and the file of `jobs`, by path. Raises ConfigError for what is no address."""
    component, local = _COMPONENT.match(wanted.uses), _LOCAL.match(wanted.uses)
    if component is not None:
        source = f"component: {component['project']}/pipeline@{component['version']}"
    elif local is not None:
        source = f"local: {json.dumps('/' + local['folder'] + '/templates/pipeline.yml')}"
    else:
        raise ConfigError(
            f"--uses {wanted.uses or 'is missing'}: templates are in a component project, or in a folder here",
            hint="--uses HOST/GROUP/PROJECT@VERSION, or --uses ./ci-templates for a copy in this repository",
        )
    if not wanted.image:
        raise ConfigError(
            "--image is missing: jobs run in an image with dsci, Git and the docker command with buildx",
            hint="docs/gitlab-ci.md shows a Dockerfile for one; name it by its digest",
        )
    return {
        ".gitlab/dsci.yml": f"""\
# Plans, builds, tests and releases the images of this repository.
include:
  - {source}
    inputs:
      image: {json.dumps(wanted.image)}
      registry: {json.dumps(wanted.registry)}
  - local: {json.dumps("/" + jobs)}
"""
    }


GITLAB_ENTRY = """\
include:
  - local: /.gitlab/dsci.yml

# A branch with an open merge request has one pipeline, and not two; but for the default branch, which is released from.
workflow:
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS && $CI_PIPELINE_SOURCE == "push"
      when: never
    - when: always
"""


def to_set_on_github(registry: str) -> tuple[str, ...]:
    """What a person has to set there."""
    own = registry.startswith("ghcr.io/")
    return (
        "Settings → Actions → General: the workflow may have `contents: write`; where rules protect tags, let it make "
        "them, or hand on the secret git-token",
        "packages of ghcr.io that a person pushed first: add this repository under Manage Actions access"
        if own
        else "for the registry: the input registry-user and the secret registry-token, in dsci.yml",
        "Settings → Actions → General: runs of first-time contributors wait for approval",
        "nothing runs on a schedule yet: add `schedule:` with a cron off the hour to dsci.yml if you want it",
    )


def to_set_on_gitlab(registry: str) -> tuple[str, ...]:
    """What a person has to set there."""
    own = registry.startswith("$CI_REGISTRY")
    return (
        "Settings → CI/CD → Job token permissions: allow Git push requests to the repository; or the variable "
        "DSCI_PUSH_TOKEN (masked, protected): a project access token with write_repository",
        "Settings → CI/CD → Runners: the engine `dind` needs a runner with privileged = true and the volume "
        "/certs/client",
        "the project's own registry needs nothing"
        if own
        else "variables for the registry (masked, protected): see docs/registries.md",
        "Settings → Repository → Protected tags: whoever pushes may make the release tags (IMAGE-v*)",
        "Operate → Environments: protect `release` to say who may release",
        "Build → Pipeline schedules: none is made by this file",
    )
