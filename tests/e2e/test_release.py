"""The main job end to end: real Git, real engine, real registry (issue: one release, for real)."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.conftest import DOCKERFILES, INITIAL, Project, make_project, outcomes, push_small, released
from tests.realengine import docker, gone, of_runs
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine

FIRST = {"1.0.0", "1.0", "1", "latest"}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Path]]:
    """The family after its first release, and a copy of all that was written."""
    registry = RealRegistry(tmp_path_factory.mktemp("registry"))
    project = make_project(tmp_path_factory.mktemp("done"), registry, "a family that is released")
    push_small(project, INITIAL)
    project.release()
    registry.stop()
    kept = tmp_path_factory.mktemp("kept")
    shutil.copytree(registry.storage, kept / "storage")
    shutil.copytree(project.folder.parent, kept / "project", symlinks=True)
    yield project, kept


@pytest.fixture
def done(once: tuple[Project, Path]) -> Iterator[Project]:
    """The family after its first release: registry, remote, clone and state are put back as they were."""
    project, kept = replace(once[0], environment={}), once[1]
    assert project.registry is not None
    for name, place in (("storage", project.registry.storage), ("project", project.folder.parent)):
        shutil.rmtree(place)
        shutil.copytree(kept / name, place, symlinks=True)
    project.registry.start()
    yield project
    project.registry.stop()
    for name in project.in_engine():
        docker("image", "rm", "--force", name)


def test_first_release_and_then_nothing(small: Project) -> None:
    sha = small.git("rev-parse", "--short=12", "HEAD")
    ended = small.release()
    assert released(ended) == dict.fromkeys(DOCKERFILES, "1.0.0")
    assert small.tags() == {f"{name}-v1.0.0" for name in DOCKERFILES}
    for name in DOCKERFILES:
        assert small.images(name) == FIRST | {f"sha-{sha}"}
        assert len({small.digest(name, tag) for tag in small.images(name)}) == 1
    # What the Git tag claims is what the registry shows.
    for name in DOCKERFILES:
        message = small.git("cat-file", "tag", f"{name}-v1.0.0")
        assert f"Dsci-Digest: {small.digest(name, '1.0.0')}" in message.split("\n")

    assert small.registry is not None
    before, names = small.registry.writes(), small.everything()
    again = small.release()
    assert again.json["outcomes"] == [] and again.json["publications"] == [] and again.json["suites"] == []
    assert small.registry.writes() == before, "a release with nothing to do wrote to the registry"
    assert small.everything() == names


def test_what_was_tested_is_what_is_tagged(done: Project) -> None:
    """Promise 1: the platform manifest in the index is the one whose receipt says it passed."""
    assert done.registry is not None
    for name in DOCKERFILES:
        repository = f"{done.prefix}/{name}"
        index = done.registry.manifest(repository, "1.0.0")
        assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
        assert index["annotations"]["org.opencontainers.image.version"] == "1.0.0"
        (child,) = index["manifests"]
        keyed = [tag for tag in done.registry.tags(repository, public=False) if tag.startswith("dsci-")]
        subjects = {
            done.registry.manifest(repository, tag)["subject"]["digest"]
            for tag in keyed
            if "subject" in done.registry.manifest(repository, tag)
        }
        assert subjects == {child["digest"]}


def test_what_an_image_says_of_itself(tiny: Project) -> None:
    """Rule 9: settings are labels of the config, a release's facts are annotations of its index."""
    settings = "labels: {licenses: Apache-2.0, vendor: Acme}\nimages: {ml: {labels: {title: The model}}}\n"
    sha = tiny.commit("chore: labels", {"dsci.yaml": settings})
    tiny.release()
    assert tiny.registry is not None
    name = "org.opencontainers.image."
    for image, title in (("base", "base"), ("ml", "The model")):
        repository = f"{tiny.prefix}/{image}"
        index = tiny.registry.manifest(repository, "0.1.0")
        manifest = tiny.registry.manifest(repository, index["manifests"][0]["digest"])
        labels = tiny.registry.blob(repository, manifest["config"]["digest"])["config"]["Labels"]
        said, told = (
            {key.removeprefix(name): text for key, text in each.items()} for each in (index["annotations"], labels)
        )
        assert said | {"title": title, "licenses": "Apache-2.0", "vendor": "Acme", "revision": sha} == said
        assert said["version"] == "0.1.0" and said["ref.name"] == f"{image}-0.1.0" and said["created"].endswith("Z")
        assert told["licenses"] == "Apache-2.0" and told.get("title") == (title if image == "ml" else None)
        assert (said["base.name"], said["base.digest"]) == (told["base.name"], told["base.digest"])
        assert not {"version", "revision", "created"} & told.keys()


