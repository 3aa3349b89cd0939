"""`dsci cache`: what dsci keeps in registries and on this machine, and whose it is."""

from __future__ import annotations

import click

from dsci.cli import holdings
from dsci.cli.asking import print_json
from dsci.cli.console import complain_of
from dsci.cli.options import as_json, fetch, registry
from dsci.cli.wiring import Session


@click.group(short_help="Show what dsci keeps in registries and here.")
def cache() -> None:
    """Look at what dsci keeps beside the public tags: keyed images, receipts, indexes, build caches."""


@cache.command("ls", short_help="Show sizes, ages and owners.")
@registry
@fetch
@holdings.older_than
@as_json
@click.pass_context
def ls(context: click.Context, registries: tuple[str, ...], fetch: bool, older_than: int | None, json: bool) -> None:
    """Show what is kept, how large and how old it is, whose it is, and what `dsci gc` would remove.

    Sizes include what is shared with other images. Ages are those of the runs that wrote it, not of content.
    """
    with Session.of(context, registries=registries, fetch=fetch) as session:
        seen = holdings.look(session, older_than, fetch=fetch)
        if json:
            print_json(holdings.document(seen))
        else:
            click.echo(holdings.table(seen, everything=True))
        complain_of([shelf.problem for shelf, _ in seen.shelves if shelf.problem is not None])
