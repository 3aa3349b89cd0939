"""Files that dsci writes into a repository, and how it knows one again that it wrote.

Such a file begins with a line that holds a hash of the rest. A file whose hash is another one was changed by somebody,
and one without the line was never dsci's: neither is written over without a word.
"""

from __future__ import annotations

import difflib
import re
from enum import StrEnum

from dsci.errors import ConfigError, ConflictError
from dsci.model.hashing import sha256

_DIGITS = 16
_HEADER = re.compile(r"\A# Written by `(?P<command>dsci ci [^`\n]*)`; sha256:(?P<digest>[0-9a-f]{16})\n")


class State(StrEnum):
    """What there is where a file is to be."""

    MISSING = "missing"
    CURRENT = "current"
    """What would be written."""
    OUTDATED = "outdated"
    """What dsci wrote earlier, as it wrote it."""
    EDITED = "edited"
    """What dsci wrote, and somebody changed."""
    FOREIGN = "foreign"
    """A file that dsci did not write."""


def signed(command: str, body: str) -> str:
    """The text of a file, with the line that says which command wrote it. Raises ConfigError for what is no line."""
    if not command.isprintable() or "`" in command:
        raise ConfigError(
            "the command would not fit into one line of the file", hint="choose a plain name for the file"
        )
    return f"# Written by `{command}`; sha256:{sha256(body.encode())[:_DIGITS]}\n{body}"


def state(there: str | None, wanted: str) -> State:
    """What the text of a file (None: there is none) is to the one that is to be there."""
    if there is None:
        return State.MISSING
    # Git may have turned the ends of lines for an editor on Windows: that is nobody's change.
    there = there.replace("\r\n", "\n")
    header = _HEADER.match(there)
    if header is None:
        return State.FOREIGN
    # Which command wrote it is for people: the same content may come of several.
    if there[header.end() :] == wanted.partition("\n")[2]:
        return State.CURRENT
    return State.OUTDATED if sha256(there[header.end() :].encode())[:_DIGITS] == header["digest"] else State.EDITED


def check(path: str, found: State) -> None:
    """Raises ConflictError where writing would lose what somebody else wrote."""
    if found in (State.EDITED, State.FOREIGN):
        what = "was changed after dsci wrote it" if found is State.EDITED else "is there, and dsci did not write it"
        raise ConflictError(
            f"{path} {what}",
            hint="see what would change with --check; then put your changes elsewhere and give --force, or name "
            "another file",
        )


def difference(path: str, there: str | None, wanted: str) -> str:
    """What writing would change, as `diff -u` shows it."""
    old = (there or "").replace("\r\n", "\n").splitlines(keepends=True)
    lines = difflib.unified_diff(
        old, wanted.splitlines(keepends=True), f"a/{path}" if there else "/dev/null", f"b/{path}"
    )
    return "".join(text if text.endswith("\n") else f"{text}\n\\ No newline at end of file\n" for text in lines)
