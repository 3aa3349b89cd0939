"""`dsci promote`: what proved itself goes on, without a build: to its stable version, or to another registry."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.console import complain_of
from dsci.cli.options import as_json, registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model.report import Publication
from dsci.pipeline import places
from dsci.pipeline import promote as promoting


@click.command(short_help="Make a prerelease stable, or have a release in another registry; nothing is built.")
@click.argument("image", metavar="IMAGE")
@click.argument("version", metavar="VERSION")
@click.option("--to", "place", metavar="PLACE", default="", help="A place that `promote:` of dsci.yaml names.")
@click.option("--dry-run", is_flag=True, help="Show what would be claimed or copied, and change nothing.")
@registry
@as_json
@click.pass_context
def promote(
    context: click.Context,
    /,
    image: str,
    version: str,
    place: str,
    dry_run: bool,
    registries: tuple[str, ...],
    json: bool,
) -> None:
    """Make a prerelease of IMAGE (VERSION, such as 1.4.0-rc.2) the version that it was on the way to: 1.4.0.

    It is claimed on the prerelease's own commit, with the very manifests that were tested; nothing is built, and who
    pulls it gets what the prerelease was, byte for byte. Floating tags move as with any release.

    With --to a release is copied to a place that dsci.yaml names (`promote: {production: [ghcr.io/acme-production]}`),
    with everything that is attached to it. There it has its immutable tags, and floating ones by version order among
    what was promoted to that place. `dsci rollback` and `dsci yank` count there too.
    """
    with Session.of(context, registries=registries) as session:
        if session.event.foreign:
            raise ConfigError(
                "a request from another repository promotes nothing",
                hint="run this from a branch of the repository itself",
            )
        if place:
            _copy(session, image, version, place, dry_run=dry_run, json=json)
            return
        errors: list[DsciError] = []
        found = promoting.promote(session.world, session.hands, image, version, dry_run=dry_run, trouble=errors.append)
        if json:
            print_json(found)
            complain_of(errors)
            return
        rows = [("version", f"{found.source} → {found.version}"), ("Git tag", found.git_tag)]
        rows += [(name, digest) for name, digest in found.digests.items()]
        rows.append(("tags", " ".join(found.tags)))
        click.echo(render.table(rows, indent=""))
        click.echo(_end(found.publications, dry_run=dry_run))
        complain_of(errors)


def _copy(session: Session, image: str, version: str, place: str, *, dry_run: bool, json: bool) -> None:
    found = places.promote(session.world, session.hands, image, version, place, dry_run=dry_run)
    if json:
        print_json(found)
        return
    rows = [(f"{found.image} {found.version}", f"to {found.place}")]
    rows += [(name, digest) for name, digest in found.digests.items()]
    rows.append(("tags", " ".join(found.tags)))
    click.echo(render.table(rows, indent=""))
    click.echo(_end(found.publications, dry_run=dry_run))


def _end(published: Sequence[Publication], *, dry_run: bool) -> str:
    """What came of it, in a line."""
    written = sum(item.changed for item in published)
    if dry_run:
        return "nothing was changed (--dry-run)"
    return f"{written} tags written" if written else "everything stood already"
