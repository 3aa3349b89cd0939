"""What room this machine has: the real one, and made-up ones with the files of both kinds of control groups."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from tests import realengine

from dsci.drivers.engine import DockerEngine
from dsci.drivers.machine import ThisMachine
from dsci.drivers.runs import Run
from dsci.ports import EnginePlace

GB = 1 << 30


def meminfo(available: int) -> str:
    return f"MemTotal:       99999999 kB\nMemFree:  1 kB\nMemAvailable:   {available // 1024} kB\nBuffers: 5 kB\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def group(path: str, limit: str, usage: int, cache: int, *, version: int) -> dict[str, str]:
    """The files of a control group."""
    if version == 2:
        names = ("memory.max", "memory.current", "inactive_file")
    else:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    stat = f"inactive_file_x 77\ncache 5\n{names[2]} {cache}\n"
    return {f"{path}/{names[0]}": f"{limit}\n", f"{path}/{names[1]}": f"{usage}\n", f"{path}/memory.stat": stat}


def memory(root: Path, engine: EnginePlace | None = None) -> int | None:
    near = EnginePlace(root=str(root), memory=64 * GB, near=True)
    return ThisMachine(root, root=root).room(engine or near).memory


def test_the_memory_that_is_available(tmp_path: Path) -> None:
    write(tmp_path, {"proc/meminfo": meminfo(9 * GB)})
    assert memory(tmp_path) == 9 * GB


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_control_group_counts(tmp_path: Path, version: int) -> None:
    top = "sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/memory"
    line = "0::/a/b\n" if version == 2 else "9:name=systemd:/x\n4:cpu,memory:/a/b\n0::/\n"
    none = "max" if version == 2 else "9223372036854771712"
    write(tmp_path, {"proc/meminfo": meminfo(9 * GB), "proc/self/cgroup": line})
    write(tmp_path, group(f"{top}/a/b", none, 1 * GB, 0, version=version))
    assert memory(tmp_path) == 9 * GB, "no limit is no limit"
    write(tmp_path, group(f"{top}/a", str(4 * GB), 3 * GB, 2 * GB, version=version))
    assert memory(tmp_path) == 3 * GB, "the page cache would be given back"
    write(tmp_path, group(top, str(2 * GB), 3 * GB, 0, version=version))
    assert memory(tmp_path) == 0
    shutil.rmtree(tmp_path / "sys")
    assert memory(tmp_path) == 9 * GB, "as in a container that shows another tree than its own"


def test_of_an_engine_elsewhere_only_the_whole_memory_is_known(tmp_path: Path) -> None:
    write(tmp_path, {"proc/meminfo": meminfo(9 * GB)})
    for far in (
        EnginePlace(root=str(tmp_path), memory=64 * GB, near=False),
        EnginePlace(root="/no/such/folder", memory=64 * GB, near=True),
    ):
        room = ThisMachine(tmp_path, root=tmp_path).room(far)
        assert room.memory == 64 * GB
        assert [disk.engine for disk in room.disks] == [False], "dsci's own folder is always here"
    assert memory(tmp_path, EnginePlace(root="/no/such/folder", memory=None, near=True)) is None


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    write(tmp_path, {"proc/meminfo": "x", "proc/self/cgroup": "\n:\n0::/\nx"})
    write(tmp_path, {"sys/fs/cgroup/memory.max": "many", "sys/fs/cgroup/memory.current": "1"})
    assert memory(tmp_path) == 64 * GB, "all that its machine has"
    gone = ThisMachine(tmp_path / "gone", root=tmp_path).room(EnginePlace(root="", memory=None, near=True))
    assert gone.disks == () and gone.memory is None


@pytest.mark.engine
def test_this_machine_and_its_engine(tmp_path: Path) -> None:
    run = Run(tmp_path / "state")
    try:
        engine = DockerEngine(os.environ, run)
        place = engine.place()
        assert place.root == realengine.docker("info", "--format", "{{.DockerRootDir}}")
        assert str(place.memory) == realengine.docker("info", "--format", "{{.MemTotal}}")
        room = ThisMachine(run.scratch).room(place)
        if not (place.near and Path(place.root).is_dir()):
            pytest.skip("the engine is not on this machine")
        assert [(disk.place, disk.engine) for disk in room.disks] == [(place.root, True), (str(run.scratch), False)]
        for disk in room.disks:
            free = shutil.disk_usage(disk.place).free
            assert abs(disk.free - free) < 2 * GB and 0 < disk.free <= disk.total
        match = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        assert match and room.memory is not None and 0 < room.memory < int(match[1]) * 1024 + GB
    finally:
        run.close()


@pytest.mark.engine
def test_what_an_image_takes_in_the_engine(tmp_path: Path) -> None:
    run = Run(tmp_path / "state")
    try:
        with realengine.image("FROM debian:bookworm-slim\nRUN head -c 5000000 /dev/urandom > /x\n") as name:
            engine = DockerEngine(os.environ, run)
            assert engine.image_size(name) > 5_000_000
            assert engine.image_size(name.repository.tag("no-such-tag")) == 0
    finally:
        run.close()
