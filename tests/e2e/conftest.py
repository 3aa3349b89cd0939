"""A family of images in a real Git repository with a real remote, released with the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.realengine import docker
from tests.realregistry import RealRegistry

#: What the images of the small family are: the shape of the example, with nothing heavy in it.
DOCKERFILES = {
    "base": "FROM debian:bookworm-slim\nRUN useradd -m scientist && echo base > /etc/family\nUSER scientist\n",
    "python": "FROM base\nCOPY --chown=root:root requirements.txt /opt/requirements.txt\n",
    "jupyter": "FROM python\nENV JUPYTER=1\nCOPY start.sh /opt/start.sh\n",
    "ml": "FROM jupyter\nCOPY model.txt /opt/model.txt\n",
    "r": "FROM base\nCOPY Rprofile /opt/Rprofile\n",
}
FILES = {
    "python/requirements.txt": "numpy==1.26.4\n",
    "jupyter/start.sh": "#!/bin/sh\nexec sleep 1\n",
    "ml/model.txt": "v1\n",
    "r/Rprofile": "options()\n",
}
#: The same for tests that want a family and do not care which.
TINY = {
    "base": "FROM debian:bookworm-slim\nCOPY note /etc/note\n",
    "ml": "FROM base\nCOPY model.txt /opt/model.txt\n",
}
#: A suite for the `base` of that one.
NOTED = """\
    schemaVersion: "2.0.0"
    fileExistenceTests:
      - name: note
        path: /etc/note
    """
STRUCTURE = {
    "base": """\
        schemaVersion: "2.0.0"
        commandTests:
          - name: runs as the scientist
            command: id
            args: [-un]
            expectedOutput: ["^scientist\\n$"]
        fileExistenceTests:
          - name: family file
            path: /etc/family
            uid: 0
            permissions: "-rw-r--r--"
        """,
    "python": """\
        schemaVersion: "2.0.0"
        fileContentTests:
          - name: numpy is pinned
            path: /opt/requirements.txt
            expectedContents: ["numpy=="]
        """,
}


@dataclass
class Ended:
    """What a call of dsci came to."""

    code: int
    stdout: str
    stderr: str
    command: list[str]

    @property
    def json(self) -> Any:
        """The result on stdout."""
        return json.loads(self.stdout)

    def __str__(self) -> str:
        head = f"{' '.join(self.command)} → {self.code}\n--- stderr\n{self.stderr}\n"
        return head if self.stdout.startswith("{") else f"{head}--- stdout\n{self.stdout}"


@dataclass
class Project:
    """A working clone, its bare remote, and the registry it releases to."""

    folder: Path
    state: Path
    registry: RealRegistry | None = None
    remote: Path | None = None
    prefix: str = "acme"
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = 600
    """How many seconds a command may take."""

    def elsewhere(self, place: Path) -> Project:
        """Another machine, in this new folder: a clone of the remote and a state of its own."""
        place.mkdir()
        self.git("clone", "--quiet", str(self.remote), str(place / "clone"))
        return replace(self, folder=place / "clone", state=place / "state", environment={})

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run git here."""
        ended = subprocess.run(
            ["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=False, env=self.env()
        )
        assert not check or ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def write(self, files: dict[str, str]) -> None:
        """Write files, without committing them."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def commit(self, message: str, files: dict[str, str] | None = None) -> str:
        """Commit these files; gives the commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def push(self, message: str, files: dict[str, str]) -> None:
        """Commit these files and push the commit."""
        self.commit(message, files)
        self.git("push", "--quiet", "origin", "main")

    def env(self) -> dict[str, str]:
        """The environment of a user of this project alone."""
        return {
            **os.environ,
            "XDG_STATE_HOME": str(self.state),
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@example.org",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **self.environment,
        }

    def argv(self, *arguments: str) -> list[str]:
        """The command line of a dsci command that takes --registry."""
        where = ["--registry", f"{self.registry.address}/{self.prefix}"] if self.registry else []
        return [sys.executable, "-m", "dsci", *arguments, *where]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a dsci command."""
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def dsci(self, *arguments: str, code: int = 0) -> Ended:
        """Run a dsci command to its end, and hold it to an exit code."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=self.patience)
        ended = Ended(process.returncode, stdout, stderr, self.argv(*arguments))
        assert ended.code == code, str(ended)
        assert "Traceback" not in ended.stderr, str(ended)
        return ended

    def dsci_alone(self, *arguments: str, code: int = 0) -> Ended:
        """The same for a command that takes no --registry."""
        return replace(self, registry=None).dsci(*arguments, code=code)

    def in_request_of_a_fork(self) -> None:
        """From here on, commands run as a GitHub job does for a pull request from another repository."""
        payload = self.folder.parent / "event.json"
        payload.write_text(json.dumps({"pull_request": {"head": {"repo": {"id": 2}}, "base": {"repo": {"id": 1}}}}))
        self.environment |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_BASE_REF": "main",
            "GITHUB_EVENT_PATH": str(payload),
        }

    def release(self, code: int = 0) -> Ended:
        """`dsci release --json`."""
        return self.dsci("release", "--json", code=code)

    def actions(self) -> dict[str, str]:
        """What a plan would do to each image."""
        plan = self.dsci("plan", "--json").json
        return {target["image"]: target["action"] for target in plan["targets"]}

    def tags(self) -> set[str]:
        """The Git tags of the remote, or here without one."""
        if self.remote is None:
            return set(self.git("tag").split())
        return set(self.git("ls-remote", "--tags", "--refs", "origin").replace("refs/tags/", "").split()[1::2])

    def images(self, name: str) -> set[str]:
        """The public tags of an image."""
        assert self.registry is not None
        return self.registry.tags(f"{self.prefix}/{name}")

    def digest(self, name: str, tag: str) -> str | None:
        """What a public tag names."""
        assert self.registry is not None
        return self.registry.digest(f"{self.prefix}/{name}", tag)

    def in_engine(self) -> set[str]:
        """The names of this project's images in the engine."""
        return set(docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"*/{self.prefix}/*").split())

    def everything(self) -> dict[str, str | None]:
        """All public tags of all images and their digests."""
        return {f"{name}:{tag}": self.digest(name, tag) for name in DOCKERFILES for tag in sorted(self.images(name))}


