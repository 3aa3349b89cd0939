"""The story on stderr: a line when something ends, one when it begins where nothing else shows that it is going on.

Colours only on a terminal. Everything shown may come from a build or a container: it is cleaned first, and what a CI
runner would take for a command to itself is broken up.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable
from typing import Protocol

from dsci.errors import DsciError
from dsci.model.text import clean

_STYLES = {"ok": "\x1b[32m", "failed": "\x1b[31m", "blocked": "\x1b[33m", "dim": "\x1b[2m", "warn": "\x1b[33m"}
_MARKS = {"ok": "✓", "failed": "✗", "blocked": "·", "skipped": "·"}


class Stream(Protocol):
    """Somewhere to write lines."""

    def write(self, text: str, /) -> int:
        """Take some text."""

    def flush(self) -> None:
        """Let it out."""


#: GitHub's runner obeys lines that begin with `::`, blanks before it or not, and `##[` wherever it stands.
#: Source: https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
_COMMAND = re.compile(r"^([^\S\n]*)::|##(?=\[)", re.MULTILINE)


def harmless(text: str) -> str:
    """Text without commands to a CI runner: a mark stands before or within what would be one."""
    return _COMMAND.sub(lambda match: "## " if match[1] is None else f"{match[1]}| ::", text)


def complain(message: str, hint: str) -> None:
    """Say why dsci stops, in one paragraph, and what to do, in one line."""
    lines = [line for line in harmless(clean(message)).split("\n") if line.strip()]
    print("dsci: " + "\n".join(lines), file=sys.stderr)
    print(f"  → {harmless(' '.join(clean(hint).split()))}", file=sys.stderr, flush=True)


def complain_of(problems: Iterable[DsciError]) -> None:
    """Say what could not be done, each thing once, and exit as the first of them says; nothing where there is none."""
    told = {error.message: error for error in problems}
    for error in told.values():
        complain(error.message, error.hint or error.next_step)
    if told:
        sys.exit(next(iter(told.values())).exit_code)


class PlainConsole:
    """Lines, as a CI log wants them. Implements `ports.Console`."""

    def __init__(self, stream: Stream | None = None, *, colour: bool | None = None) -> None:
        self._stream: Stream = stream or sys.stderr
        self._colour = sys.stderr.isatty() if colour is None else colour
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """A line of the story."""
        self._line(text)

    def warn(self, text: str) -> None:
        """A warning."""
        self._line(self._style("warn", "warning: ") + clean(text))

    def begin(self, subject: str, stage: str) -> None:
        """A stage begins."""
        self._line(self._style("dim", f"· {stage:7} {subject}"))

    def step(self, subject: str, text: str) -> None:
        """A step of a stage."""
        first = clean(text, 2000).strip().partition("\n")[0][:110]
        self._line(self._style("dim", f"    {subject}  {first}"))

    def end(self, subject: str, stage: str, status: str, seconds: float, detail: str = "") -> None:
        """A stage ended; what failed says all it has to say."""
        head = f"{_MARKS.get(status, '·')} {stage:7} {subject}"
        text = clean(detail).rstrip()
        if status == "failed":
            body = "".join(f"\n    {line}" for line in text.split("\n")) if text else ""
            self._line(self._style("failed", f"{head}  failed after {seconds:.1f} s") + body)
            return
        tail = f"  {text}" if text else ""
        self._line(self._style(status, head) + (f"  {seconds:.1f} s" if seconds else "") + tail)

    def _style(self, style: str, text: str) -> str:
        code = _STYLES.get(style)
        return f"{code}{text}\x1b[0m" if code and self._colour else text

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{harmless(text)}\n")
            self._stream.flush()
