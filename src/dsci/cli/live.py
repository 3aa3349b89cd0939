"""The story on a terminal: what is going on now at the bottom, what has ended above it.

One row per target at work, with its stage, its time and what it is doing. Lines that stay are those that the plain
console prints, without the steps.
"""

from __future__ import annotations

import sys
import threading
import time

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from dsci.cli.console import PlainConsole
from dsci.model.text import clean

_PER_SECOND = 8


class LiveConsole:
    """Implements `ports.Console`. Safe for threads; `close` leaves the terminal as it was."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._rows: dict[str, tuple[str, float, str]] = {}
        self._lock = threading.Lock()
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=_PER_SECOND)
        self._live.start()
        # What stays is printed through the live display, above the rows.
        self._plain = PlainConsole(stream=_Above(self._console), colour=True)

    def close(self) -> None:
        """Stop the display."""
        self._live.stop()

    def say(self, text: str) -> None:
        """A line of the story."""
        self._plain.say(text)

    def warn(self, text: str) -> None:
        """A warning."""
        self._plain.warn(text)

    def begin(self, subject: str, stage: str) -> None:
        """A row appears."""
        with self._lock:
            self._rows[subject] = (stage, time.monotonic(), "")

    def step(self, subject: str, text: str) -> None:
        """A row says what it is doing."""
        with self._lock:
            stage, began, _ = self._rows.get(subject, ("", time.monotonic(), ""))
            self._rows[subject] = (stage, began, clean(text, 2000).strip().partition("\n")[0])

    def end(self, subject: str, stage: str, status: str, seconds: float, detail: str = "") -> None:
        """A row becomes a line."""
        with self._lock:
            self._rows.pop(subject, None)
        self._plain.end(subject, stage, status, seconds, detail)

    def _render(self) -> Group:
        with self._lock:
            rows = sorted(self._rows.items())
        now = time.monotonic()
        width = max(20, self._console.width - 2)
        lines = []
        for subject, (stage, began, step) in rows:
            head = f" {stage:7} {subject}  {now - began:4.0f} s  "
            text = Text(no_wrap=True, overflow="ellipsis")
            text.append(str(self._spinner.render(now)), style="cyan")
            text.append(head)
            text.append(step, style="dim")
            text.truncate(width, overflow="ellipsis")
            lines.append(text)
        return Group(*lines)


class _Above:
    """A stream for `PlainConsole` whose lines come out above the live rows."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        """Print what is whole."""
        if text.strip("\n"):
            self._console.print(Text.from_ansi(text.rstrip("\n")))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
