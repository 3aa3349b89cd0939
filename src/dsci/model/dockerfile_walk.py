"""What the stages of a Dockerfile take: images, files of the build context, secrets, arguments.

`Walk.run` goes through one stage after the other, each after those it needs, with the variables that are known where
each step stands. Which stages there are and what they stand on is `dockerfile_graph`'s.

Source: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/dockerfile2llb/convert.go
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from posixpath import basename, normpath
from typing import assert_never

import msgspec

from dsci.model.dockerfile_graph import Base, Graph
from dsci.model.dockerfile_lexer import Place
from dsci.model.dockerfile_parser import Arg, Copy, Env, Mount, OnBuild, Run, Stage, Words
from dsci.model.dockerfile_shell import Expansion, ShellError
from dsci.model.oci import Platform

#: What ADD fetches as a Git repository (tried).
#: Source: https://github.com/moby/buildkit/tree/v0.13.1/util/gitutil (`git_url.go`, `git_ref.go`)
_GIT = re.compile(
    r"(?i:git|ssh)://|(?:http|(?i:https))://[^?#]*\.git(?:[?#]|\Z)|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:", re.DOTALL
)
#: What ADD fetches and COPY refuses (tried).
_REMOTE = re.compile(f"https?://|{_GIT.pattern}", re.DOTALL)
_MOUNT_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An image from elsewhere that a stage stands on, copies from or mounts."""

    name: str
    """As it is written, variables expanded."""
    platform: Platform | None
    """The platform that its FROM asks for where that is another one than the target's."""
    line: int
    """Where it is named first."""
    kinds: frozenset[str]
    """How it is used: `from`, `copy`, `mount`."""


