"""What is built elsewhere needs no memory here, and does not count among what does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dsci.model.family import TargetId
from dsci.model.oci import Platform
from dsci.model.room import Room
from dsci.pipeline.room import Rooms

HERE, THERE = (TargetId("ml", Platform.parse(f"linux/{name}")) for name in ("amd64", "arm64"))
OTHER, FURTHER = TargetId("r", HERE.platform), TargetId("r", THERE.platform)


def test_memory_is_reckoned_for_what_is_built_here() -> None:
    told: list[str] = []
    machine: Any = SimpleNamespace(room=lambda place: Room(memory=1_500_000_000))
    engine: Any = SimpleNamespace(place=lambda: None)
    console: Any = SimpleNamespace(say=told.append)
    rooms = Rooms(
        machine,
        engine,
        console,
        memory=1_000_000_000,
        disk=0,
        took={},
        elsewhere=lambda target: target.platform == THERE.platform,
    )
    assert rooms.fits(HERE, []) and rooms.fits(THERE, [HERE]) and rooms.fits(FURTHER, [HERE, THERE])
    assert rooms.fits(HERE, [THERE, FURTHER]) and told == []
    assert not rooms.fits(OTHER, [THERE, HERE]) and "waits" in told[0]
