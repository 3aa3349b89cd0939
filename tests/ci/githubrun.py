"""Workflows of GitHub's, run by `act` as a user's repository runs them, and what came of each job.

act runs jobs on this machine, without containers. What it cannot do is taken out of a copy, never out of the
repository: `$/` becomes the name under which the user's workflow calls ours, and GitHub's own actions, which cannot be
had offline, are stood in for by composites that do the same in a folder. It passes over jobs whose runner it does not
know, and ends well then: what ran is read from what it tells of each job, and a label it does not know fails the run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Project

ROOT = Path(__file__).resolve().parents[2]
#: How examples/github calls us.
OURS = "acme/dsci"
PIN = "0123456789abcdef0123456789abcdef01234567"
#: What `install-from: path` installs.
PROGRAM = ("src", "pyproject.toml", "README.md", "LICENSE")
LABELS = ("ubuntu-24.04", "ubuntu-24.04-arm")
#: How this machine's engine and package index are reached.
_HANDED_ON = re.compile(r"(DOCKER_HOST|BUILDX_CONFIG|PIP_\w+|\w+_CERT_FILE|\w+_CA_BUNDLE)\Z")
_REMOTE = re.compile(r"uses: (?P<action>[\w.-]+/[\w.-]+)(?P<path>/[^@\s]+)?@(?P<ref>[0-9a-f]{40})")

#: GitHub's actions, as far as our workflows use them: artifacts are folders below $STUB_ARTIFACTS.
_UPLOAD = """\
name: upload
description: Keeps a file or a folder under a name.
inputs:
  name: {required: true, description: name}
  path: {required: true, description: path}
  if-no-files-found: {default: warn, description: what else}
  overwrite: {default: "false", description: whether it may be there}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        FROM: ${{ inputs.path }}
        NONE: ${{ inputs.if-no-files-found }}
        OVER: ${{ inputs.overwrite }}
      run: |
        [[ $NAME =~ ^[A-Za-z0-9._-]+$ ]] || { echo "::error::the artifact name is not valid: $NAME"; exit 1; }
        [ -n "$FROM" ] || { echo "::error::Input required and not supplied: path"; exit 1; }
        to=$STUB_ARTIFACTS/$NAME
        mkdir "$to" 2>/dev/null || [ "$OVER" = true ] || { echo "::error::(409) Conflict: $NAME"; exit 1; }
        [ -e "$FROM" ] || { [ "$NONE" != error ] && exit 0 || exit 1; }
        if [ -d "$FROM" ]; then cp -R "$FROM/." "$to/"; else cp "$FROM" "$to/"; fi
"""
_DOWNLOAD = """\
name: download
description: Brings one artifact, or each of a pattern into a folder of its own.
inputs:
  name: {default: "", description: name}
  pattern: {default: "", description: pattern}
  path: {required: true, description: where to}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        PATTERN: ${{ inputs.pattern }}
        TO: ${{ inputs.path }}
      run: |
        cd "$STUB_ARTIFACTS"
        if [ -n "$NAME" ]; then mkdir -p "$TO"; cp -R "$NAME/." "$TO/"; exit; fi
        # Where no name fits, GitHub's makes no folder.
        for name in $PATTERN; do [ ! -e "$name" ] || { mkdir -p "$TO"; cp -R "$name" "$TO/"; }; done
"""
_NOTHING = """\
name: nothing
description: An action that no test lets run.
runs:
  using: composite
  steps:
    - shell: bash
      run: exit 1
