"""Where reports go: a folder with every document, single documents by name, and GitHub's annotations.

`--report DIR` names the folder, which is in the user's state folder by default; `--report FORM=FILE` names one
document. Beside the documents the folder has, for each check that failed in a container, a folder in `failures`.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from dsci.cli import failures
from dsci.cli.wiring import Session
from dsci.errors import DsciError
from dsci.model import junit, reportpage, tap, workflowcommands
from dsci.model.report import Report
from dsci.model.text import clean

#: The documents: how each is called in the folder, and what is in it.
_FORMS: Mapping[str, tuple[str, Callable[[Report], bytes]]] = {
    "json": ("report.json", lambda report: report.to_json() + b"\n"),
    "markdown": ("report.md", lambda report: reportpage.document(report).encode()),
    "junit": ("junit.xml", lambda report: junit.document(report.verdicts)),
    "tap": ("report.tap", lambda report: tap.document(report.verdicts)),
}
#: How many commands that run a check again are printed.
_SHOWN = 5
_NAMED = re.compile(r"(?P<form>[a-z]+)=(?P<file>.*)", re.DOTALL)

option = click.option(
    "--report",
    "reports",
    metavar="DIR|FORM=FILE",
    multiple=True,
    callback=lambda context, parameter, words: _read(words),
    help=f"Write every document there, or one of them ({', '.join(sorted(_FORMS))}) to FILE. May be repeated.",
)


class Wanted:
    """What `--report` says."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.files: list[tuple[str, Path]] = []

    @property
    def asked(self) -> bool:
        """Whether anybody asked for a report."""
        return self.folder is not None or bool(self.files)


def _read(words: Sequence[str]) -> Wanted:
    """What `--report` says. Raises UsageError."""
    wanted = Wanted()
    for word in words:
        named = _NAMED.fullmatch(word)
        if named is None:
            if wanted.folder is not None:
                raise click.UsageError("--report DIR is named twice.")
            wanted.folder = Path(word)
        elif named["form"] not in _FORMS or not named["file"]:
            raise click.UsageError(f"--report {word}: the documents are {', '.join(sorted(_FORMS))}, as in junit=FILE.")
        else:
            wanted.files.append((named["form"], Path(named["file"])))
    return wanted


def write(session: Session, report: Report, wanted: Wanted) -> tuple[Report, DsciError | None]:
    """Write what is asked for, and where there was work all of it into the folder of this run.

    Gives the report as it was written, and why something that was asked for could not be. A report that nobody asked
    for and that cannot be written is no reason to fail: what was done is done.
    """
    unwritten: DsciError | None = None
    if report.plan.has_work or wanted.folder is not None:
        place = wanted.folder or _place(session, report)
        try:
            report = failures.write(place / "failures", report, _again(session))
            for name, content in _FORMS.values():
                _put(place / name, content(report))
            session.console.say(f"report: {place / 'report.md'}")
            _name(session, report)
        except DsciError as error:
            if wanted.folder is None:
                session.console.warn(error.message)
            else:
                unwritten = error
    for form, path in wanted.files:
        try:
            _put(path, _FORMS[form][1](report))
        except DsciError as error:
            unwritten = error
    return report, unwritten


def annotate(report: Report) -> None:
    """Show at its file what failed, where GitHub's runner listens."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for command in workflowcommands.commands(report.verdicts):
            print(command, file=sys.stderr, flush=True)


def _again(session: Session) -> list[str]:
    """The command that runs a check again, but for its folder: of the same repository, with the same registries."""
    where = ["-C", session.folder] if session.folder != "." else []
    return ["dsci", *where, "shell", *(f"--registry={name}" for name in session.registries), "--replay"]


def _name(session: Session, report: Report) -> None:
    """Say how what failed is run again."""
    bundles = [check.bundle for suite in report.suites for check in suite.checks if check.bundle is not None]
    for bundle in bundles[:_SHOWN]:
        session.console.say(f"to run {clean(bundle.check, 80)} again: {bundle.replay}")
    if len(bundles) > _SHOWN:
        session.console.say(f"and {len(bundles) - _SHOWN} more: see the report")


def _place(session: Session, report: Report) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    root = session.git.root_commit()[:12]
    return session.state / "reports" / root / f"{stamp}-{report.plan.commit[:7]}"


def _put(path: Path, content: bytes) -> None:
    """Write a file and the folders that it lies in. Raises DsciError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise DsciError(
            f"the report could not be written to {path}: {error.strerror}", hint="name another place with --report"
        ) from None
