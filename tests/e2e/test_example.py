"""The example family as its users meet it: five real images, released, changed and released again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, outcomes, released
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine

EXAMPLE = Path(__file__).parents[2] / "examples" / "stack"
IMAGES = {"base", "python", "jupyter", "ml", "r"}


@pytest.fixture
def stack(tmp_path: Path, real_registry: RealRegistry, request: pytest.FixtureRequest) -> Project:
    """The example as a repository of its own, with a remote."""
    project = Project(
        folder=tmp_path / "stack",
        state=tmp_path / "state",
        registry=real_registry,
        remote=tmp_path / "origin.git",
        prefix=request.node.name.replace("_", "-"),
    )
    shutil.copytree(EXAMPLE, project.folder)
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(project.remote))
    project.git("remote", "add", "origin", str(project.remote))
    project.commit("feat: a family of data-science images")
    return project


def test_the_example_family_through_its_first_days(stack: Project, real_registry: RealRegistry) -> None:
    """One story in order, since every chapter stands on the images of the one before."""
    # The first release: every image, every suite, every tag.
    first = stack.release()
    assert released(first) == dict.fromkeys(IMAGES, "0.1.0")
    suites = {(suite["target"].partition("@")[0], suite["suite"]) for suite in first.json["suites"]}
    assert ("ml", "base/structure") in suites and ("ml", "python/pytest") in suites and ("ml", "ml/pytest") in suites
    assert ("r", "python/pytest") not in suites
    assert {("jupyter", "jupyter/notebooks"), ("ml", "jupyter/notebooks"), ("r", "r/r")} <= suites
    assert all(check["verdict"] == "passed" for suite in first.json["suites"] for check in suite["checks"])
    sha = stack.git("rev-parse", "--short=12", "HEAD")
    tags = {"0.1.0", "0.1", "0", "latest", f"sha-{sha}"}
    for name in IMAGES:
        assert stack.images(name) == tags | ({f"{tag}-gpu" for tag in tags} if name == "ml" else set())
    assert stack.digest("ml", "latest") != stack.digest("ml", "latest-gpu")
    assert {("ml:gpu", "ml/pytest"), ("ml:gpu", "base/structure")} <= suites and ("ml", "ml/structure") in suites
    assert stack.tags() == {f"{name}-v0.1.0" for name in IMAGES}

    # Again: no build, no test, no write.
    writes, names = real_registry.writes(), _names(stack)
    again = stack.release()
    assert again.json["outcomes"] == [] and real_registry.writes() == writes and _names(stack) == names

    # Docs: nothing. A fix in a leaf: that leaf.
    stack.commit("docs: a word", {"README.md": "# Stack\n"})
    assert stack.release().json["outcomes"] == []
    _append(stack, "ml", 'ENV MODEL_HOME="/home/scientist/models"\n')
    stack.commit("fix(ml): say where models live")
    fixed = stack.release()
    assert released(fixed) == {"ml": "0.1.1"}
    assert outcomes(fixed) == {f"{name} {stage}": "ok" for name in ("ml", "ml:gpu") for stage in ("build", "test")}

    # A failing test in the middle: the report says which, what stands on it waits, and no name moves.
    now = _names(stack)
    broken = {"images/python/suites/test_broken.py": "def test_arithmetic():\n    assert 1 + 1 == 3\n"}
    stack.commit("test(python): arithmetic", broken)
    failed = stack.release(code=1)
    assert outcomes(failed) == {
        "python test": "failed",
        "jupyter build": "blocked",
        "ml build": "blocked",
        "ml:gpu build": "blocked",
    }
    assert "assert (1 + 1) == 3" in failed.stderr and _names(stack) == now


@pytest.mark.slow
def test_a_breaking_change_in_the_middle_of_the_example(stack: Project) -> None:
    """Before 1.0.0 a minor version; its descendants are built on it and follow, base and r stay as they are."""
    stack.release()
    names = _names(stack)
    _append(stack, "python", 'ENV PYTHONUTF8="1"\n')
    stack.commit("feat(python)!: UTF-8 everywhere")
    broken = stack.release()
    assert released(broken) == {"python": "0.2.0", "jupyter": "0.1.1", "ml": "0.1.1"}
    now = _names(stack)
    assert {name: now[name] for name in names if name.startswith(("base:", "r:"))} == {
        name: names[name] for name in names if name.startswith(("base:", "r:"))
    }


def _append(stack: Project, image: str, line: str) -> None:
    """Put a line at the end of a Dockerfile: all layers above it stay cached."""
    path = stack.folder / "images" / image / "Dockerfile"
    path.write_text(path.read_text() + line)


def _names(stack: Project) -> dict[str, str | None]:
    return {f"{name}:{tag}": stack.digest(name, tag) for name in IMAGES for tag in sorted(stack.images(name))}
