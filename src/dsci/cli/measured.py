"""What targets took before, on this machine: a file in the state folder that is a help and never a condition.

Seconds of building and of testing, and bytes of disk. Whatever stands in it that cannot be read is passed over, and a
file that cannot be written is not missed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from dsci.drivers import files
from dsci.errors import DsciError
from dsci.model.family import TargetId
from dsci.model.report import Outcome, Status
from dsci.model.room import Took
from dsci.model.schedule import Stage, Step

_STAGES = {"build": Stage.BUILD, "test": Stage.TEST}
_LIMIT = 8 << 20


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a target took the last time, in seconds, and its build in bytes."""

    build: float | None = None
    test: float | None = None
    took: Took | None = None

    @property
    def sane(self) -> bool:
        """Whether a clock and a disk can have said so."""
        seconds = (value for value in (self.build, self.test) if value is not None)
        sizes = (self.took.engine, self.took.scratch) if self.took else ()
        return all(math.isfinite(value) and value >= 0 for value in (*seconds, *sizes))


def read(path: Path) -> Mapping[TargetId, Measured]:
    """What is known of each target."""
    known: dict[TargetId, Measured] = {}
    for name, measured in _read(path).items():
        with contextlib.suppress(DsciError):
            known[TargetId.parse(name)] = measured
    return known


def seconds(known: Mapping[TargetId, Measured]) -> Mapping[Step[TargetId], float]:
    """What each step took, where it is known."""
    return dict(_steps(known))


def _steps(known: Mapping[TargetId, Measured]) -> Iterator[tuple[Step[TargetId], float]]:
    for target, measured in known.items():
        for name, stage in _STAGES.items():
            if (took := getattr(measured, name)) is not None:
                yield Step(target, stage), took


def note(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Keep what each target took now; of what was not done, what is known stays."""
    known = _read(path)
    before = dict(known)
    for outcome in outcomes:
        if outcome.stage in _STAGES and outcome.status is Status.OK:
            old = known.get(outcome.subject, Measured())
            new = {outcome.stage: outcome.seconds, "took": outcome.took or old.took}
            known[outcome.subject] = msgspec.structs.replace(old, **new)
    if known == before:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, [msgspec.json.encode(dict(sorted(known.items())))], path.parent)


def _read(path: Path) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if path.stat().st_size <= _LIMIT:
            for name, raw in msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw]).items():
                with contextlib.suppress(msgspec.DecodeError):
                    measured = msgspec.json.decode(raw, type=Measured)
                    found |= {name: measured} if measured.sane else {}
    return found
