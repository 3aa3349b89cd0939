"""What targets took before, on this machine: a file in the state folder that is a help and never a condition.

Whatever stands in it that cannot be read is passed over, and a file that cannot be written is not missed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from dsci.drivers import files
from dsci.errors import DsciError
from dsci.model.family import TargetId
from dsci.model.report import Outcome, Status

_STAGES = ("build", "test")
_LIMIT = 8 << 20


def read(path: Path) -> Mapping[TargetId, float]:
    """Seconds by target."""
    known: dict[TargetId, float] = {}
    for name, seconds in _read(path).items():
        with contextlib.suppress(DsciError):
            known[TargetId.parse(name)] = seconds
    return known


def note(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Keep what each target took now; of one that was only tested, what is known of it stays."""
    took: dict[str, float] = {}
    built: set[str] = set()
    for outcome in outcomes:
        if outcome.stage in _STAGES and outcome.status is Status.OK:
            took[outcome.subject] = took.get(outcome.subject, 0.0) + outcome.seconds
            built |= {outcome.subject} if outcome.stage == "build" else set()
    if not took:
        return
    known = _read(path)
    known |= {name: seconds for name, seconds in took.items() if name in built or name not in known}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, [msgspec.json.encode(dict(sorted(known.items())))], path.parent)


def _read(path: Path) -> dict[str, float]:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if path.stat().st_size <= _LIMIT:
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, float])
            return {name: seconds for name, seconds in found.items() if math.isfinite(seconds) and seconds >= 0}
    return {}
