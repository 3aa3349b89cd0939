"""How benchmarks measure: whole processes, side by side in rounds, their medians; the clock, the processor, memory."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class Series:
    """What one command took, round by round, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Of the process and all it waited for; what a daemon did for it is not in it."""

    @property
    def median(self) -> float:
        """The median of the wall clock; infinite where it never came to an end."""
        return statistics.median(self.wall) if self.wall else float("inf")

    @property
    def work(self) -> float:
        """The median of processor time."""
        return statistics.median(self.cpu) if self.cpu else float("inf")


def show(found: Mapping[str, Series]) -> None:
    """Print a line for each command."""
    for title, series in found.items():
        print(f"  {title:42} {series.median:7.2f} s  {series.work:6.2f} CPU-s of the client")


def environment(**more: str) -> dict[str, str]:
    """What commands run in. Python may keep what it compiled, as it does where a package is installed."""
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**given, "GIT_CONFIG_GLOBAL": os.devnull, "TERM": "dumb", **more}


def _quiet(limit: float) -> None:
    """Wait until what ran before has no work going on behind it (an engine cleans up), at most `limit` seconds."""
    place = Path("/proc/stat")
    if not place.exists():
        time.sleep(1)
        return
    end, calm = time.monotonic() + limit, 0
    while calm < _CALM and time.monotonic() < end:
        before = _idle(place)
        time.sleep(0.2)
        after = _idle(place)
        calm = calm + 1 if (after[0] - before[0]) > _IDLE * (after[1] - before[1]) else 0


#: How many looks in a row, and how much of the machine is to be idle in each.
_CALM, _IDLE = 3, 0.9


def _idle(place: Path) -> tuple[int, int]:
    """The time in which the processors had nothing to do, and all of it. Source: proc(5), /proc/stat"""
    ticks = [int(word) for word in place.read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def run(
    argv: Sequence[str],
    folder: Path,
    *,
    limit: float = 600.0,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    patience: float = 20.0,
) -> tuple[float, float] | None:
    """Seconds by the clock and of the processor that a command takes; None when it takes longer than `limit`.

    It begins when the machine is quiet, or after `patience` seconds.
    """
    _quiet(patience)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    try:
        ended = subprocess.run(
            argv,
            cwd=folder,
            env=dict(env or environment()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    wall = time.perf_counter() - began
    if check and ended.returncode != 0:
        raise RuntimeError(
            f"{' '.join(argv)}: exit {ended.returncode}\n{ended.stderr.decode(errors='replace')[-2000:]}"
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rounds(
    commands: Mapping[str, tuple[Sequence[str], Path]],
    count: int,
    *,
    env: Mapping[str, str] | None = None,
    slow: float = 20.0,
    limit: float = 600.0,
    check: bool = True,
) -> dict[str, Series]:
    """Run commands in turn, `count` times over; one that takes longer than `slow` seconds is run once."""
    found = {title: Series() for title in commands}
    done: set[str] = set()
    for _ in range(count):
        for title, (argv, folder) in commands.items():
            if title in done:
                continue
            took = run(argv, folder, limit=limit, env=env, check=check)
            if took is None or took[0] > slow:
                done.add(title)
            if took is not None:
                found[title].wall.append(took[0])
                found[title].cpu.append(took[1])
    return found


def peak(argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> float:
    """The most memory that a dsci command holds, its children left out, in MiB."""
    program = (
        "import atexit, sys; from dsci.cli import main;"
        "atexit.register(lambda: print(*(line for line in open('/proc/self/status') if 'VmHWM' in line),"
        " file=sys.stderr)); main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *argv],
        cwd=folder,
        env=dict(env or environment()),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(ended.stderr.split("VmHWM:")[1].split()[0]) / 1024
