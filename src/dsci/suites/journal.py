"""What pytest did, here or in an image, when it was ended before it could say so: a journal beside its tests.

pytest writes its record when all tests are done. Of one that was killed the journal tells which tests there are, what
came of those that ran and which one was running; a look at the last also ends a test that takes more than its own time.
Whoever runs the tests may have written anything there, so what it says is read as foreign.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Literal, Protocol

import msgspec

from dsci.errors import BuilderError
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.suites.inside import OUT

#: The plugin's name as a module, and what it is. It runs with any pytest and any Python that the image has.
PLUGIN = "dsci_journal"
_SOURCE = """\
import json

_journal = open("{out}/journal", "a")
_now = open("{out}/now", "w")


def _note(what, test, **more):
    _journal.write(json.dumps(dict(more, what=what, test=test)) + "\\n")
    _journal.flush()


def _runs(test):
    _now.seek(0)
    _now.truncate()
    _now.write(json.dumps(test))
    _now.flush()


def _why(report):
    if hasattr(report, "wasxfail"):
        return ("expected to fail: " + report.wasxfail).rstrip(": ")
    if report.skipped and isinstance(report.longrepr, tuple):
        why = str(report.longrepr[2]).partition("Skipped: ")[2]
        return "" if why == "unconditional skip" else why
    return report.longreprtext


def pytest_collection_finish(session):
    for item in session.items:
        _note("found", item.nodeid)


def pytest_runtest_logstart(nodeid, location):
    _note("begun", nodeid)
    _runs(nodeid)


def pytest_runtest_logreport(report):
    _note(report.outcome, report.nodeid, seconds=report.duration, why=_why(report)[:4000])


def pytest_runtest_logfinish(nodeid, location):
    _note("ended", nodeid)
    _runs("")
"""


def source(out: str) -> str:
    """The plugin's source, for a journal in this folder."""
    return _SOURCE.replace("{out}", out)


SOURCE = source(OUT)
#: How much of a journal is read, in bytes, and of a test's name.
_LIMIT, _NAME = 16 * 1024 * 1024, 4096
#: The longest time between two looks at which test runs, in seconds.
_PAUSE = 5.0


class _Note(msgspec.Struct, frozen=True):
    what: Literal["found", "begun", "passed", "failed", "skipped", "ended"]
    test: str
    seconds: float = 0.0
    why: str = ""


class Place(Protocol):
    """Where pytest runs: a container, or a session on this machine."""

    def read(self, path: str, limit: int) -> bytes | None:
        """A file's first `limit` bytes; None when there is none."""

    def end(self) -> None:
        """Kill what runs there."""


class Overdue:
    """A test that was ended because it took more than its own time."""

    test: str = ""


@contextlib.contextmanager
def each_within(place: Place, seconds: float, out: str = OUT) -> Iterator[Overdue]:
    """Kill what runs somewhere once a test there takes longer than this; the journal is in `out`."""
    found, done = Overdue(), threading.Event()

    def look() -> None:
        now, since = "", time.monotonic()
        while not done.wait(min(_PAUSE, seconds / 8)):
            test = ""
            # An engine that does not answer is told by whoever waits for the container.
            with contextlib.suppress(BuilderError, msgspec.DecodeError):
                test = msgspec.json.decode(place.read(f"{out}/now", _NAME) or b'""', type=str)
            if test != now:
                now, since = test, time.monotonic()
            elif now and time.monotonic() - since > seconds:
                found.test = now
                place.end()
                return

    looking = threading.Thread(target=look, name="journal")
    looking.start()
    try:
        yield found
    finally:
        done.set()
        looking.join()


def checks(place: Place, why: str, output: str, out: str = OUT) -> list[Check]:
    """What came of the tests of a pytest that was killed; the one that ran then has failed, and so has what never ran.

    `why` it was killed, and what it had printed.
    """
    begun: dict[str, list[_Note]] = {}
    for note in _notes(place.read(f"{out}/journal", _LIMIT) or b""):
        begun.setdefault(note.test, []).append(note)
    return [_check(test, notes, why, output) for test, notes in begun.items()]


def _check(test: str, notes: list[_Note], why: str, output: str) -> Check:
    said = {note.what for note in notes}
    verdict, detail = Verdict.FAILED, f"{why}\n{output}"
    if "begun" not in said:
        detail = f"it did not run, since pytest was ended before: {why}"
    elif "ended" in said:
        kinds = (("failed", Verdict.FAILED), ("skipped", Verdict.SKIPPED), ("passed", Verdict.PASSED))
        verdict = next((kind for what, kind in kinds if what in said), Verdict.FAILED)
        detail = "\n".join(note.why for note in notes if note.why)
    return Check(name=named(test), verdict=verdict, seconds=sum(note.seconds for note in notes), detail=clean(detail))


def _notes(journal: bytes) -> Iterator[_Note]:
    for line in journal.splitlines():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=_Note)


def named(test: str) -> str:
    """A test by its node id, called as pytest's record calls it.

    Source: https://docs.pytest.org/en/stable/_modules/_pytest/junitxml.html (mangle_test_address)
    """
    path, bracket, parameters = test.partition("[")
    file, *names = path.split("::")
    *groups, last = (re.sub(r"\.py\Z", "", file.replace("/", ".")), *names)
    return clean("::".join(filter(None, (".".join(groups), last + bracket + parameters))))
