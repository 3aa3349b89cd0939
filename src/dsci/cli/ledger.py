"""`dsci ledger`: every release that is recorded, and what was said of it since."""

from __future__ import annotations

import time

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.options import as_json, fetch, images
from dsci.cli.wiring import Session
from dsci.errors import ConfigError
from dsci.model.members import check_names
from dsci.pipeline import holds, recorded
from dsci.pipeline.claim import form_of
from dsci.pipeline.snapshot import snapshot


@click.command(short_help="Show every release that is recorded, and what was said of it since.")
@images
@fetch
@click.option(
    "--marks", is_flag=True, help="Show what was said of releases as well: holds, yanks and what lifted them."
)
@as_json
@click.pass_context
def ledger(context: click.Context, /, names: tuple[str, ...], fetch: bool, marks: bool, json: bool) -> None:
    """Show what the branch dsci-ledger holds: each release, its commit and content, and whether it is passed over.

    It is read as this clone knows it, or as the remote has it with --fetch; Git tags are not needed. `dsci verify
    --tags` compares what is claimed with what registries show.
    """
    with Session.of(context) as session:
        now = snapshot(session.source, session.git.head().commit)
        if now.settings.ledger == "none":
            raise ConfigError(
                "there is no ledger: dsci.yaml says `ledger: none`",
                hint="take that line out; what was released before is recorded by nobody",
            )
        chosen = check_names(names, now.family)
        groups = {now.family.images[name].group for name in chosen} or set(now.family.groups)
        found = recorded.read(session.git, now.settings, form_of(now), groups=groups, fetch=fetch)
        for warning in found.warnings:
            session.console.warn(warning)
        if json:
            print_json(found)
            return
        rows = [
            (item.release.image, item.release.version, item.release.commit[:7], name, digest[:19], item.held)
            for item in found.releases
            for name, digest in item.release.digests.items()
        ]
        nothing = "nothing is recorded" + ("" if fetch else " here (--fetch asks the remote)")
        click.echo(render.table(rows, indent="") or nothing)
        if marks and found.marks:
            said = ((_date(each.when), each.by, holds.shown(each)) for each in found.marks)
            click.echo("\n" + render.table(said, indent=""))


def _date(when: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(when))
