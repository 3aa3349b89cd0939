"""The time that checks, suites and runs have: how much is left, and whose it is that is over.

A suite's time passes from its beginning, a run's while any of its suites runs. Who kills what takes longer is not known
here.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator

from dsci.model.limits import DEFAULT, Left, Limits
from dsci.model.quantities import duration


class Total:
    """The time that all suites of a run have together. It passes while one of them runs. Safe for threads."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running = 0
        self._spent = 0.0
        self._since = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A suite runs."""
        with self._lock:
            if not self._running:
                self._since = time.monotonic()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._spent += time.monotonic() - self._since

    def left(self) -> Left:
        """What is left of it."""
        with self._lock:
            spent = self._spent + (time.monotonic() - self._since if self._running else 0.0)
        return _left(self._seconds, spent, "run", "total_timeout")


class Clock:
    """What a suite's checks have of all three budgets. It goes from its making."""

    def __init__(self, limits: Limits = DEFAULT, total: Total | None = None) -> None:
        self._began = time.monotonic()
        self._limits = limits
        self.total = total or Total()

    def suite(self) -> Left:
        """What all checks that are still to be run have together."""
        spent = time.monotonic() - self._began
        return _least(_left(self._limits.suite, spent, "suite", "timeout"), self.total.left())

    def check(self, within: float = math.inf) -> Left:
        """What the next check has; `within` is what it allows itself, in seconds."""
        return _least(Left(seconds=within), self.one(), self.suite())

    def one(self) -> Left:
        """What any check has for itself, whatever is left of the others' time."""
        return _left(self._limits.check, 0.0, "check", "check_timeout")


def _left(seconds: float, spent: float, whose: str, setting: str) -> Left:
    budget = f"the {whose}'s {duration(seconds)}"
    return Left(seconds=max(0.0, seconds - spent), budget=budget, setting=setting)


def _least(*each: Left) -> Left:
    """The least of them, the first one of equals."""
    return min(each, key=lambda left: left.seconds)
