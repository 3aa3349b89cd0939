"""What is begun as soon as a command is known, before the modules that it needs are imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsci.drivers import gitprogram

if TYPE_CHECKING:
    import click


def begin(context: click.Context, folder: str) -> None:
    """Let Git begin with what versions are made from; the command's session takes it from here."""
    program = context.ensure_object(dict)["git"] = gitprogram.Program(folder)
    context.call_on_close(program.close)
    program.begin_objects()
    program.begin(*gitprogram.VERSIONS)
