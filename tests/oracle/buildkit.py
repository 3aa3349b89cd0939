"""BuildKit as a witness: what its frontend makes of a Dockerfile.

It is asked for the list of stages, for the outline of one of them (the arguments that reach it), and for the graph of
a build. Images that are given are but a name in that graph, without files: nothing is pulled and nothing is carried
out. An image that was not given is looked for in its registry, and shows as such.

Source: https://github.com/moby/buildkit/blob/v0.13.1/solver/pb/ops.proto
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from tests.oracle.bridge import Bridge, Refused, Solved
from tests.oracle.wire import Message, encode
from tests.realengine import NATIVE

from dsci.model.oci import Platform
from dsci.model.reference import Reference

#: Every platform for which a file here may want an image.
PLATFORMS = tuple(map(Platform.parse, ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386")))

_GIVEN = re.compile(r"docker-image://given\.invalid/(\d+)")
_LOOKED_UP = re.compile(r"failed to resolve source metadata for (\S+): ")
_STEP = re.compile(r"\[(?:linux/\S+ )?(?:(?P<stage>\S+) )? *\d+/\d+\] ")
_BIND, _SECRET = 0, 1

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A Dockerfile, one of its stages, and what it is built with."""

    text: str
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    platform: Platform = NATIVE
    images: Sequence[str] = ()
    """The names of the images that are given, as `familiar` has them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that those images set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """BuildKit does not take the file, or does not find an image."""

    message: str
    line: int | None

    @property
    def missing(self) -> str:
        """The image that was looked for and not found, where that is the reason."""
        match = _LOOKED_UP.search(self.message)
        return match[1] if match else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What is built."""

    stages: frozenset[str | None]
    """The names of the stages that have steps in it: `stage-3` where there is no name, None for the only stage."""
    images: frozenset[tuple[str, Platform]]
    """The images in it, and for which platform; by their full references where they were not given."""
    lineage: tuple[str, Platform] | None
    """The image at the bottom of the file system that is the result; None where that is made from nothing."""
    copies: frozenset[str]
    """The paths and patterns that are taken from the build context."""
    secrets: frozenset[str]


class Witness:
    """The engine's BuildKit."""

    def __init__(self, folder: Path, endpoint: str | None = None) -> None:
        self._bridge = Bridge(folder, endpoint)

    def close(self) -> None:
        """End the conversation."""
        self._bridge.close()

    @property
    def gone(self) -> bool:
        """Whether something that was asked ended the engine."""
        return self._bridge.gone

    def targets(self, text: str) -> list[tuple[str | None, str, int]] | Refusal:
        """The name, the base as it is written and the line of every stage."""

        def read(solved: Solved) -> list[tuple[str | None, str, int]]:
            listed = json.loads(solved.metadata["result.json"])["targets"] or ()
            return [(each.get("name"), each["base"], _line_of(each)) for each in listed]

        return self._ask(Question(text=text), read, requestid="frontend.targets")

    def arguments(self, question: Question) -> dict[str, str] | Refusal:
        """The arguments that reach a stage, with their values."""

        def read(solved: Solved) -> dict[str, str]:
            listed = json.loads(solved.metadata["result.json"]).get("args") or ()
            return {each["name"]: each.get("value", "") for each in listed}

        return self._ask(question, read, requestid="frontend.outline")

    def graph(self, question: Question) -> Graph | Refusal:
        """What a build would be made of."""
        return self._ask(question, lambda solved: _Reader(question, solved).graph())

    def _ask(self, question: Question, read: Callable[[Solved], Answer], **options: str) -> Answer | Refusal:
        options |= {"filename": "Dockerfile", "platform": str(question.platform)}
        options |= {"target": question.target} if question.target else {}
        options |= {f"build-arg:{name}": value for name, value in question.args.items()}
        inputs = {"dockerfile": _alone(_file("Dockerfile", question.text.encode())), "context": _alone(_CONTEXT)}
        for number, name in enumerate(question.images):
            for platform in PLATFORMS:
                given = f"{number}@{platform}"
                options[f"context:{name}::{platform}"] = f"input:{given}"
                inputs[given] = _alone(_image(number, platform))
                options[f"input-metadata:{given}"] = _metadata(platform, question.environment)
        try:
            return read(self._bridge.solve(options, inputs))
        except Refused as error:
            return Refusal(message=str(error), line=error.line)


@contextlib.contextmanager
def witness(endpoint: str | None = None) -> Iterator[Witness]:
    """BuildKit, for a while: that of the tests' engine, or of the one at `endpoint`."""
    with tempfile.TemporaryDirectory(prefix="dsci-") as folder:
        found = Witness(Path(folder), endpoint)
        try:
            yield found
        finally:
            found.close()


