"""Turns: of several runs that write at once, a seed says whose next write acts, one at a time."""

from __future__ import annotations

import random
import threading
import time

from tests.gate import Write

#: How long a run is waited for that is neither at a write nor at its end, in seconds: it reads, or gets ready.
_PATIENCE = 2.0


class Turns:
    """A judge for a gate. A write of one of these runs waits for its turn, and has acted before the next one's."""

    def __init__(self, seed: int) -> None:
        self.order: list[tuple[int, str]] = []
        """Who had each turn, by the number of the run, and for what."""
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._runs: list[int] = []
        self._waiting: dict[int, list[str]] = {}
        self._granted: Write | None = None
        self._since = 0.0

    def begin(self, *runs: int) -> None:
        """From here on these take turns."""
        with self._changed:
            self._runs = list(runs)
            self._waiting = {run: [] for run in runs}
            self._since = time.monotonic()
            self._changed.notify_all()

    def end(self, run: int) -> None:
        """This one has ended, and is not waited for."""
        with self._changed:
            self._waiting.pop(run, None)
            self._changed.notify_all()

    def judge(self, write: Write, acted: bool) -> None:
        """Wait for the turn of a write; once it has acted, the next one's comes."""
        run = write.run
        if run is None:
            return
        with self._changed:
            if acted:
                if self._granted == write:
                    self._granted, self._since = None, time.monotonic()
                    self._changed.notify_all()
                return
            if run not in self._waiting:
                return
            self._waiting[run].append(write.what)
            self._changed.notify_all()
            while run in self._waiting and self._turn() != write:
                self._changed.wait(0.1)
            if run in self._waiting:
                self._waiting[run].remove(write.what)
                self.order.append((self._runs.index(run), write.what))

    def _turn(self) -> Write | None:
        """The write whose turn it is now; None while one acts, or a run is still waited for."""
        if self._granted is not None:
            waits = self._waiting.get(self._granted.run or 0, ())
            return self._granted if self._granted.what in waits else None
        ready = [run for run in self._runs if self._waiting.get(run)]
        everybody = len(ready) == len(self._waiting)
        if ready and (everybody or time.monotonic() - self._since > _PATIENCE):
            run = self._random.choice(ready)
            self._granted = Write(min(self._waiting[run]), run)
        return self._granted
