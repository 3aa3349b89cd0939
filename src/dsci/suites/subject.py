"""The image under test, as every kind of suite sees it."""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property, partial
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from dsci.errors import BuilderError
from dsci.model.limits import Left, Limits
from dsci.model.oci import Platform
from dsci.ports import (
    NOTHING_SPECIAL,
    UNBOUNDED,
    Bounds,
    Container,
    Engine,
    FileEntry,
    Files,
    HostSide,
    LocalImage,
    Special,
)
from dsci.suites.clock import Clock
from dsci.suites.expansion import expand

#: godotenv takes `NAME: VALUE` too. Source: https://github.com/joho/godotenv/blob/v1.5.1/parser.go
_COLON = re.compile(r"(?m)^(\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_.]*)\s*:\s*")


#: What is said of what would run where the image is looked at through its layers alone.
NOTHING_RUNS = "nothing is run in an image that is looked at through its layers: use --driver docker"


class Look(Protocol):
    """An image as it is while nothing runs in it."""

    def config(self) -> Mapping[str, Any]:
        """The image's config object."""

    def files(self) -> Files:
        """What it holds."""

    def everything(self) -> Sequence[tuple[str, FileEntry]]:
        """Every path and what stands there."""


class Still:
    """An image in the engine as it is while nothing runs in it: its config, and a container that is never started.

    All suites of an image look at the same one; the container is made when it is first wanted and removed at the end.
    Safe for threads. What it is asked raises BuilderError where the engine fails.
    """

    def __init__(self, engine: Engine, image: LocalImage, platform: Platform) -> None:
        self._inspect = partial(engine.config, image)
        self._make = partial(
            engine.container, image, platform=platform, entrypoint=[""], command=["/dsci-never-started"]
        )
        self._closing = ExitStack()
        self._lock = threading.Lock()
        self._config: Mapping[str, Any] | None = None
        self._made: Container | None = None
        self._everything: Sequence[tuple[str, FileEntry]] | None = None

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *error: Any) -> None:
        self._closing.__exit__(*error)

    def config(self) -> Mapping[str, Any]:
        """The image's config object."""
        with self._lock:
            if self._config is None:
                self._config = self._inspect()
            return self._config

    def files(self) -> Files:
        """The container."""
        with self._lock:
            if self._made is None:
                self._made = self._closing.enter_context(self._make())
            return self._made

    def everything(self) -> Sequence[tuple[str, FileEntry]]:
        """Every path and what stands there: asked for once, since all of the image is read for it."""
        files = self.files()
        with self._lock:
            if self._everything is None:
                self._everything = tuple(files.everything())
            return self._everything


def bounds(limits: Limits, raising: str) -> Bounds:
    """What one container of a suite may take, but for its time; `raising` is as `Bounds` has it."""
    return Bounds(processes=limits.processes, memory=limits.memory, disk=limits.disk, raising=raising)


class Subject(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An image, what its containers and checks may take, and the suite's files from Git."""

    engine: Engine | None
    """The engine that has it; None where it is looked at through its layers alone, and nothing runs."""
    image: LocalImage
    platform: Platform
    still: Look
    read: Callable[[str], bytes]
    """A suite file's content by its path from the repository's root."""
    executable: Callable[[str], bool]
    allow: frozenset[str] = frozenset()
    """What of this machine suites may reach (`settings.Allowance`)."""
    allowing: str = ""
    """How more is allowed: a sentence in which `{}` stands for it."""
    host: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The host's own environment."""
    sizes: Callable[[], tuple[int, tuple[str, int] | None]] | None = None
    """How many bytes the image has, compressed, and the last release, with its version; None where nobody knows."""
    digest: str = ""
    """The image's digest, where it has one before it is pushed."""
    host_side: HostSide | None = None
    """What runs on this machine; None where nothing does."""
    clock: Clock = msgspec.field(default_factory=Clock)
    bounds: Bounds = UNBOUNDED
    """What one container may take, but for its time, and how more is given."""
    own: float = math.inf
    """Seconds that a check allows itself."""

    @property
    def left(self) -> Left:
        """What the next check has: the least that is left of its own time, its suite's and the run's."""
        return self.clock.check(self.own)

    @property
    def timeout(self) -> float:
        """The same in seconds."""
        return self.left.seconds

    @property
    def rest(self) -> float:
        """Seconds that all checks have together which run in one container (`container(several=True)`)."""
        return self.clock.suite().seconds

    @property
    def over(self) -> str:
        """Why no further check may begin; "" as long as there is time."""
        left = self.clock.suite()
        return "" if left.seconds else left.unbegun(self.bounds.raising)

    def within(self, seconds: float) -> Subject:
        """The same for a check that allows itself no more than this."""
        return replace(self, own=seconds)

    @property
    def config(self) -> Mapping[str, Any]:
        """The image's config object."""
        return self.still.config()

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """The image's own environment."""
        return dict(str(item).split("=", 1) for item in self.config.get("Env") or () if "=" in str(item))

    def variables(self, path: str) -> Mapping[str, str]:
        """The variables in a file of `NAME=VALUE` lines, by its path as the suite's own are read."""
        from dotenv.parser import parse_stream

        text = _COLON.sub(r"\1=", self.read(path).decode(errors="replace"))
        found: dict[str, str] = {}
        for binding in parse_stream(io.StringIO(text)):
            if binding.key and binding.value:
                as_is = binding.original.string.partition("=")[2].lstrip().startswith("'")
                found[binding.key] = binding.value if as_is else expand(binding.value, found)
        return found

    def container(
        self,
        *,
        entrypoint: Sequence[str] | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        volume: tuple[str, bytes] | None = None,
        special: Special = NOTHING_SPECIAL,
        several: bool = False,
    ) -> AbstractContextManager[Container]:
        """A fresh container of the image. With `several` one run of it is many checks, which share the suite's time."""
        if self.engine is None:
            raise BuilderError("nothing is run in an image that is looked at through its layers")
        return self.engine.container(
            self.image,
            platform=self.platform,
            entrypoint=entrypoint,
            command=command,
            environment=environment,
            volume=volume,
            special=special,
            bounds=replace(self.bounds, left=self.clock.suite if several else partial(self.clock.check, self.own)),
        )

    def cancel(self) -> None:
        """End every container of this run; whoever created them removes them."""
        if self.engine is not None:
            self.engine.cancel()
