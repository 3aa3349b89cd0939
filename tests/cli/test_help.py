"""What `--help` says, of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from dsci.cli import cli


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command below a group, and the group itself."""
    yield before
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, *before, name)
            else:
                yield (*before, name)


def helped(*arguments: str) -> str:
    ended = CliRunner().invoke(cli, arguments)
    assert ended.exit_code == 0 and ended.stderr == "", ended.output
    return ended.stdout


@pytest.mark.parametrize("arguments", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself_and_its_options_in_lines_that_fit_a_terminal(arguments: tuple[str, ...]) -> None:
    said = helped(*arguments, "--help")
    assert said == helped(*arguments, "-h")
    assert said.startswith("Usage: ") and max(map(len, said.splitlines())) <= 100
    options = said.partition("Options:\n")[2].partition("\n\n")[0]
    for line in re.split(r"\n(?=  -)", options):
        assert len(line.split("  ", 2)[-1].strip()) > 10, f"an option without a word of help: {line}"
    cut = re.search(r"\w\.\.\.$", said.partition("\n")[2], re.MULTILINE)  # what repeats ends so in the first line
    assert not cut, f"a sentence is cut off:\n{said}"
