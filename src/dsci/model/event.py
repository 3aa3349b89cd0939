"""What set a run off: by hand, a push, a request, a tag or a schedule.

Equal events give equal plans, on a laptop as in CI (rule 17 of the semantics). Reading them from a CI system's
environment is `dsci.ci`'s to do; the clock is read once, by the command line.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Trigger(StrEnum):
    """Why a run takes place."""

    LOCAL = "local"
    """Somebody called it; it counts as a push of the branch that is checked out."""
    BRANCH = "branch"
    PULL_REQUEST = "pull-request"
    TAG = "tag"
    SCHEDULE = "schedule"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What set a run off."""

    trigger: Trigger = Trigger.LOCAL
    branch: str = ""
    """The branch that is released; of a request, the one it goes to. Empty where it is not known."""
    default_branch: str = ""
    """The repository's main branch; empty where it is not known."""
    tag: str = ""
    """The Git tag that was pushed."""
    number: str = ""
    """The request's number."""
    foreign: bool = False
    """Whether it is a request from another repository: what it builds is not to be trusted, and leaves no trace."""
    queued: bool = False
    """Whether requests that wait for their turn are merged on trial: what comes of it may never be part of a branch."""
    now: int = 0
    """The time of the run, seconds since the epoch."""

    @property
    def pushed(self) -> str:
        """The branch whose tip this run is about; empty for requests and tags."""
        return "" if self.trigger in (Trigger.PULL_REQUEST, Trigger.TAG) else self.branch

    @property
    def on_default_branch(self) -> bool:
        """Whether the tip of the main branch is what this run is about."""
        return bool(self.pushed) and self.pushed == self.default_branch
