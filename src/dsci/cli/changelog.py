"""`dsci changelog`: what each release brought, for people, for machines, and in a file that people edit too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import semver

from dsci.cli.asking import observe, print_json
from dsci.cli.options import as_json, event, from_here, images
from dsci.cli.wiring import Session
from dsci.drivers import files
from dsci.errors import ConfigError
from dsci.model import changelogfile, notes
from dsci.model.changelog import Release, document
from dsci.model.links import FORGES, Links
from dsci.model.members import check_names
from dsci.pipeline import history
from dsci.pipeline import pages as publishing
from dsci.pipeline.history import History
from dsci.pipeline.snapshot import Snapshot

#: How many added sections are named.
_SHOWN = 5


@click.command(short_help="Show what releases brought, or keep a CHANGELOG.md.")
@images
@click.option("--since", metavar="TAG", default="", help="Only releases that stand after this Git tag.")
@click.option("--unreleased", is_flag=True, help="What the next releases would say; with --write, that as well.")
@as_json
@click.option("--format", "form", type=click.Choice(["notes", "keepachangelog"]), help="How it is written.")
@click.option("--template", type=click.Path(path_type=Path), help="A Jinja template that writes it instead.")
@click.option("--write", "target", metavar="FILE", type=click.Path(path_type=Path), help="Update a changelog in place.")
@click.option("--publish", "pages", is_flag=True, help="Write the release pages on GitHub or GitLab, those that lack.")
@click.option("--forge", type=click.Choice(FORGES), default=None, help="Which links are made, where the host hides it.")
@from_here
@event
@click.pass_context
def changelog(
    context: click.Context,
    /,
    names: tuple[str, ...],
    since: str,
    unreleased: bool,
    json: bool,
    form: str | None,
    template: Path | None,
    target: Path | None,
    pages: bool,
    forge: str | None,
    **about: Any,
) -> None:
    """Show what each release brought, newest first: of all images, or of these.

    With --write, a file in the form of Keep a Changelog gets the sections that it lacks. What people wrote there stays.
    With --publish, the forge gets a page for each of these releases; one that says so already is not written again.
    """
    asked = [name for name, given in (("--json", json), ("--format", form), ("--template", template)) if given]
    if pages and (asked or target or unreleased):
        raise click.UsageError("--publish excludes --json, --format, --template, --write and --unreleased")
    if len(asked) > 1 or (target and asked not in ([], ["--format"])) or (target and form == "notes"):
        raise click.UsageError(
            f"{' and '.join([*asked, *(['--write'] if target else [])])} exclude each other"
            + ("; --write keeps a file in the form of Keep a Changelog" if target else "")
        )
    if since and unreleased and not target:
        raise click.UsageError("--since and --unreleased exclude each other: what comes next stands after every tag")
    with Session.of(context, offline=True, lenient=True, **about) as session:
        links = Links.of(session.git.head().origin, forge or "")
        releases: tuple[Release, ...] = ()
        coming: tuple[Release, ...] = ()
        if unreleased:
            now, coming = _coming(session)
        if target or not unreleased:
            found = history.read(session.world, since=since)
            for text in found.doubts:
                session.console.warn(text)
            now, releases = found.now, found.releases
        family, numbers = now.family, now.settings.versioning.numbers()
        wanted = {family.images[name].group for name in check_names(names, family)} or {
            image.group for image in family.images.values()
        }
        several = len(wanted) > 1
        releases = tuple(release for release in releases if release.image in wanted)
        coming = tuple(release for release in coming if release.image in wanted)
        if pages:
            _publish(session, found, releases, links, forge or "auto")
            return
        if target:
            session.console.say(_update(target, releases, coming, links, named=several, numbers=numbers))
            return
        if not releases and not coming:
            session.console.say("nothing comes next" if unreleased else "nothing is released yet")
        if json:
            print_json(document(releases, links, unreleased=coming))
        elif template:
            from dsci.drivers.template import render

            click.echo(render(template, document(releases, links, unreleased=coming)), nl=False)
        elif form == "keepachangelog":
            whole = changelogfile.update("", releases, unreleased=coming, links=links, named=several, numbers=numbers)
            click.echo(whole, nl=False)
        else:
            click.echo(notes.book((*coming, *releases), links, named=several), nl=False)


def _publish(session: Session, found: History, releases: Sequence[Release], links: Links, kind: str) -> None:
    """Have a page for each of these releases."""
    place = session.forge(kind)
    if place is None:
        raise ConfigError("there is no forge to write to", hint="name it with --forge, and give a token for it")
    outcomes, errors = publishing.publish(place, found, releases, links, session.console)
    for error in errors:
        raise error
    click.echo(f"{len(outcomes)} of {len(releases)} pages written")


def _coming(session: Session) -> tuple[Snapshot, tuple[Release, ...]]:
    """What the next release of each image would say."""
    now, _, plan = observe(session)
    return now, notes.planned(plan.releases)


def _update(
    path: Path,
    releases: Sequence[Release],
    coming: Sequence[Release],
    links: Links,
    *,
    named: bool,
    numbers: type[semver.Version],
) -> str:
    """Bring a file up to date, whole or not at all; what was done, for people."""
    try:
        path = path.resolve()
        content = path.read_bytes() if path.exists() else b""
        text = content.decode(errors="surrogateescape")
        added = changelogfile.missing(text, releases, named=named, numbers=numbers)
        whole = changelogfile.update(text, releases, unreleased=coming, links=links, named=named, numbers=numbers)
        new = whole.encode(errors="surrogateescape")
        if new == content:
            return f"{path.name} is up to date"
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        files.sweep(path.parent)
        files.write_whole(path, [new], path.parent, mode=mode)
    except OSError as error:
        raise ConfigError(
            f"{path}: {os.strerror(error.errno or 0)}", hint="let --write name a file in a folder that can be written"
        ) from None
    if not added:
        return f"{path.name}: brought up to date"
    labels = ", ".join(notes.label(release, named=named) for release in added[:_SHOWN])
    return f"{path.name}: added {labels}" + (f" and {len(added) - _SHOWN} more" if len(added) > _SHOWN else "")
