"""Why a run takes place, in words. It stands by itself, since the command line offers them before all else is there."""

from __future__ import annotations

from enum import StrEnum


class Trigger(StrEnum):
    """Why a run takes place."""

    LOCAL = "local"
    """Somebody called it; it counts as a push of the branch that is checked out."""
    BRANCH = "branch"
    PULL_REQUEST = "pull-request"
    TAG = "tag"
    SCHEDULE = "schedule"
