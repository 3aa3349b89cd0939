"""What an engine is to forget, taken out of it many at once and where nobody waits for it.

On the containerd image store the engine collects its garbage before it answers that an image or a container is gone:
most of a second beside a large build cache, and hardly more for many at once than for one. Containers go as soon as
nothing else is going, images wait for others. Source: https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md#synchronous-garbage-collection
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from dsci.errors import DsciError
from dsci.model.reference import Reference

#: How many are taken out at once.
_AT_ONCE = 32
#: How long a name waits for others, in seconds: what it holds of the disk comes free that much later.
PAUSE = 15.0

T = TypeVar("T")


class Discards:
    """What is to go, containers before images. Safe for threads; its own lives while there is something to do."""

    def __init__(
        self,
        remove: Callable[[Reference], None],
        failed: Callable[[Reference, DsciError], None],
        alone: threading.Lock,
        *,
        pause: float = PAUSE,
    ) -> None:
        """`remove` may raise a DsciError, of which `failed` is told; `alone` is held while images are removed."""
        self._remove = remove
        self._failed = failed
        self._alone = alone
        self._pause = pause
        self._changed = threading.Condition()
        self._soon: list[Callable[[], object]] = []
        self._waiting: list[Reference] = []
        self._due = 0.0
        self._hurried = False
        self._going: threading.Thread | None = None
        self._broken: BaseException | None = None

    def add(self, name: Reference) -> None:
        """This name of an image goes before long."""
        with self._changed:
            if not self._waiting:
                self._due = time.monotonic() + self._pause
            self._waiting.append(name)
            self._begin()

    def soon(self, removal: Callable[[], object]) -> None:
        """This is done now, by others, and before any image goes. It must raise nothing."""
        with self._changed:
            self._soon.append(removal)
            self._begin()

    def hurry(self, *, wait: bool) -> None:
        """What is to go goes now; with `wait` it is gone when this returns, or `failed` was told."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            while wait and self._going is not None:
                self._changed.wait()
            if self._broken is not None:
                raise self._broken

    def _begin(self) -> None:
        if self._going is None:
            self._hurried = False
            self._going = threading.Thread(target=self._work, name="discards")
            self._going.start()
        self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (step := self._next()) is not None:
                step()
        except BaseException as error:  # noqa: BLE001  (it is raised again where it is waited for)
            self._broken = error
            self._rest()

    def _next(self) -> Callable[[], None] | None:
        """What is to be done now; where nothing is, this thread is over."""
        with self._changed:
            while not self._soon and self._waiting and not self._hurried and (left := self._due - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._soon:
                removals, self._soon = self._soon, []
                return partial(_side_by_side, lambda removal: removal(), removals)
            if self._waiting:
                names, self._waiting = self._waiting, []
                return partial(self._take_out, names)
            self._rest()
            return None

    def _rest(self) -> None:
        with self._changed:
            self._going = None
            self._changed.notify_all()

    def _take_out(self, names: Sequence[Reference]) -> None:
        with self._alone:
            _side_by_side(self._one, names)

    def _one(self, name: Reference) -> None:
        try:
            self._remove(name)
        except DsciError as error:
            self._failed(name, error)


def _side_by_side(do: Callable[[T], object], each: Sequence[T]) -> None:
    """Raises what one of them raised, after all of them."""
    with ThreadPoolExecutor(min(_AT_ONCE, len(each))) as pool:
        list(pool.map(do, each))
