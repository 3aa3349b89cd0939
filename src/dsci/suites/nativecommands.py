"""Commands of dsci's own suites: what each must do, and how those of a suite that starts nothing are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from dsci.model import quantities
from dsci.ports import Ran, Special
from dsci.suites import bundles, commands
from dsci.suites import finding as judging
from dsci.suites.commands import Job
from dsci.suites.finding import Finding, Printed
from dsci.suites.nativeform import Run, each
from dsci.suites.nativelooks import named
from dsci.suites.subject import Subject


def argv(check: Run) -> tuple[str, ...]:
    """The words of a command."""
    return ("sh", "-c", check.run) if isinstance(check.run, str) else check.run


def within(subject: Subject, said: str) -> Subject:
    """An image for a check that says a time of its own, or says none."""
    return subject.within(quantities.seconds(said)) if said else subject


def judged(check: Run, ran: Ran) -> list[str]:
    """What is wrong with what a command did."""
    wanted = Printed(
        stdout=each(check.stdout),
        stdout_lacks=each(check.stdout_lacks),
        stderr=each(check.stderr),
        stderr_lacks=each(check.stderr_lacks),
    )
    return judging.judged(ran, check.exit, wanted)


def finding(check: Run, ran: Ran) -> Finding:
    """What a command came to."""
    return Finding(
        name=named(check),
        problems=tuple(judged(check, ran)),
        stdout=ran.stdout.decode(errors="replace"),
        stderr=ran.stderr.decode(errors="replace"),
        seconds=ran.seconds,
    )


def run(subject: Subject, around: Mapping[str, str], checks: Sequence[Run], special: Special) -> list[Finding]:
    """Run commands side by side, with the variables `around` them; gives what each came to.

    Those whose containers are made alike share what can be shared. What failed is run again as often as it says.
    """
    alike: dict[tuple[Special, str, bool], list[Run]] = {}
    for check in checks:
        own = replace(special, user=check.user) if check.user else special
        alike.setdefault((own, check.timeout, check.entrypoint), []).append(check)
    found: dict[int, Finding] = {}
    for (own, limit, entrypoint), those in alike.items():
        bounded = within(subject, limit)
        left = those
        for attempt in range(1 + max(check.retries for check in those)):
            jobs = [_job(around, check, entrypoint=entrypoint) for check in left]
            for check, job, (*_, ran) in zip(left, jobs, commands.run(bounded, jobs, own), strict=True):
                told = replace(finding(check, ran), attempts=attempt + 1)
                found[id(check)] = replace(told, bundle=bundles.of_job(job, own, ran)) if told.problems else told
            left = [check for check in left if found[id(check)].problems and check.retries > attempt]
            if not left:
                break
    return [found[id(check)] for check in checks]


def _job(around: Mapping[str, str], check: Run, *, entrypoint: bool) -> Job:
    return Job(
        argv=argv(check),
        environment={**around, **check.env},
        passes=lambda ran: not judged(check, ran),
        entrypoint=entrypoint,
    )
