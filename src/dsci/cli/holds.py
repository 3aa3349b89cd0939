"""`dsci rollback`, `dsci unhold` and `dsci yank`: floating tags go back, and what is said of a release is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.console import complain_of, harmless
from dsci.cli.options import as_json, registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model.marks import Said
from dsci.pipeline import holds
from dsci.pipeline.holds import Held

_family = click.option("--family", is_flag=True, help="Do the same for the images that belong to it.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would move, and change nothing.")


def _why(required: bool) -> Callable[..., Any]:
    return click.option("--why", metavar="TEXT", required=required, default="", help="The reason; it is recorded.")


@click.command(short_help="Let floating tags go back to an older release.")
@click.argument("image", metavar="IMAGE")
@click.argument("version", metavar="VERSION")
@_why(False)
@_family
@_dry_run
@registry
@as_json
@click.pass_context
def rollback(
    context: click.Context,
    /,
    image: str,
    version: str,
    why: str,
    family: bool,
    dry_run: bool,
    registries: tuple[str, ...],
    json: bool,
) -> None:
    """Let the floating tags of IMAGE (`latest`, `1`, `1.4`) go back to VERSION, and stay there.

    The newer releases are held back: a hold on the branch dsci-ledger names them, and every run obeys it until it is
    lifted by `dsci unhold`. A release that is newer than all of them takes the tags as usual. Immutable tags stay as
    they are, and nothing is built. With --family every other image goes back to what it had released at that commit.
    """
    with Session.of(context, registries=registries) as session:
        said = _said(session, why)
        _show(
            session,
            lambda ground: holds.rollback(ground, image, version, said, family=family),
            dry_run=dry_run,
            json=json,
            nothing="nothing stands above that version",
        )


@click.command(short_help="Let floating tags move again after a rollback.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@_why(False)
@click.option("--family", is_flag=True, help="Of all images.")
@_dry_run
@registry
@as_json
@click.pass_context
def unhold(
    context: click.Context,
    /,
    images: tuple[str, ...],
    why: str,
    family: bool,
    dry_run: bool,
    registries: tuple[str, ...],
    json: bool,
) -> None:
    """Take back every hold of these images: their floating tags move to their newest releases again.

    What is yanked stays so; `dsci yank IMAGE VERSION --undo` takes that back.
    """
    if bool(images) is family:
        raise click.UsageError("name one image or more, or say --family for all of them.")
    with Session.of(context, registries=registries) as session:
        said = _said(session, why)
        _show(
            session,
            lambda ground: holds.unhold(ground, images, said),
            dry_run=dry_run,
            json=json,
            nothing="nothing is held back",
        )


@click.command(short_help="Pass over a release for good: no floating tag names it.")
@click.argument("image", metavar="IMAGE")
@click.argument("version", metavar="VERSION")
@_why(True)
@click.option("--undo", is_flag=True, help="Take it back.")
@click.option("--family", is_flag=True, help="Yank the releases of other images that were built on it as well.")
@_dry_run
@registry
@as_json
@click.pass_context
def yank(
    context: click.Context,
    /,
    image: str,
    version: str,
    why: str,
    undo: bool,
    family: bool,
    dry_run: bool,
    registries: tuple[str, ...],
    json: bool,
) -> None:
    """Pass over VERSION of IMAGE for good: its floating tags go to the next older release, or stay if there is none.

    Its immutable tags keep naming it, for whoever pinned it, and its number is not given again. The reason is recorded
    on the branch dsci-ledger and shown wherever the release is.
    """
    with Session.of(context, registries=registries) as session:
        said = _said(session, why)
        _show(
            session,
            lambda ground: holds.yank(ground, image, version, said, family=family, undo=undo),
            dry_run=dry_run,
            json=json,
            nothing="it is not yanked" if undo else "it is yanked already",
        )


def _said(session: Session, why: str) -> Said:
    """Who says it, and when. Raises ConfigError for a run that is about a request from a fork."""
    if session.event.foreign:
        raise ConfigError(
            "a request from another repository moves no tag", hint="run this from a branch of the repository itself"
        )
    actor = os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or session.git.person()
    return Said(why=why, by=actor, when=session.event.now)


def _show(session: Session, decide: holds.Decide, *, dry_run: bool, json: bool, nothing: str) -> None:
    errors: list[DsciError] = []
    found = holds.carry_out(session.world, session.hands, decide, dry_run=dry_run, trouble=errors.append)
    if json:
        print_json(found)
    else:
        for text in _lines(found, dry_run=dry_run, nothing=nothing):
            click.echo(harmless(text))
    complain_of(errors)


def _lines(found: Held, *, dry_run: bool, nothing: str) -> list[str]:
    lines = [holds.shown(mark) for mark in found.marks] or [f"nothing to record: {nothing}"]
    rows = [
        (move.image, move.tag, f"{move.before} → {move.after}")
        if move.after
        else (move.image, move.tag, f"stays at {move.before}: no other release may have it")
        for move in found.moved
    ]
    if rows:
        lines.append(render.table(rows))
    written = sum(item.changed for item in found.publications)
    if dry_run:
        lines.append("nothing was changed (--dry-run)")
    elif found.publications:
        lines.append(f"{written} tag{'' if written == 1 else 's'} moved")
    return lines
