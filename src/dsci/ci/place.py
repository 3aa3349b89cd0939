"""Where a failure stands in the repository: as its check says, else as its message begins (`ml/Dockerfile:2: …`)."""

from __future__ import annotations

from dsci.model.report import Check
from dsci.model.text import line

_LENGTH = 1_000


def place_of(check: Check) -> tuple[str, int | None]:
    """The file, from the repository's root, and the line; "" where nothing is known of it."""
    file = line(check.file, _LENGTH)
    return (file, check.line) if file else place_in(check.detail)


def place_in(message: str) -> tuple[str, int | None]:
    """The file and the line that a message begins with; "" where it does not, or leads out of the repository."""
    file, _, rest = message.strip().partition("\n")[0].partition(":")
    number = rest.partition(":")[0]
    found = number.isascii() and number.isdecimal() and len(number) < 9 and ":" in rest
    inside = len(file) < _LENGTH and file == line(file, _LENGTH) and " " not in file
    return (file, int(number)) if found and inside and file and is_inside(file) else ("", None)


def is_inside(file: str) -> bool:
    """Whether a path is one of a file below the repository's root."""
    return not file.startswith(("/", "-")) and ".." not in file.split("/")
