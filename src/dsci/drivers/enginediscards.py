"""What an engine is to forget, taken out of it many at once and where nobody waits for it.

On the containerd image store the engine collects its garbage before it answers that an image or a container is gone:
most of a second beside a large build cache, in which builds stand still too, and hardly more for many at once than for
one. So what is to go waits for others. Source: https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md#synchronous-garbage-collection
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dsci.errors import DsciError
from dsci.model.reference import Reference

#: How many are taken out at once.
_AT_ONCE = 32
#: How long what is to go waits for others, in seconds: what it holds of the disk comes free that much later.
PAUSE = 15.0

T = TypeVar("T")


class Discards:
    """What is to go, containers before images. Safe for threads; one of its own goes on while there are any."""

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
        self._removals: list[Callable[[], object]] = []
        self._names: list[Reference] = []
        self._due = 0.0
        self._hurried = False
        self._going: threading.Thread | None = None
        self._broken: BaseException | None = None

    def add(self, name: Reference) -> None:
        """This name of an image goes before long."""
        with self._changed:
            self._names.append(name)
            self._begin()

    def first(self, removal: Callable[[], object]) -> None:
        """This is done by others before long, and before any image goes. It must raise nothing."""
        with self._changed:
            self._removals.append(removal)
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
        if len(self._removals) + len(self._names) == 1:
            self._due = time.monotonic() + self._pause
        if self._going is None:
            self._hurried = False
            self._going = threading.Thread(target=self._work, name="discards")
            self._going.start()

    def _work(self) -> None:
        try:
            while self._waited():
                with self._changed:
                    removals, self._removals = self._removals, []
                    names, self._names = self._names, []
                _side_by_side(lambda removal: removal(), removals)
                with self._alone:
                    _side_by_side(self._one, names)
        except BaseException as error:  # noqa: BLE001  (it is raised again where it is waited for)
            self._broken = error
            self._rest()

    def _waited(self) -> bool:
        """Wait until something is to be done now; where nothing is, this thread is over."""
        with self._changed:
            if not self._removals and not self._names:
                self._rest()
                return False
            while not self._hurried and (left := self._due - time.monotonic()) > 0:
                self._changed.wait(left)
            return True

    def _rest(self) -> None:
        with self._changed:
            self._going = None
            self._changed.notify_all()

    def _one(self, name: Reference) -> None:
        try:
            self._remove(name)
        except DsciError as error:
            self._failed(name, error)


def _side_by_side(do: Callable[[T], object], each: Sequence[T]) -> None:
    """Raises what one of them raised, after all of them."""
    if each:
        with ThreadPoolExecutor(min(_AT_ONCE, len(each))) as pool:
            list(pool.map(do, each))