def released(ended: Ended) -> dict[str, str]:
    """The versions that a run claimed or finished, by image."""
    return dict(tag.rsplit("-v", 1) for tag in ended.json["released"])


def outcomes(ended: Ended) -> dict[str, str]:
    """How each stage of each target ended: `ml build` → `ok`."""
    return {f"{item['subject'].partition('@')[0]} {item['stage']}": item["status"] for item in ended.json["outcomes"]}


def layers(project: Project, name: str, version: str) -> list[str]:
    """The layers of a released image."""
    assert project.registry is not None
    index = project.registry.manifest(f"{project.prefix}/{name}", version)
    manifest = project.registry.manifest(f"{project.prefix}/{name}", index["manifests"][0]["digest"])
    return [layer["digest"] for layer in manifest["layers"]]


@pytest.fixture(scope="session")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """One registry for the session; every test has a prefix of its own in it."""
    registry = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture(autouse=True)
def nothing_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """What `dsci build` leaves in the engine for its user goes with the test."""
    yield
    if request.node.get_closest_marker("engine") is None:
        return
    mine = f"reference=dsci.local/{prefix_of(request.node.name)}/*"
    listing = ["docker", "images", "--filter", mine, "--format", "{{.Repository}}:{{.Tag}}"]
    # The engine may fail to list an image that goes at this moment: then the next one who looks takes the rest.
    names = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    if names:
        subprocess.run(["docker", "rmi", "--force", *names], capture_output=True, check=False)


def prefix_of(name: str) -> str:
    """What a test of this name calls its images."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")


def make_project(tmp_path: Path, registry: RealRegistry, name: str) -> Project:
    """An empty repository with a bare remote, and a prefix of its own in the registry."""
    project = Project(
        folder=tmp_path / "family",
        state=tmp_path / "state",
        registry=registry,
        remote=tmp_path / "origin.git",
        prefix=prefix_of(name),
    )
    project.folder.mkdir(parents=True)
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(project.remote))
    project.git("remote", "add", "origin", str(project.remote))
    return project


@pytest.fixture
def empty(tmp_path: Path, real_registry: RealRegistry, request: pytest.FixtureRequest) -> Project:
    """Such a repository with the session's registry."""
    return make_project(tmp_path, real_registry, request.node.name)


@pytest.fixture
def tiny(empty: Project) -> Project:
    """Two images that take no time to build, `base` and `ml` on it, committed and pushed."""
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()}
    empty.push("feat: two images", files | {"images/base/note": "a note\n", "images/ml/model.txt": "v1\n"})
    return empty


@pytest.fixture
def small(empty: Project) -> Project:
    """The small family, committed, with a bare remote and the session's registry."""
    push_small(empty, INITIAL)
    return empty


#: What makes the content of a test its own, so that no other test's images are found under its keys.
INITIAL = {"dsci.yaml": 'versioning:\n  initial: "1.0.0"\n'}


def push_small(project: Project, more: dict[str, str]) -> None:
    """Let a repository hold the small family and these files, committed and pushed."""
    files = {f"images/{name}/Dockerfile": text for name, text in DOCKERFILES.items()}
    files |= {f"images/{name}": text for name, text in FILES.items()}
    files |= {f"images/{name}/suites/structure.yaml": text for name, text in STRUCTURE.items()}
    project.push("feat: five images", {**files, "README.md": "# A family\n", **more})
