"""Notebooks, each run from its first cell to its last by a kernel of the image, in a container of its own.

What drives the kernel is copied into a volume (`scripts/run_notebook.py`) and uses the `jupyter_client` that the image
has: nothing is installed, and an image without one fails by name. A notebook runs in its own folder, which it may write
to. What it leaves there, and its outputs, are nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import Ran
from dsci.suites import inside
from dsci.suites.inside import MOUNT, OUT, SUITE
from dsci.suites.subject import Subject

_RECORD = f"{OUT}/record.json"
#: What of the time is left to a container to begin and to tell how far it came: seconds, and at most this part.
_SPARE, _SPARE_PART = 3.0, 0.2


class _Record(msgspec.Struct, frozen=True):
    """What the runner says."""

    verdict: Literal["passed", "failed"]
    detail: str
    process: bool


def volume(subject: Subject, suite: Suite) -> bytes:
    """The tar of the suite, and of what runs a notebook."""
    return inside.volume(subject, suite, {"run_notebook.py": inside.script("run_notebook.py")}, writable=True)


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the notebooks of a suite; one check for each, named by its path.

    A cell has the time of a check, all cells of a notebook that of the suite.
    """
    filled = volume(subject, suite)

    def one(path: str) -> list[Check]:
        raising = subject.bounds.raising
        cell, whole = subject.clock.one(), subject.clock.suite()
        seconds = whole.seconds - min(_SPARE, whole.seconds * _SPARE_PART)
        times = (f"{cell.seconds:.3f}", cell.late(raising), f"{seconds:.3f}", whole.late(raising))
        words = (f"{MOUNT}/run_notebook.py", f"{SUITE}/{path}", _RECORD, *times)
        found = inside.run(
            subject,
            filled,
            (("python3", *words), ("python", *words)),
            lambda container, ran: [_check(path, ran, container.copy_out(_RECORD))],
            folder=inside.folder_of(path),
            several=True,
        )
        return found or [inside.failed(path, "the image has no Python, which is to drive the notebook's kernel")]

    return inside.each(subject, suite, one)


def _check(path: str, ran: Ran, left: bytes | None) -> Check:
    if ran.exit_code != 0:
        return inside.failed(path, inside.unfinished(ran), ran)
    try:
        record = msgspec.json.decode(left or b"", type=_Record)
    except msgspec.DecodeError:
        return inside.failed(path, "it left no record of its cells", ran)
    printed = f"\n\nthe kernel's own output:\n{inside.output(ran)[-4000:]}" if record.process else ""
    detail = clean("\n".join(filter(None, (f"{record.detail}{printed}", ran.reason)))).rstrip()
    return Check(name=path, verdict=Verdict(record.verdict), seconds=ran.seconds, detail=detail)