def test_children_stand_on_the_layers_of_their_parents(done: Project) -> None:
    """Who has pulled `python` has all of it when pulling `jupyter`."""
    assert done.registry is not None

    def layers(name: str) -> list[str]:
        index = done.registry.manifest(f"{done.prefix}/{name}", "1.0.0")
        manifest = done.registry.manifest(f"{done.prefix}/{name}", index["manifests"][0]["digest"])
        return [layer["digest"] for layer in manifest["layers"]]

    for parent, child in (("base", "python"), ("python", "jupyter"), ("jupyter", "ml"), ("base", "r")):
        assert layers(child)[: len(layers(parent))] == layers(parent)


def test_docs_change_nothing(done: Project) -> None:
    names = done.everything()
    done.commit("docs: say more", {"README.md": "# A family of images\n"})
    ended = done.release()
    assert ended.json["outcomes"] == [] and ended.json["released"] == []
    assert done.everything() == names
    assert set(done.actions().values()) == {"reuse"}


def test_a_fix_in_a_leaf_is_a_patch_of_the_leaf(done: Project) -> None:
    names = done.everything()
    done.commit("fix(ml): the model was wrong", {"images/ml/model.txt": "v2\n"})
    ended = done.release()
    assert released(ended) == {"ml": "1.0.1"}
    assert outcomes(ended) == {"ml build": "ok", "ml test": "ok"}
    now = done.everything()
    assert {name for name in now if now[name] != names.get(name)} - names.keys() == {
        "ml:1.0.1",
        f"ml:sha-{done.git('rev-parse', '--short=12', 'HEAD')}",
    }
    assert now["ml:latest"] == now["ml:1"] == now["ml:1.0"] == now["ml:1.0.1"] != now["ml:1.0.0"]
    assert now["ml:1.0.0"] == names["ml:1.0.0"]


def test_a_breaking_change_reaches_every_descendant(done: Project) -> None:
    names = done.everything()
    done.commit("feat(python)!: numpy 2", {"images/python/requirements.txt": "numpy==2.0.0\n"})
    ended = done.release()
    assert released(ended) == {"python": "2.0.0", "jupyter": "1.0.1", "ml": "1.0.1"}
    assert {key for key in outcomes(ended) if key.endswith("build")} == {"python build", "jupyter build", "ml build"}
    now = done.everything()
    assert {name: now[name] for name in names if name.startswith(("base:", "r:"))} == {
        name: names[name] for name in names if name.startswith(("base:", "r:"))
    }
    # Why a child moved stands in its own tag.
    assert "- python 2.0.0: 1 change\n" in done.git("cat-file", "tag", "jupyter-v1.0.1")
    assert "- jupyter 1.0.1: no change of its own\n" in done.git("cat-file", "tag", "ml-v1.0.1")


def test_a_failing_test_holds_back_the_whole_family(done: Project) -> None:
    names = done.everything()
    done.commit("feat(base): new family file", {"images/base/Dockerfile": DOCKERFILES["base"] + "ENV A=1\n"})
    broken = "numpy\n"
    done.commit("feat(python): unpinned", {"images/python/requirements.txt": broken})
    ended = done.release(code=1)
    assert outcomes(ended) == {
        "base build": "ok",
        "base test": "ok",
        "python build": "ok",
        "python test": "failed",
        "jupyter build": "blocked",
        "ml build": "blocked",
        "r build": "ok",
        "r test": "ok",
        **{f"{name} {version} release": "blocked" for name, version in _planned(ended)},
    }
    assert done.everything() == names and done.tags() == {f"{name}-v1.0.0" for name in DOCKERFILES}
    failed = next(item for item in ended.json["outcomes"] if item["status"] == "failed")
    assert "numpy is pinned" in failed["detail"] and "/opt/requirements.txt" in failed["detail"]

    done.commit("fix(python): pinned again", {"images/python/requirements.txt": "numpy==2.1.0\n"})
    ended = done.release()
    assert set(released(ended)) == set(DOCKERFILES)
    assert {key for key in outcomes(ended) if key.endswith("build")} == {"python build", "jupyter build", "ml build"}


