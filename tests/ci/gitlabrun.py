"""A project's pipelines as GitLab runs them: the real gitlab-ci-local on a fresh clone, told apart job by job.

gitlab-ci-local is no GitLab: its exit code is 0 where a child pipeline fails, it takes unknown inputs and says nothing
of artifacts that are missing. So which jobs ran, how each ended and what it kept is read from what it printed and left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import Project

HOST = "gitlab.example.org"
PROJECT = "acme/family"
COMPONENTS = "acme/dsci-ci"
VERSION = "1.0.0"
TEMPLATES = Path(__file__).parents[2] / "ci-templates" / "templates"

_CHILD = r"(?:\[\S+\] -> )?"
_ENDED = re.compile(rf"^ (PASS|FAIL|WARN) +{_CHILD}(\S+) *$", re.MULTILINE)
_BEGAN = re.compile(rf"^\t?{_CHILD}(\S+) +starting shell", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

#: Options without which gitlab-ci-local wants images, or leaves artifacts in the clone.
OPTIONS = ("--shell-isolation", "--no-artifacts-to-source", "--force-shell-executor")


def program(name: str) -> str:
    """A CI runner or linter that the tests' own set-up has put there."""
    folder = os.environ.get("DSCI_TEST_CI")
    assert folder, "DSCI_TEST_CI names no folder: run the tests with scripts/test, which installs the CI runners"
    return str(Path(folder, "bin", name))


@dataclass
class Pipeline:
    """What came of a pipeline."""

    code: int
    text: str
    clone: Path
    state: Path

    @property
    def jobs(self) -> dict[str, str]:
        """Every job that ran, those of a child pipeline too, and whether it passed: `pass`, `fail`, `warn`."""
        return {name: verdict.lower() for verdict, name in _ENDED.findall(self.text)}

    @property
    def began(self) -> list[str]:
        """The jobs in the order in which they began."""
        return _BEGAN.findall(self.text)

    @property
    def green(self) -> bool:
        """Whether every job passed: an exit code of 0 alone says nothing of child pipelines."""
        return self.code == 0 and bool(self.jobs) and set(self.jobs.values()) == {"pass"}

    def artifact(self, job: str, name: str) -> Path:
        """A file that a job kept."""
        path = self.state / "artifacts" / job / name
        assert path.is_file(), f"{job} kept no {name}: {sorted(self.state.glob('artifacts/*/*'))}"
        return path

    def environment(self, job: str) -> dict[str, str]:
        """What dsci was told in a job."""
        content = (self.state.parent / "seen" / job).read_bytes().decode()
        return dict(each.split("=", 1) for each in content.split("\0") if each)

    def calls(self, job: str) -> list[str]:
        """The commands of dsci that a job ran."""
        return (self.state.parent / "seen" / f"{job}.calls").read_text().splitlines()

    def work(self) -> list[str]:
        """What was built or tested, by job: `dsci-ml-linux-amd64: ml build`."""
        found = []
        for path in sorted(self.state.glob("artifacts/*/dsci-report/report.json")):
            for each in json.loads(path.read_text())["outcomes"]:
                found.append(f"{path.parts[-3]}: {each['subject'].partition('@')[0]} {each['stage']} {each['status']}")
        return found

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.text}"


