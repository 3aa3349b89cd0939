"""`dsci version` as people call it, on clones of their own; nobody but Git is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.drivers.repository import CLEAN, Repo

from dsci.cli import cli
from dsci.drivers.git import GitRepository

FILES = {
    "images/base/Dockerfile": "FROM scratch\nCOPY x /x\n",
    "images/base/x": "0",
    "images/ml/Dockerfile": "FROM base\nCOPY x /x\n",
    "images/ml/x": "0",
    "dsci.yaml": "images: {base: {release: false}}\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "repo")
    made.commit("feat: a family", FILES)
    return made


@pytest.fixture
def ask(repo: Repo, tmp_path: Path) -> Callable[..., str]:
    def run(*words: str) -> str:
        environment = {**CLEAN, "XDG_STATE_HOME": str(tmp_path / "state")}
        ended = CliRunner(env=environment).invoke(cli, ["-C", str(repo.folder), *words], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    return run


def test_an_image_that_is_never_released_says_so(ask: Callable[..., str]) -> None:
    told = ask("version")
    assert told.splitlines()[0].split(maxsplit=2) == ["base", "–", "never released (release: false)"]
    assert told.splitlines()[1].split()[:4] == ["ml", "–", "→", "0.1.0"]
    assert "beginning of history" not in ask("version", "base", "--explain")
    (row,) = json.loads(ask("version", "base", "--json"))
    assert (row["current"], row["next"], row["reason"]) == (None, None, "never released (release: false)")


def test_what_is_never_released_has_no_history_read(
    ask: Callable[..., str], repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' last release is where reading ends, however old the never released image is."""
    repo.git("tag", "-a", "-m", "by hand", "ml-v1.0.0")
    repo.commit("fix: base", {"images/base/x": "1"})
    read: list[tuple[str, ...]] = []
    log = GitRepository.log

    def noted(self: GitRepository, since: tuple[str, ...]) -> object:
        read.append(tuple(since))
        return log(self, since)

    monkeypatch.setattr(GitRepository, "log", noted)
    rows = {row["image"]: row for row in json.loads(ask("version", "--json"))}
    assert rows["ml"]["next"] == "1.0.1", "what changes below reaches people through the child"
    assert read and all(read), "all of history was read"
