"""Whom a call of dsci tells its story, and what GitHub's runner is told beside it.

A person at a terminal gets a live display, a log gets lines. What that runner alone understands (commands, masks) is
said to nobody else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from dsci.cli import runner
from dsci.cli.console import PlainConsole
from dsci.ports import Console

if TYPE_CHECKING:
    from dsci.cli.runnerconsole import GitHubConsole


class Voice:
    """The console of one call; it is made when something is first said, and closed with the call."""

    def __init__(self, closing: contextlib.ExitStack, *, debug: bool) -> None:
        self._closing = closing
        self._debug = debug

    @cached_property
    def console(self) -> Console:
        """Where the story is told."""
        # A CI system's log is read by lines, also where its runner gives a step a terminal.
        if runner.logs():
            from dsci.cli import runnerconsole

            told = runnerconsole.console()
            self._closing.callback(told.close)
            return told
        if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not self._debug:
            from dsci.cli.live import LiveConsole

            live = LiveConsole()
            self._closing.callback(live.close)
            return live
        return PlainConsole(sys.stderr)

    def hide(self, secret: str, user: str = "") -> None:
        """Have the CI system keep a secret out of its log, where it is one that can."""
        if secret and (told := self._github) is not None:
            told.hide(secret, user)

    def commands(self, lines: Iterable[str]) -> None:
        """Commands of ours to GitHub's runner."""
        if (told := self._github) is not None:
            told.commands(lines)

    def unheard(self) -> None:
        """See to it that the runner obeys nothing of what a container prints straight into the log."""
        if (told := self._github) is not None:
            told.unheard()

    @property
    def _github(self) -> GitHubConsole | None:
        """The console, where GitHub's runner reads what it prints."""
        if not runner.listens():
            return None
        from dsci.cli.runnerconsole import GitHubConsole

        return self.console if isinstance(self.console, GitHubConsole) else None
