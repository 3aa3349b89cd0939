"""Families built by builders that are not the engine: what comes of it is tested here, and is what ships."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Ended, Project, layers, outcomes, released
from tests.faultyproxy import FaultyProxy
from tests.lentbuildkit import LentBuildKit
from tests.realengine import docker, image, processes
from tests.secondengine import Endpoint, second_engine

pytestmark = pytest.mark.engine

SUITE = """\
    schemaVersion: "2.0.0"
    commandTests:
      - {name: runs, command: cat, args: [/etc/family], expectedOutput: ["base"]}
    """
FAMILY = {
    "images/base/Dockerfile": "FROM debian:bookworm-slim\nRUN useradd -m scientist && echo base > /etc/family\n",
    "images/base/suites/base.yaml": SUITE,
    "images/python/Dockerfile": "FROM base\nRUN cat /etc/family > /opt/python\nUSER scientist\n",
    "images/ml/Dockerfile": "FROM python\nCOPY model.txt /opt/model.txt\nRUN cat /opt/python /opt/model.txt\n",
    "images/ml/model.txt": "v1\n",
}
NOTE = {"images/note/Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n"}
NOTE |= {f"images/note/{arch}": f"{arch}\n" for arch in ("amd64", "arm64")}


@pytest.fixture(scope="module")
def other() -> Iterator[Endpoint]:
    """A second engine, in a network of its own."""
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint:
        yield endpoint


class Buildx:
    """A configuration of buildx of its own, with the builders of one test."""

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder = folder
        project.environment |= {"BUILDX_CONFIG": str(folder / "buildx"), "DOCKER_CONFIG": str(folder / "docker")}
        self.environment = {**os.environ, **project.environment}
        self._lent: list[LentBuildKit] = []

    def docker(self, *arguments: str) -> str:
        """Run the docker command."""
        ended = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, env=self.environment
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def remote(self, name: str, engine: str, *flags: str) -> LentBuildKit:
        """A builder of the remote driver, or with `--append` one more node of it."""
        lent = LentBuildKit(self.folder / f"{name}-{len(self._lent)}", engine)
        self._lent.append(lent)
        self.docker("buildx", "create", "--driver", "remote", "--name", name, *flags, lent.address)
        return lent

    def close(self) -> None:
        """Hang up."""
        for each in self._lent:
            each.close()


@pytest.fixture
def family(empty: Project) -> Project:
    """Three images on each other and a suite, committed and pushed."""
    empty.push("feat: three images", FAMILY)
    return empty


@pytest.fixture
def buildx(family: Project) -> Iterator[Buildx]:
    """Builders for the family; sockets need short paths."""
    folder = Path(tempfile.mkdtemp(prefix="dscib-", dir="/tmp"))
    made = Buildx(folder, family)
    yield made
    made.close()
    shutil.rmtree(folder)


def manifest(project: Project, name: str, version: str = "0.1.0") -> str:
    """The one platform manifest of a release."""
    assert project.registry is not None
    (only,) = project.registry.manifest(f"{project.prefix}/{name}", version)["manifests"]
    return str(only["digest"])


def built(ended: Ended) -> dict[str, str]:
    """The digests that a run built, by image."""
    return {
        item["subject"].partition("@")[0]: item["digest"]
        for item in ended.json["outcomes"]
        if item["stage"] == "build" and item["status"] == "ok"
    }


def receipts(project: Project, name: str) -> list[dict[str, Any]]:
    """What the receipts of an image say."""
    assert project.registry is not None
    repository = f"{project.prefix}/{name}"
    tags = [tag for tag in project.registry.tags(repository, public=False) if tag.startswith("dsci-") and "." in tag]
    found = [project.registry.manifest(repository, tag)["layers"][0]["digest"] for tag in tags]
    return [json.loads(project.registry.content(repository, digest)) for digest in found]


def left_behind(project: Project) -> list[str]:
    """What is still in the scratch folders of runs."""
    return [str(path) for path in (project.state / "dsci" / "runs").rglob("*") if path.is_file()]


# ---------------------------------------------------------------------------------------------- built elsewhere


def test_a_family_is_built_elsewhere_tested_here_and_released(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.remote("far", other)
    family.environment["DSCI_BUILDER"] = "far"
    ended = family.release()
    assert released(ended) == dict.fromkeys(("base", "ml", "python"), "0.1.0")
    assert set(outcomes(ended).values()) == {"ok"} and len(outcomes(ended)) == 6
    assert "built by builder far (remote driver" in ended.stderr and "load" in ended.stderr
    # Promise 1: the digest that the builder told is the one that was tested, and the one that is released.
    digests = built(ended)
    assert {name: manifest(family, name) for name in digests} == digests
    for name, digest in digests.items():
        assert {receipt["image"] for receipt in receipts(family, name)} == {digest}
        assert {receipt["engine"] for receipt in receipts(family, name)} == {"builder far (remote driver)"}
    # Nothing was built in the engine, and a child has its parent's layers as they are.
    assert layers(family, "ml", "0.1.0")[:3] == layers(family, "python", "0.1.0")
    assert not [name for name in buildx.docker("images").splitlines() if f"dsci.local/{family.prefix}/" in name]
    assert left_behind(family) == []
    # A parent that is there already comes from the registry, into a run that knows nothing of the first.
    shutil.rmtree(family.state)
    family.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    again = family.release()
    assert outcomes(again) == {"ml build": "ok", "ml test": "ok"} and released(again) == {"ml": "0.1.1"}
    assert layers(family, "ml", "0.1.1")[:3] == layers(family, "python", "0.1.0")
    assert family.release().json["outcomes"] == []


def test_the_names_of_siblings_are_asked_for_nowhere(family: Project, buildx: Buildx) -> None:
    """The builder's own hub hears of the base, and of nothing that is the family's."""
    hub = FaultyProxy("127.0.0.1", os.environ["DSCI_TEST_HUB"])
    hub.fail("HEAD", "library/(base|python|ml)|dsci.local", 500)
    with hub.serving(), second_engine(hub.host, containerd_store=True) as endpoint:
        buildx.remote("far", endpoint)
        family.dsci("build", "--json", "--no-keep", "--builder", "far")
        assert hub.faults == []
        # Were it asked for one, it would hear of it.
        asked = subprocess.run(["docker", "--host", endpoint, "pull", "base"], capture_output=True, check=False)
        assert asked.returncode != 0 and hub.faults


def test_a_builder_that_dies_fails_its_image_and_blocks_the_rest(
    family: Project, buildx: Buildx, other: Endpoint
) -> None:
    far = buildx.remote("far", other)
    family.commit("feat: a slow step", {"images/python/Dockerfile": "FROM base\nRUN echo begun; sleep 60\n"})
    running = family.start("release", "--json", "--builder", "far")
    assert running.stderr is not None
    heard: list[str] = []
    for line in running.stderr:
        heard.append(line)
        if "sleep 60" in line:
            far.close()
            break
    rest = threading.Thread(target=lambda: heard.extend(running.stderr or ()))
    rest.start()
    assert running.stdout is not None
    result = json.loads(running.stdout.read())
    assert running.wait(60) == 4
    rest.join()
    status = {
        item["subject"].partition("@")[0]: item["status"] for item in result["outcomes"] if item["stage"] == "build"
    }
    assert status == {"base": "ok", "python": "failed", "ml": "blocked"}
    assert "python@linux/amd64: the builder far went away" in "".join(heard)
    assert result["released"] == [] and family.tags() == set()
    assert left_behind(family) == []


def test_a_step_that_fails_elsewhere_is_told_like_any_other(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.remote("far", other)
    family.commit("feat: broken", {"images/python/Dockerfile": "FROM base\n\nRUN echo so it goes && exit 3\n"})
    ended = family.dsci("build", "--builder", "far", "--no-keep", code=1)
    assert "images/python/Dockerfile:3" in ended.stderr and "so it goes" in ended.stderr
    assert "Held back: ml@linux/amd64" in ended.stdout


def test_uncommitted_work_is_built_elsewhere_and_kept_here(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """Nothing of it reaches the registry; it can be used in the engine all the same, and on the next builder."""
    assert family.registry is not None
    buildx.remote("far", other)
    family.write({"images/base/Dockerfile": FAMILY["images/base/Dockerfile"] + "RUN echo dirty > /etc/dirty\n"})
    before = family.registry.writes()
    ended = family.dsci("test", "--json", "--builder", "far", "--keep")
    assert set(outcomes(ended).values()) == {"ok"} and len(outcomes(ended)) == 6
    assert family.registry.writes() == before
    ran = buildx.docker("run", "--rm", f"dsci.local/{family.prefix}/ml:dev", "cat", "/etc/dirty", "/opt/model.txt")
    assert ran == "dirty\nv1\n"


def test_a_step_that_hangs_elsewhere_is_ended_there(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.remote("far", other)
    files = {"dsci.yaml": "builder: {name: far, inactivity: 4s}\n"}
    family.commit("feat: hangs", files | {"images/python/Dockerfile": "FROM base\nRUN echo begun; sleep 965\n"})
    ended = family.dsci("build", "--no-keep", code=1)
    assert "BuildKit (builder far) said nothing for 4 s" in ended.stderr and "sleep 965" in ended.stderr
    assert _gone("sleep 965") and left_behind(family) == []


def test_an_interruption_ends_what_goes_on_elsewhere(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.remote("far", other)
    family.commit("feat: slow", {"images/python/Dockerfile": "FROM base\nRUN echo begun; sleep 876\n"})
    running = family.start("build", "--builder", "far", "--no-keep")
    assert running.stderr is not None
    for line in running.stderr:
        if "sleep 876" in line:
            break
    time.sleep(1)
    assert not _gone("sleep 876", patience=0)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert _gone("sleep 876") and left_behind(family) == []


def _gone(command: str, patience: float = 20) -> bool:
    """Whether no step runs this any more, wherever it did: both engines are on this machine."""
    end = time.monotonic() + patience
    while processes(command):
        if time.monotonic() >= end:
            return False
        time.sleep(0.2)
    return True


def test_secrets_and_caches_go_to_a_builder_elsewhere(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.remote("far", other)
    text = "FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token > /dev/null && cat /run/secrets/token\n"
    text += "RUN echo again && test ! -e /run/secrets/token && exit 7\n"
    settings = "images: {python: {secrets: [{id: token, env: TOKEN}]}}\n"
    family.commit("feat: a secret", {"images/python/Dockerfile": text, "dsci.yaml": settings})
    family.environment["TOKEN"] = "canary-of-the-far-builder"
    ended = family.dsci("build", "--builder", "far", "--no-keep", "--cache", "local", code=1)
    assert "exit code: 7" in ended.stderr and "canary" not in ended.stderr + ended.stdout
    caches = family.state / "dsci" / "cache"
    assert [path.parent.name for path in caches.glob("*/*/now")] == ["base-linux-amd64"]
    assert b"canary" not in b"".join(path.read_bytes() for path in family.state.rglob("*") if path.is_file())


@pytest.mark.slow
def test_the_embedded_registry_takes_what_a_builder_elsewhere_made(
    family: Project, buildx: Buildx, other: Endpoint
) -> None:
    buildx.remote("far", other)
    alone = replace(family, registry=None)
    ended = alone.dsci("release", "--json", "--builder", "far")
    assert len(released(ended)) == 3 and set(outcomes(ended).values()) == {"ok"}
    alone.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    assert released(alone.dsci("release", "--json", "--builder", "far")) == {"ml": "0.1.1"}
    assert left_behind(family) == []


def test_the_builder_of_another_docker_context(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.docker("context", "create", "there", "--docker", f"host={other}")
    ended = family.dsci("release", "--json", "--builder", "there")
    assert "builder there (docker driver" in ended.stderr and len(released(ended)) == 3
    assert {name: manifest(family, name) for name in built(ended)} == built(ended)


@pytest.mark.slow
def test_a_builder_in_a_container_is_woken_up(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """buildx's own container driver, to the last call; behind its `buildctl dial-stdio` is the BuildKit of an engine.

    The image that usually has a BuildKit in it cannot be had everywhere.
    """
    gateway = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    lent = LentBuildKit(gateway, other)
    host, _, port = lent.address.removeprefix("tcp://").partition(":")
    dial = f"#!/bin/bash\n[ $1 = dial-stdio ] || exit 0\nexec 3<>/dev/tcp/{host}/{port}\ncat <&3 &\ncat >&3\n"
    text = (
        'FROM debian:bookworm-slim\nCOPY --chmod=755 buildctl /usr/bin/\nENTRYPOINT ["bash", "-c", "sleep infinity"]\n'
    )
    with image(text, {"buildctl": dial}) as name, contextlib.closing(lent):
        buildx.docker(
            "buildx", "create", "--driver", "docker-container", "--driver-opt", f"image={name}", "--name", "box"
        )
        try:
            assert "inactive" in buildx.docker("buildx", "inspect", "box")
            ended = family.dsci("release", "--json", "--builder", "box")
        finally:
            buildx.docker("buildx", "rm", "box")
    assert "built by builder box (docker-container driver)" in ended.stderr and len(released(ended)) == 3
    assert {name: manifest(family, name) for name in built(ended)} == built(ended)
    assert {receipt["engine"] for receipt in receipts(family, "ml")} == {"builder box (docker-container driver)"}


def test_settings_name_builders_and_the_command_line_has_the_last_word(
    family: Project, buildx: Buildx, other: Endpoint
) -> None:
    buildx.remote("far", other)
    family.commit("chore: a builder", {"dsci.yaml": "builder: {name: {linux/amd64: far}}\n"})
    assert "builder far" in family.dsci("build", "base", "--no-keep").stderr
    family.commit("fix(base): next", {"images/base/Dockerfile": FAMILY["images/base/Dockerfile"] + "ENV X=1\n"})
    # The name of the engine's own builder is the engine.
    own = family.dsci("build", "base", "--no-keep", "--builder", "default")
    assert "built by" not in own.stderr
    for text, word in (("far=,", "names no builder"), ("{linux: far}", "is not a platform")):
        family.write({"dsci.yaml": f"builder: {{name: {text}}}\n" if "{" in text else f'builder: {{name: "{text}"}}\n'})
        family.git("commit", "--quiet", "--all", "--message", "chore: bad")
        ended = family.dsci("plan", "--offline", code=2)
        assert "dsci.yaml:1: builder.name" in ended.stderr and word in ended.stderr


@pytest.mark.slow
def test_a_reproducible_family_is_the_same_from_a_builder_elsewhere(
    family: Project, buildx: Buildx, other: Endpoint
) -> None:
    """Built there twice without cache; verified there."""
    buildx.remote("far", other)
    files = {f"images/{name}/Dockerfile": FAMILY[f"images/{name}/Dockerfile"] for name in ("python", "ml")}
    files["images/base/Dockerfile"] = "FROM debian:bookworm-slim\nRUN echo base > /etc/family\n"
    files["images/python/Dockerfile"] = "FROM base\nRUN cat /etc/family > /opt/python\n"
    family.push("feat: reproducible", files | {"dsci.yaml": "reproducible: true\n"})
    family.dsci("release", "--json", "--builder", "far")
    for name in ("base", "ml"):
        ended = family.dsci("verify", name, "--json", "--builder", "far")
        (target,) = ended.json["targets"]
        assert target["status"] == "equal" and target["released"] == manifest(family, name)
    assert left_behind(family) == []


# ------------------------------------------------------------------------------------------- several, and platforms


def test_one_builder_for_each_platform(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """Here nothing runs arm64; an image that only copies is built for it all the same, by the builder that is named."""
    assert family.registry is not None
    buildx.remote("one", other)
    buildx.remote("two", other)
    family.commit("feat: both", NOTE | {"dsci.yaml": "images: {note: {platforms: [linux/amd64, linux/arm64]}}\n"})
    ended = family.dsci("release", "--json", "--builder", "linux/amd64=one", "--builder", "linux/arm64=two")
    assert "linux/amd64: built by builder one" in ended.stderr and "linux/arm64: built by builder two" in ended.stderr
    index = family.registry.manifest(f"{family.prefix}/note", "0.1.0")
    assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
    assert {item["digest"] for item in index["manifests"]} == {
        item["digest"] for item in ended.json["outcomes"] if item["stage"] == "build" and "note@" in item["subject"]
    }
    engines = {receipt["target"].partition("@")[2]: receipt["engine"] for receipt in receipts(family, "note")}
    assert engines == {"linux/amd64": "builder one (remote driver)", "linux/arm64": "builder two (remote driver)"}


def test_a_builder_of_several_nodes(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """Two nodes of one builder; the second is said to be the one for arm64."""
    assert family.registry is not None
    buildx.remote("many", other, "--platform", "linux/amd64")
    buildx.remote("many", other, "--append", "--platform", "linux/arm64")
    family.commit("feat: both", NOTE | {"dsci.yaml": "images: {note: {platforms: [linux/amd64, linux/arm64]}}\n"})
    ended = family.dsci("release", "--json", "--builder", "many")
    assert "builder many (2 nodes, remote driver" in ended.stderr
    assert len(family.registry.manifest(f"{family.prefix}/note", "0.1.0")["manifests"]) == 2
    assert manifest(family, "ml") == built(ended)["ml"]


@pytest.mark.slow
def test_a_mixed_family_some_here_some_elsewhere(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """A child elsewhere is handed what the engine built, also what never leaves this machine; and the other way."""
    assert family.registry is not None
    buildx.remote("two", other)
    tool = "FROM scratch\nCOPY tool /tool\n"
    files = NOTE | {
        "dsci.yaml": "images: {note: {platforms: [linux/amd64, linux/arm64]}, tool: {platforms: [linux/amd64]}}\n",
        "images/tool/Dockerfile": tool,
        "images/tool/tool": "a tool\n",
        "images/note/Dockerfile": "FROM --platform=linux/amd64 tool AS given\n"
        "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\nCOPY --from=given /tool /tool\n",
    }
    family.commit("feat: mixed", files)
    before = family.registry.writes()
    family.write({"images/tool/tool": "another tool\n"})
    ended = family.dsci("build", "note", "--json", "--no-keep", "--builder", "linux/arm64=two")
    assert set(outcomes(ended).values()) == {"ok"} and family.registry.writes() == before
    family.git("checkout", "--quiet", "images/tool/tool")
    ended = family.dsci("release", "--json", "--builder", "linux/arm64=two")
    assert len(family.registry.manifest(f"{family.prefix}/note", "0.1.0")["manifests"]) == 2
    family.commit("fix(note): next", {"images/note/amd64": "amd64 again\n", "images/note/arm64": "again\n"})
    assert len(released(family.dsci("release", "--json", "--builder", "linux/amd64=two"))) == 1
    assert left_behind(family) == []


def test_an_index_needs_every_platform(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """One platform fails, the other stands under its key; nothing is claimed or named until both are there."""
    assert family.registry is not None
    broken = {"images/note/Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY only-$TARGETARCH /arch\n"}
    files = broken | {"images/note/only-amd64": "x\n", "dsci.yaml": BOTH, "images/user/Dockerfile": "FROM note\n"}
    family.commit("feat: both", files)
    ended = family.dsci("release", "--json", code=1)
    status = {item["subject"]: item["status"] for item in ended.json["outcomes"] if item["stage"] == "build"}
    assert status["note@linux/amd64"] == "ok" and status["note@linux/arm64"] == "failed"
    assert status["user@linux/amd64"] == "ok" and status["user@linux/arm64"] == "blocked"
    assert released(ended).keys() == {"base", "python", "ml"}, "the gate is the lineage's"
    for name in ("note", "user"):
        assert family.images(name) == set() and not [tag for tag in family.tags() if tag.startswith(name)]
    family.commit("fix(note): both", {"images/note/only-arm64": "x\n"})
    again = family.release()
    assert released(again) == {"note": "0.1.0", "user": "0.1.0"}
    for name in ("note", "user"):
        assert len(family.registry.manifest(f"{family.prefix}/{name}", "0.1.0")["manifests"]) == 2


BOTH = "gate: lineage\nimages:\n" + "".join(
    f"  {name}: {{platforms: [linux/amd64, linux/arm64]}}\n" for name in ("note", "user")
)


# ----------------------------------------------------------------------------------------------- the classic store


@pytest.mark.slow
def test_the_classic_store_tests_what_a_builder_elsewhere_made(
    family: Project, buildx: Buildx, other: Endpoint
) -> None:
    """Rule 12: the engine knows the image by its config; what is published is the builder's digest."""
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=False) as classic:
        buildx.remote("far", other)
        family.environment["DOCKER_HOST"] = classic
        ended = family.dsci("release", "--json", "--builder", "far")
        assert "classic image store" in ended.stderr and len(released(ended)) == 3
        assert {name: manifest(family, name) for name in built(ended)} == built(ended)
        # As a builder, such an engine cannot give an image back; that is found out before anything is built.
        buildx.remote("old", classic)
        del family.environment["DOCKER_HOST"]
        family.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
        _refused(family, "--builder", "old", words=["builder old (remote driver", "classic image store"])


