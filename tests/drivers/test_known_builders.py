"""Builders as the docker command tells of them: woken up, asked once, refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsci.drivers.builders import KnownBuilders
from dsci.errors import BuilderError

RUNNING = "Name: far\nDriver: docker-container\n\nNodes:\nName: far0\nStatus: running\nPlatforms: linux/arm64\n"
SLEEPING = RUNNING.replace("running", "stopped").replace("Platforms: linux/arm64\n", "")
LIST = (
    "NAME/NODE     DRIVER/ENDPOINT   STATUS\nfarm*         remote\n \\_ farm0      \\_ tcp://x\ndefault       docker\n"
)


def docker(folder: Path, script: str) -> dict[str, str]:
    """An environment whose docker is this script, and notes what it is asked."""
    (folder / "docker").write_text(f'#!/bin/sh\necho "$*" >> {folder}/asked\n{script}\n')
    (folder / "docker").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "DOCKER_HOST": "", "DOCKER_CONTEXT": ""}


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def test_a_builder_that_sleeps_is_woken_up_and_asked_once(tmp_path: Path) -> None:
    script = f"""case "$*" in *bootstrap*) cat <<'E'\n{RUNNING}\nE\n;; *) cat <<'E'\n{SLEEPING}\nE\nesac"""
    known = KnownBuilders(docker(tmp_path, script))
    assert str(known.about("far")) == "builder far (docker-container driver)" and known.about("far").nodes[0].running
    assert asked(tmp_path) == ["buildx inspect -- far", "buildx inspect --bootstrap -- far"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (SLEEPING, "far0: it does not answer"),
        (SLEEPING + "Error: no route to host\x1b[0m\n", "far0: no route to host"),
        (RUNNING.replace("linux/arm64", ""), "far0: it says nothing of its platforms"),
        (RUNNING + "Name: far1\nStatus: inactive\n", "far1: it does not answer"),
        ("Name: far\nDriver: remote\n", "has no nodes"),
        ("", "has no nodes"),
    ],
)
def test_nodes_that_are_not_there(tmp_path: Path, told: str, said: str) -> None:
    known = KnownBuilders(docker(tmp_path, f"cat <<'E'\n{told}\nE"))
    with pytest.raises(BuilderError) as caught:
        known.about("far")
    assert said in caught.value.message and "docker buildx inspect" in caught.value.hint
    assert "the builder far" in caught.value.message


def test_a_builder_that_cannot_be_woken_up(tmp_path: Path) -> None:
    script = f"case \"$*\" in *bootstrap*) echo 'ERROR: no' >&2; exit 1;; *ls) ;; *) cat <<'E'\n{SLEEPING}\nE\nesac"
    with pytest.raises(BuilderError, match="cannot be reached: far0: it does not answer"):
        KnownBuilders(docker(tmp_path, script)).about("far")


def test_names_that_are_none(tmp_path: Path) -> None:
    script = f"case \"$*\" in *ls) cat <<'E'\n{LIST}E\n;; *) echo 'ERROR: no builder' >&2; exit 1;; esac"
    known = KnownBuilders(docker(tmp_path, script))
    with pytest.raises(BuilderError) as caught:
        known.about("far")
    assert caught.value.message == "there is no builder 'far' (did you mean 'farm'?)"
    assert "those here are default, farm" in caught.value.hint
    with pytest.raises(BuilderError, match="the builder farm cannot be asked: no builder"):
        known.about("farm")


def test_the_engines_own(tmp_path: Path) -> None:
    environment = docker(tmp_path, "echo there")
    assert KnownBuilders(environment).own == "there"
    assert KnownBuilders(environment | {"DOCKER_CONTEXT": "named"}).own == "named"
    both = environment | {"DOCKER_HOST": "tcp://1.2.3.4:5", "DOCKER_CONTEXT": "named"}
    assert KnownBuilders(both).own == "default"
    assert asked(tmp_path) == ["context show"]
