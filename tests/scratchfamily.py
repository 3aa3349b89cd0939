"""A repository and its user for commands that need no engine: what another machine has built is written by hand.

Images are `FROM scratch` and kept in the embedded registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dsci.cli import cli
from dsci.drivers.layout import LayoutRegistry
from dsci.errors import DsciError
from dsci.model import keys
from dsci.model.oci import OCI_MANIFEST
from dsci.model.plan import Plan, PlannedTarget
from dsci.model.receipt import Receipt, to_artifact
from dsci.model.reference import Repository
from tests.drivers.images import MemoryImage
from tests.drivers.repository import CLEAN, Repo

#: What CI systems set, which is no part of a user's environment.
CI = (
    *("GITHUB_ACTIONS", "GITHUB_REF", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH"),
    *("GITHUB_BASE_REF", "GITLAB_CI", "CI_JOB_NAME", "CI_PIPELINE_SOURCE", "CI_COMMIT_BRANCH", "DOCKER_CONTEXT"),
)
FILES = {
    "images/base/Dockerfile": "FROM scratch\nCOPY x /x\n",
    "images/base/x": "0",
    "images/ml/Dockerfile": "FROM base\nCOPY x /x\n",
    "images/ml/x": "0",
    "images/ml/suites/structure.yaml": 'schemaVersion: "2.0.0"\nfileExistenceTests: [{name: x, path: /x}]\n',
}
USAGE = 2


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str
    error: DsciError | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Family:
    """A repository, and the state of the user who works in it."""

    repo: Repo
    state: Path

    def ask(self, *arguments: str, env: Mapping[str, str] | None = None) -> Answer:
        """Run a dsci command in this process."""
        ended = CliRunner().invoke(cli, ["-C", str(self.repo.folder), *arguments], prog_name="dsci", env=env)
        if isinstance(ended.exception, DsciError):
            return Answer(ended.exception.exit_code, ended.stdout, ended.stderr, ended.exception)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exc_info
        return Answer(ended.exit_code, ended.stdout, ended.stderr)

    def done(self, *arguments: str, **more: Any) -> Answer:
        answer = self.ask(*arguments, **more)
        assert answer.code == 0, answer
        return answer

    def refused(self, *arguments: str, **more: Any) -> DsciError:
        answer = self.ask(*arguments, **more)
        assert answer.error is not None and answer.stdout == "", answer
        return answer.error

    def misused(self, *arguments: str) -> str:
        answer = self.ask(*arguments)
        assert (answer.code, answer.stdout, answer.error) == (USAGE, "", None), answer
        return answer.stderr

    def plan(self, name: str = "plan.json") -> Path:
        """`dsci plan --json > plan.json`, beside the repository."""
        path = self.state / name
        path.write_text(self.done("plan", "--json").stdout)
        return path

    def build(self, plan: Path, name: str) -> None:
        """What another machine's job leaves in the registry."""
        items = {item.image: item for item in Plan.from_json(plan.read_bytes()).targets}
        registry = LayoutRegistry(self.state / "dsci" / "registry" / self.repo.git("rev-parse", "HEAD")[:12])
        image = registry.push_image(MemoryImage(name.encode()), _repository(items[name]), self._tag(items[name]))
        parents = {
            need: str(MemoryImage(need.partition("@")[0].encode()).descriptor.digest) for need in items[name].needs
        }
        for suites in {keys.NO_SUITES, items[name].suites_digest}:
            receipt = Receipt(
                target=items[name].id,
                key=str(items[name].key),
                source_key=items[name].source_key,
                image=str(image.digest),
                parents=parents,
                suites=suites,
            )
            artifact = to_artifact(receipt, image)
            for media_type, content in artifact.blobs:
                registry.push_blob(_repository(items[name]), content, media_type)
            tag = keys.receipt_tag(receipt.key, suites)
            registry.push_manifest(_repository(items[name]), artifact.manifest, OCI_MANIFEST, tag)

    def _tag(self, item: PlannedTarget) -> str:
        return keys.key_tag(str(item.key))


def _repository(item: PlannedTarget) -> Repository:
    return Repository.parse(item.repository)


def make_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """A family of two in a repository with one commit, for a user with no CI system and no engine around."""
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)
    for name in CI:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    repo = Repo(tmp_path / "family")
    repo.commit("feat: two images", {"dsci.yaml": "platforms: [linux/amd64]\n", **FILES})
    return Family(repo, tmp_path)
