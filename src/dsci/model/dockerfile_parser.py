"""The instructions of a Dockerfile, as far as they name images, files and variables.

`parse` checks every instruction that BuildKit would refuse for its form and keeps what `dockerfile` resolves: stages
with their ARG, ENV, COPY, ADD, ONBUILD and the mounts of RUN. Nothing is expanded here. Flags that dsci does not know
pass: newer frontends have more of them, and BuildKit judges them anyway.

Sources: https://docs.docker.com/reference/dockerfile/,
https://github.com/moby/buildkit/tree/v0.13.1/frontend/dockerfile/instructions (`parse.go`, `commands_runmount.go`)
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from dsci.errors import ConfigError
from dsci.model import dockerfile_lexer as lexer
from dsci.model.dockerfile_lexer import Instruction, Place
from dsci.model.dockerfile_shell import Budget, ShellError, expand, heredoc

#: More stages than anybody writes; what a stage inherits is copied, and hostile files must stay cheap.
STAGE_LIMIT = 256

_WITHOUT_ARGUMENTS = frozenset({"CMD", "ENTRYPOINT", "RUN"})
_KEYWORDS = _WITHOUT_ARGUMENTS | {
    *("ADD", "ARG", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "SHELL"),
    *("STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}
_WITH_LISTS = frozenset({"CMD", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")


class Arg(msgspec.Struct, frozen=True, kw_only=True):
    """ARG: names with their defaults."""

    place: Place
    pairs: tuple[tuple[str, str | None], ...]


class Env(msgspec.Struct, frozen=True, kw_only=True):
    """ENV: names with their values."""

    place: Place
    pairs: tuple[tuple[str, str], ...]


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """COPY or ADD: what is taken, and from which stage or image; None is the build context."""

    place: Place
    origin: str | None
    sources: tuple[str, ...]
    adds: bool
    """Whether it is ADD, which takes URLs too."""
    documents: bool = False
    """Whether here-documents are among what is taken."""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """RUN --mount: its fields, and the stage or image it shows; None is the build context."""

    place: Place
    origin: str | None
    fields: tuple[tuple[str, str], ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """RUN: something is executed."""

    place: Place


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What BuildKit expands of other instructions. It decides nothing here but whether the file is legal."""

    place: Place
    words: tuple[str, ...]


class OnBuild(msgspec.Struct, frozen=True, kw_only=True):
    """ONBUILD: steps that run in the stages and images that stand on this one."""

    place: Place
    steps: tuple[Step, ...]
    problem: ConfigError | None = None
    """Why they cannot run. That harms nobody until something stands on this stage."""


