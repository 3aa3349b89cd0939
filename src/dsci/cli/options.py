"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Iterable

import click

from dsci.errors import ConfigError
from dsci.model.family import Family
from dsci.model.yamlfile import nearest
from dsci.pipeline.remote import Remote

images = click.argument("names", metavar="[IMAGE]...", nargs=-1)

registry = click.option(
    "--registry",
    "registries",
    metavar="PREFIX",
    multiple=True,
    help="Where images are published, such as ghcr.io/acme; replaces `registries:` of dsci.yaml. May be repeated.",
)

branch = click.option(
    "--branch",
    metavar="NAME",
    default="",
    help="The branch that is released, where the clone does not know it (a detached HEAD).",
)

fetch = click.option(
    "--fetch",
    is_flag=True,
    help="Fetch what this clone lacks for versions: release tags, and history if it is shallow.",
)

as_json = click.option("--json", is_flag=True, help="Print the result as JSON.")


def what_to_ask(*, fetch: bool, offline: bool = False) -> Remote:
    """What may be asked of the Git remote. Raises UsageError for what excludes itself."""
    if fetch and offline:
        raise click.UsageError("--fetch and --offline exclude each other.")
    return Remote.OFFLINE if offline else Remote.FETCH if fetch else Remote.ASK


def check_names(names: Iterable[str], family: Family) -> None:
    """Raises ConfigError for a name that is no image of the family."""
    for name in names:
        if name not in family.images:
            known = sorted(family.images)
            raise ConfigError(
                f"there is no image {name!r}{nearest(name, known)}", hint=f"the images here are {', '.join(known)}"
            )
