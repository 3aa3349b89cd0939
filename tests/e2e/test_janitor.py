"""What dsci leaves behind, looked after by the real command: what goes, what stays, what is said."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, layers, make_project, outcomes
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine


@pytest.fixture
def cluttered(tiny: Project) -> Project:
    """Two releases, and images of a branch that is no more."""
    tiny.release()
    tiny.git("checkout", "--quiet", "-b", "idea")
    tiny.commit("feat(ml): an idea", {"images/ml/model.txt": "idea\n"})
    tiny.dsci("build", "--cache", "registry")
    tiny.git("checkout", "--quiet", "main")
    tiny.commit("fix(ml): better", {"images/ml/model.txt": "v2\n"})
    tiny.release()
    return tiny


def names(shown: dict, *, keep: bool) -> set[str]:
    return {
        f"{place['repository'].rpartition('/')[2]} {item['kind']}"
        for place in shown["repositories"]
        for item in place["items"]
        if item["keep"] is keep
    }


def test_what_a_dead_branch_left_goes_and_nothing_else(cluttered: Project) -> None:
    project = cluttered
    assert project.registry is not None
    everything = {name: project.registry.tags(f"{project.prefix}/{name}", public=False) for name in ("base", "ml")}
    shown = project.dsci("cache", "ls", "--json", "--older-than", "0").json
    assert names(shown, keep=False) == set(), "the branch is alive"
    owners = {item["owner"] for place in shown["repositories"] for item in place["items"]}
    assert {"Git tag base-v0.1.0", "Git tag ml-v0.1.0", "Git tag ml-v0.1.1", "idea (ml@linux/amd64)"} <= owners
    project.git("branch", "-D", "idea")
    time.sleep(1.1)
    young = project.dsci("gc", "--yes")
    assert "nothing to remove" in young.stdout, "younger than a week"
    dry = project.dsci("gc", "--dry-run", "--older-than", "0")
    assert "nothing was removed" in dry.stdout and "dsci-" in dry.stdout
    assert names(project.dsci("gc", "--dry-run", "--older-than", "0", "--json").json, keep=False) == {
        "ml image",
        "ml receipt",
    }
    public = project.everything()
    done = project.dsci("gc", "--older-than", "0", "--yes", "--json").json
    assert len(done["removed"]) == done["may_go"]["count"] >= 2 and done["restored"] == []
    left = {name: project.registry.tags(f"{project.prefix}/{name}", public=False) for name in ("base", "ml")}
    assert left["base"] == everything["base"] and left["ml"] < everything["ml"]
    assert project.everything() == public and public
    # The registry's own clean-up takes away what nothing names; all that was released can still be pulled.
    again = project.release()
    assert outcomes(again) == {} and again.json["released"] == []
    for name, version in (("base", "0.1.0"), ("ml", "0.1.0"), ("ml", "0.1.1")):
        assert layers(project, name, version)
    assert project.dsci("gc", "--dry-run", "--older-than", "0", "--json").json["may_go"]["count"] == 0


def test_a_registry_that_deletes_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    registry = RealRegistry(tmp_path / "registry", delete=False)
    try:
        project = make_project(tmp_path, registry, request.node.name)
        project.push("feat: one", {"images/ml/Dockerfile": "FROM debian:bookworm-slim\n"})
        project.dsci("build")
        project.push("feat: other", {"images/ml/Dockerfile": "FROM debian:bookworm-slim\nENV A=1\n"})
        time.sleep(1.1)
        ended = project.dsci("gc", "--older-than", "0", "--yes", code=5)
        assert "deletes no manifests" in ended.stderr and "storage.delete.enabled" in ended.stderr
        assert "removed 0 of 2" in ended.stdout
    finally:
        registry.stop()


def test_the_embedded_registry_gives_its_room_back(tmp_path: Path) -> None:
    project = Project(folder=tmp_path / "alone", state=tmp_path / "state")
    project.folder.mkdir()
    project.git("init", "--quiet", "--initial-branch=main")
    step = "FROM debian:bookworm-slim\nRUN head -c {} /dev/urandom > /opt/large\n"
    project.commit("feat: one", {"images/ml/Dockerfile": step.format(3_000_000)})
    project.release()
    project.git("checkout", "--quiet", "-b", "idea")
    project.commit("feat: an idea", {"images/ml/Dockerfile": step.format(5_000_000)})
    project.dsci("build")
    project.git("checkout", "--quiet", "main")
    project.git("branch", "-D", "idea")
    time.sleep(1.1)
    blobs = [path for path in project.state.rglob("blobs/*/*") if "registry" in path.parts]
    for blob in blobs:
        os.utime(blob, (time.time() - 86400,) * 2)
    done = project.dsci("gc", "--older-than", "0", "--yes")
    assert "MB swept here at once" in done.stdout
    gone = [blob for blob in blobs if not blob.exists()]
    assert gone and max(blob.stat().st_size for blob in blobs if blob.exists()) > 3_000_000
    assert project.release().json["outcomes"] == []
    project.dsci("export", "ml", str(tmp_path / "ml.tar"))


def test_local_build_caches_are_shown_and_go_with_their_image(tiny: Project) -> None:
    tiny.release()
    tiny.git("checkout", "--quiet", "-b", "idea")
    tiny.commit("feat: another", {"images/other/Dockerfile": "FROM base\nCOPY f /opt/f\n", "images/other/f": "1\n"})
    tiny.dsci("build", "--cache", "local")
    shown = tiny.dsci("cache", "ls", "--json").json["folders"]
    assert [Path(each["path"]).name for each in shown] == ["other-linux-amd64"]
    assert all(each["keep"] and each["owner"] == "the image other" and each["size"] > 100 for each in shown)
    tiny.git("checkout", "--quiet", "main")
    tiny.git("branch", "-D", "idea")
    assert tiny.dsci("gc", "--yes", "--json").json["may_go"]["count"] == 0
    time.sleep(1.1)
    tiny.dsci("gc", "--yes", "--older-than", "0")
    assert tiny.dsci("cache", "ls", "--json").json["folders"] == []


def test_what_the_remote_has_and_this_clone_lacks_is_asked_for(tiny: Project) -> None:
    tiny.release()
    tiny.git("push", "--quiet", "origin", "HEAD:refs/tags/elsewhere")
    ended = tiny.dsci("gc", "--dry-run", code=3)
    assert "lacks 1 tags" in ended.stderr and "--fetch" in ended.stderr
    assert "nothing to remove" in tiny.dsci("gc", "--dry-run", "--fetch").stdout


@pytest.mark.parametrize("age", ["week", "7", "-1d", "1.5d"])
def test_an_age_that_is_none(tiny: Project, age: str) -> None:
    assert "no age" in tiny.dsci("gc", "--dry-run", f"--older-than={age}", code=2).stderr
