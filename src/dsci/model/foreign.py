"""Regular expressions that others wrote, in RE2's language: linear in time, whatever the pattern and the text.

RE2 is loaded with the first of them; most families have none.

Source of the language: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

from typing import Any


class IllegalPattern(ValueError):
    """What RE2 says of a pattern that it does not take."""


def compiled(pattern: str, *, captures: bool = True) -> Any:
    """The expression, with the methods of `re.Pattern`. Raises IllegalPattern.

    Without `captures` its groups only group.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = not captures
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise IllegalPattern(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None


def escaped(text: str) -> str:
    """An expression that matches this text alone."""
    import re2

    escape: str = re2.escape(text)
    return escape