class CopySource(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A pattern of paths in the build context (https://pkg.go.dev/path/filepath#Match); `.` is all of it."""

    line: int
    pattern: str


class Undated(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A step that takes files which BuildKit made for itself, and whose times it remembers under `--no-cache` too.

    Tried: 0.13. The frontend makes them in steps of their own, and says of those alone that a Dockerfile names that
    they are to be run again: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/dockerfile2llb/convert.go
    (`dispatchCopy`)
    """

    line: int
    what: str


class DockerfileWarning(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Something that builds but is hardly meant, or that dsci cannot see through."""

    line: int
    message: str


class Walk(msgspec.Struct):
    """One walk through the stages that are needed, each after those it needs."""

    graph: Graph
    variables: dict[int, dict[str, str]] = msgspec.field(default_factory=dict)
    """What is known of the variables of each stage that was walked through."""
    environment: dict[int, dict[str, str | None]] = msgspec.field(default_factory=dict)
    """What ENV sets in each stage and in those below it; None where the value is not known."""
    open: set[int] = msgspec.field(default_factory=set)
    """The stages in which variables may be set that are not known: by a base image, or by one version of BuildKit."""
    args: set[str] = msgspec.field(default_factory=set)
    sources: dict[tuple[str, Platform | None], Source] = msgspec.field(default_factory=dict)
    copies: set[CopySource] = msgspec.field(default_factory=set)
    secrets: set[str] = msgspec.field(default_factory=set)
    runs: set[Platform] = msgspec.field(default_factory=set)
    """The platforms on which something is executed."""
    undated: set[Undated] = msgspec.field(default_factory=set)
    warnings: set[DockerfileWarning] = msgspec.field(default_factory=set)

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
        variables, environment = self._inherited(base, stage.place)
        self.variables[index], self.environment[index] = variables, environment
        if base.image is not None or base.stage in self.open:
            self.open.add(index)
        for step in graph.steps(index):
            closed = index not in self.open
            match step:
                case Arg():
                    if not self._declare(step, variables, closed):
                        self.open.add(index)
                case Env():
                    self._set(step, variables, environment, closed)
                case Copy():
                    self._copy(step, variables, closed)
                case Mount():
                    self._mount(step, variables, closed)
                case Run():
                    self.runs.add(graph.root(index).platform or graph.platform)
                case Words():
                    for word in step.words:
                        graph.expand(word, variables, step.place, open_ended=not closed)
                case OnBuild():
                    self._warn_of_children(step)
                case _:
                    assert_never(step)

    def _inherited(self, base: Base, place: Place) -> tuple[dict[str, str], dict[str, str | None]]:
        """The variables with which a stage begins, and what ENV sets of them; copies, paid for like any expansion.

        Over what the stage below it ended with, BuildKit lays the environment of that stage's image: an ARG that hides
        a variable of it does so to the end of its own stage and no further.
        """
        if base.stage is None:
            return {}, {}
        variables, environment = dict(self.variables[base.stage]), dict(self.environment[base.stage])
        try:
            self.graph.budget.spend(len(variables) + len(environment))
        except ShellError as error:
            raise place.error(error) from None
        if base.stage in self.open:
            variables.clear()
        variables |= {name: value for name, value in environment.items() if value is not None}
        return variables, environment

    def _declare(self, arg: Arg, variables: dict[str, str], closed: bool) -> bool:
        """ARG in a stage: the given value, else its own default, else the global argument of that name.

        False where a value is not known, since it depends on the version of BuildKit: 0.13 for one does not know yet
        what an ARG declares in front of a default.
        """
        graph = self.graph
        before: set[str] = set()
        known = True
        for name, default in arg.pairs:
            self.args.add(name)
            if name in graph.given:
                variables[name] = graph.given[name]
            elif default is not None:
                value = graph.expand(default, variables, arg.place, open_ended=not closed)
                if before & (value.found | value.missing):
                    self._warn(
                        arg.place, f"not every BuildKit knows here what {name} is made of: give it an ARG of its own"
                    )
                    variables.pop(name, None)
                    known = False
                else:
                    _assign(variables, name, value, closed)
            else:
                self.args |= graph.origins.get(name, frozenset())
                if name in graph.globals and name not in graph.older:
                    variables[name] = graph.globals[name]
                elif name in graph.globals:
                    variables.pop(name, None)
                    known = False
            before.add(name)
        return known

    def _set(self, env: Env, variables: dict[str, str], environment: dict[str, str | None], closed: bool) -> None:
        """ENV: every value is expanded with the variables before it."""
        expanded = [
            tuple(self.graph.expand(word, variables, env.place, open_ended=not closed) for word in pair)
            for pair in env.pairs
        ]
        for name, value in expanded:
            _assign(variables, name.text, value, closed)
            environment[name.text] = variables.get(name.text)

    def _copy(self, copy: Copy, variables: Mapping[str, str], closed: bool) -> None:
        """COPY and ADD: sources are paths of the context unless another stage or image is named."""
        for source in copy.sources:
            path = self.graph.expand(source, variables, copy.place, open_ended=not closed)
            if _REMOTE.match(path.text):
                if not copy.adds:
                    raise copy.place.error("COPY takes no URL", hint="use ADD")
                if _GIT.match(path.text):
                    self.undated.add(Undated(line=copy.place.line, what="a Git repository"))
            elif copy.origin is None:
                self._take(path, copy.place, closed)
        if copy.documents:
            self.undated.add(Undated(line=copy.place.line, what="a here-document"))
        self._use_origin(copy, "copy")

    def _mount(self, mount: Mount, variables: Mapping[str, str], closed: bool) -> None:
        """RUN --mount, as `parseMount` and `dispatchSecret` have it."""
        fields = {
            key: self.graph.expand(value, variables, mount.place, open_ended=not closed) for key, value in mount.fields
        }
        nothing = Expansion("", frozenset(), frozenset())
        source = fields.get("source", fields.get("src", nothing))
        target = fields.get("target", fields.get("dst", fields.get("destination", nothing)))
        kind = fields["type"].text.lower() if "type" in fields else "bind"
        if kind not in _MOUNT_TYPES:
            raise mount.place.error(f"{kind[:100]!r} is no type of mount", hint=f"types are {', '.join(_MOUNT_TYPES)}")
        if kind == "bind" and mount.origin is None:
            self._take(source, mount.place, closed)
        elif kind == "secret":
            name = fields.get("id", nothing)
            if not closed and (unknown := source.missing | name.missing | target.missing):
                self._warn(
                    mount.place, f"the base image may set {_listed(unknown)}: which secret is mounted is not known"
                )
                return
            secret = source.text or name.text or basename(target.text.rstrip("/"))
            if not secret:
                raise mount.place.error("a secret mount without id and target", hint="--mount=type=secret,id=NAME")
            self.secrets.add(secret)
        self._use_origin(mount, "mount")

    def _take(self, path: Expansion, place: Place, closed: bool) -> None:
        """Note what is taken from the build context; all of it where variables of the base image have a say."""
        pattern = normpath("/" + path.text.lstrip("/"))[1:] or "."
        if path.missing and not closed:
            pattern = "."
            self._warn(
                place, f"the base image may set {_listed(path.missing)}: every file of the context counts as copied"
            )
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
        if trigger.problem is not None:
            self._warn(trigger.place, f"nothing can stand on this stage (ONBUILD): {trigger.problem.message}")
        for step in trigger.steps:
            if isinstance(step, Copy | Mount) and step.origin is not None:
                self._warn(
                    trigger.place,
                    f"images that stand on this one will need {step.origin} (ONBUILD); dsci cannot see that",
                )

    def _warn(self, place: Place, message: str) -> None:
        self.warnings.add(DockerfileWarning(line=place.line, message=message))


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))


def _assign(variables: dict[str, str], name: str, value: Expansion, closed: bool) -> None:
    """Set a variable, or forget it where its value depends on what a base image may have set."""
    if value.missing and not closed:
        variables.pop(name, None)
    else:
        variables[name] = value.text
