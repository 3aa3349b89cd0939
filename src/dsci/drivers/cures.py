"""What Git says when it cannot go on, and the command that mends it.

Git's messages are read as it writes them in the C locale. Names in them are foreign text: they are quoted for a shell
before they become part of a command that somebody will copy.
"""

from __future__ import annotations

import re
import shlex

_TRUST = r"(?m)^\s*(git config --global --add safe\.directory .+)$"
_MISSING = r"(?m)missing object [0-9a-f]+ for refs/tags/(.+)$"
_BROKEN = r"(?m)ignoring broken ref (refs/tags/.+)$"
_PROMISED = r"from promisor remote|promisor remote name"


def trust(said: str) -> str:
    """The command that makes Git trust a repository of another user, where that is what it asks for; else ""."""
    found = re.search(_TRUST, said)
    return found[1] if found and "dubious ownership" in said else ""


def cure(said: str, remote: str | None) -> str:
    """What to do about an error of Git; "" where only `git fsck` can tell."""
    if command := trust(said):
        return command
    if missing := re.search(_MISSING, said):
        return f"git tag -d {shlex.quote(missing[1])}{again(remote)}"
    if re.search(_PROMISED, said):
        return partial(remote)
    return ""


def again(remote: str | None) -> str:
    """How a tag that was taken away comes back, behind the command that took it away."""
    return f", then `git fetch --tags {remote}` brings what {remote} has" if remote else ""


def broken_tag(said: str) -> str:
    """The full name of a tag whose file Git cannot read and passes over; "" where there is none."""
    found = re.search(_BROKEN, said) if said else None
    return found[1] if found else ""


def partial(remote: str | None) -> str:
    """What to do where a partial clone lacks an object that its remote does not give."""
    name = remote or "its remote"
    return (
        f"a partial or damaged clone: see that {name} answers, or make it whole with"
        f" `git fetch --refetch --no-filter{f' {remote}' if remote else ''}`"
    )
