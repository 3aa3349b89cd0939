"""Whether there is room for a build, in memory and on disk, and how to say so in numbers.

What a build needs of the disk is what its last one took, as far as that was noted. What is free is measured
elsewhere; this only compares, and writes the sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """What a build took of the disk, in bytes."""

    engine: int
    """In the engine's data root: its image, without what belongs to the image that it stands on."""
    scratch: int
    """In dsci's scratch folder: the image, if it was exported."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a disk that builds write to, in bytes."""

    place: str
    device: int
    """The file system's number: two places on one are one disk."""
    engine: bool
    """Whether this is where the engine keeps its data; else it is dsci's scratch folder."""
    free: int
    total: int

    def needs(self, took: Took) -> int:
        """What of this is taken from here."""
        return took.engine if self.engine else took.scratch


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What there is now. A machine that cannot be looked at has no disks here; its memory may be known."""

    disks: tuple[Disk, ...] = ()
    memory: int | None = None
    """Bytes of memory that builds may take."""


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be left for a build to begin, in bytes; 0 asks for nothing."""

    memory: int = 0
    disk: int = 0
    first: Room = msgspec.field(default_factory=Room)
    """What there was before the first build."""

    def short_of_memory(self, now: Room, running: int) -> str:
        """Why one more build beside `running` ones would be too many for the memory, or "".

        What just began has not taken its memory yet, so what there was at first bounds them all. One build is never
        too many.
        """
        if not self.memory or not running or self.first.memory is None or now.memory is None:
            return ""
        if running < min(self.first.memory // self.memory, running + now.memory // self.memory):
            return ""
        return (
            f"{human(now.memory)} of memory are free, {human(self.first.memory)} were at first, and each of"
            f" {running + 1} builds is reckoned with {human(self.memory)} (builder.memory)"
        )

    def short_of_disk(self, now: Room, need: Took | None, others: Sequence[Took]) -> str:
        """Why there is too little disk for a build beside what the others still may take, or ""."""
        if not self.disk:
            return ""
        for device in dict.fromkeys(disk.device for disk in now.disks):
            same = [disk for disk in now.disks if disk.device == device]
            own = sum(disk.needs(need) for disk in same) if need else 0
            promised = sum(disk.needs(took) for disk in same for took in others)
            if same[0].free - promised >= max(own, self.disk):
                continue
            places = " and ".join(disk.place for disk in same)
            wanted = (
                f"needs about {human(own)} by its last build"
                if own > self.disk
                else f"needs {human(self.disk)} (builder.min_free_disk)"
            )
            less = f", {human(promised)} of it for the builds that go on" if promised else ""
            return f"{wanted}, and {human(same[0].free)} are free on {places}{less}"
        return ""


FREE_ROOM = "free room with `docker system prune`, or lower builder.min_free_disk in dsci.yaml (0: look at no disk)"


def full(text: str) -> bool:
    """Whether this is what a program says of a full disk (ENOSPC, EDQUOT)."""
    lowered = text.lower()
    return "no space left on device" in lowered or "disk quota exceeded" in lowered


def told(disks: Iterable[Disk]) -> str:
    """What is left of each disk, for a message about a full one; "" where none can be looked at."""
    parts = [
        f"{human(disk.free)} of {human(disk.total)} are free on {disk.place}"
        f" ({'the engine' if disk.engine else 'dsci'} writes there)"
        for disk in disks
    ]
    return "; ".join(parts)


def human(count: int) -> str:
    """A number of bytes as people say it, in powers of ten."""
    value, units = float(count), ["TB", "GB", "MB", "kB", "B"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{value:.0f} {units[-1]}" if units[-1] == "B" or value >= 9.95 else f"{value:.1f} {units[-1]}"
