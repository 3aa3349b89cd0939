"""A family as a GitHub workflow with a job for each target and real `needs:`, to be called like `dsci-pipeline.yml`.

It uses dsci's actions at one commit. A job is skipped where the plan has nothing for its target.

Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax,
https://docs.github.com/en/actions/reference/limits
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsci.ci.waves import GITHUB_WAVES
from dsci.cisetup.graph import TargetJob
from dsci.errors import ConfigError

_USES = re.compile(r"\A(?P<repository>[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)@(?P<commit>[0-9a-f]{40})\Z")

_CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
_UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1"
_DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1"

_HEAD = """\
# A job for each target, which waits for what the target stands on and is skipped where the plan has nothing for it.
# Commit this file; with --check the same command tells when it is behind. A workflow of yours calls it:
#
#   jobs:
#     images:
#       permissions: {{contents: write, packages: write}}
#       uses: ./{path}
name: dsci jobs

on:
  workflow_call:
    inputs:
      registry:
        description: Where images are published, such as ghcr.io/acme; what dsci.yaml says if empty.
        type: string
        default: ""
      registry-user:
        description: The user at the registry, where it wants to see one. No secret, so that outputs may name it.
        type: string
        default: ""
      cache:
        description: Where build steps are kept, registry, local, none or auto; what dsci.yaml says if empty.
        type: string
        default: registry
      runner:
        description: The label of the runner that plans and releases.
        type: string
        default: ubuntu-24.04
      runners:
        description: The label of the runner that builds and tests for each platform, as JSON.
        type: string
        default: '{{"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"}}'
      timeout-minutes:
        description: How long a job that builds and tests, and the release, may take.
        type: number
        default: 120
      install-from:
        description: Where dsci comes from, as actions/setup has it.
        type: string
        default: path
    secrets:
      registry-token:
        description: The token or password of the registry that the input registry names; not needed for ghcr.io.
        required: false
      docker-auth-config:
        description: A config.json of Docker's, for more registries than one.
        required: false
      git-token:
        description: What pushes release tags, where the workflow's own token may not.
        required: false

permissions: {{}}

jobs:
  plan:
    runs-on: ${{{{ inputs.runner }}}}
    timeout-minutes: 30
    permissions:
      contents: read # the commit and its history
      packages: read # what stands in the registry
    outputs:
      work: {work}
    steps:
{begin}          engine: "false"
      - id: plan
        uses: {plan}
        with:
          registry: ${{{{ inputs.registry }}}}
          token: ${{{{ secrets.git-token || github.token }}}}
        env: &registry
          GITHUB_TOKEN: ${{{{ github.token }}}}
          DSCI_REGISTRY_USER: ${{{{ inputs.registry-user }}}}
          DSCI_REGISTRY_TOKEN: ${{{{ secrets.registry-token }}}}
          DOCKER_AUTH_CONFIG: ${{{{ secrets.docker-auth-config }}}}
      - uses: {upload}
        with:
          name: dsci-jobs-plan
          path: ${{{{ steps.plan.outputs.plan }}}}
          if-no-files-found: error
          overwrite: true # a job that is run again says so once more
"""

#: How every job begins: with the whole history, no credentials, and dsci.
_BEGIN = """\
      - uses: {checkout}
        with:
          fetch-depth: 0
          persist-credentials: false
      - uses: {setup}
        with:
          install-from: ${{{{ inputs.install-from }}}}
"""

_TARGET = """
  {name}:
    name: {target}
    needs: [{needs}]
    if: >-
      ${{{{ !cancelled() && needs.plan.result == 'success'
      && contains(needs.plan.outputs.work, '"{target}"'){conditions} }}}}
    runs-on: ${{{{ fromJSON(inputs.runners)['{platform}'] || inputs.runner }}}}
    timeout-minutes: ${{{{ inputs.timeout-minutes }}}}
    env:
      DSCI_TARGET: {target}
