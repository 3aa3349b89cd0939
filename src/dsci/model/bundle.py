"""What is kept of a check that failed: what was run, how it ended, and all that is needed to run it again.

Of the variables that a container was given, documents have the names. A launch has the values as well, but for those
that came from the environment of the machine: these are had there once more when it is run again. What the engine says
is bounded and cleaned before it gets here or by whoever writes a document. Nothing is run or written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dsci.model.text import clean

#: How much is kept of either stream, in characters.
TAIL = 8_000
#: Shorter values are not masked: a text would lose every `1`.
_SHORTEST = 4
_MASK = "***"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an image's own health check."""

    exit_code: int
    output: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine says of a container."""

    out_of_memory: bool = False
    """Whether the kernel killed something in it for want of memory."""
    health: str = ""
    """`starting`, `healthy` or `unhealthy`; "" where it has no health check."""
    probes: tuple[Probe, ...] = ()
    """The last runs of its health check, oldest first."""
    inspect: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """All of `docker inspect`, without values of variables."""


class Launch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the container of a check was made, so that it can be made again."""

    entrypoint: tuple[str, ...] | None = None
    """None: the image's own."""
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str | None] = msgspec.field(default_factory=dict)
    """None: the value is the machine's own."""
    special: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """What it is given beside what its image says (`ports.Special`), where that is not the usual."""
    steps: tuple[tuple[str, ...], ...] = ()
    """What is run in it first; it is started anew after each of them."""
    around: Mapping[str, str | None] = msgspec.field(default_factory=dict)
    """The variables of the steps, which the command has too."""
    volume: bool = False
    """Whether it has the suite's volume."""
    beside: tuple[str, ...] = ()
    """What was run in it while it went on; `around` are its own variables then, `environment` those of this command."""
    user: str = ""
    """The user of that command, where it is not the container's."""
    after: float = 0.0
    """How long the container had run before it, in seconds."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A check that failed in a container."""

    argv: tuple[str, ...]
    """What was run, its entrypoint included."""
    exit_code: int | None = None
    reason: str = ""
    """Why there is no exit code, or what else is to be known of the run."""
    stdout: str = ""
    stderr: str = ""
    environment: tuple[str, ...] = ()
    """The names of the variables that were set beside the image's own."""
    seen: Seen | None = None
    launch: Launch | None = None
    alone: bool = True
    """Whether nothing but this check ran there: then what was printed is its own."""
    target: str = ""
    suite: str = ""
    check: str = ""
    image: str = ""
    """The image's digest."""
    replay: str = ""
    """The command that runs it again."""

    @property
    def ended(self) -> str:
        """How the run ended, in a few words."""
        words = [f"exit code {self.exit_code}" if self.exit_code is not None else "", self.reason]
        if self.seen is not None:
            words += ["out of memory" if self.seen.out_of_memory and "memory" not in self.reason else ""]
            words += [f"its health check says {self.seen.health}" if self.seen.health else ""]
        return "; ".join(dict.fromkeys(word for word in words if word))

    @property
    def lines(self) -> list[str]:
        """What is to be read of it below the check's own words."""
        lines = [f"command: {list(self.argv)}", f"ended: {self.ended}"] if self.alone else [f"ended: {self.ended}"]
        if self.seen is not None and self.seen.health == "unhealthy" and self.seen.probes:
            last = self.seen.probes[-1]
            lines += [f"health check, exit code {last.exit_code}: {last.output.strip()}"]
        return [*lines, "stdout:", self.stdout, "stderr:", self.stderr] if self.alone else lines


def tail(text: str, hidden: Mapping[str, str]) -> str:
    """The end of what was printed, harmless to show; the values of `hidden` variables are masked."""
    for value in sorted(hidden.values(), key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, _MASK)
    return clean(text, TAIL)


def without_values(inspected: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the engine says of a container, with the names of its variables alone; of its health elsewhere."""
    config, state = dict(inspected.get("Config") or {}), dict(inspected.get("State") or {})
    config["Env"] = [str(item).partition("=")[0] for item in config.get("Env") or ()]
    state.pop("Health", None)
    return {**inspected, "Config": config, "State": state}
