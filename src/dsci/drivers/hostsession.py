"""A session of pytest on this machine: what it is told (the image, and whose its containers are), and its process.

`hostside` writes it down for the sessions that it starts; one that was started by a person makes its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from dsci.drivers import process
from dsci.drivers.process import Begun
from dsci.model.limits import overdue
from dsci.ports import Ran

#: The label of a session's containers, beside that of its run; its value is no other session's.
LABEL = "dev.dsci.session"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session."""

    image: str
    """The image under test, as the engine knows it."""
    platform: str = ""
    """Which of its platforms; the engine's own where nothing is said."""
    labels: dict[str, str] = {}
    """What its containers are labelled with."""
    allow: tuple[str, ...] = ()
    """What of the machine its containers may reach (`settings.Allowance`)."""
    allowing: str = ""
    """How more is allowed: a sentence in which `{}` stands for it."""
    processes: int = 0
    """How many may run in one container of which nothing else is said; 0 is any number."""
    memory: int = 0
    """Bytes of memory that such a container may take; 0 is all there are."""
    services: str = ""
    """The compose file of the services that are tested, or ""."""
    parent: int = 0
    """The process of the run that it belongs to; 0 where it is a run itself."""


class PytestSession:
    """A pytest on this machine. Implements `ports.HostSession`."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        going: Callable[[Begun], contextlib.AbstractContextManager[None]],
        killed: Sequence[str],
    ) -> None:
        self._killed = killed
        self._argv, self._environment, self._folder = argv, environment, folder
        self._going = going
        self._begun: Begun | None = None

    def run(self, timeout: float, output_limit: int) -> Ran:
        """See `ports.HostSession`."""
        began = time.monotonic()
        self._begun = process.begin(self._argv, env=self._environment, cwd=self._folder)
        with self._going(self._begun):
            code, stdout, stderr = self._begun.tail(output_limit, timeout=timeout)
        reason = overdue(timeout) if code is None else ""
        seconds = time.monotonic() - began
        return Ran(exit_code=code, stdout=stdout, stderr=stderr, seconds=seconds, reason=reason)

    def read(self, path: str, limit: int) -> bytes | None:
        """See `ports.HostSession`."""
        with contextlib.suppress(OSError), (self._folder / path).open("rb") as file:
            return file.read(limit)
        return None

    def killed(self) -> tuple[str, ...]:
        """See `ports.HostSession`."""
        return tuple(self._killed)

    def end(self) -> None:
        """See `ports.HostSession`."""
        if self._begun is not None:
            self._begun.kill()
