"""`dsci version` and `dsci tags`: what images are called, and what comes next."""

from __future__ import annotations

from typing import Any

import click

from dsci.cli import answers
from dsci.cli.options import as_json, event, from_here, images, registry
from dsci.cli.wiring import Session


@click.command(short_help="Show the tags that images have, and those to come.")
@images
@registry
@as_json
@from_here
@event
@click.pass_context
def tags(
    context: click.Context, /, names: tuple[str, ...], registries: tuple[str, ...], json: bool, **about: Any
) -> None:
    """Show the tags that each image's newest release has, and those the next one will get."""
    with Session.of(context, registries=registries, offline=True, lenient=True, **about) as session:
        answers.tags(session, names, json=json)


@click.command(short_help="Show the versions of images, and those to come.")
@images
@as_json
@from_here
@event
@click.option("--next", "show", flag_value="next", help="Print only the version that comes next.")
@click.option("--current", "show", flag_value="current", help="Print only the version that is released.")
@click.option("--explain", is_flag=True, help="Show where each version started, and what every commit is worth.")
@click.option("--strict", is_flag=True, help="Fail if a commit since the last release is not conventional.")
@click.pass_context
def version(
    context: click.Context,
    /,
    names: tuple[str, ...],
    json: bool,
    show: str | None,
    explain: bool,
    strict: bool,
    **about: Any,
) -> None:
    """Show each image's released version, and the one its history asks for next."""
    with Session.of(context, offline=True, lenient=True, **about) as session:
        answers.versions(session, names, json=json, show=show, explain=explain, strict=strict)
