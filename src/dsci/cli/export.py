"""`dsci export`: an image of the embedded registry as a file, for `docker load`."""

from __future__ import annotations

from pathlib import Path

import click

from dsci.cli.options import named_tag
from dsci.cli.wiring import Session
from dsci.errors import ConfigError
from dsci.model.reference import EMBEDDED
from dsci.pipeline.snapshot import snapshot


@click.command(short_help="Write a released image to a file, for `docker load`.")
@click.argument("image")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def export(context: click.Context, image: str, file: Path) -> None:
    """Write a released IMAGE[:TAG] of the embedded registry to FILE, for `docker load`.

    In place of a tag the name of a variant will do: `ml:cuda12` is `ml:latest-cuda12`.
    """
    with Session.of(context) as session:
        now = snapshot(session.source, session.git.head().commit)
        name, tag = named_tag(image, now.family)
        reference = now.family.images[name].repository.tag(tag)
        if reference.repository.registry != EMBEDDED:
            raise ConfigError(f"{reference} is in a registry", hint=f"docker pull {reference}")
        session.registry.embedded.export(reference, file)
        click.echo(f"{reference} → {file}")