class GitLab:
    """Runs the pipelines of a project; every run has a clone, and every job a state of its own."""

    def __init__(self, project: Project, place: Path, machines: dict[str, str] | None = None) -> None:
        """`machines` has the DOCKER_HOST of jobs that run on another machine."""
        self.project = project
        self.place = place
        self.runs = 0
        place.mkdir(parents=True)
        # What jobs call is the dsci of this checkout, and what they push to is the bare remote.
        shim = place / "bin" / "dsci"
        shim.parent.mkdir()
        cases = "".join(f"  {job}) export DOCKER_HOST={host} ;;\n" for job, host in (machines or {}).items())
        hosts = f"case $CI_JOB_NAME in\n{cases}esac\n"
        shim.write_text(
            '#!/bin/sh\nmkdir -p "$TEST_SEEN"\nseen=$TEST_SEEN/$CI_JOB_NAME\n'
            f'env -0 >"$seen"\necho "$@" >>"$seen.calls"\n{hosts}exec "{sys.executable}" -m dsci "$@"\n'
        )
        shim.chmod(0o755)
        (place / "gitconfig").write_text(
            f'[url "{project.remote}"]\n\tinsteadOf = https://{HOST}/{PROJECT}.git\n'
            "[user]\n\tname = A\n\temail = a@example.org\n"
        )

    def run(
        self,
        *options: str,
        branch: str = "main",
        detached: bool = False,
        variables: dict[str, str] | None = None,
        templates: Path = TEMPLATES,
        timeout: float = 500,
    ) -> Pipeline:
        """Run the pipeline of a branch's tip."""
        self.runs += 1
        place = self.place / f"run-{self.runs}"
        clone = place / "clone"
        place.mkdir()
        env = self.project.env()
        for arguments in (
            ["clone", "--quiet", "--branch", branch, str(self.project.remote), str(clone)],
            ["-C", str(clone), "remote", "set-url", "origin", f"https://{HOST}/{PROJECT}.git"],
        ):
            subprocess.run(["git", *arguments], check=True, env=env, capture_output=True)
        if detached:
            subprocess.run(["git", "-C", str(clone), "checkout", "--quiet", "--detach"], check=True, env=env)
        includes = place / "state" / "includes" / HOST / COMPONENTS / VERSION / "templates"
        shutil.copytree(templates, includes)
        assert self.project.registry is not None
        given = {
            "GITLAB_CI": "true",
            "CI_REGISTRY_IMAGE": f"{self.project.registry.address}/{self.project.prefix}",
            "CI_REGISTRY": self.project.registry.address,
            "GIT_CONFIG_GLOBAL": str(self.place / "gitconfig"),
            "XDG_STATE_HOME": str(place / "states") + "/$CI_JOB_ID",
            "TMPDIR": str(place),
            # It expands what looks like a variable in a value; GitLab does so in variables of the file alone.
            **{name: value.replace("$", "$$") for name, value in (variables or {}).items()},
        }
        words = [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
        ended = subprocess.run(
            [
                program("gitlab-ci-local"),
                *OPTIONS,
                "--state-dir",
                "../state",
                "--home",
                str(self.place / "home"),
                "--ignore-predefined-vars",
                ",".join(given),
                *words,
                *options,
            ],
            cwd=clone,
            env={
                **env,
                "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}",
                "NO_COLOR": "1",
                # Variables of the command line do not reach a child pipeline; the environment does.
                "TEST_PLAN": str(place / "state/artifacts/dsci-plan/dsci-plan.json"),
                "TEST_SEEN": str(place / "seen"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Pipeline(ended.returncode, _ANSI.sub("", ended.stdout), clone, place / "state")


#: The file that a child pipeline includes beside its jobs.
CHILD = f"""\
include:
  - component: {HOST}/{COMPONENTS}/build@{VERSION}
    inputs:
      image: acme/dsci
      registry: $CI_REGISTRY_IMAGE
      engine: socket

# gitlab-ci-local hands no artifact of the parent to a child (`needs: pipeline`), GitLab does.
.dsci:
  before_script:
    - cp "$TEST_PLAN" dsci-plan.json
"""


def begin(
    project: Project,
    *,
    uses: str = f"{HOST}/{COMPONENTS}@{VERSION}",
    graph: str = "static",
    files: dict[str, str] | None = None,
    inputs: str = "",
) -> None:
    """Set the project up as `dsci ci init` does, its jobs on this machine's engine, and push that."""
    project.dsci_alone("ci", "init", "gitlab", "--uses", uses, "--image", "acme/dsci")
    included, first = project.folder / ".gitlab/dsci.yml", project.folder / ".gitlab-ci.yml"
    text = included.read_text()
    changed = text.replace("    inputs:\n", f"    inputs:\n      engine: socket\n      graph: {graph}\n{inputs}")
    assert changed != text
    more = files or {}
    if graph == "child":
        changed = changed.replace('  - local: "/.gitlab/dsci-jobs.yml"\n', "")
        more = more | {".gitlab/dsci-child.yml": CHILD}
        (project.folder / ".gitlab/dsci-jobs.yml").unlink()
    project.push("ci: gitlab", {".gitlab/dsci.yml": changed, ".gitlab-ci.yml": first.read_text(), **more})
