"""`dsci lock` against a registry of bases that moves, and that goes away (rule 2)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, outcomes
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine


@pytest.fixture
def bases(tmp_path: Path) -> Iterator[RealRegistry]:
    """A registry of its own for external bases: it can be stopped."""
    registry = RealRegistry(tmp_path / "bases")
    yield registry
    registry.stop()


def push(bases: RealRegistry, text: str) -> str:
    """Give the base another content; gives its name."""
    name = f"{bases.address}/team/tools:1"
    dockerfile = f"FROM debian:bookworm-slim\nRUN echo {text} > /etc/tools\n"
    for argv in (
        ["build", "--quiet", "--provenance=false", "--tag", name, "-"],
        ["push", "--quiet", name],
        ["rmi", name],
    ):
        subprocess.run(["docker", *argv], input=dockerfile, text=True, check=True, capture_output=True)
    return name


@pytest.fixture
def project(empty: Project, bases: RealRegistry) -> Project:
    """An image on that base, and one on it."""
    name = push(bases, "one")
    empty.commit(
        "feat: begin",
        {
            "images/ml/Dockerfile": f"# ml\nFROM {name}\nCOPY model /etc/model\n",
            "images/ml/model": "one\n",
            "images/app/Dockerfile": "FROM ml\nRUN cat /etc/tools /etc/model > /etc/app\n",
        },
    )
    return empty


def test_a_lock_is_a_reviewable_file_and_moves_when_it_is_told_to(project: Project, bases: RealRegistry) -> None:
    file = project.folder / "dsci.lock"
    one = bases.digest("team/tools", "1")
    refused = project.dsci("lock", "--check", code=1)
    assert f"images/ml/Dockerfile:2: {bases.address}/team/tools:1 linux/amd64 is not pinned" in refused.stderr
    assert not file.exists()
    project.dsci("lock")
    line = f"  - {{name: {bases.address}/team/tools:1, platform: linux/amd64, digest: {one}}}"
    assert file.read_text().splitlines() == ["schema: 1", "bases:", line]
    project.commit("chore: lock")
    assert project.dsci("lock", "--check").stdout == "dsci.lock pins every base\n"
    project.release()

    push(bases, "two")
    two = bases.digest("team/tools", "1")
    assert one != two and set(project.actions().values()) == {"reuse"}
    project.dsci("lock")
    assert project.git("status", "--porcelain") == ""
    told = project.dsci("lock", "--update", "--check", code=1)
    assert f"{bases.address}/team/tools:1 linux/amd64 has moved" in told.stderr
    assert project.git("status", "--porcelain") == ""
    (row,) = project.dsci("lock", "--update", "--json", f"{bases.address}/team/tools").json
    assert (row["old"], row["new"], row["rebuilds"]) == (one, two, ["ml", "app"])
    assert project.git("diff", "--numstat").split() == ["1", "1", "dsci.lock"], "one line for one base"
    project.commit("chore: newer tools")
    ended = project.release()
    assert set(outcomes(ended)) == {"ml build", "app build"} and ended.json["released"] == []
    assert "names go with --update" in project.dsci("lock", "ml", code=2).stderr


def test_with_a_lock_the_bases_registry_need_not_answer(project: Project, bases: RealRegistry) -> None:
    project.dsci("lock")
    project.commit("chore: lock")
    project.release()
    bases.stop()
    project.commit("fix(ml): two", {"images/ml/model": "two\n"})
    assert project.actions() == {"ml": "build", "app": "build"}
    ended = project.release()
    assert ended.json["released"] == ["ml-v0.1.1", "app-v0.1.1"]
    assert project.dsci("lock").stdout == "dsci.lock: 1 base\n"
    update = project.dsci("lock", "--update", code=5)
    assert f"images/ml/Dockerfile:2: base {bases.address}/team/tools:1 is not resolved" in update.stderr


def test_without_a_lock_a_first_build_names_the_base_that_cannot_be_asked_for(
    project: Project, bases: RealRegistry
) -> None:
    bases.stop()
    ended = project.dsci("release", code=5)
    assert f"images/ml/Dockerfile:2: base {bases.address}/team/tools:1 is not resolved" in ended.stderr
    assert "dsci lock" in ended.stderr and project.tags() == set() and project.images("ml") == set()
    # To look is no error: what is not known is said.
    reasons = {target["image"]: target["reason"] for target in project.dsci("plan", "--json").json["targets"]}
    assert "is not resolved" in reasons["ml"]