# -------------------------------------------------------------------------------------------------- before any work


def _refused(project: Project, *arguments: str, words: list[str], code: int = 4, command: str = "release") -> Ended:
    """A command that ends before any work: nothing is built or written, and the reason is told."""
    assert project.registry is not None
    writes, tags = project.registry.writes(), project.tags()
    ended = project.dsci(command, *arguments, code=code)
    for word in words:
        assert word in ended.stderr, str(ended)
    assert "· build" not in ended.stderr and "→" in ended.stderr, str(ended)
    assert (project.registry.writes(), project.tags()) == (writes, tags)
    assert left_behind(project) == []
    return ended


@pytest.mark.slow
def test_builders_that_are_not_there(family: Project, buildx: Buildx, other: Endpoint) -> None:
    buildx.remote("farther", other)
    _refused(family, "--builder", "far", words=["there is no builder 'far' (did you mean 'farther'?)", "docker buildx"])
    buildx.remote("gone", other).close()
    began = time.monotonic()
    _refused(family, "--builder", "gone", words=["the builder gone (remote driver) cannot be reached", "gone0"])
    assert time.monotonic() - began < 90
    _refused(family, "--builder", "a", "--builder", "b", words=["two builders are named"], code=2)
    _refused(family, "--builder", "-x", words=["names no builder"], code=2)
    # Where nothing is to be built nobody is asked.
    family.release()
    assert family.dsci("release", "--json", "--builder", "far").json["outcomes"] == []


