"""Dockerfiles: what an image is made of, told without a builder and as BuildKit would tell it.

`parse` reads the file; `resolve` chooses one of its stages and follows it for one platform and one set of build
arguments: which images it stands on or takes from, which files of the context it copies, which arguments reach it.
Nothing is fetched, so what a base image brings along stays unknown: where its variables may decide which files are
copied, all of them count; what its ONBUILD triggers do is not seen. Lines are `dockerfile_lexer`'s, variables
`dockerfile_shell`'s, forms `dockerfile_parser`'s, stages `dockerfile_graph`'s; what is a sibling and what a base is
`family`'s.

Source: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/dockerfile2llb/convert.go
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from posixpath import basename, normpath
from typing import assert_never

from dsci.errors import ConfigError
from dsci.model.dockerfile_graph import Base, Graph
from dsci.model.dockerfile_lexer import Place
from dsci.model.dockerfile_parser import Arg, Copy, Dockerfile, Env, Mount, OnBuild, Stage, parse
from dsci.model.dockerfile_shell import Expansion, ShellError
from dsci.model.oci import Platform

__all__ = [
    "UNREADABLE",
    "CopySource",
    "Dockerfile",
    "DockerfileWarning",
    "Recipe",
    "Source",
    "Stage",
    "parse",
    "resolve",
]

_MOUNT_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An image from elsewhere that a stage stands on, copies from or mounts."""

    name: str
    """As it is written, variables expanded."""
    platform: Platform | None
    """The platform that its FROM asks for where that is another one than the target's."""
    line: int
    """Where it is named first."""
    kinds: frozenset[str]
    """How it is used: `from`, `copy`, `mount`."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CopySource:
    """A pattern of paths in the build context (https://pkg.go.dev/path/filepath#Match); `.` is all of it."""

    line: int
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DockerfileWarning:
    """Something that builds but is hardly meant, or that dsci cannot see through."""

    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one stage is made of, on one platform and with one set of build arguments."""

    stages: tuple[Stage, ...]
    """The stages that are built for it, in the order of the file."""
    sources: tuple[Source, ...]
    """Each external image, once for each platform, in the order of the file."""
    lineage: str | None
    """The external image that the chosen stage descends from; None for `scratch`."""
    lineage_platform: Platform | None
    """The platform of that image where it is another one than the target's."""
    args: tuple[str, ...]
    """The build arguments that may reach it, sorted. Predefined platform arguments count only where they are given."""
    copies: tuple[CopySource, ...]
    """What it takes from the build context."""
    stage_names: tuple[str, ...]
    """Every stage name in the file, in lower case."""
    secrets: tuple[str, ...]
    """The ids of the secrets that are mounted, sorted."""
    warnings: tuple[DockerfileWarning, ...]


#: What is known of a Dockerfile that cannot be read.
UNREADABLE = Recipe(
    stages=(),
    sources=(),
    lineage=None,
    lineage_platform=None,
    args=(),
    copies=(),
    stage_names=(),
    secrets=(),
    warnings=(),
)


def resolve(
    dockerfile: Dockerfile,
    *,
    stage: str | None,
    args: Mapping[str, str],
    platform: Platform,
    build_platform: Platform | None = None,
) -> Recipe:
    """Follow a stage, by default the last one. Without a build platform the target's own stands for it.

    Raises ConfigError as `path:line: …` where BuildKit would refuse the file with these arguments: a FROM that expands
    to no legal reference, a copy from a later stage, an unset `${NAME:?}`, a stage that does not exist.
    """
    for name, value in args.items():
        if not _is_utf8(value):
            raise ConfigError(f"{dockerfile.path}: the build argument {name[:100]!a} is not UTF-8")
    graph = Graph.of(dockerfile, stage=stage, given=args, platform=platform, build_platform=build_platform or platform)
    target = graph.target(stage)
    needed = graph.needed_by(target)
    walk = _Walk(graph)
    for index in needed:
        walk.run(dockerfile.stages[index])
    root = graph.root(target)
    return Recipe(
        stages=tuple(dockerfile.stages[index] for index in needed),
        sources=tuple(sorted(walk.sources.values(), key=lambda source: (source.line, source.name))),
        lineage=root.image,
        lineage_platform=root.platform,
        args=tuple(sorted(walk.args - (graph.predefined.keys() - args.keys()))),
        copies=tuple(sorted(walk.copies)),
        stage_names=tuple(graph.names),
        secrets=tuple(sorted(walk.secrets)),
        warnings=tuple(sorted(walk.warnings)),
    )


@dataclass(slots=True)
class _Walk:
    """One walk through the stages that are needed, each after those it needs."""

    graph: Graph
    variables: dict[int, dict[str, str]] = field(default_factory=dict)
    """What is known of the variables of each stage that was walked through."""
    args: set[str] = field(default_factory=set)
    sources: dict[tuple[str, Platform | None], Source] = field(default_factory=dict)
    copies: set[CopySource] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    warnings: set[DockerfileWarning] = field(default_factory=set)

    def run(self, stage: Stage) -> None:
        """Go through a stage."""
        graph, index = self.graph, stage.index
        base = graph.bases[index]
        self.args |= base.args
        if base.image is not None:
            self._use(base.image, base.platform, stage.place, "from")
        for name in sorted(base.undeclared):
            self._warn(stage.place, f"FROM uses ${name}, which no ARG before the first FROM declares: it is empty")
        if stage.name and graph.names[stage.name] != index:
            self._warn(stage.place, f"a later stage is named {stage.name} too and hides this one")
        variables = self._inherited(base, stage.place)
        self.variables[index] = variables
        closed = graph.root(index).image is None
        for step in graph.steps(index):
            match step:
                case Arg():
                    self._declare(step, variables, closed)
                case Env():
                    self._set(step, variables, closed)
                case Copy():
                    self._copy(step, variables, closed)
                case Mount():
                    self._mount(step, variables, closed)
                case OnBuild():
                    self._warn_of_children(step)
                case _:
                    assert_never(step)

    def _inherited(self, base: Base, place: Place) -> dict[str, str]:
        """The variables of the stage that a stage stands on; a copy, and paid for like any expansion."""
        inherited = self.variables[base.stage] if base.stage is not None else {}
        try:
            self.graph.budget.spend(len(inherited))
        except ShellError as error:
            raise place.error(error) from None
        return dict(inherited)

    def _declare(self, arg: Arg, variables: dict[str, str], closed: bool) -> None:
        """ARG in a stage: the given value, else its own default, else the global argument of that name."""
        graph = self.graph
        for name, default in arg.pairs:
            self.args.add(name)
            if name in graph.given:
                variables[name] = graph.given[name]
            elif default is not None:
                _assign(variables, name, graph.expand(default, variables, arg.place), closed)
            else:
                self.args |= graph.origins.get(name, frozenset())
                if name in graph.globals:
                    variables[name] = graph.globals[name]

    def _set(self, env: Env, variables: dict[str, str], closed: bool) -> None:
        """ENV: every value is expanded with the variables before it."""
        expanded = [
            (self.graph.expand(name, variables, env.place).text, self.graph.expand(value, variables, env.place))
            for name, value in env.pairs
        ]
        for name, value in expanded:
            _assign(variables, name, value, closed)

    def _copy(self, copy: Copy, variables: Mapping[str, str], closed: bool) -> None:
        """COPY and ADD: sources are paths of the context unless another stage or image is named."""
        for source in copy.sources:
            path = self.graph.expand(source, variables, copy.place)
            if copy.origin is None:
                self._take(path, copy.place, closed)
        self._use_origin(copy, "copy")

    def _mount(self, mount: Mount, variables: Mapping[str, str], closed: bool) -> None:
        """RUN --mount, as `parseMount` and `dispatchSecret` have it."""
        fields = {key: self.graph.expand(value, variables, mount.place) for key, value in mount.fields}
        nothing = Expansion("", frozenset(), frozenset())
        source = fields.get("source", fields.get("src", nothing))
        target = fields.get("target", fields.get("dst", fields.get("destination", nothing)))
        kind = fields["type"].text.lower() if "type" in fields else "bind"
        if kind not in _MOUNT_TYPES:
            raise mount.place.error(f"{kind[:100]!r} is no type of mount", hint=f"types are {', '.join(_MOUNT_TYPES)}")
        if kind == "bind" and mount.origin is None:
            self._take(source, mount.place, closed)
        elif kind == "secret":
            secret = source.text or fields.get("id", nothing).text or basename(target.text.rstrip("/"))
            if not secret:
                raise mount.place.error("a secret mount without id and target", hint="--mount=type=secret,id=NAME")
            self.secrets.add(secret)
        self._use_origin(mount, "mount")

    def _take(self, path: Expansion, place: Place, closed: bool) -> None:
        """Note what is taken from the build context; all of it where variables of the base image have a say."""
        pattern = normpath("/" + path.text.lstrip("/"))[1:] or "."
        if path.missing and not closed:
            pattern = "."
            unknown = ", ".join(f"${name}" for name in sorted(path.missing))
            self._warn(place, f"the base image may set {unknown}: every file of the context counts as copied")
        self.copies.add(CopySource(line=place.line, pattern=pattern))

    def _use_origin(self, step: Copy | Mount, kind: str) -> None:
        image = self.graph.image_of(step)
        if image is not None:
            self._use(image, None, step.place, kind)

    def _use(self, name: str, platform: Platform | None, place: Place, kind: str) -> None:
        known = self.sources.get((name, platform))
        self.sources[name, platform] = Source(
            name=name,
            platform=platform,
            line=min(known.line, place.line) if known else place.line,
            kinds=frozenset({kind}) | (known.kinds if known else frozenset()),
        )

    def _warn_of_children(self, trigger: OnBuild) -> None:
        for step in trigger.steps:
            if isinstance(step, Copy | Mount) and step.origin is not None:
                self._warn(
                    trigger.place,
                    f"images that stand on this one will need {step.origin} (ONBUILD); dsci cannot see that",
                )

    def _warn(self, place: Place, message: str) -> None:
        self.warnings.add(DockerfileWarning(line=place.line, message=message))


def _assign(variables: dict[str, str], name: str, value: Expansion, closed: bool) -> None:
    """Set a variable, or forget it where its value depends on what a base image may have set."""
    if value.missing and not closed:
        variables.pop(name, None)
    else:
        variables[name] = value.text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
