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

from dsci.cli import runner
from dsci.ports import Console


class Voice:
    """The console of one call; it is made when something is first said, and closed with the call."""

    def __init__(self, closing: contextlib.ExitStack, *, debug: bool) -> None:
        self._closing = closing
        self._debug = debug

    @cached_property
    def console(self) -> Console:
        """Where the story is told."""
        # A CI system's log is read by lines, also where its runner gives a step a terminal.
        person = sys.stderr.isatty() and not runner.logs()
        if person and os.environ.get("TERM", "dumb") != "dumb" and not self._debug:
            from dsci.cli.live import LiveConsole

            live = LiveConsole()
            self._closing.callback(live.close)
            return live
        from dsci.cli import runnerconsole

        plain = runnerconsole.console()
        if isinstance(plain, runnerconsole.GitHubConsole):
            self._closing.callback(plain.close)
        return plain

    def hide(self, secret: str, user: str = "") -> None:
        """Have the CI system keep a secret out of its log, where it is one that can."""
        if runner.listens() and secret:
            from dsci.cli.runnerconsole import GitHubConsole

            if isinstance(self.console, GitHubConsole):
                self.console.hide(secret, user)

    def commands(self, lines: Iterable[str]) -> None:
        """Commands of ours to GitHub's runner."""
        from dsci.cli.runnerconsole import GitHubConsole

        if isinstance(self.console, GitHubConsole):
            self.console.commands(lines)

    def unheard(self) -> None:
        """See to it that the runner obeys nothing of what a container prints straight into the log."""
        from dsci.cli.runnerconsole import GitHubConsole

        if isinstance(self.console, GitHubConsole):
            self.console.unheard()
