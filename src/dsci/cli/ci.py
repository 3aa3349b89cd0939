"""`dsci ci`: what CI systems need of dsci beside the commands that do the work. Each is loaded when it is called."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "generate": "dsci.cli.cigenerate:generate",
    "init": "dsci.cli.ciinit:init",
}


class _Commands(click.Group):
    """Commands by name, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module, _, attribute = _COMMANDS.get(cmd_name, "").partition(":")
        if not module:
            return None
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands)
def ci() -> None:
    """Set up CI systems, and speak to them."""