def _planned(ended: object) -> list[tuple[str, str]]:
    return [(item["image"], item["version"]) for item in ended.json["plan"]["releases"]]  # type: ignore[attr-defined]


def test_gate_lineage_releases_what_no_failure_touches(small: Project) -> None:
    small.commit(
        "feat: another family in the same repository",
        {
            "images/tool/Dockerfile": "FROM debian:bookworm-slim\nCOPY tool /opt/tool\n",
            "images/tool/tool": "x\n",
            "images/python/requirements.txt": "numpy\n",
            "dsci.yaml": 'gate: lineage\nversioning:\n  initial: "1.0.0"\n',
        },
    )
    ended = small.release(code=1)
    assert released(ended) == {"tool": "1.0.0"}
    assert small.tags() == {"tool-v1.0.0"}


# ------------------------------------------------------------------------------------------------ cut off


def test_killed_in_mid_build(small: Project) -> None:
    """kill -9 while an image is being built: the next run does what is missing, and only that."""
    slow = DOCKERFILES["jupyter"] + "RUN sleep 20\n"
    small.commit("feat(jupyter): slow", {"images/jupyter/Dockerfile": slow})
    process = small.start("release")
    assert process.stderr is not None
    for line in process.stderr:
        if "RUN sleep 20" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert small.tags() == set() and small.everything() == {}
    small.commit("fix(jupyter): fast", {"images/jupyter/Dockerfile": DOCKERFILES["jupyter"]})
    ended = small.release()
    assert set(released(ended)) == set(DOCKERFILES)
    assert "base build" not in outcomes(ended) and "python build" not in outcomes(ended)


def _kill_after_claim(project: Project) -> None:
    """Have the remote kill the pusher right after it took the tags: nothing of ours runs after the claim."""
    assert project.remote is not None
    hook = project.remote / "hooks" / "post-receive"
    pid = project.remote / "victim"
    hook.write_text(f'#!/bin/sh\n[ ! -e "{pid}" ] || kill -9 $(cat "{pid}")\n')
    hook.chmod(0o755)
    process = project.start("release")
    pid.write_text(str(process.pid))
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    pid.unlink()
    hook.unlink()


def test_killed_between_claim_and_tags(small: Project) -> None:
    _kill_after_claim(small)
    assert small.tags() == {f"{name}-v1.0.0" for name in DOCKERFILES}
    assert small.everything() == {}
    ended = small.release()
    assert released(ended) == dict.fromkeys(DOCKERFILES, "1.0.0")
    assert not [key for key in outcomes(ended) if key.endswith(("build", "test"))]
    for name in DOCKERFILES:
        assert small.images(name) >= FIRST
        claimed = small.git("cat-file", "tag", f"{name}-v1.0.0")
        assert f"Dsci-Digest: {small.digest(name, '1.0.0')}" in claimed


def test_killed_between_claim_and_tags_and_a_new_commit_came(small: Project) -> None:
    _kill_after_claim(small)
    small.commit("fix(ml): the model was wrong", {"images/ml/model.txt": "v2\n"})
    ended = small.release()
    assert set(ended.json["released"]) == {f"{name}-v1.0.0" for name in DOCKERFILES} | {"ml-v1.0.1"}
    assert small.images("ml") >= FIRST | {"1.0.1"}
    assert small.digest("ml", "latest") == small.digest("ml", "1.0.1") != small.digest("ml", "1.0.0")
    assert small.digest("base", "latest") == small.digest("base", "1.0.0")


def test_terminated_leaves_nothing_behind(small: Project) -> None:
    """SIGTERM (a cancelled CI job): a clean end, no container, no scratch folder, no lock."""
    small.commit("feat(jupyter): slow", {"images/jupyter/Dockerfile": DOCKERFILES["jupyter"] + "RUN sleep 60\n"})
    process = small.start("release")
    assert process.stderr is not None
    for line in process.stderr:
        if "RUN sleep 60" in line:
            break
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - began < 30
    assert list((small.state / "dsci" / "runs").iterdir()) == []


# ------------------------------------------------------------------------------------------------ claims


def test_without_a_remote_and_then_with_one(small: Project) -> None:
    small.git("remote", "remove", "origin")
    ended = small.release()
    assert "no Git remote" in " ".join(ended.json["notes"])
    small.git("remote", "add", "origin", str(small.remote))
    assert small.tags() == set()
    again = small.release()
    assert again.json["outcomes"] == [] and small.tags() == {f"{name}-v1.0.0" for name in DOCKERFILES}
    assert set(_ledger(small)) == {f"{name} 1.0.0" for name in DOCKERFILES}


