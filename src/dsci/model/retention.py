"""How long what nobody needs is kept: `retention:` of `dsci.yaml`, and what its ages say of one thing.

Ages say when something may go, never that it must: what a tag that stays, Git, the ledger, a branch or an index needs
is kept whatever its age, and so is what has no age that can be known. Who needs what is `upkeep`'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

_FACTORS = {"m": 60, "h": 3600, "d": 86400}
_NEVER = "never"
HINT = "such as 30d, 12h or 90m; `never` removes nothing by this rule"


class Rule(StrEnum):
    """What an age is of; the values are the names of the settings."""

    KEYED = "keyed"
    INDEXES = "indexes"
    REQUESTS = "requests"
    BRANCHES = "branches"
    COMMITS = "commits"
    CACHES = "caches"


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How old what nobody needs must be before `dsci gc` removes it: `30d`, `12h`, `90m`, or `never`."""

    keyed: str = "7d"
    """Images under keys that no release, no index and no branch has, with their receipts; no shorter than a run."""
    indexes: str = "30d"
    """Indexes that no name stands for any more: whoever pinned a digest that `main` had finds it so long."""
    requests: str = "14d"
    """Names of pull and merge requests (`pr-12`), open or not, since their content was pushed."""
    branches: str = "30d"
    """Names of branches that are gone, and names of days."""
    commits: str = "never"
    """Names of single commits (`sha-0123456789ab`) that no release has: nothing else ever stands under them."""
    caches: str = "7d"
    """Build caches of images that no branch has any more, here and in registries."""
    keep: tuple[str, ...] = ()
    """Tags that are never removed whatever they read like: names or patterns, such as `staging` or `demo-*`."""


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, read."""

    limits: Mapping[Rule, int | None]
    """Seconds; None where nothing goes."""
    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: RetentionSettings, older_than: int | None = None) -> Ages:
        """What settings say; `older_than` seconds stand for every age that is not `never`. Raises ValueError."""
        limits = {rule: seconds(getattr(settings, rule)) for rule in Rule}
        if older_than is not None:
            limits = {rule: older_than for rule, limit in limits.items() if limit is not None} | {
                rule: None for rule, limit in limits.items() if limit is None
            }
        return cls(limits=limits, keep=settings.keep)

    def stays(self, rule: Rule, written: int | None, now: int) -> str:
        """Why something of this age stays; empty where it may go. Times are in seconds."""
        limit = self.limits[rule]
        if limit is None:
            return f"retention.{rule} is never"
        if written is None:
            return "its age is unknown"
        return "" if now - written > limit else "it is young"

    def told(self, rule: Rule) -> str:
        """Why something goes that is old enough."""
        limit = self.limits[rule] or 0
        unit = next(unit for unit in ("d", "h", "m") if limit % _FACTORS[unit] == 0 or unit == "m")
        return f"{rule}: older than {limit // _FACTORS[unit]}{unit}"

    def spared(self, tag: str) -> bool:
        """Whether a tag is never to be removed."""
        return any(fnmatchcase(tag, pattern) for pattern in self.keep)


def seconds(text: str) -> int | None:
    """`30d`, `12h` or `90m` in seconds; None for `never`. Raises ValueError for anything else, zero included."""
    if text == _NEVER:
        return None
    match = re.fullmatch(r"(?P<number>[0-9]{1,5})(?P<unit>[mhd])", text, re.ASCII)
    if match is None or int(match["number"]) == 0:
        raise ValueError(text)
    return int(match["number"]) * _FACTORS[match["unit"]]
