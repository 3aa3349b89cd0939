"""What is waited for while something else is done: one call in a thread of its own.

`concurrent.futures` does the same for many calls at once, and brings `logging` with it; every run that asks Git would
pay for that at its start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Later(Generic[T]):
    """The answer of a call that goes on meanwhile. As a context manager, nothing goes on behind its end."""

    def __init__(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> None:
        self._answer: list[T] = []
        self._error: BaseException | None = None

        def run() -> None:
            try:
                self._answer.append(call(*arguments, **options))
            except BaseException as error:  # noqa: BLE001  # whoever asks for the answer gets it
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self) -> T:
        """The answer, once it is there. Raises what the call raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def __enter__(self) -> Later[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
