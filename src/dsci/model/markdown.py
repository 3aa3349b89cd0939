"""Text that others wrote, as Markdown that says the same and does nothing else.

No heading, list, link, image or HTML comes of it, nobody is notified, no site generator expands it. Code spans that
the author wrote stay code spans. The rules are GitHub Flavored Markdown's, with what GitLab and Jekyll add to them.

Source: https://github.github.com/gfm/
"""

from __future__ import annotations

import re

#: Code spans; words that would become a link or notify somebody, whatever is put before their signs. The forges look
#: for these in the rendered text, where a backslash is gone and only code is left alone.
_WORDS = re.compile(
    r"(?P<ticks>(?<!`)`{1,3}(?!`))(?P<code>[^`]+)(?P=ticks)(?!`)"
    r"|(?P<word>[^\s`<>|{]*(?:@|://|\bwww\.)[^\s`<>|{]*)",
    re.IGNORECASE,
)
#: What one of these begins with or has in it: looking for words takes long in long ones.
_WORTH = re.compile(r"`|@|://|www\.", re.IGNORECASE)
#: What means something wherever it stands; an underscore only where it is not inside a word.
_SIGNS = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w)|\{(?=[{%#+-])|(?<=\{)\{|(?<=[-+])\}")
_NOT_CODE = re.compile(r"<!--|-->|\{[{%#]")
#: What means something at the start of a line: headings, lists, tables of contents, rules.
_START = re.compile(r"\A(?:#|[-+=](?=[-+= ]|\Z)|(?P<number>[0-9]{1,9})(?=[.)](?: |\Z)))")


def escape(text: str, *, first: bool = True) -> str:
    """One line of somebody's text as Markdown; `first` says whether it begins a line or a list item."""
    whole = _inert(text)
    start = _START.match(whole) if first else None
    if start is None:
        return whole
    return f"{start['number']}\\{whole[start.end() :]}" if start["number"] else f"\\{whole}"


def _inert(text: str) -> str:
    if not _WORTH.search(text):
        return _plain(text)
    parts: list[str] = []
    place = 0
    for found in _WORDS.finditer(text):
        parts += [_plain(text[place : found.start()]), _code(found)]
        place = found.end()
    return "".join([*parts, _plain(text[place:])])


def _code(found: re.Match[str]) -> str:
    """A code span; code that could begin or end a comment is none, nor what a site generator expands even there."""
    if found["word"] is not None:
        return f"`{found['word']}`"
    inside = found["code"].strip()
    if not inside or _NOT_CODE.search(inside):
        ticks = _plain(found["ticks"])
        return f"{ticks}{_inert(found['code'])}{ticks}"
    return f"`{inside}`"


def _plain(text: str) -> str:
    return _SIGNS.sub(r"\\\g<0>", text)