"""
_STUBS = {"actions/upload-artifact": _UPLOAD, "actions/download-artifact": _DOWNLOAD}


@dataclass(frozen=True)
class Ran:
    """What act told of a run."""

    code: int
    events: list[dict[str, Any]]
    stderr: str
    artifacts: Path

    @cached_property
    def jobs(self) -> dict[str, str]:
        """How each job that ran ended, by its id and, of a matrix, by its name: `wave-0 base-linux-amd64`."""
        found: dict[str, str] = {}
        for event in self.events:
            if "jobResult" in event:
                found[_named(event)] = event["jobResult"]
        return found

    @property
    def log(self) -> str:
        """Every line of every job."""
        return "".join(f"[{event.get('job', '')}] {event['msg'].rstrip()}\n" for event in self.events)

    def outputs(self, step: str, job: str = "") -> dict[str, str]:
        """What a step with this id set, in the job of a matrix that is called so."""
        found = {}
        for event in self.events:
            theirs = not job or (event.get("matrix") or {}).get("name") == job
            if theirs and event.get("command") == "set-output" and event["stepID"][0] == step:
                found[event["name"]] = event["arg"]
        return found

    def summary(self, job: str) -> str:
        """What the summary of a job shows; its name as in `jobs`."""
        return "".join(e["content"] for e in self.events if e.get("command") == "summary" and _named(e) == job)

    def reports(self) -> dict[str, Any]:
        """The reports that jobs kept, by what their artifacts are called after the plan's part."""
        return {
            path.parent.name.partition("-report")[2].lstrip("-"): json.loads(path.read_text())
            for path in self.artifacts.glob("*-report*/report.json")
        }

    def __str__(self) -> str:
        said = "".join(
            f"[{event['job']}] {event['msg'].rstrip()}\n" for event in self.events if event.get("raw_output")
        )
        return f"{self.jobs}\n{said}\n{self.stderr}"


def _named(event: Mapping[str, Any]) -> str:
    """The job that an event is about: its id, and of a matrix its row's name."""
    row = event.get("matrix") or {}
    return f"{event['jobID']} {row['name']}" if "name" in row else str(event["jobID"])