def test_what_was_claimed_earlier_is_finished_before_anybody_is_refused(family: Project, buildx: Buildx) -> None:
    assert family.registry is not None
    family.release()
    family.registry.delete_tag(f"{family.prefix}/ml", "0.1.0", named=False)
    family.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    ended = family.dsci("release", "--builder", "nobody", code=4)
    assert "there is no builder 'nobody'" in ended.stderr and "· build" not in ended.stderr
    assert "0.1.0" in family.images("ml") and family.tags() == {f"{name}-v0.1.0" for name in ("base", "ml", "python")}


@pytest.fixture
def foreign(family: Project) -> Project:
    """The same family, for a platform that nothing here runs."""
    family.commit("chore: a mainframe", {"dsci.yaml": "platforms: [linux/s390x]\n"})
    return family


def test_steps_on_a_platform_that_nothing_here_runs(foreign: Project, buildx: Buildx, other: Endpoint) -> None:
    words = ["base@linux/s390x", "the Dockerfile runs steps on linux/s390x", "tonistiigi/binfmt --install s390x"]
    _refused(foreign, words=[*words, "this Docker Engine cannot (it runs linux/amd64", "--only base@linux/s390x"])
    buildx.remote("far", other)
    _refused(foreign, "--builder", "far", words=[*words, "builder far (remote driver) cannot"])
    _refused(foreign, words=words, command="build")
    _refused(foreign, words=words, command="test")


