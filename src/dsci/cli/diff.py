"""`dsci diff`: what is not the same in two releases."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.options import as_json, named_tag, registry
from dsci.cli.wiring import Session
from dsci.errors import HistoryError
from dsci.model import imagediffnotes, notes
from dsci.model.changelog import Release as Notes
from dsci.model.imagediff import ImageDifference
from dsci.model.links import Links
from dsci.model.oci import Platform
from dsci.pipeline import differing, released, stocktaking
from dsci.pipeline.released import Release
from dsci.pipeline.snapshot import snapshot
from dsci.pipeline.stocktaking import ALL

_DIFFERENT = 1


@click.command(short_help="Show what is not the same in two releases: packages, base, size, commits.")
@click.argument("names", metavar="[IMAGE[:OLD]] IMAGE[:NEW]", nargs=-1, required=True)
@click.option(
    "--platform", metavar="OS/ARCH", default=ALL, help="The platform; by default all that one of the two is there for."
)
@click.option("--markdown", is_flag=True, help="Print it as Markdown.")
@click.option("--exit-code", "told", is_flag=True, help="Exit with 1 where any platform has another image, else 0.")
@registry
@as_json
@click.pass_context
def diff(
    context: click.Context,
    /,
    names: tuple[str, ...],
    platform: str,
    markdown: bool,
    told: bool,
    registries: tuple[str, ...],
    json: bool,
) -> None:
    """Show what is not the same in two releases; with one IMAGE[:TAG], in that release and the one before it.

    Their layers are read from the registry without a pull, each once, and only where a platform's image is another one.
    Both tags are held against the Git tags that claim them. A tag that is left out is `latest`.
    """
    if markdown and json:
        raise click.UsageError("--markdown and --json exclude each other.")
    if len(names) > 2:
        raise click.UsageError("name one release, or two.")
    with Session.of(context, registries=registries) as session:
        now = snapshot(session.source, session.git.head().commit)

        def find(text: str) -> Release:
            return released.find(session.git, session.registry, now, *named_tag(text, now.family))

        after = find(names[-1])
        before = find(names[0]) if len(names) > 1 else differing.before(session.git, session.registry, now, after)
        native = Platform.parse(f"linux/{os.uname().machine or 'amd64'}")
        wanted = stocktaking.chosen(stocktaking.of_release(after), platform, native)
        if platform == ALL:
            wanted = tuple(sorted({*wanted, *stocktaking.of_release(before).platforms}))
        found = ImageDifference(
            before=differing.side(before),
            after=differing.side(after),
            platforms=differing.platforms(session.registry, before, after, wanted),
            releases=_between(session, before, after),
        )
        links = Links.of(session.git.head().origin, "")
    if json:
        print_json(imagediffnotes.document(found, links))
    elif markdown:
        click.echo(imagediffnotes.markdown(found, links), nl=False)
    else:
        click.echo("\n".join(_lines(found)))
    if told and found:
        sys.exit(_DIFFERENT)


def _between(session: Session, before: Release, after: Release) -> tuple[Notes, ...]:
    """What lies between; a clone that does not know it can compare all the same."""
    try:
        return differing.between(session.world, before, after)
    except HistoryError as error:
        session.console.warn(f"which commits lie between them is not known here: {error.message} ({error.hint})")
        return ()


def _lines(found: ImageDifference) -> Iterator[str]:
    yield imagediffnotes.title(found)
    yield ""
    yield render.table(
        ("@".join((side.reference.partition("@")[0], side.digest)), f"claimed by {side.git_tag} at {side.commit[:12]}")
        for side in (found.before, found.after)
    )
    for each in found.platforms:
        yield f"\n{each.platform}\n"
        if each.contents is None:
            yield f"  {imagediffnotes.said(each)}"
            continue
        yield render.table(imagediffnotes.facts(each.contents))
        rows = render.table(imagediffnotes.rows(each.contents))
        if rows:
            yield f"\n{rows}"
    if found.releases:
        yield "\nCommits\n"
        several = len({release.image for release in found.releases}) > 1
        for release in found.releases:
            yield f"  {notes.heading(release, named=several)}"
            said = ((entry.summary, ", ".join(sha[:7] for sha in entry.commits)) for entry in release.entries)
            yield render.table(said, indent="    ") or f"    {notes.nothing(release)}"