def familiar(name: str) -> str:
    """The name that BuildKit looks for among what is given."""
    return Reference.parse(name).familiar.removesuffix(":latest")


class _Reader:
    """Reads the graph in an answer."""

    def __init__(self, question: Question, solved: Solved) -> None:
        self._question = question
        raw = solved.definition.all(1)
        self._ops = {_digest(each): Message(each) for each in raw}
        self._last = _digest(raw[-1]) if raw else None
        self._names = [_described(entry.message(2)) for entry in solved.definition.messages(2)]
        self._context = _digest(_CONTEXT)

    def graph(self) -> Graph:
        """The whole of it."""
        return Graph(
            stages=frozenset(step["stage"] for name in self._names if (step := _STEP.match(name))),
            images=frozenset(image for op in self._ops.values() if (image := self._image(op))),
            lineage=self._lineage(),
            copies=frozenset(str(PurePosixPath(path).relative_to("/")) for path in self._copies()),
            secrets=frozenset(
                mount.message(21).text(1)
                for op in self._ops.values()
                for mount in op.message(2).messages(2)
                if mount.integer(6) == _SECRET
            ),
        )

    def _image(self, op: Message) -> tuple[str, Platform] | None:
        name = op.message(3).text(1)
        if not name.startswith("docker-image://"):
            return None
        match = _GIVEN.fullmatch(name)
        told = op.message(10)
        platform = Platform(told.text(2), told.text(1), told.text(3))
        return (self._question.images[int(match[1])] if match else name.removeprefix("docker-image://"), platform)

    def _lineage(self) -> tuple[str, Platform] | None:
        """Down along what each step changes: its root file system, or the first thing that is copied onto."""
        at = self._last
        while at is not None:
            op = self._ops[at]
            if image := self._image(op):
                return image
            at = self._input(op, self._changed(op))
        return None

    def _changed(self, op: Message) -> int:
        if 2 in op:
            return next(mount.integer(1) for mount in op.message(2).messages(2) if mount.text(3) == "/")
        if 4 in op:
            return op.message(4).messages(2)[0].integer(1)
        return op.message(6).messages(1)[0].integer(1) if 6 in op else 0

    def _copies(self) -> Iterator[str]:
        for op in self._ops.values():
            for action in op.message(4).messages(2):
                if 4 in action and self._input(op, action.integer(2)) == self._context:
                    yield action.message(4).text(1)
            for mount in op.message(2).messages(2):
                if mount.integer(6) == _BIND and self._input(op, mount.integer(1)) == self._context:
                    yield f"/{mount.text(2).lstrip('/')}"

    @staticmethod
    def _input(op: Message, index: int) -> str | None:
        """The step that an op has as its input of this number; None where that is nothing, or the op itself."""
        inputs = op.messages(1)
        return inputs[index].text(1) if 0 <= index < len(inputs) else None


def _described(metadata: Message) -> str:
    """What a step is called in the progress of a build."""
    return {entry.text(1): entry.text(2) for entry in metadata.messages(2)}.get("llb.customname", "")


def _line_of(told: Mapping[str, Any]) -> int:
    return int(told["location"]["ranges"][0]["start"]["line"])


def _digest(op: bytes) -> str:
    return f"sha256:{hashlib.sha256(op).hexdigest()}"


def _alone(op: bytes) -> bytes:
    """A definition of one step, and of the last one that names its result."""
    ops = (op, encode((1, encode((1, _digest(op))))))
    return encode(*((1, each) for each in ops), *((2, encode((1, _digest(each)), (2, b""))) for each in ops))


def _file(name: str, content: bytes) -> bytes:
    """The step that makes a file where nothing was."""
    action = encode((1, -1), (2, -1), (3, 0), (5, encode((1, f"/{name}"), (2, 0o644), (3, content))))
    return encode((4, encode((2, action))), (10, encode((1, NATIVE.architecture), (2, NATIVE.os))))


def _image(number: int, platform: Platform) -> bytes:
    """The step that would pull a given image."""
    told = encode((1, platform.architecture), (2, platform.os), (3, platform.variant))
    return encode((3, encode((1, f"docker-image://given.invalid/{number}"))), (10, told))


def _metadata(platform: Platform, environment: Mapping[str, str]) -> str:
    """What is known of a given image: the configuration that sets its variables."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    config = {"os": platform.os, "architecture": platform.architecture, "config": {"Env": variables}}
    return json.dumps({"containerimage.config": base64.b64encode(json.dumps(config).encode()).decode()})


_CONTEXT = _file("context", b"")
