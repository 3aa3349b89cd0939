"""Names that an engine is to forget, taken out of it many at once and where nobody waits for it.

On the containerd image store the engine collects its garbage before it answers that an image is gone: most of a second
beside a large build cache, and hardly more for many names at once than for one. What is discarded therefore waits for
others. Source: https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md#synchronous-garbage-collection
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dsci.errors import DsciError
from dsci.model.reference import Reference

#: How many names are taken out at once.
_AT_ONCE = 32
#: How long a name waits for others, in seconds: what it holds of the disk comes free that much later.
PAUSE = 15.0


class Discards:
    """What is to go. Safe for threads; its own thread lives while there is something to do."""

    def __init__(
        self,
        remove: Callable[[Reference], None],
        failed: Callable[[Reference, DsciError], None],
        alone: threading.Lock,
        *,
        pause: float = PAUSE,
    ) -> None:
        """`remove` may raise a DsciError, of which `failed` is told; `alone` is held while something is removed."""
        self._remove = remove
        self._failed = failed
        self._alone = alone
        self._pause = pause
        self._changed = threading.Condition()
        self._waiting: list[Reference] = []
        self._due = 0.0
        self._hurried = False
        self._going: threading.Thread | None = None

    def add(self, name: Reference) -> None:
        """This name goes before long."""
        with self._changed:
            self._waiting.append(name)
            if self._going is None:
                self._due, self._hurried = time.monotonic() + self._pause, False
                self._going = threading.Thread(target=self._work, name="discards")
                self._going.start()

    def hurry(self, *, wait: bool) -> None:
        """What is to go goes now; with `wait` it is gone when this returns, or `failed` was told."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            while wait and self._going is not None:
                self._changed.wait()

    def _work(self) -> None:
        try:
            while batch := self._next():
                with self._alone, ThreadPoolExecutor(min(_AT_ONCE, len(batch))) as pool:
                    list(pool.map(self._one, batch))
        except BaseException:
            self._rest()
            raise

    def _next(self) -> list[Reference]:
        """What waits, when its time has come; where nothing waits, this thread is over."""
        with self._changed:
            while self._waiting and not self._hurried and (left := self._due - time.monotonic()) > 0:
                self._changed.wait(left)
            batch, self._waiting = self._waiting, []
            self._due = time.monotonic() + self._pause
            if not batch:
                self._rest()
            return batch

    def _rest(self) -> None:
        with self._changed:
            self._going = None
            self._changed.notify_all()

    def _one(self, name: Reference) -> None:
        try:
            self._remove(name)
        except DsciError as error:
            self._failed(name, error)
