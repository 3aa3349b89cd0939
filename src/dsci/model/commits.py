"""Commits, and what their messages say about a version.

A message is read by Conventional Commits 1.0.0 where it is written so; anything else is `Change(type="")` and says
nothing by itself. What a change is worth, and to which image, is `version`'s to say.

Source: https://www.conventionalcommits.org/en/v1.0.0/#specification
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

_HEADER = re.compile(
    r"\A(?P<type>[A-Za-z][A-Za-z0-9_-]*)(?:\((?P<scope>[^()\r\n]*)\))?(?P<bang>!)?: +(?P<summary>\S.*)\Z"
)
#: `Token: value`, or `Token #value`, which makes no change breaking (item 12).
_FOOTER = re.compile(
    r"\A(?:(?P<token>BREAKING CHANGE|[A-Za-z0-9][A-Za-z0-9-]*): +|[A-Za-z0-9][A-Za-z0-9-]* #)(?P<value>\S.*)\Z"
)
_RELEASE_AS = re.compile(r"\A(?:(?P<image>[^@\s]+)@)?v?(?P<version>\S+)\Z")
_SKIP = re.compile(r"\[(?:skip release|release skip)\]", re.IGNORECASE)


class Bump(IntEnum):
    """How far a version moves."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3

    def __str__(self) -> str:
        return self.name.lower()


#: What each type of commit is worth; every other type is worth nothing by itself.
TYPES: Mapping[str, Bump] = {
    "feat": Bump.MINOR,
    "fix": Bump.PATCH,
    "perf": Bump.PATCH,
    "revert": Bump.PATCH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit as Git tells it, with the paths that it changed against its first parent."""

    sha: str
    parents: tuple[str, ...]
    when: int
    """Committer date, seconds since the epoch."""
    message: str
    paths: tuple[str, ...]

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.lstrip().partition("\n")[0].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a commit's message says."""

    type: str
    """Lower case; empty where the message is not conventional."""
    scope: str
    summary: str
    breaking: bool
    skip: bool
    release_as: tuple[tuple[str | None, str], ...]
    """Versions asked for by `Release-As:` footers, each for one image or (None) for every image it touches."""
    commit: Commit

    @property
    def bump(self) -> Bump:
        """What the message alone is worth."""
        return Bump.MAJOR if self.breaking else TYPES.get(self.type, Bump.NONE)


def read(commit: Commit) -> Change:
    """Read a commit's message; every message can be read."""
    lines = commit.message.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    header = _HEADER.match(lines[0].strip())
    footers = _footers(lines)
    breaking = any(token in ("BREAKING CHANGE", "BREAKING-CHANGE") for token, _ in footers)
    asked = [match for token, value in footers if token.lower() == "release-as" and (match := _RELEASE_AS.match(value))]
    return Change(
        type=header["type"].lower() if header else "",
        scope=(header["scope"] or "").strip() if header else "",
        summary=header["summary"].strip() if header else lines[0].strip(),
        breaking=header is not None and (bool(header["bang"]) or breaking),
        skip=_SKIP.search(commit.message) is not None,
        release_as=tuple((match["image"], match["version"]) for match in asked),
        commit=commit,
    )


def _footers(lines: list[str]) -> list[tuple[str, str]]:
    """The tokens and values of every paragraph whose first line is a footer; a footer's value may go on below it."""
    found: list[tuple[str, str]] = []
    for block in "\n".join(lines[1:]).split("\n\n"):
        rows = [_FOOTER.match(row.strip()) for row in block.strip().split("\n")]
        if rows[0]:
            found += [(match["token"] or "", match["value"].strip()) for match in rows if match]
    return found
