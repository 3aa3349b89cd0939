"""The story in a CI system's log: long parts of it are folded, and nothing of it is obeyed.

GitHub's runner obeys what a step prints. So while the story is told it is told to obey nothing, but for the commands
that are dsci's own; and what could be one is broken up all the same (`console.harmless`), for other runners know no
such switch. GitLab's obeys nothing.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable

from dsci.ci import commands, sections
from dsci.cli import runner
from dsci.cli.console import PlainConsole, Stream, harmless

#: What is longer is folded, in lines.
_LONG = 12


class GitHubConsole(PlainConsole):
    """Lines and groups for GitHub's runner. Safe for threads; `close` gives the runner its commands back."""

    def __init__(
        self, stream: Stream | None = None, *, token: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        super().__init__(stream, colour=False)
        self._token = token
        self._stopped = ""
        self._closed = False

    def close(self) -> None:
        """From here on each line is told by itself, and whoever comes after dsci in this step may say commands."""
        with self._lock:
            self._closed = True
            self._resume()

    def commands(self, lines: Iterable[str]) -> None:
        """Commands of dsci's own (`dsci.ci.commands`), which the runner is to obey."""
        lines = list(lines)
        if lines:
            with self._lock:
                self._resume()
                self._write("\n".join(lines))

    def unheard(self) -> None:
        """From here on nothing is obeyed until dsci says a command, or ends: what follows is printed by others."""
        with self._lock:
            self._stop()

    def hide(self, secret: str, user: str = "") -> None:
        """Have the runner keep a secret out of its log; nothing is written where stderr is a file, which none reads."""
        if not _is_file(self._stream):
            self.commands(commands.masks(secret, user=user))

    def _line(self, text: str) -> None:
        head, _, body = harmless(text).partition("\n")
        with self._lock:
            if body.count("\n") < _LONG:
                self._story(harmless(text))
            else:
                self._resume()
                self._write(commands.begin(head))
                try:
                    self._story(body)
                finally:
                    self._resume()
                    self._write(commands.END)
            if self._closed:
                self._resume()

    def _story(self, text: str) -> None:
        self._stop()
        self._write(text)

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = self._token()
            self._write(commands.stop(self._stopped))

    def _resume(self) -> None:
        if self._stopped:
            token, self._stopped = self._stopped, ""
            self._write(commands.resume(token))

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


class GitLabConsole(PlainConsole):
    """Lines and sections for GitLab's job log; each section is written as a whole, so there is nothing to close."""

    def __init__(self, stream: Stream | None = None, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(stream, colour=False)
        self._clock = clock
        self._count = 0

    def _line(self, text: str) -> None:
        head, _, body = harmless(text).partition("\n")
        if body.count("\n") < _LONG:
            super()._line(text)
            return
        with self._lock:
            self._count += 1
            self._stream.write(sections.section(head, body, number=self._number, now=int(self._clock())) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """The story is over."""

    @property
    def _number(self) -> str:
        """What no other section of the job has, whichever call of dsci it is of."""
        return f"{os.getpid()}_{self._count}"


def _is_file(stream: Stream) -> bool:
    """Whether what is written there stays on disk."""
    number = getattr(stream, "fileno", None)
    try:
        return number is not None and stat.S_ISREG(os.fstat(number()).st_mode)
    except (OSError, ValueError):
        return False


def console() -> GitHubConsole | GitLabConsole:
    """The console for the CI system that this is run by (`runner.logs`)."""
    return GitHubConsole() if runner.listens() else GitLabConsole()
