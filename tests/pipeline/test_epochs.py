"""SOURCE_DATE_EPOCH of targets, from real histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from semver import Version
from tests.drivers.repository import CLEAN, Repo

from dsci.drivers.git import GitRepository
from dsci.model.claims import Released, Tag
from dsci.model.commits import Commit
from dsci.model.family import TargetId
from dsci.model.oci import Platform
from dsci.pipeline.epochs import epochs_of
from dsci.pipeline.snapshot import Source, snapshot

AMD64 = Platform("linux", "amd64")
FILES = {
    "images/base/Dockerfile": "FROM debian:12\nCOPY a /a\n",
    "images/base/a": "1\n",
    "images/ml/Dockerfile": "FROM base\nCOPY b /b\n",
    "images/ml/b": "1\n",
    "images/r/Dockerfile": "FROM debian:12\n",
}


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repo]:
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)
    repo = Repo(tmp_path / "repo")
    repo.commit("first", FILES, when=1_000)
    yield repo


class Counted(GitRepository):
    """A repository that knows how often its history was read."""

    logs = 0

    def log(self, since: Sequence[str]) -> Iterator[Commit]:
        self.logs += 1
        return super().log(since)


def epochs(
    repo: Repo,
    *names: str,
    recorded: Mapping[str, int] | None = None,
    released: Mapping[str, str] | None = None,
    logs: int | None = None,
) -> dict[str, int]:
    """The epochs of these images, as HEAD has them; `recorded` are those of receipts that are there.

    With `released` (the commit of each image's last release, or "") history since then was read for a plan, and is read
    `logs` times more.
    """
    git = Counted(repo.folder)
    try:
        now = snapshot(Source(git=git, project="p", platform=AMD64), git.head().commit)
        receipts = {TargetId(name, AMD64): SimpleNamespace(epoch=epoch) for name, epoch in (recorded or {}).items()}
        found = {target: SimpleNamespace(tested=None, built=receipts.get(target)) for target in now.family.nodes}
        claims = {name: [claim(commit)] if commit else [] for name, commit in (released or {}).items()}
        commits = {
            name: {each.sha: each for each in git.commits([commit] if commit else [])}
            for name, commit in (released or {}).items()
        }
        facts: Any = SimpleNamespace(found=found, when=git.head().when, claims=claims, commits=commits)
        wanted = [TargetId(name, AMD64) for name in names]
        git.logs = 0
        given = {target.image: epoch for target, epoch in epochs_of(git, now, facts, wanted).items()}
        assert logs is None or git.logs == logs
        return given
    finally:
        git.close()


def claim(commit: str) -> Released:
    tag = Tag(name="t", oid=commit, commit=commit, message="", merged=True)
    return Released(group="", version=Version(1), tag=tag)


def test_the_last_commit_that_touched_an_image_counts(repo: Repo) -> None:
    repo.commit("ml", {"images/ml/b": "2\n"}, when=2_000)
    repo.commit("docs", {"README.md": "words\n"}, when=3_000)
    assert epochs(repo, "ml", "r") == {"base": 1_000, "ml": 2_000, "r": 1_000}


def test_a_child_is_never_older_than_its_parent(repo: Repo) -> None:
    repo.commit("base", {"images/base/a": "2\n"}, when=2_000)
    assert epochs(repo, "ml") == {"base": 2_000, "ml": 2_000}


def test_a_receipt_that_is_there_counts(repo: Repo) -> None:
    repo.commit("ml", {"images/ml/b": "2\n"}, when=2_000)
    assert epochs(repo, "ml", recorded={"ml": 1_500}) == {"base": 1_000, "ml": 1_500}
    assert epochs(repo, "ml", recorded={"ml": 1_500, "base": 900}) == {"base": 900, "ml": 1_500}


def test_nothing_wanted_nothing_read(repo: Repo) -> None:
    assert epochs(repo) == {}


def test_heads_date_where_no_commit_is_known(repo: Repo, tmp_path: Path) -> None:
    repo.commit("docs", {"README.md": "words\n"}, when=3_000)
    cut = Repo.clone(repo, tmp_path / "cut", "--depth=1")
    assert epochs(cut, "ml") == {"base": 3_000, "ml": 3_000}


def test_what_was_read_for_the_plan_is_not_read_again(repo: Repo) -> None:
    released = repo.commit("base", {"images/base/a": "2\n"}, when=2_000)
    repo.commit("ml", {"images/ml/b": "2\n"}, when=3_000)
    never = {"base": "", "ml": "", "r": ""}
    assert epochs(repo, "ml", "r", released=never, logs=0) == {"base": 2_000, "ml": 3_000, "r": 1_000}
    assert epochs(repo, "ml", released={"base": "", "ml": released}, logs=0) == {"base": 2_000, "ml": 3_000}


def test_what_nothing_has_touched_since_its_release_is_looked_for_in_all_of_history(repo: Repo) -> None:
    released = repo.commit("base", {"images/base/a": "2\n"}, when=2_000)
    repo.commit("ml", {"images/ml/b": "2\n"}, when=3_000)
    both = {"base": released, "ml": released}
    assert epochs(repo, "ml", released=both, logs=1) == {"base": 2_000, "ml": 3_000}
    assert epochs(repo, "ml", released=both, recorded={"base": 2_000}, logs=0) == {"base": 2_000, "ml": 3_000}


def test_a_family_without_a_plan_of_versions_reads_history_once(repo: Repo) -> None:
    assert epochs(repo, "ml", "r", logs=1) == {"base": 1_000, "ml": 1_000, "r": 1_000}
