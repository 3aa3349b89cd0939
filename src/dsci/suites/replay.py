"""A check that failed, made again: how its container is made, told from what was kept of it.

A bundle may come from anywhere, so what it asks for that reaches this machine has to be allowed here and now; and what
a container was given of this machine's variables it is given again, with the values that they have now.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from dsci.errors import BuilderError, ConfigError
from dsci.model.bundle import Launch
from dsci.ports import Container, Special
from dsci.suites import commands
from dsci.suites.inside import MOUNT
from dsci.suites.structure import ALLOWANCES
from dsci.suites.subject import Subject

#: The longest that an image is left to itself before a command is run in it, in seconds.
_LONGEST = 60.0


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A launch on this machine."""

    launch: Launch
    special: Special
    environment: Mapping[str, str]
    around: Mapping[str, str]


def read(launch: Launch, subject: Subject) -> Replay:
    """What a launch asks for, seen to be allowed. Raises ConfigError where it is not, or lacks a variable here."""
    try:
        special = msgspec.convert(dict(launch.special), Special)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the bundle asks for a container that there is none of: {error}") from None
    variables = {**launch.environment, **launch.around}
    asked = {
        "privileged": special.privileged,
        "capabilities": bool(special.capabilities),
        "bind-mounts": bool(special.binds),
        "host-environment": None in variables.values(),
    }
    refused = [name for name in ALLOWANCES if asked[name] and name not in subject.allow]
    if refused:
        raise ConfigError(
            f"the bundle asks for {', '.join(refused)}, which would reach this machine, and is not allowed",
            hint=subject.allowing.format(", ".join(refused)),
        )
    for name, value in variables.items():
        if value is None and name not in subject.host:
            raise ConfigError(f"the variable {name} is not set here, and the check was given it", hint="set it")
    return Replay(
        launch=launch,
        special=special,
        environment=_had(launch.environment, subject.host),
        around=_had(launch.around, subject.host),
    )


@contextmanager
def going_on(replay: Replay, subject: Subject, volume: bytes | None) -> Iterator[Container]:
    """A container that goes on, as it was when a command was run in it. Raises BuilderError.

    Either it does what it did, for as long as it had done that; or it does nothing, and the steps before the command
    have been done in it.
    """
    launch = replay.launch
    started = [(launch.entrypoint, launch.command)] if launch.beside else [(("",), idle) for idle in commands.IDLE]
    why = ""
    for entrypoint, command in started:
        with subject.container(
            entrypoint=entrypoint,
            command=command,
            environment=replay.around,
            volume=(MOUNT, volume) if volume is not None else None,
            special=replay.special,
        ) as container:
            if why := container.start():
                continue
            time.sleep(min(launch.after, _LONGEST))
            for number, step in enumerate(launch.steps, 1):
                ran = container.execute(step, {}, subject.timeout, commands.OUTPUT_LIMIT)
                if ran.exit_code is None:
                    raise BuilderError(f"step {number} before the command: {ran.reason}", hint="see the bundle")
                container.again()
            yield container
            return
    raise BuilderError(f"the container does not go on: {why}", hint="run its suites again: dsci test")


def _had(variables: Mapping[str, str | None], host: Mapping[str, str]) -> Mapping[str, str]:
    return {name: host[name] if value is None else value for name, value in variables.items()}
