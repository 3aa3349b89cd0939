"""Release notes as a forge's page can hold them: lines that compare equal, and no more of them than it takes.

Source: https://spec.commonmark.org/0.31.2/#fenced-code-blocks (what opens and closes a block of code).
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"^ {0,3}(`{3,50}|~{3,50})(?!`|~)(.*)$", re.MULTILINE)
#: Characters of room for a fence that must be closed: a longer one than this is not looked for.
_FENCE_ROOM = 60


def lines(text: str) -> str:
    """The text with every line ended in the same way."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cut(text: str, *, limit: int, codec: str, sentence: str) -> str:
    """The text, or as many of its lines as fit into `limit` bytes of `codec` together with the sentence that says so.

    A block of code that is open at the cut is closed, lest it swallow the sentence.
    """
    raw = text.encode(codec)
    if len(raw) <= limit:
        return text
    ending = f"\n\n{sentence}\n"
    room = limit - len((ending + " " * _FENCE_ROOM).encode(codec))
    head = raw[:room].decode(codec, "ignore")
    line = head.rfind("\n")
    if line > len(head) // 2:  # else most of it is one line, and is cut within
        head = head[:line]
    fence = _open_fence(head)
    return head.rstrip() + (f"\n{fence}" if fence else "") + ending


def _open_fence(text: str) -> str:
    """The fence of the block of code that is open at the end of the text, if one is."""
    fence = ""
    for mark, rest in _FENCE.findall(text):
        if not fence:
            fence = mark if mark[0] == "~" or "`" not in rest else ""
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
    return fence
