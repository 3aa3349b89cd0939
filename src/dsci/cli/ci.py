"""`dsci ci`: what pipelines need beside building and releasing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from dsci.ci.together import together
from dsci.cli import reports as reporting
from dsci.cli import runner
from dsci.cli.asking import inert
from dsci.cli.cigenerate import generate
from dsci.cli.ciinit import init
from dsci.cli.console import harmless
from dsci.cli.options import as_json
from dsci.cli.wiring import Session
from dsci.errors import ConfigError
from dsci.model import reportpage
from dsci.model.report import Report, Status

_NAME = "report.json"
#: Nothing that dsci writes is larger; a plan of ten thousand targets is a fifth of this.
_LIMIT = 64 << 20
#: As many as a matrix of GitHub's may leave, with two commands each, and more.
_MOST = 2_000


@click.group()
def ci() -> None:
    """Commands for pipelines of GitHub Actions and GitLab CI."""


ci.add_command(generate)
ci.add_command(init)


@ci.command(short_help="Make one page of the reports of several jobs.")
@click.argument(
    "places", metavar="FILE_OR_DIR...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--title", metavar="TEXT", default="dsci", show_default=True, help="What the summary is headed with.")
@click.option("--fail", is_flag=True, help="Exit 1 if anything failed in any of them.")
@as_json
@reporting.option
@click.pass_context
def report(
    context: click.Context,
    /,
    places: tuple[Path, ...],
    title: str,
    fail: bool,
    json: bool,
    reports: reporting.Wanted,
) -> None:
    """Merge the report.json files of jobs that did a share of one plan, and print them as one page of Markdown.

    A folder is searched for files of that name, however deep. On GitHub the page is the job's summary, what failed is
    annotated, and the outputs `failed` and `report` are set. It needs no repository.
    """
    with Session.of(context) as session, reporting.answered(session):
        found = [_read(path) for path in _files(places)]
        if not found:
            session.console.warn(f"there is no {_NAME} in {', '.join(map(str, places))}: no job has left one")
            if runner.listens():
                runner.output(session, {"failed": "false", "report": ""})
            return
        whole = together(found)
        place = reports.folder or session.state / "reports" / "merged" / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        reporting.gather(session, whole, place, reports)
        session.console.say(f"{len(found)} reports: {place / 'report.md'}")
        outputs = {"failed": "true" if whole.failed else "false", "report": str(place.resolve())}
        runner.tell(session, whole, title=title, outputs=outputs)
        click.echo(inert(whole.to_json()) if json else harmless(reportpage.document(whole)), nl=json)
        if fail and whole.failed:
            bad = [item.subject for item in whole.outcomes if item.status is Status.FAILED]
            session.console.say(f"failed: {', '.join(dict.fromkeys(bad))}")
            sys.exit(1)


def _files(places: tuple[Path, ...]) -> Iterator[Path]:
    """The reports in these places, in the order of their names; each once. Raises ConfigError for too many."""
    found: dict[Path, None] = {}
    for place in places:
        inside = sorted(path for path in place.rglob(_NAME) if path.is_file()) if place.is_dir() else [place]
        found |= dict.fromkeys(path.resolve() for path in inside)
    if len(found) > _MOST:
        raise ConfigError(f"there are {len(found)} reports, more than {_MOST}", hint="name the folder of one run")
    yield from found


def _read(path: Path) -> Report:
    """The report in a file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}", hint="name a report.json") from None
    if len(content) > _LIMIT:
        raise ConfigError(f"{path} is no report: it is larger than {_LIMIT >> 20} MiB", hint="name a report.json")
    return Report.read(content, name=str(path))
