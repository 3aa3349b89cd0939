"""Builds on a disk that is nearly full, on a real one: a small file system holds dsci's state and scratch folders.

Nothing is configured to be pushed to, so images are exported there and kept there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.conftest import TINY, Ended, Project, outcomes

pytestmark = [pytest.mark.engine, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]

#: What the base of the tests takes when it is exported, and a bit more.
EXPORT = 40


@pytest.fixture
def small_disk(tiny: Project) -> Iterator[Callable[[int], None]]:
    """Gives dsci a state folder on a disk with so many MB free; called again, the disk changes its size."""
    tiny.registry = None
    tiny.state.mkdir()

    def mount(megabytes: int) -> None:
        there = tiny.state.is_mount()
        size = megabytes * 1_000_000 + (shutil.disk_usage(tiny.state).used if there else 0)
        option = "remount," if there else ""
        argv = ["mount", "-t", "tmpfs", "-o", f"{option}size={size}", "none", str(tiny.state)]
        subprocess.run(argv, check=True)

    yield mount
    while tiny.state.is_mount():
        subprocess.run(["umount", str(tiny.state)], check=True)


def build(project: Project, settings: str, *arguments: str, code: int = 0) -> Ended:
    project.write({"dsci.yaml": f"builder: {{{settings}}}\n"})
    ended = project.dsci("build", "--json", "--no-keep", *arguments, code=code)
    assert ended.stdout, str(ended)
    return ended


def details(ended: Ended) -> dict[str, str]:
    return {item["subject"].partition("@")[0]: item["detail"] for item in ended.json["outcomes"]}


def test_a_build_without_room_is_refused_in_numbers(tiny: Project, small_disk: Callable[[int], None]) -> None:
    small_disk(50)
    ended = build(tiny, "jobs: 2", code=4)
    assert outcomes(ended) == {"base build": "failed", "ml build": "blocked"}
    place = f"{tiny.state}/dsci/runs/"
    assert "needs 1.0 GB (builder.min_free_disk), and 50 MB are free on " + place in details(ended)["base"]
    assert "docker system prune" in ended.stderr and "builder.min_free_disk in dsci.yaml" in ended.stderr
    assert "RUN" not in ended.stderr and "FROM" not in ended.stderr, "it began"
    small_disk(150)
    ended = build(tiny, "jobs: 2, min_free_disk: 10MB")
    assert outcomes(ended) == {"base build": "ok", "ml build": "ok"}
    # It is known now what a build takes.
    (path,) = (tiny.state / "dsci" / "measured").iterdir()
    took = json.loads(path.read_text())["base@linux/amd64"]["took"]["scratch"]
    assert 10_000_000 < took < EXPORT * 1_000_000
    small_disk(20)
    ended = build(tiny, "jobs: 2, min_free_disk: 10MB", "--force", code=4)
    told = details(ended)["base"]
    assert f"needs about {took / 1e6:.0f} MB by its last build, and 20 MB are free on {place}" in told
    assert "no space left on device" in build(tiny, "min_free_disk: 0", "--force", code=4).stderr.lower(), "as asked"


def test_a_disk_that_fills_up_is_told_with_what_is_left(tiny: Project, small_disk: Callable[[int], None]) -> None:
    small_disk(20)
    ended = build(tiny, "min_free_disk: 1MB", code=4)
    assert outcomes(ended) == {"base build": "failed", "ml build": "blocked"}
    told = details(ended)["base"]
    assert "MB of 20 MB are free" in told
    assert "no space left on device" in told.lower()
    assert f" are free on {tiny.state}/dsci/runs/" in told and "(dsci writes there)" in told
    assert "free room with `docker system prune`" in told
    assert list((tiny.state / "dsci" / "runs").iterdir()) == [], "half of an image is left"
    small_disk(100)
    assert outcomes(build(tiny, "min_free_disk: 1MB")) == {"base build": "ok", "ml build": "ok"}


def test_a_step_that_fills_a_disk_is_told_so_too(tiny: Project) -> None:
    text = TINY["base"] + "RUN --mount=type=tmpfs,target=/full,size=1048576 head -c 9000000 /dev/zero > /full/x\n"
    tiny.commit("feat: full", {"images/base/Dockerfile": text})
    ended = build(tiny, "min_free_disk: 1MB", code=1)
    told = details(ended)["base"]
    assert "exit code: 1" in told and "No space left on device" in told
    assert "the disk is full: " in told and "(the engine writes there)" in told


@pytest.mark.slow
def test_builds_wait_for_each_other_where_there_is_room_for_one(
    tiny: Project, small_disk: Callable[[int], None]
) -> None:
    names = ("r", "julia")
    slow = "FROM base\nRUN sleep 2; date +%N > /when\n"
    tiny.commit("feat: more", {f"images/{name}/Dockerfile": slow for name in names})
    small_disk(400)
    build(tiny, "jobs: 4, min_free_disk: 10MB")
    small_disk(50)
    ended = build(tiny, "jobs: 4, min_free_disk: 10MB", "--force")
    assert set(outcomes(ended).values()) == {"ok"} and len(outcomes(ended)) == 4
    assert "@linux/amd64 waits: it needs about " in ended.stderr
    assert "for the builds that go on" in ended.stderr
    going = 0
    for line in ended.stderr.splitlines():
        going += line.startswith("· build") - line.startswith("✓ build")
        assert going <= 1, ended.stderr


def test_memory_bounds_how_many_builds_go_on(tiny: Project) -> None:
    more = {f"images/{name}/Dockerfile": "FROM base\nRUN sleep 1; date +%N > /when\n" for name in ("r", "julia")}
    tiny.commit("feat: more", more)
    ended = build(tiny, "jobs: 4, memory: 900TB")
    assert set(outcomes(ended).values()) == {"ok"} and len(outcomes(ended)) == 4, "one build always goes on"
    (said,) = [line for line in ended.stderr.splitlines() if " waits: " in line]
    assert "of memory are free" in said and "each of 2 builds is reckoned with 900 TB (builder.memory)" in said
    going = 0
    for line in ended.stderr.splitlines():
        going += line.startswith("· build") - line.startswith("✓ build")
        assert going <= 1, ended.stderr