@dataclass
class Hub:
    """GitHub as one user's repository sees it: its workflows call ours, and its events set them off."""

    project: Project
    place: Path
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    """The DOCKER_HOST of each job that has an engine of its own, by the job's id."""
    source: Path = ROOT
    """Where our actions and workflows are taken from."""
    parts: tuple[str, ...] = ("actions", ".github")
    """What of it GitHub gives to those who call us; `PROGRAM` is dsci itself."""

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True)
        self._copied = self.place / "dsci"
        self._copied.mkdir()
        for part in self.parts:
            copy = shutil.copytree if (self.source / part).is_dir() else shutil.copy
            copy(self.source / part, self._copied / part)
        for path in self._files:
            path.write_text(for_act(path.read_text()))
        (self.place / "bin").mkdir()

    def _install(self) -> None:
        """The dsci that `install-from: installed` finds: this repository's, on the engine of the job's machine.

        A step that sets HUB_REF runs as if that had been pushed: of one event, act makes one ref.
        """
        machines = "".join(f"  {job}) export DOCKER_HOST={host} ;;\n" for job, host in self.machines.items())
        program = self.place / "bin" / "dsci"
        program.write_text(
            f"#!/bin/sh\ncase $GITHUB_JOB in\n{machines}esac\n"
            f'[ -z "$HUB_REF" ] || export GITHUB_REF="$HUB_REF"\nexec {sys.executable} -m dsci "$@"\n'
        )
        program.chmod(0o755)

    @property
    def _files(self) -> list[Path]:
        return [*self._copied.glob("actions/*/action.yml"), *self._copied.glob(".github/workflows/*.yml")]

    def calls(self, text: str, name: str = "ci.yml") -> None:
        """Let the user's repository have a workflow; it is not committed."""
        self.project.write({f".github/workflows/{name}": text})

    def example(self, name: str, *secrets: str, **inputs: str) -> None:
        """Let it have one of examples/github, with these inputs in the place of its own, and hand on these secrets."""
        text = (self.source / "examples/github" / name).read_text()
        head, _, _ = text.partition("    with:\n")
        registry = self.project.registry
        assert registry is not None
        given = {"registry": f"{registry.address}/{self.project.prefix}", "install-from": "installed", **inputs}
        rows = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in given.items())
        if secrets:
            handed = (f"      {each}: ${{{{ secrets.{each.replace('-', '_')} }}}}\n" for each in secrets)
            rows += "    secrets:\n" + "".join(handed)
        self.calls(f"{head}    with:\n{rows}", name)

    def push(self, name: str = "ci.yml", *, branch: str = "main", **more: Any) -> Ran:
        """The workflow, as a push of HEAD to a branch sets it off."""
        payload = {
            "ref": f"refs/heads/{branch}",
            "before": "0" * 40,
            "after": self.project.git("rev-parse", "HEAD"),
            "repository": {"default_branch": "main"},
            **more,
        }
        return self.run("push", name, payload)

    def request(self, name: str = "pr.yml", *, fork: bool = True, **said: str) -> Ran:
        """The workflow, as a pull request to main sets it off, of which this is said."""
        pull = {
            **said,
            "number": 7,
            "base": {"ref": "main", "repo": {"id": 1}},
            "head": {"ref": said.get("title", "theirs"), "repo": {"id": 2 if fork else 1}},
        }
        payload = {"number": 7, "pull_request": pull, "repository": {"default_branch": "main"}}
        return self.run("pull_request", name, payload)

    def run(self, event: str, name: str, payload: Mapping[str, Any]) -> Ran:
        """A workflow of the user's, set off by this."""
        artifacts = self.place / "artifacts"
        shutil.rmtree(artifacts, ignore_errors=True)
        artifacts.mkdir()
        (self.place / "event.json").write_text(json.dumps(payload))
        self._install()
        environment = {
            "PATH": f"{self.place / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "XDG_STATE_HOME": str(self.project.state),
            "STUB_ARTIFACTS": str(artifacts),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "TERM": "dumb",  # act gives its jobs a terminal, which GitHub does not
            **{name: value for name, value in os.environ.items() if _HANDED_ON.match(name)},
            **self.environment,
        }
        command = [
            str(Path(os.environ["DSCI_TEST_CI"]) / "bin" / "act"),
            event,
            "--json",
            "--no-cache-server",
            *("--workflows", f".github/workflows/{name}"),
            *("--eventpath", str(self.place / "event.json")),
            *(word for label in LABELS for word in ("--platform", f"{label}=-self-hosted")),
            *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
            *(word for key, value in self.secrets.items() for word in ("--secret", f"{key}={value}")),
            *("--local-repository", f"{OURS}@{PIN}={self._copied}"),
            *self._stubs(),
        ]
        ended = subprocess.run(
            command,
            cwd=self.project.folder,
            env={**self.project.env(), "XDG_CACHE_HOME": str(self.place / "cache"), "HOME": str(self.place)},
            capture_output=True,
            text=True,
            check=False,
            timeout=self.project.patience,
        )
        events = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        ran = Ran(ended.returncode, events, ended.stderr, artifacts)
        # It would go on without such a job, and end well.
        assert "Skipping unsupported platform" not in ran.log + ended.stderr, f"a runner is not known\n{ran}"
        return ran

    def _stubs(self) -> list[str]:
        """A stand-in for each action of others' that is named anywhere, at the very commit that is named."""
        words = []
        for match in sorted({match.groups() for path in self._files for match in _REMOTE.finditer(path.read_text())}):
            action, _, ref = match
            if action in (OURS, "actions/checkout"):  # act does the checkout itself.
                continue
            folder = self.place / "stubs" / action
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "action.yml").write_text(_STUBS.get(action, _NOTHING))
            words += ["--local-repository", f"{action}@{ref}={folder}"]
        return words


def for_act(text: str) -> str:
    """An action or a workflow as act can run it."""
    return re.sub(r"uses: \$/(\S+)", rf"uses: {OURS}/\1@{PIN}", text)