def test_suites_on_a_platform_that_the_engine_does_not_run(family: Project, buildx: Buildx) -> None:
    """An image that only copies can be built for it, and looked at; what would be run in it cannot be tested."""
    suite = "schemaVersion: '2.0.0'\nfileContentTests: [{name: a, path: /arch, expectedContents: [arm64]}]\n"
    files = NOTE | {"dsci.yaml": "images: {note: {platforms: [linux/s390x]}}\n", "images/note/s390x": "arm64\n"}
    family.commit("feat: far away", files | {"images/note/suites/look.yaml": suite})
    assert outcomes(family.dsci("test", "note", "--json")) == {"note build": "ok", "note test": "ok"}
    family.commit("test: more", {"images/note/suites/run.yaml": SUITE})
    words = ["note@linux/s390x: suites run something", "cannot run linux/s390x", "what is not tested is not released"]
    _refused(family, words=[*words, "dsci test --only note@linux/s390x"])
    # Built is another thing than tested.
    family.dsci("build", "note", "--json", "--no-keep")


def test_a_dockerfile_that_names_the_platform_that_builds(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """A node that calls itself another machine would read `$BUILDPLATFORM` otherwise than the plan did."""
    buildx.remote("arm", other, "--platform", "linux/arm64")
    text = (
        "FROM --platform=$BUILDPLATFORM scratch AS tools\nCOPY arm64 /tool\nFROM scratch\nCOPY --from=tools /tool /\n"
    )
    family.commit("feat: cross", NOTE | {"images/note/Dockerfile": text})
    shutil.rmtree(family.folder / "images" / "base")
    shutil.rmtree(family.folder / "images" / "python")
    shutil.rmtree(family.folder / "images" / "ml")
    family.commit("feat: one image", {"dsci.yaml": "platforms: [linux/arm64]\n"})
    words = ["note@linux/arm64", "$BUILDPLATFORM", "linux/amd64", "it would be linux/arm64"]
    _refused(family, "--builder", "arm", words=words, code=2)


def test_a_network_that_a_builder_allows(family: Project, buildx: Buildx, other: Endpoint) -> None:
    """What a builder allows is not listed anywhere: it shows in the proof."""
    buildx.remote("far", other)
    family.commit("chore: host", {"dsci.yaml": "builder: {network: host}\n"})
    assert "proof" not in family.dsci("build", "base", "--no-keep", "--builder", "far").stderr
