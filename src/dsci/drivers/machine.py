"""This machine as Linux tells of it: free disk, free memory, and the limits of the control groups that dsci is in.

Whether the engine is on this machine cannot be known for sure: it is taken to be when it is spoken to through a socket
in the file system and its data root is a folder here. Of an engine elsewhere only the whole memory is known. What the
numbers mean for a build is decided elsewhere.

Sources: https://man7.org/linux/man-pages/man5/proc_meminfo.5.html (MemAvailable),
https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files,
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (the working set: usage without inactive page cache)
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dsci.model.room import Disk, Room
from dsci.ports import EnginePlace

#: Files of a control group by version: limit, usage, and the line of memory.stat for what can be had back.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


class ThisMachine:
    """Implements `ports.Machine`. What cannot be read is not known; nothing is raised."""

    def __init__(self, scratch: Path, *, root: Path = Path("/")) -> None:
        """`scratch` is where builds are exported to; `root` is where /proc and /sys are."""
        self._scratch = scratch
        self._root = root

    def room(self, engine: EnginePlace) -> Room:
        """What is free now."""
        near = engine.near and engine.root != "" and Path(engine.root).is_dir()
        places = [(Path(engine.root), True)] if near else []
        places.append((self._scratch, False))
        disks = [disk for place, is_engine in places if (disk := _disk(place, is_engine))]
        memory = self._memory() if near else None
        return Room(disks=tuple(disks), memory=engine.memory if memory is None else memory)

    def _memory(self) -> int | None:
        """What is available on the machine, or within the tightest of the control groups around this process."""
        known = [self._available(), *self._left_to_groups()]
        return min((count for count in known if count is not None), default=None)

    def _available(self) -> int | None:
        with contextlib.suppress(OSError):
            text = (self._root / "proc/meminfo").read_text()
            if match := re.search(r"^MemAvailable: +([0-9]+) kB$", text, re.MULTILINE):
                return int(match[1]) * 1024
        return None

    def _left_to_groups(self) -> Iterator[int]:
        """What the limits of this process's groups leave, from its own up to the outermost one that can be seen."""
        try:
            lines = (self._root / "proc/self/cgroup").read_text().splitlines()
        except OSError:
            return
        for line in lines:
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                hierarchy, files = self._root / "sys/fs/cgroup", _V2
            elif "memory" in controllers.split(","):
                hierarchy, files = self._root / "sys/fs/cgroup/memory", _V1
            else:
                continue
            parts = [part for part in path.split("/") if part not in ("", "..")]
            for end in range(len(parts), -1, -1):
                left = _left(hierarchy.joinpath(*parts[:end]), *files)
                if left is not None:
                    yield left


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """What a group's limit leaves, page cache that would be given back counted as free; None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        found = re.search(rf"^{reclaimable} ([0-9]+)$", (group / "memory.stat").read_text(), re.MULTILINE)
        return max(0, most - used + (int(found[1]) if found else 0))
    return None


def _disk(place: Path, engine: bool) -> Disk | None:
    """What an ordinary user may still write there."""
    with contextlib.suppress(OSError):
        told = os.statvfs(place)
        return Disk(
            place=str(place),
            device=place.stat().st_dev,
            engine=engine,
            free=told.f_bavail * told.f_frsize,
            total=told.f_blocks * told.f_frsize,
        )
    return None
