"""Commands that do work: `release`, `build`, `test`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dsci.cli import dropin, local, measured, render
from dsci.cli import reports as reporting
from dsci.cli import share as sharing
from dsci.cli.asking import inert
from dsci.cli.console import complain
from dsci.cli.manner import Manner, manner, no_speculate
from dsci.cli.options import as_json, event, images, registry
from dsci.cli.reports import Wanted
from dsci.cli.wiring import Session
from dsci.errors import DsciError
from dsci.model.report import Outcome, Report, Status, Verdict
from dsci.pipeline import release as releasing

_since = click.option(
    "--since",
    metavar="REF",
    default="",
    help="Only images that changed since HEAD left this branch or tag, and what they stand on.",
)


@click.command()
@registry
@as_json
@event
@manner
@no_speculate
@click.option("--keep", is_flag=True, help="Leave the images that were built in the engine.")
@reporting.option
@click.pass_context
def release(
    context: click.Context,
    /,
    registries: tuple[str, ...],
    json: bool,
    reports: Wanted,
    wanted: Manner,
    **about: Any,
) -> None:
    """Build, test, claim and publish whatever HEAD changes.

    Versions are claimed by pushing annotated Git tags; every run first finishes what an earlier one claimed. Running
    it again is always safe, and does nothing when there is nothing to do.
    """
    with Session.of(context, registries=registries, **about) as session, reporting.answered(session):
        errors: list[DsciError] = []
        report = releasing.release(
            session.world,
            session.hands,
            session.request(),
            how=wanted.how(session, keep=bool(wanted.keep)),
            announce=session.announce,
            trouble=errors.append,
        )
        _finish(session, report, errors, json=json, wanted=reports)


@click.command(short_help="Build images for this machine, as the work tree has them.")
@images
@registry
@as_json
@sharing.options
@_since
@manner
@click.option("--keep/--no-keep", default=None, help="Leave the images in the engine (the default without --plan).")
@click.option("--force", is_flag=True, help="Build even what is there already.")
@click.option("--no-cache", is_flag=True, help="Run every step of every build again; implies --force without --plan.")
@reporting.option
@click.pass_context
def build(context: click.Context, /, names: tuple[str, ...], **options: Any) -> None:
    """Build images and what they stand on, as the work tree has them; nothing is released.

    Images with uncommitted changes are built for this machine alone: they never leave the engine.

    With --plan and --only, targets of a plan that was made elsewhere are built as HEAD has them, on the bases that it
    names and on what other machines pushed, and are pushed under their keys: `dsci release` finds them there.
    """
    _begin(context, names, tests=False, rerun=False, **options)


@click.command(short_help="Run the suites of images, building what is not built yet.")
@images
@registry
@as_json
@sharing.options
@_since
@manner
@no_speculate
@click.option("--keep/--no-keep", default=False, help="Leave the images in the engine.")
@click.option("--rerun", is_flag=True, help="Run suites that passed already on this very image.")
@reporting.option
@dropin.options
@click.pass_context
def test(context: click.Context, /, names: tuple[str, ...], alone: dropin.Wanted, **options: Any) -> None:
    """Run the suites of images, their ancestors' included; what is not built yet is built first.

    With --image and --config it takes the place of container-structure-test: files of its tests against any image of
    the engine, in no repository, with its options, its results and its exit codes.
    """
    if alone.asked:
        if names:
            raise click.UsageError("images of this repository and --image exclude each other.")
        dropin.run(context, alone, json=options["json"])
        return
    _begin(context, names, tests=True, force=False, **options)


def _begin(
    context: click.Context,
    names: tuple[str, ...],
    *,
    only: tuple[str, ...],
    plan_file: Path | None,
    registries: tuple[str, ...],
    json: bool,
    since: str,
    reports: Wanted,
    wanted: Manner,
    force: bool,
    tests: bool,
    rerun: bool,
) -> None:
    """Work on a share of a plan, or on what this machine has, and say what came of it."""
    shared = sharing.asked(names, only, plan_file, force=force)
    if shared and since:
        raise click.UsageError("--since and --only exclude each other: the plan says which.")
    with Session.of(context, registries=registries, lenient=not shared) as session, reporting.answered(session):
        if shared:
            assert plan_file is not None
            how = wanted.how(session, keep=bool(wanted.keep))
            report, errors = sharing.work(session, only, plan_file, how=how, tests=tests, rerun=rerun)
        else:
            looked = local.look(session, names, since=since, force=force or wanted.no_cache, rerun=rerun)
            report, errors = local.work(session, looked, wanted, tests=tests)
        _finish(session, report, errors, json=json, wanted=reports)


def _finish(session: Session, report: Report, errors: Sequence[DsciError], *, json: bool, wanted: Wanted) -> None:
    """Write the report, print the result, and exit as the errors say, or 1 if anything else failed."""
    measured.note(session.measured, report.outcomes)
    report, folder, unwritten = reporting.write(session, report, wanted)
    reporting.tell(session, report, folder)
    click.echo(inert(report.to_json()) if json else render.report(report))
    if report.failed:
        first = errors[0] if errors else DsciError(_failures(report), hint=_REPAIR)
        complain(first.message, first.hint or first.next_step)
        sys.exit(first.exit_code)
    if unwritten is not None:
        raise unwritten


_SHOWN = 5
_REPAIR = "mend it and run the same command again: what has passed is not done again"


def _first_words(report: Report, item: Outcome) -> str:
    """What a failure says first: of a test, its first check that failed and why."""
    for suite in report.suites:
        for check in suite.checks:
            if item.stage == "test" and suite.target == item.subject and check.verdict is Verdict.FAILED:
                why = check.detail.strip().partition("\n")[0]
                return f"{suite.suite}: {why}" if check.name == suite.suite else f"{suite.suite}: {check.name}: {why}"
    return item.detail.strip().partition("\n")[0]


def _failures(report: Report) -> str:
    """What failed, a line each; the rest of their story stands above."""
    failed = [item for item in report.outcomes if item.status is Status.FAILED]
    lines = [f"{item.subject}: {item.stage} failed: {_first_words(report, item)}" for item in failed]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    held = ["nothing is released"] if report.plan.releases and not report.released else []
    return "\n".join([*lines[:_SHOWN], *more, *held])
