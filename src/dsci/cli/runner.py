"""What GitHub's runner is told beside the log: outputs of the step, the job's summary, annotations.

The runner names a file for each; what is written there is `dsci.ci`'s to say. A file that cannot be written is told of
and is no reason to fail: what was done is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from dsci.errors import DsciError
from dsci.model.secretname import is_secret

if TYPE_CHECKING:
    from dsci.cli.wiring import Session
    from dsci.model.plan import Plan
    from dsci.model.report import Report

#: Ends of names that name places and not secrets, such as AWS_WEB_IDENTITY_TOKEN_FILE.
_PLACES = ("_FILE", "_PATH", "_DIR", "_URL")


def listens() -> bool:
    """Whether GitHub's runner reads what is printed."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def logs() -> bool:
    """Whether what is printed goes into the log of a CI system that is known."""
    return listens() or os.environ.get("GITLAB_CI") == "true"


def secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of variables whose names say that they are secrets: tokens for registries and forges, passwords."""
    for name, value in environment.items():
        # What is the name of a file (GOOGLE_APPLICATION_CREDENTIALS) is none: logs would lose the folder's name.
        if is_secret(name, value) and not name.upper().endswith(_PLACES) and not _is_there(value):
            yield value


def tell(session: Session, report: Report, *, title: str, outputs: Mapping[str, str]) -> None:
    """Annotations of what failed, the report in the job's summary, and the step's outputs."""
    if not listens():
        return
    from dsci.ci import annotation
    from dsci.ci.summary import summary

    session.voice.commands(annotation.of_checks(report.failures))
    _summarize(session, partial(summary, report, title=title))
    output(session, outputs)


def output(session: Session, values: Mapping[str, str]) -> None:
    """Set outputs of the step."""
    import secrets

    from dsci.ci.outputfile import plain_output

    if listens():
        try:
            append("GITHUB_OUTPUT", plain_output(values, lambda: secrets.token_hex(16)))
        except DsciError as error:
            session.console.warn(f"the step's outputs are not set: {error.message}")


def append(variable: str, text: str) -> None:
    """Add to the file that a variable names. Raises DsciError where there is none, or it cannot be written."""
    from pathlib import Path

    name = os.environ.get(variable, "")
    if not name:
        raise DsciError(f"{variable} names no file", hint="it is for a step of GitHub Actions, whose runner sets it")
    try:
        with Path(name).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise DsciError(f"{name} could not be written: {error.strerror}", hint=f"see what {variable} names") from None


def plan(session: Session, value: Plan) -> None:
    """Add to the job's summary what a plan would do."""
    from dsci.ci.summary import planned

    _summarize(session, partial(planned, value, title="dsci plan"))


def _summarize(session: Session, page: Callable[..., str]) -> None:
    """Add a page to the job's summary, as far as there is room in what this step may say."""
    from dsci.ci.summary import BUDGET

    text = page(budget=BUDGET - _size(os.environ.get("GITHUB_STEP_SUMMARY", "")))
    if not text:
        session.console.warn("the job's summary has no room left: see the report")
        return
    try:
        append("GITHUB_STEP_SUMMARY", text)
    except DsciError as error:
        session.console.warn(f"the job has no summary: {error.message}")


def _size(name: str) -> int:
    from pathlib import Path

    try:
        return Path(name).stat().st_size if name else 0
    except OSError:
        return 0


def _is_there(value: str) -> bool:
    from pathlib import Path

    try:
        return Path(value).is_absolute() and Path(value).exists()
    except (OSError, ValueError):
        return False