Step = Arg | Env | Copy | Mount | Run | Words | OnBuild


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage as it is written: nothing in it is expanded."""

    index: int
    name: str | None
    """In lower case; None where the stage has none."""
    place: Place
    base: str
    platform: str | None
    steps: tuple[Step, ...]

    @property
    def line(self) -> int:
        """The line of its FROM."""
        return self.place.line


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """A Dockerfile: its global arguments and its stages, at least one."""

    path: str
    syntax: str | None
    """The frontend that its `# syntax=` line asks for."""
    escape: str
    args: tuple[Arg, ...]
    """The ARGs before the first FROM."""
    stages: tuple[Stage, ...]


@lru_cache(maxsize=1024)
def parse(text: str, *, path: str) -> Dockerfile:
    """Read a Dockerfile; `path` is for messages.

    Raises ConfigError as `path:line: …` for what BuildKit refuses, for files over 1 MiB and for more than 256 stages.
    """
    script = lexer.read(text, path=path)
    args: list[Arg] = []
    stages: list[tuple[Instruction, list[Step]]] = []
    for instruction in script.instructions:
        if instruction.keyword == "FROM":
            stages.append((instruction, []))
            continue
        steps = _steps(instruction, script.escape)
        if stages:
            stages[-1][1].extend(steps)
        elif instruction.keyword == "ARG":
            args += (step for step in steps if isinstance(step, Arg))
        else:
            raise instruction.place.error(
                f"{instruction.keyword} before the first FROM", hint="only ARG may stand before the first FROM"
            )
    if not stages:
        raise ConfigError(f"{path}: no FROM in this Dockerfile", hint="start it with FROM and the image to stand on")
    if len(stages) > STAGE_LIMIT:
        raise stages[STAGE_LIMIT][0].place.error(f"more than {STAGE_LIMIT} stages")
    return Dockerfile(
        path=path,
        syntax=script.syntax,
        escape=script.escape,
        args=tuple(args),
        stages=tuple(_stage(index, instruction, tuple(steps)) for index, (instruction, steps) in enumerate(stages)),
    )


def _stage(index: int, instruction: Instruction, steps: tuple[Step, ...]) -> Stage:
    given: str | None = None
    match instruction.spaced():
        case (base,):
            pass
        case (base, as_, given) if as_.lower() == "as":
            pass
        case _:
            raise instruction.place.error("FROM takes an image, or an image AS a name")
    name = given.lower() if given is not None else None
    if name is not None and not _STAGE_NAME.fullmatch(name):
        raise instruction.place.error(
            f"{name[:100]!r} is not a legal stage name", hint="a letter, then letters, digits and - _ ."
        )
    platform = instruction.flag("platform")
    return Stage(index=index, name=name, place=instruction.place, base=base, platform=platform, steps=steps)


def _steps(instruction: Instruction, escape: str) -> tuple[Step, ...]:
    """What matters of an instruction; nothing for those that name neither images nor files nor variables."""
    keyword, place = instruction.keyword, instruction.place
    if keyword not in _KEYWORDS:
        from difflib import get_close_matches

        near = get_close_matches(keyword[:20], sorted(_KEYWORDS), 1)
        raise place.error(f"unknown instruction {keyword[:100]!r}", hint=f"did you mean {near[0]}?" if near else "")
    if keyword not in _WITHOUT_ARGUMENTS and not instruction.rest:
        raise place.error(f"{keyword} needs at least one argument")
    if keyword in _WITH_LISTS:
        instruction.json()
    match keyword:
        case "ARG":
            return (Arg(place=place, pairs=_arg_pairs(instruction, escape)),)
        case "ENV" | "LABEL":
            pairs = _env_pairs(instruction, escape)
            if keyword == "ENV":
                return (Env(place=place, pairs=pairs),)
            return (Words(place=place, words=tuple(word for pair in pairs for word in pair)),)
        case "COPY" | "ADD":
            flags = tuple(value for name in ("chown", "checksum") for value in instruction.flag_values(name))
            return (_copy(instruction, escape), Words(place=place, words=(*flags, instruction.arguments()[-1])))
        case "EXPOSE" | "VOLUME":
            return (Words(place=place, words=instruction.arguments() if keyword == "VOLUME" else instruction.spaced()),)
        case "STOPSIGNAL" | "USER" | "WORKDIR":
            return (Words(place=place, words=(instruction.rest,)),)
        case "RUN":
            return (Run(place=place), *(_mount(text, place) for text in instruction.flag_values("mount")))
        case "ONBUILD":
            return (_on_build(instruction, escape),)
    return ()


def _arg_pairs(instruction: Instruction, escape: str) -> tuple[tuple[str, str | None], ...]:
    """`NAME` or `NAME=default`, several of them."""
    pairs = [word.partition("=") for word in instruction.words(escape)]
    if not pairs or not all(name for name, _, _ in pairs):
        raise instruction.place.error("an ARG without a name")
    return tuple((name, default if equals else None) for name, equals, default in pairs)


def _env_pairs(instruction: Instruction, escape: str) -> tuple[tuple[str, str], ...]:
    """`NAME=value`, several of them, or the old `NAME value` with the rest of the line as its value."""
    words = instruction.words(escape)
    if words and "=" not in words[0]:
        name, *rest = instruction.rest.split(maxsplit=1)
        if rest:
            return ((name, rest[0]),)
    pairs = [word.partition("=") for word in words]
    if not pairs or not all(name and equals for name, equals, _ in pairs):
        raise instruction.place.error(
            f"{instruction.keyword} {instruction.rest[:100]} is not of the form NAME=value",
            hint="put values that have spaces in them into quotes",
        )
    return tuple((name, value) for name, _, value in pairs)


def _copy(instruction: Instruction, escape: str) -> Copy:
    keyword, place = instruction.keyword, instruction.place
    *sources, destination = instruction.arguments() or ("",)
    if not sources:
        raise place.error(f"{keyword} needs what to copy and where to", hint=f"{keyword} SOURCE… DESTINATION")
    try:
        local = tuple(source for source in sources if heredoc(source) is None)
        if heredoc(destination) is not None:
            raise place.error(f"{keyword} cannot write to a here-document")
    except ShellError as error:
        raise place.error(error) from None
    origin = instruction.flag("from")
    if keyword == "ADD" and origin is not None:
        raise place.error("ADD has no --from", hint="use COPY --from")
    if origin and _changes(origin, escape, place):
        raise place.error(
            f"--from={origin} is not expanded by BuildKit",
            hint="name a stage for it (FROM $IMAGE AS name, with ARG IMAGE before the first FROM) and copy from that",
        )
    documents = len(local) < len(sources)
    return Copy(place=place, origin=origin or None, sources=local, adds=keyword == "ADD", documents=documents)


def _changes(word: str, escape: str, place: Place) -> bool:
    """Whether expansion would make something else of a word, which BuildKit refuses where it does not expand."""
    try:
        return expand(word, {}, escape=escape, budget=Budget()).text != word
    except ShellError as error:
        raise place.error(error) from None


def _mount(text: str, place: Place) -> Mount:
    import csv

    try:
        fields = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise place.error(f"--mount={text[:100]} is no list of fields: {error}") from None
    if not fields:
        raise place.error("--mount without fields")
    pairs = tuple((key.lower(), value) for key, _, value in (part.partition("=") for part in fields))
    origin = dict(pairs).get("from")
    if origin and re.search(r"\$.", origin):
        raise place.error(
            f"from={origin} is not expanded by BuildKit",
            hint="name a stage for it (FROM $IMAGE AS name, with ARG IMAGE before the first FROM) and mount that",
        )
    return Mount(place=place, origin=origin or None, fields=pairs)


def _on_build(instruction: Instruction, escape: str) -> OnBuild:
    trigger = Instruction.parse(instruction.rest, instruction.place)
    if trigger.keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise instruction.place.error(f"{trigger.keyword} is not allowed as an ONBUILD trigger")
    try:
        return OnBuild(place=instruction.place, steps=_steps(trigger, escape))
    except ConfigError as error:
        return OnBuild(place=instruction.place, steps=(), problem=error)
