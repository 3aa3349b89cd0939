"""A person at a container, through the docker command: it knows terminals, their sizes and their signals.

The container was made by `engine` and is removed by it. The command finds the same engine as docker-py: its endpoint is
resolved in docker's own order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsci.drivers import process

_HINT = "install the Docker CLI: a person's terminal is its business"


def attach(container: str, environment: Mapping[str, str], *, reads: bool) -> int:
    """Start a container that was created, with its output here; gives its exit code.

    With `reads` it reads what is written here. Raises BuilderError without the docker command.
    """
    more = ["--interactive"] if reads else []
    return process.foreground(["docker", "start", "--attach", *more, container], env=environment, hint=_HINT)


def execute(
    container: str,
    argv: Sequence[str],
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    user: str,
    reads: bool,
    terminal: bool,
) -> int:
    """Run a command in a container that goes on; gives its exit code.

    A variable that the environment has with the same value is passed by its name alone: its value is in no argv.
    """
    named = [
        f"--env={name}" if environment.get(name) == value else f"--env={name}={value}"
        for name, value in variables.items()
    ]
    more = [*(["--interactive"] if reads else []), *(["--tty"] if terminal else [])]
    more += [f"--user={user}"] if user else []
    return process.foreground(["docker", "exec", *more, *named, container, *argv], env=environment, hint=_HINT)
