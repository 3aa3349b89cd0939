"""`dsci schema`: the grammar of dsci.yaml, for editors."""

from __future__ import annotations

import click

from dsci.cli.asking import print_json
from dsci.model import config


@click.command()
def schema() -> None:
    """Print the JSON Schema of dsci.yaml."""
    print_json(config.schema())
