"""What a commit's message mentions beside its changes: requests, issues, who wrote it, what breaks.

Written as Git and the forges write it. Nothing here is a link yet (`links`), and nothing counts for a version
(`commits`). Every list is bounded: a message may be of any length.

Sources: https://docs.github.com/en/issues/tracking-your-work-with-issues/linking-a-pull-request-to-an-issue,
https://docs.gitlab.com/user/project/issues/managing_issues/#default-closing-pattern,
https://git-scm.com/docs/git-interpret-trailers
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from dsci.model.commits import Commit
from dsci.model.text import line, plain

#: What a forge writes behind the title of a request that it squashed or merged.
_BEHIND = re.compile(r"\(([#!][0-9]{1,9})\)\Z")
_MERGED = re.compile(r"\AMerge pull request (#[0-9]{1,9}) from ")
_SEE = re.compile(r"\ASee merge request [^\s!]*(![0-9]{1,9})\Z")
#: The words by which GitHub and GitLab close an issue.
_CLOSES = re.compile(
    r"\b(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?)(:)? +", re.IGNORECASE
)
_ISSUE = re.compile(r"(?:[\w.-]{1,100}(?:/[\w.-]{1,100}){1,5})?#[0-9]{1,9}\b", re.ASCII)
#: A key of a tracker such as Jira. Only behind a colon: `fixes UTF-8` closes nothing.
_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,19}-[0-9]{1,9}\b")
_AND = re.compile(r" *,(?: *and)? *| +and +")
_TOGETHER = re.compile(r"\Aco-authored-by: *(\S.*)\Z", re.IGNORECASE)
_BREAKS = re.compile(r"\ABREAKING[ -]CHANGE: +(\S.*)\Z")
_FOOTER = re.compile(r"\A[A-Za-z][A-Za-z0-9-]*(?:: | #)\S")

_NAME_LIMIT = 80
_TEXT_LIMIT = 300
_MANY = 20
_LINE_LIMIT = 2000
_LINES_LIMIT = 2000


class Mentions(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a message; `#12` and `!12` as they are written."""

    requests: tuple[str, ...]
    issues: tuple[str, ...]
    authors: tuple[str, ...]
    """Names, never addresses: who wrote it, then who wrote it with them."""
    breaks: tuple[str, ...]
    """What its footers say that breaks."""


def mentions(commit: Commit) -> Mentions:
    """Read what a commit mentions; every message can be read."""
    lines = [row[:_LINE_LIMIT].strip() for row in plain(commit.message).strip().split("\n")[:_LINES_LIMIT]]
    _, requests = title(lines[0])
    merged = _MERGED.match(lines[0])
    seen = [found[1] for row in lines[1:] if (found := _SEE.match(row))]
    together = [found[1] for row in lines if (found := _TOGETHER.match(row))]
    names: dict[str, str] = {}
    for name in map(_name, (commit.author, *together)):
        names.setdefault(name.casefold(), name)
    return Mentions(
        requests=_few([*([merged[1]] if merged else []), *requests, *seen]),
        # What closes an issue has its number or, behind a colon, its key.
        issues=_few([issue for row in lines[1:] if "#" in row or ":" in row for issue in _issues(row)]),
        authors=_few([name for name in names.values() if name]),
        breaks=_few(list(_breaks(lines[1:]))) if "BREAKING" in commit.message else (),
    )


def title(text: str) -> tuple[str, tuple[str, ...]]:
    """A subject without the requests that stand behind it, and those."""
    requests: list[str] = []
    text = text.rstrip()
    while len(requests) < _MANY and (found := _BEHIND.search(text[-12:])):
        requests.append(found[1])
        text = text[: -len(found[0])].rstrip()
    return text, tuple(reversed(requests))


def _issues(row: str) -> Iterator[str]:
    for word in _CLOSES.finditer(row):
        place, found = word.end(), True
        while found:
            issue = _ISSUE.match(row, place) or (_KEY.match(row, place) if word[1] else None)
            if issue is None:
                break
            yield issue[0]
            more = _AND.match(row, issue.end())
            found, place = more is not None, more.end() if more else place


@lru_cache(maxsize=1024)
def _name(text: str) -> str:
    """The name in `name <address>`; of an address alone, what stands before its @."""
    return line(text.partition("<")[0].partition("@")[0], _NAME_LIMIT)


def _breaks(rows: Sequence[str]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if found := _BREAKS.match(row):
            text = [found[1]]
            for below in rows[number + 1 : number + 20]:
                if not below or _FOOTER.match(below) or _BREAKS.match(below):
                    break
                text.append(below)
            yield line(" ".join(text), _TEXT_LIMIT)


def _few(found: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))[:_MANY]