def _ledger(project: Project) -> dict[str, dict]:
    """What the remote's ledger holds: `IMAGE VERSION` to the entry."""
    project.git("fetch", "--quiet", "origin", "+refs/heads/dsci-ledger:refs/probe")
    names = project.git("ls-tree", "-r", "--name-only", "refs/probe").split()
    entries = [json.loads(project.git("show", f"refs/probe:{name}")) for name in names]
    return {f"{entry['image']} {entry['version']}": entry for entry in entries}


def test_every_claim_is_recorded(done: Project) -> None:
    done.commit("fix(ml): one", {"images/ml/model.txt": "v2\n"})
    done.release()
    ledger = _ledger(done)
    assert set(ledger) == {f"{name} 1.0.0" for name in DOCKERFILES} | {"ml 1.0.1"}
    for name, version in (entry.split() for entry in ledger):
        entry = ledger[f"{name} {version}"]
        assert entry["digests"] == {name: done.digest(name, version)}
        assert entry["object"] == done.git("rev-parse", f"{name}-v{version}")
        assert entry["commit"] == done.git("rev-parse", f"{name}-v{version}^{{commit}}")


def test_a_ledger_that_was_lost_is_no_lock(done: Project) -> None:
    """Somebody removed the branch: releases go on, and record what they claim."""
    done.git("push", "--quiet", "origin", ":refs/heads/dsci-ledger")
    done.commit("fix(ml): one", {"images/ml/model.txt": "v2\n"})
    assert done.release().json["released"] == ["ml-v1.0.1"]
    assert set(_ledger(done)) == {"ml 1.0.1"}


def test_ledger_none_pushes_tags_alone(small: Project) -> None:
    settings = (small.folder / "dsci.yaml").read_text()
    small.commit("chore: no ledger", {"dsci.yaml": settings + "ledger: none\n"})
    small.release()
    assert small.tags() == {f"{name}-v1.0.0" for name in DOCKERFILES}
    assert "dsci-ledger" not in small.git("ls-remote", "origin")


def test_an_older_commit_after_a_newer_one_is_superseded(done: Project) -> None:
    done.commit("fix(ml): one", {"images/ml/model.txt": "v2\n"})
    older = done.git("rev-parse", "HEAD")
    done.commit("fix(ml): two", {"images/ml/model.txt": "v3\n"})
    done.release()
    names = done.everything()
    done.git("checkout", "--quiet", older)
    ended = done.release()
    assert ended.json["released"] == [] and "ml: superseded by a later commit" in ended.json["notes"]
    assert done.everything() == names


def test_two_clones_release_the_same_commit_at_once(small: Project, tmp_path: Path) -> None:
    """One content wins, both runs end well, and the names say what the tags claim."""
    other = small.elsewhere(tmp_path / "other")
    processes = [project.start("release") for project in (small, other)]
    ended = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(err for _, err in ended)
    assert small.tags() == {f"{name}-v1.0.0" for name in DOCKERFILES}
    small.git("fetch", "--quiet", "--tags", "origin")
    for name in DOCKERFILES:
        claimed = small.git("cat-file", "tag", f"{name}-v1.0.0")
        digest = small.digest(name, "1.0.0")
        assert f"Dsci-Digest: {digest}" in claimed and small.digest(name, "latest") == digest


def test_a_version_that_somebody_else_tagged(done: Project, tmp_path: Path) -> None:
    """A tag on another branch holds the next version: a named conflict, and nothing half-written."""
    done.git("checkout", "--quiet", "-b", "aside")
    done.commit("fix(ml): aside", {"images/ml/model.txt": "aside\n"})
    done.git("tag", "--annotate", "--message", "by hand", "ml-v1.0.1")
    done.git("push", "--quiet", "origin", "ml-v1.0.1")
    done.git("checkout", "--quiet", "main")
    names = done.everything()
    done.commit("fix(ml): on main", {"images/ml/model.txt": "main\n"})
    ended = done.dsci("release", code=6)
    assert "ml-v1.0.1" in ended.stderr and "Release-As: ml@VERSION" in ended.stderr
    assert done.everything() == names


def test_an_immutable_tag_that_was_moved_by_hand(done: Project) -> None:
    """Somebody overwrote a name that dsci is to write: a conflict, never an overwrite."""
    assert done.registry is not None
    foreign = done.registry.manifest(f"{done.prefix}/ml", "1.0.0")
    done.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    _put(done, "ml", "1.0.1", foreign)
    ended = done.dsci("release", code=6)
    assert "ml:1.0.1" in ended.stderr and "outside dsci" in ended.stderr


