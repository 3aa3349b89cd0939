"""Where reports go: a folder with every document, single documents by name, and what GitHub's runner is told.

`--report DIR` names the folder, which is in the user's state folder by default; `--report FORM=FILE` names one
document. Beside the documents the folder has, for each check that failed in a container, a folder in `failures`. What
only GitLab reads (code quality, variables, container scanning) is written where it is asked for, and nowhere else.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from dsci import __version__
from dsci.ci import codequality, containerscanning, dotenv
from dsci.ci import outputs as outputs_of
from dsci.cli import failures, runner
from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model import junit, reportpage, tap
from dsci.model.report import Report
from dsci.model.text import clean

#: The documents: how each is called in the folder, and what is in it.
_FOLDER: Mapping[str, tuple[str, Callable[[Report], bytes]]] = {
    "json": ("report.json", lambda report: report.to_json() + b"\n"),
    "markdown": ("report.md", lambda report: reportpage.document(report).encode()),
    "junit": ("junit.xml", lambda report: junit.document(report.verdicts)),
    "tap": ("report.tap", lambda report: tap.document(report.verdicts)),
}
#: All of them, with those that have no place in the folder.
_FORMS: Mapping[str, Callable[[Report], bytes]] = {
    **{form: content for form, (_, content) in _FOLDER.items()},
    "codequality": lambda report: codequality.document(report.failures),
    "dotenv": dotenv.document,
    "container-scanning": lambda report: containerscanning.document(report, now=int(time.time()), version=__version__),
}
_SCANS = "container-scanning"
#: How many commands that run a check again are printed.
_SHOWN = 5
#: Those that never scan.
_NO_SCANS = ("build", "test")
_NAMED = re.compile(r"(?P<form>[a-z-]+)=(?P<file>.*)", re.DOTALL)

option = click.option(
    "--report",
    "reports",
    metavar="DIR|FORM=FILE",
    multiple=True,
    callback=lambda context, parameter, words: _read(words, scans=context.command.name not in _NO_SCANS),
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


def _read(words: Sequence[str], *, scans: bool) -> Wanted:
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
        elif named["form"] == _SCANS and not scans:
            raise click.UsageError(f"--report {word}: only `dsci release` scans, and only what it is to release.")
        else:
            wanted.files.append((named["form"], Path(named["file"])))
    return wanted


def write(session: Session, report: Report, wanted: Wanted) -> tuple[Report, Path | None, DsciError | None]:
    """Write what is asked for, and where there was work, or GitHub listens, all of it into the folder of this run.

    Gives the report as it was written, its folder, and why something that was asked for could not be. A report that
    nobody asked for and that cannot be written is no reason to fail: what was done is done.
    """
    unwritten: DsciError | None = None
    folder: Path | None = None
    if report.plan.has_work or wanted.folder is not None or runner.listens():
        place = wanted.folder or _place(session, report)
        try:
            report = failures.write(place / "failures", report, _again(session))
            _put_all(place, report)
            folder = place
            session.console.say(f"report: {place / 'report.md'}")
            _name(session, report)
        except DsciError as error:
            if wanted.folder is None:
                session.console.warn(error.message)
            else:
                unwritten = error
    return report, folder, _named(session, report, wanted) or unwritten


def gather(session: Session, report: Report, place: Path, wanted: Wanted) -> None:
    """Write a report that was put together of others: all of it into a folder, and what is asked for. Raises DsciError.

    Nothing of it can be run again from here: what failed was kept where it ran.
    """
    _put_all(place, report)
    if unwritten := _named(session, report, wanted):
        raise unwritten


def _put_all(place: Path, report: Report) -> None:
    for name, content in _FOLDER.values():
        _put(place / name, content(report))


def _named(session: Session, report: Report, wanted: Wanted) -> DsciError | None:
    """Write the single documents that are asked for; gives why one could not be."""
    unwritten: DsciError | None = None
    for form, path in wanted.files:
        try:
            if form == _SCANS and not report.scans:
                _unscanned(session, report)
            else:
                _put(path, _FORMS[form](report))
        except DsciError as error:
            unwritten = error
    return unwritten


def _unscanned(session: Session, report: Report) -> None:
    """Say why there is no report of scans: an empty one would read as "no vulnerability". Raises ConfigError."""
    coming = [item for item in report.plan.releases if not item.claimed]
    if coming and not report.failed:
        raise ConfigError(
            f"--report {_SCANS}=FILE: nothing was scanned, so there is nothing to report",
            hint="write `scan: {policy: warn}` in dsci.yaml, or leave this report out",
        )
    why = "nothing was as good as released" if coming else "nothing was to be released"
    session.console.say(f"no {_SCANS} report: {why}, and so nothing was scanned")


def tell(session: Session, report: Report, folder: Path | None) -> None:
    """Tell GitHub's runner, where it listens: annotations, the job's summary, and the outputs of this command."""
    if runner.listens():
        command = click.get_current_context().command.name or "dsci"
        values = outputs_of.of_release if command == "release" else outputs_of.of_work
        place = str(folder.resolve()) if folder is not None else ""
        runner.tell(session, report, title=f"dsci {command}", outputs=values(report, place))


@contextlib.contextmanager
def answered(session: Session) -> Iterator[None]:
    """See to it that the step says that it failed, also where dsci came to no report."""
    try:
        yield
    except Exception:
        runner.output(session, {"failed": "true"})
        raise


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


#: So many reports of one commit may be written in one second, each beside the others.
_SAME_SECOND = 100


def _place(session: Session, report: Report) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    root = session.state / "reports" / session.git.root_commit()[:12]
    names = (f"{stamp}-{report.plan.commit[:7]}{f'-{n}' if n else ''}" for n in range(_SAME_SECOND))
    return next((root / name for name in names if not (root / name).exists()), root / stamp)


def _put(path: Path, content: bytes) -> None:
    """Write a file and the folders that it lies in. Raises DsciError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise DsciError(
            f"the report could not be written to {path}: {error.strerror}", hint="name another place with --report"
        ) from None
