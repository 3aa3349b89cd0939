"""Builders: which one is asked for which platform, what one says of itself, and whether it runs what it has to.

A builder is a BuildKit that buildx knows by a name; without one the Docker Engine's own builds. Whom to ask, and how to
find out what a builder can do beside running programs, is not known here.

Source: https://docs.docker.com/build/builders/drivers/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model.oci import OciError, Platform
from dsci.model.text import line

#: What buildx and docker contexts take for names, both together.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
_FORM = "write a builder's name, or OS/ARCH=NAME for one platform; `docker buildx ls` lists names"
_SHOWN = 300
#: What a processor runs of others without being asked for a list: https://github.com/tonistiigi/binfmt is for the rest.
_ALSO = {Platform("linux", "amd64"): frozenset({Platform("linux", "386")})}


class Builders(msgspec.Struct, frozen=True, kw_only=True):
    """Which builder is asked for which platform; None is the engine's own."""

    every: str | None = None
    """Whoever builds where nobody is named for the platform."""
    by_platform: Mapping[Platform, str] = msgspec.field(default_factory=dict)

    def of(self, platform: Platform) -> str | None:
        """The builder for a platform."""
        return self.by_platform.get(platform, self.every) or None

    @property
    def names(self) -> tuple[str, ...]:
        """Every builder that is named, sorted."""
        return tuple(sorted({name for name in (self.every, *self.by_platform.values()) if name}))

    def without(self, own: str) -> Builders:
        """The same, where the engine's own builder has no name."""
        return replace(
            self,
            every=None if self.every == own else self.every,
            by_platform={platform: "" if name == own else name for platform, name in self.by_platform.items()},
        )


def parse(words: Iterable[str]) -> Builders:
    """Read `NAME` and `OS/ARCH=NAME`. Raises ConfigError."""
    every: str | None = None
    chosen: dict[Platform, str] = {}
    for word in words:
        where, equals, name = word.rpartition("=")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{word[:200]!r} names no builder", hint=_FORM)
        if not equals:
            if every not in (None, name):
                raise ConfigError(f"two builders are named for every platform: {every} and {name}", hint=_FORM)
            every = name
            continue
        try:
            platform = Platform.parse(where)
        except OciError as error:
            raise ConfigError(f"{word[:200]!r}: {error.message}", hint=_FORM) from None
        if chosen.setdefault(platform, name) != name:
            raise ConfigError(f"two builders are named for {platform}: {chosen[platform]} and {name}", hint=_FORM)
    return Builders(every=every, by_platform=chosen)


def settled(given: str | Mapping[str, str]) -> Builders:
    """What `builder.name` of `dsci.yaml` says: a name, or names by platform. Raises ConfigError."""
    if isinstance(given, str):
        return parse([given] if given else [])
    return parse(f"{platform}={name}" for platform, name in given.items())


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One BuildKit of a builder."""

    name: str
    running: bool
    platforms: tuple[Platform, ...] = ()
    """What it runs, its own platform first."""
    version: str = ""
    """BuildKit's; some distributions leave it out."""
    problem: str = ""
    """What is in the way of asking it."""


class Builder(msgspec.Struct, frozen=True, kw_only=True):
    """What a builder says of itself."""

    name: str
    driver: str
    nodes: tuple[Node, ...]

    @property
    def platforms(self) -> frozenset[Platform]:
        """Everything that one of its nodes runs."""
        return frozenset(platform for node in self.nodes for platform in node.platforms)

    def native(self, platform: Platform) -> Platform | None:
        """The own platform of the node that builds for this one: the first that has it, else the first of all."""
        fitting = [node for node in self.nodes if runs(platform, node.platforms)] or list(self.nodes)
        return next((node.platforms[0] for node in fitting if node.platforms), None)

    def __str__(self) -> str:
        versions = sorted({node.version for node in self.nodes if node.version})
        several = f"{len(self.nodes)} nodes, " if len(self.nodes) > 1 else ""
        version = f", BuildKit {' and '.join(versions)}" if versions else ""
        return f"builder {self.name} ({several}{self.driver} driver{version})"


def runs(platform: Platform, able: Collection[Platform]) -> bool:
    """Whether something for this platform is run where these are run: older ARM processors by newer ones, too."""
    if platform in able or any(platform in _ALSO.get(each, ()) for each in able):
        return True
    if platform.architecture not in ("arm", "amd64"):
        return False
    return any(
        (each.os, each.architecture) == (platform.os, platform.architecture) and each.variant >= platform.variant
        for each in able
    )


def missing(wanted: Iterable[Platform], able: Collection[Platform]) -> tuple[Platform, ...]:
    """The platforms that are run nowhere there, sorted."""
    return tuple(sorted({platform for platform in wanted if not runs(platform, able)}))


def listed(platforms: Iterable[Platform]) -> str:
    """Platforms for a message, without the levels of a processor that is there anyway."""
    plain = {platform for platform in platforms if not (platform.architecture == "amd64" and platform.variant)}
    return ", ".join(map(str, sorted(plain))) or "none"


def read(text: str, name: str) -> Builder:
    """What `docker buildx inspect` prints of a builder: fields of the builder, then those of each node.

    Whatever is not understood is left out.

    Source: https://docs.docker.com/reference/cli/docker/buildx/inspect/
    """
    _, *parts = re.split(r"^Name:", text.partition("Nodes:")[2], flags=re.MULTILINE)
    top = _fields(text.partition("Nodes:")[0])
    nodes = [_node(f"Name:{part}") for part in parts]
    if not nodes and (problem := top.get("Error")):
        nodes = [Node(name=name, running=False, problem=line(problem, _SHOWN))]
    return Builder(name=name, driver=line(top.get("Driver", ""), _SHOWN) or "unknown", nodes=tuple(nodes))


def _node(text: str) -> Node:
    fields = _fields(text)
    platforms: dict[Platform, None] = {}
    for word in fields.get("Platforms", "").split(","):
        try:
            # A star marks what was said when the builder was made, and is not found out.
            platforms[Platform.parse(word.strip().rstrip("*"))] = None
        except OciError:
            continue
    version = fields.get("BuildKit version", fields.get("Buildkit", ""))
    return Node(
        name=line(fields.get("Name", ""), _SHOWN),
        running=fields.get("Status", "") == "running",
        platforms=tuple(platforms),
        version="" if version.startswith("v0.0.0") else line(version, _SHOWN),
        problem=line(fields.get("Error", ""), _SHOWN),
    )


def _fields(text: str) -> dict[str, str]:
    """`Field: value` lines; the first of a name counts, and what is indented (labels, rules) is none."""
    found: dict[str, str] = {}
    for row in text.splitlines():
        name, colon, value = row.partition(":")
        if colon and name and not name[0].isspace():
            found.setdefault(name, value.strip())
    return found
