"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Iterable

import click

from dsci.errors import ConfigError
from dsci.model.family import Family
from dsci.model.yamlfile import nearest

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

as_json = click.option("--json", is_flag=True, help="Print the result as JSON.")


def check_names(names: Iterable[str], family: Family) -> None:
    """Raises ConfigError for a name that is no image of the family."""
    for name in names:
        if name not in family.images:
            known = sorted(family.images)
            raise ConfigError(
                f"there is no image {name!r}{nearest(name, known)}", hint=f"the images here are {', '.join(known)}"
            )