def _put(project: Project, name: str, tag: str, manifest: dict) -> None:
    import json
    import urllib.request

    assert project.registry is not None
    request = urllib.request.Request(
        f"http://{project.registry.address}/v2/{project.prefix}/{name}/manifests/{tag}",
        data=json.dumps(manifest).encode(),
        headers={"Content-Type": manifest["mediaType"]},
        method="PUT",
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


# ------------------------------------------------------------------------------------------------ failing builds


@pytest.mark.parametrize(
    ("dockerfile", "line", "said"),
    [
        ("FROM python\nRUN true\nFOO bar\n", 3, "unknown instruction"),
        ("FROM python\nCOPY nope.txt /opt/nope.txt\n", 2, "nope.txt"),
        ("FROM python\nRUN echo before && \\\n    getent hosts registry.invalid\n", 2, "getent hosts"),
    ],
    ids=["syntax error", "missing COPY source", "network failure"],
)
def test_a_dockerfile_that_fails(small: Project, dockerfile: str, line: int, said: str) -> None:
    small.commit("feat(jupyter): broken", {"images/jupyter/Dockerfile": dockerfile})
    ended = small.dsci("release", code=1)
    assert f"images/jupyter/Dockerfile:{line}" in ended.stderr
    assert said in ended.stderr
    assert "✓ test    r@" in ended.stderr, "an image that does not stand on it was not finished"
    assert small.tags() == set() and small.everything() == {}


def test_a_step_shows_its_last_lines(small: Project) -> None:
    text = "FROM python\nRUN for i in 1 2 3; do echo line-$i; done; echo to-stderr >&2; exit 7\n"
    small.commit("feat(jupyter): broken", {"images/jupyter/Dockerfile": text})
    ended = small.dsci("release", code=1)
    assert "line-3" in ended.stderr and "to-stderr" in ended.stderr and "exit code: 7" in ended.stderr


# ------------------------------------------------------------------------------------------------ work trees


def test_a_dirty_tree_is_built_for_this_machine_alone(done: Project) -> None:
    assert done.registry is not None
    done.write({"images/python/requirements.txt": "numpy==3\n", "images/ml/untracked.txt": "x\n"})
    before = done.registry.writes()
    ended = done.dsci("build", "--json", "--no-keep")
    assert outcomes(ended) == {"python build": "ok", "jupyter build": "ok", "ml build": "ok"}
    targets = {target["image"]: target for target in ended.json["plan"]["targets"]}
    assert targets["python"]["dirty"] and targets["ml"]["dirty"] and not targets["r"]["dirty"]
    assert done.registry.writes() == before
    # A release takes HEAD's objects, whatever lies about.
    again = done.release()
    assert again.json["outcomes"] == [] and done.registry.writes() == before


@pytest.mark.slow
def test_one_name_for_two_platforms(tiny: Project) -> None:
    """BuildKit pins one image per name: the pin is the index, and each stage takes its own platform from it."""
    assert tiny.registry is not None
    both = {
        "dsci.yaml": "images: {two: {platforms: [linux/amd64, linux/arm64]}}\n",
        "images/two/Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n",
        "images/two/amd64": "amd64\n",
        "images/two/arm64": "arm64\n",
    }
    tiny.commit("feat: an image for two platforms", both)
    tiny.release()
    name = f"{tiny.registry.address}/{tiny.prefix}/two:0.1"
    index = tiny.digest("two", "0.1")
    project = make_project(tiny.folder.parent / "other", tiny.registry, "one-name-for-two")
    text = f"FROM --platform=linux/arm64 {name} AS foreign\nFROM {name}\nCOPY --from=foreign /arch /foreign\n"
    suite = """\
        schemaVersion: "2.0.0"
        fileContentTests:
          - {name: own, path: /arch, expectedContents: [amd64]}
          - {name: foreign, path: /foreign, expectedContents: [arm64]}
        """
    project.push("feat: begin", {"images/user/Dockerfile": text, "images/user/suites/s.yaml": suite})
    ended = project.release()
    assert outcomes(ended)["user test"] == "ok"
    assert f"Dsci-Base: {index} any/any {name}" in project.git("cat-file", "tag", "v0.1.0")
    # The base moves: the pin of the last release holds (rule 2), until the lock moves it, index and platforms together.
    tiny.commit("fix(two): other content", {"images/two/arm64": "arm64 again\n"})
    tiny.release()
    assert tiny.digest("two", "0.1") != index
    project.commit("docs: nothing", {"README.md": "x\n"})
    assert project.actions() == {"user": "reuse"}
    ended = project.dsci("lock")
    assert "3 bases" in ended.stdout and str(index) in (project.folder / "dsci.lock").read_text()
    project.commit("chore: lock")
    assert project.actions() == {"user": "reuse"}
    ended = project.dsci("lock", "--update")
    assert "rebuilds user" in ended.stdout and tiny.digest("two", "0.1") in (project.folder / "dsci.lock").read_text()
    project.commit("chore: newer bases")
    assert project.actions() == {"user": "build"}


def test_only_the_suites_changed(done: Project) -> None:
    text = (done.folder / "images/python/suites/structure.yaml").read_text().replace("is pinned", "has a pin")
    done.commit("test(python): rename", {"images/python/suites/structure.yaml": text})
    assert done.actions() == {"base": "reuse", "python": "test", "jupyter": "test", "ml": "test", "r": "reuse"}
    ended = done.release()
    assert set(outcomes(ended)) == {"python test", "jupyter test", "ml test"} and ended.json["released"] == []
    assert set(done.actions().values()) == {"reuse"}


def test_the_embedded_registry_keeps_the_same_promises(small: Project) -> None:
    """With no registry at all images are released into OCI layouts of the user's state folder."""
    small.registry = None
    ended = small.release()
    assert released(ended) == dict.fromkeys(DOCKERFILES, "1.0.0")
    assert small.release().json["outcomes"] == []
    layouts = list((small.state / "dsci" / "registry").glob("*/*/ml/index.json"))
    assert len(layouts) == 1 and '"1.0.0"' in layouts[0].read_text()
    assert not any(small.folder.glob("**/oci-layout")), "something was written into the work tree"
    small.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    assert released(small.release()) == {"ml": "1.0.1"}


def test_nothing_is_left_in_the_engine(small: Project) -> None:
    before, images = of_runs(), small.in_engine()
    small.release()
    assert small.in_engine() == images
    gone(of_runs() - before)


def test_a_key_without_a_receipt_is_adopted(done: Project) -> None:
    """kill -9 between the keyed image and its receipt: the next run takes the image that stands, and writes it."""
    assert done.registry is not None
    names = done.everything()
    repository = f"{done.prefix}/ml"
    for tag in done.registry.tags(repository, public=False):
        if "." in tag and tag.startswith("dsci-"):
            done.registry.delete_tag(repository, tag)
    assert done.actions()["ml"] == "build"
    ended = done.release()
    assert outcomes(ended) == {"ml build": "ok", "ml test": "ok"} and ended.json["released"] == []
    assert done.actions()["ml"] == "reuse" and done.everything() == names


@pytest.mark.slow
def test_a_parent_that_was_collected_is_built_again_with_its_children(small: Project) -> None:
    """Rule 3: the same keys, but the parent's image is another one now: its children are built on that one."""
    assert small.registry is not None
    small.commit("feat(ml): unreleasable", {"images/ml/Dockerfile": "FROM jupyter\nRUN false\n"})
    small.release(code=1)
    repository = f"{small.prefix}/python"
    for tag in small.registry.tags(repository, public=False):
        small.registry.delete_tag(repository, tag)
    small.registry.collect()
    small.commit("fix(ml): releasable", {"images/ml/Dockerfile": DOCKERFILES["ml"], "images/ml/model.txt": "v3\n"})
    ended = small.release()
    built = {key for key in outcomes(ended) if key.endswith("build")}
    assert built == {"python build", "jupyter build", "ml build"}
    assert set(small.actions().values()) == {"reuse"}, "what was built again is not found again"


def test_a_laptop_without_its_registry_can_build_and_test(small: Project) -> None:
    """`build` and `test` need neither the registry nor the right to push; a release does."""
    small.environment["XDG_CONFIG_HOME"] = str(small.state)
    dead = ["--registry", "127.0.0.1:1/acme"]
    small.registry = None
    ended = small.dsci("test", "python", "--json", *dead)
    assert outcomes(ended) == {"base build": "ok", "base test": "ok", "python build": "ok", "python test": "ok"}
    refused = small.dsci("release", *dead, code=5)
    assert "127.0.0.1:1" in refused.stderr and "  → " in refused.stderr
