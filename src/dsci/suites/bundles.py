"""What is kept of a run in a container that came to a failure: how it ended, and how it is run again.

A variable whose value is this machine's own is known by its name alone, and its value is masked in what was printed.
Whether a run failed is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dsci.model.bundle import Bundle, Launch, tail
from dsci.ports import NOTHING_SPECIAL, Ran, Special
from dsci.suites.commands import Job


def of(launch: Launch, ran: Ran, *, hidden: Mapping[str, str] | None = None, alone: bool = True) -> Bundle:
    """The bundle of what a container that was made so did; `alone` says whether only one check ran in it."""
    hidden = hidden or {}
    first = (*(launch.entrypoint or ()), *(launch.command or ()))
    return Bundle(
        argv=tuple(word for word in (launch.beside or first) if word) or ("the image's own command",),
        exit_code=ran.exit_code,
        reason=ran.reason,
        stdout=tail(ran.stdout.decode(errors="replace"), hidden),
        stderr=tail(ran.stderr.decode(errors="replace"), hidden),
        environment=tuple(sorted({*launch.environment, *launch.around})),
        seen=ran.seen,
        launch=launch,
        alone=alone,
    )


def of_job(job: Job, special: Special, ran: Ran) -> Bundle:
    """The bundle of a command that a suite ran."""
    launch = Launch(
        entrypoint=None if job.entrypoint else ("",),
        command=tuple(job.argv),
        environment=_told(job.environment, job.hidden),
        special=unusual(special),
        steps=tuple(tuple(step) for step in job.steps),
        around=_told(job.around, job.hidden),
    )
    return of(launch, ran, hidden=job.hidden)


def unusual(special: Special) -> Mapping[str, Any]:
    """What is not as it mostly is."""
    usual = msgspec.to_builtins(NOTHING_SPECIAL)
    return {name: value for name, value in msgspec.to_builtins(special).items() if value != usual[name]}


def _told(variables: Mapping[str, str], hidden: Mapping[str, str]) -> Mapping[str, str | None]:
    return {name: None if hidden.get(name) == value else value for name, value in variables.items()}
