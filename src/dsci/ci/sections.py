"""Sections of GitLab's job logs: lines that are folded, below a title, between two marks.

A name tells which mark ends what: it is made here, of letters, digits and a number that no other section has.

Source: https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections
"""

from __future__ import annotations

import re

from dsci.model.text import line

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_TITLE, _NAME = 200, 40
#: What clears the mark from the line that the title is then written to.
_CLEAR = "\r\x1b[0K"


def name(title: str, number: str) -> str:
    """A section's name: legal whatever its title is, and another one for each number."""
    word = _NOT_IN_NAMES.sub("_", title.lower()).strip("_")[:_NAME].rstrip("_")
    return f"dsci_{word}_{number}" if word else f"dsci_{number}"


def section(title: str, body: str, *, number: str, now: int) -> str:
    """Lines that are folded below a title: all of it at once, so that what was opened is closed."""
    mark = name(title, number)
    return (
        f"\x1b[0Ksection_start:{now}:{mark}[collapsed=true]{_CLEAR}{line(title, _TITLE)}\n"
        f"{body}\n\x1b[0Ksection_end:{now}:{mark}{_CLEAR}"
    )
