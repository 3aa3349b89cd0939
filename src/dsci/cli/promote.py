"""`dsci promote`: a prerelease that proved itself becomes the stable version, without a build."""

from __future__ import annotations

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.options import as_json, registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError
from dsci.pipeline import promote as promoting


@click.command(short_help="Make a prerelease the stable version, without a build.")
@click.argument("image", metavar="IMAGE")
@click.argument("version", metavar="VERSION")
@click.option("--dry-run", is_flag=True, help="Show what would be claimed, and change nothing.")
@registry
@as_json
@click.pass_context
def promote(
    context: click.Context, /, image: str, version: str, dry_run: bool, registries: tuple[str, ...], json: bool
) -> None:
    """Make a prerelease of IMAGE (VERSION, such as 1.4.0-rc.2) the version that it was on the way to: 1.4.0.

    It is claimed on the prerelease's own commit, with the very manifests that were tested; nothing is built, and who
    pulls it gets what the prerelease was, byte for byte. Floating tags move as with any release.
    """
    with Session.of(context, registries=registries) as session:
        if session.event.foreign:
            raise ConfigError(
                "a request from another repository promotes nothing",
                hint="run this from a branch of the repository itself",
            )
        found = promoting.promote(session.world, session.hands, image, version, dry_run=dry_run)
        if json:
            print_json(found)
            return
        rows = [("version", f"{found.source} → {found.version}"), ("Git tag", found.git_tag)]
        rows += [(name, digest) for name, digest in found.digests.items()]
        rows.append(("tags", " ".join(found.tags)))
        click.echo(render.table(rows, indent=""))
        written = sum(item.changed for item in found.publications)
        if dry_run:
            click.echo("nothing was changed (--dry-run)")
        else:
            click.echo(f"{written} tags written" if written else "everything stood already")
