"""What pytest did inside an image when it was ended before it could say so: a journal that it keeps beside its tests.

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
from typing import Literal

import msgspec

from dsci.errors import BuilderError
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import Container
from dsci.suites.inside import OUT

#: The plugin's name as a module, and what it is. It runs with any pytest and any Python that the image has.
PLUGIN = "dsci_journal"
_JOURNAL, _NOW = f"{OUT}/journal", f"{OUT}/now"
SOURCE = f'''\
import json

_journal = open("{_JOURNAL}", "a")
_now = open("{_NOW}", "w")


def _note(what, test, **more):
    _journal.write(json.dumps(dict(more, what=what, test=test)) + "\\n")
    _journal.flush()


def _runs(test):
    _now.seek(0)
    _now.truncate()
    _now.write(json.dumps(test))
    _now.flush()


def pytest_collection_finish(session):
    for item in session.items:
        _note("found", item.nodeid)


def pytest_runtest_logstart(nodeid, location):
    _note("begun", nodeid)
    _runs(nodeid)


def pytest_runtest_logreport(report):
    _note(report.outcome, report.nodeid, seconds=report.duration, why=report.longreprtext[:4000])


def pytest_runtest_logfinish(nodeid, location):
    _note("ended", nodeid)
    _runs("")
'''
#: How much of a journal is read, in bytes, and of a test's name.
_LIMIT, _NAME = 16 * 1024 * 1024, 4096
#: The longest time between two looks at which test runs, in seconds.
_PAUSE = 5.0


class _Note(msgspec.Struct, frozen=True):
    what: Literal["found", "begun", "passed", "failed", "skipped", "ended"]
    test: str
    seconds: float = 0.0
    why: str = ""


class Overdue:
    """A test that was ended because it took more than its own time."""

    test: str = ""


@contextlib.contextmanager
def each_within(container: Container, seconds: float) -> Iterator[Overdue]:
    """Kill what runs in a container once a test in it takes longer than this."""
    found, done = Overdue(), threading.Event()

    def look() -> None:
        now, since = "", time.monotonic()
        while not done.wait(min(_PAUSE, seconds / 8)):
            test = ""
            # An engine that does not answer is told by whoever waits for the container.
            with contextlib.suppress(BuilderError, msgspec.DecodeError):
                test = msgspec.json.decode(container.read(_NOW, _NAME) or b'""', type=str)
            if test != now:
                now, since = test, time.monotonic()
            elif now and time.monotonic() - since > seconds:
                found.test = now
                container.end()
                return

    looking = threading.Thread(target=look, name="journal")
    looking.start()
    try:
        yield found
    finally:
        done.set()
        looking.join()


def checks(container: Container, why: str, output: str) -> list[Check]:
    """What came of the tests of a pytest that was killed; the one that ran then has failed, and so has what never ran.

    `why` it was killed, and what it had printed.
    """
    begun: dict[str, list[_Note]] = {}
    for note in _notes(container.read(_JOURNAL, _LIMIT) or b""):
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
