"""Text that others wrote (commit messages, build output, test failures) made harmless to show, store and pass on."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
#: What XML 1.0 may not hold, and DEL and the C1 controls, which it may: U+009B begins an escape sequence too.
_NOT_PLAIN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
#: Marks that turn the direction of text around: what is shown would not be what is written (CVE-2021-42574).
_TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LIMIT = 16_000


def clean(text: str, limit: int = _LIMIT) -> str:
    """The text without escape sequences and control characters; its end where it is longer than `limit`."""
    text = plain(text.replace("\r\n", "\n").replace("\r", "\n"))
    return text if len(text) <= limit else f"… {len(text) - limit} characters left out\n{text[-limit:]}"


def plain(text: str) -> str:
    """The text without escape sequences and control characters; what breaks lines is kept."""
    if text.isascii() and text.isprintable():
        return text
    return _NOT_PLAIN.sub("", _ANSI.sub("", text))


def whole(text: str) -> str:
    """The text with what is no character (half a surrogate pair) as U+FFFD, as Go reads it."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def line(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters, harmless to show, its white space made single blanks."""
    text = plain(text[: 8 * limit])
    text = " ".join((text if text.isascii() else _TURNS.sub("", text)).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the known word most like this one, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
