"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from dsci.model.builders import parse as parse_builders
from dsci.model.event import Trigger
from dsci.model.members import check_names

if TYPE_CHECKING:
    from dsci.model.builders import Builders
    from dsci.model.family import Family

images = click.argument("names", metavar="[IMAGE]...", nargs=-1)

_registry = click.option(
    "--registry",
    "registries",
    metavar="PREFIX",
    multiple=True,
    help="Where images are published, such as ghcr.io/acme; replaces `registries:` of dsci.yaml. May be repeated.",
)
_token = click.option(
    "--registry-token-file",
    metavar="FILE",
    expose_value=False,
    callback=lambda context, _, value: context.ensure_object(dict).update(registry_token_file=value),
    help="A file that holds the token for the one registry that --registry names; `-` is stdin.",
)


def registry(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where images are published, and a token for it, which no command line holds itself."""
    return _registry(_token(command))


branch = click.option(
    "--branch",
    metavar="NAME",
    default="",
    help="The branch that is released, where the clone does not know it (a detached HEAD).",
)

trigger = click.option(
    "--trigger",
    type=click.Choice([str(each) for each in Trigger]),
    help="What sets the run off; read from the CI system by default.",
)
reference = click.option(
    "--ref",
    "reference",
    metavar="REF",
    default="",
    help="What was pushed: refs/heads/NAME, refs/tags/NAME or refs/pull/NUMBER/merge.",
)
now = click.option(
    "--now",
    metavar="TIME",
    type=click.DateTime(("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d")),
    help="The time of the run, in UTC; the clock's by default.",
)
fetch = click.option(
    "--fetch",
    is_flag=True,
    help="Fetch what this clone lacks for versions: release tags, and history if it is shallow.",
)


def event(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a run is about, and what may be fetched for it: equal ones give equal plans."""
    return branch(trigger(reference(now(fetch(command)))))


from_here = click.option(
    "--offline", "alone", is_flag=True, help="Answer from this clone alone: do not ask its Git remote."
)

builder = click.option(
    "--builder",
    "builders",
    metavar="[OS/ARCH=]NAME",
    multiple=True,
    envvar="DSCI_BUILDER",
    help="The buildx builder that builds, for all platforms or for one, instead of the engine itself. May be repeated; "
    "also $DSCI_BUILDER, with blanks between them.",
)

as_json = click.option("--json", is_flag=True, help="Print the result as JSON.")


def builders_of(words: Iterable[str]) -> Builders | None:
    """What `--builder` says; None where it says nothing. Raises ConfigError."""
    return parse_builders(words) if words else None


def named_tag(text: str, family: Family) -> tuple[str, str]:
    """The image and the tag that `IMAGE[:TAG]` means: `ml:cuda12` is the newest release of that variant.

    Raises ConfigError for a name that is no image of the family.
    """
    name, _, tag = text.partition(":")
    check_names((name,), family)
    for variant in family.named(text) if tag else (name,):
        tag = f"latest{family.images[variant].suffix}"
    return name, tag