"""

#: Who is needed was skipped because there was nothing to do, or because it could not begin: only the former will do.
_CONDITION = """
      && (needs.{name}.result == 'success' || !contains(needs.plan.outputs.work, '"{target}"'))"""

_FIRST = """\
    permissions: &pushing
      contents: read # the commit and its history
      packages: write # images under their keys, and build caches
    steps: &build
{begin}      - uses: {download}
        with:
          name: dsci-jobs-plan
          path: ${{{{ runner.temp }}}}/dsci-plan
      - id: build
        uses: {build}
        with:
          only: ${{{{ env.DSCI_TARGET }}}}
          plan: ${{{{ runner.temp }}}}/dsci-plan/plan.json
          registry: ${{{{ inputs.registry }}}}
          cache: ${{{{ inputs.cache }}}}
          token: ${{{{ secrets.git-token || github.token }}}}
        env: *registry
      - if: ${{{{ !cancelled() && steps.build.outputs.report != '' }}}}
        uses: {upload}
        with:
          name: dsci-jobs-report-${{{{ github.job }}}}
          path: ${{{{ steps.build.outputs.report }}}}
          if-no-files-found: warn
          overwrite: true
"""

_NEXT = """\
    permissions: *pushing
    steps: *build
"""

_RELEASE = """
  # Nothing is published unless every job passed, or had nothing to do.
  release:
    needs: [{needs}]
    if: >-
      ${{{{ !cancelled() && needs.plan.result == 'success'
      && !contains(needs.*.result, 'failure') && !contains(needs.*.result, 'cancelled') }}}}
    runs-on: ${{{{ inputs.runner }}}}
    timeout-minutes: ${{{{ inputs.timeout-minutes }}}}
    concurrency:
      group: dsci-jobs-release-${{{{ github.ref }}}}
      cancel-in-progress: false
    permissions:
      contents: write # release tags and the ledger, pushed to Git
      packages: write # images and their names
    steps:
{begin}      - id: release
        uses: {release}
        with:
          registry: ${{{{ inputs.registry }}}}
          cache: ${{{{ inputs.cache }}}}
          token: ${{{{ secrets.git-token || github.token }}}}
        env: *registry
      - if: ${{{{ !cancelled() && steps.release.outputs.report != '' }}}}
        uses: {upload}
        with:
          name: dsci-jobs-report-release
          path: ${{{{ steps.release.outputs.report }}}}
          if-no-files-found: warn
          overwrite: true
"""


def document(jobs: Sequence[TargetJob], uses: str, *, path: str) -> str:
    """The workflow. Raises ConfigError where `uses` names no commit of a repository."""
    found = _USES.match(uses)
    if found is None:
        raise ConfigError(
            f"--uses {uses or 'is missing'}: a workflow names dsci's actions by repository and commit",
            hint="--uses OWNER/REPO@ with the 40 digits of the commit: a tag can be moved, a commit cannot",
        )
    words = {
        "path": path,
        "checkout": _CHECKOUT,
        "upload": _UPLOAD,
        "download": _DOWNLOAD,
        "work": "".join(f"${{{{ steps.plan.outputs.wave-{number} }}}}" for number in range(GITHUB_WAVES)),
    }
    for action in ("setup", "plan", "build", "release"):
        words[action] = f"{found['repository']}/actions/{action}@{found['commit']}"
    words["begin"] = _BEGIN.format(**words)
    targets = {job.name: job.target for job in jobs}
    parts = [_HEAD.format(**words)]
    for number, job in enumerate(jobs):
        parts.append(
            _TARGET.format(
                name=job.name,
                target=job.target,
                platform=job.platform,
                needs=", ".join(["plan", *job.needs]),
                conditions="".join(_CONDITION.format(name=need, target=targets[need]) for need in job.needs),
            )
        )
        parts.append(_NEXT if number else _FIRST.format(**words))
    parts.append(_RELEASE.format(**words, needs=", ".join(["plan", *(job.name for job in jobs)])))
    return "".join(parts)
