"""The Dockerfiles of `tests/dockerfiles`, and the ways in which each is built.

The files are our own and shaped like those of data science: stacks of notebooks, R, CUDA, conda, uv, compilers and
pipelines, and files that are one oddity each. Some are built with other arguments too, for another platform, or
written the way other editors write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.realengine import NATIVE

from dsci.model.oci import Platform

FOLDER = Path(__file__).parent.parent / "dockerfiles"
#: A platform that is not this machine's.
OTHER = Platform("linux", "amd64" if NATIVE.architecture == "arm64" else "arm64")

_ARGS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "arg-chain": ({"RELEASE": "trixie"}, {"IMAGE": "ubuntu:24.04", "SUITE": ""}),
    "arg-forms": ({"PYTHON": ""}, {"PYTHON": "3.13", "EMPTY": "-alpine"}, {"SET": ""}),
    "arg-given-only": ({"BASE_TAG": "1"}, {"BASE_TAG": "2", "REGISTRY": "reg.example.org:5000", "GIT_SHA": "abc"}),
    "arg-lists": ({"C": "four", "F": "f"},),
    "arg-overridden": ({"VERSION": "13"}, {"BASE": "ubuntu", "VERSION": "24.04"}, {"FULL": "alpine"}),
    "arg-patterns": ({"VERSION": "v3.13.0rc1"},),
    "arg-predefined": ({"HTTP_PROXY": "http://proxy.invalid:1"},),
    "arg-quotes": ({"NAME": "pypy", "WORDS": "'"}, {"TAG": '"3.12"'}),
    "arg-scopes": ({"VERSION": "3.13"}, {"OTHER": "x", "UNKNOWN": "y"}),
    "arg-stage-choice": ({"DEVICE": "gpu"}, {"DEVICE": "tpu"}),
    "cuda-two-stages": ({"CUDA_VERSION": "11.8.0", "CUDNN": "cudnn8"}, {"BASE_CUDA_RUN_CONTAINER": "ubuntu:22.04"}),
    "dask": ({"release": "2024.11"},),
    "jupyter-notebook": ({"REGISTRY": "localhost:5000"}, {"BASE_IMAGE": "mine"}, {"BASE_IMAGE": "Mine"}),
    "many-stages": ({"N": "1"},),
    "onbuild": ({"REQUIREMENTS": "other.txt"},),
    "secrets": ({"TOKEN_ID": "other"},),
    "target-arch": ({"TARGETARCH": "arm64"}, {"TARGETARCH": "mips"}),
    "tensorflow": ({"ARCH": "ppc64le", "CUDA": "11.8"},),
}
_CROSS = ("cuda-from-chain", "go-cross", "platforms", "stage-diamond", "target-arch")
#: How a text looks when another editor has written it.
_WRITTEN: Mapping[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "crlf": (
        lambda text: text.replace("\n", "\r\n"),
        ("comments", "continuation", "directives", "escape-backtick", "heredoc-files", "jupyter-foundation"),
    ),
    "bom": (lambda text: f"\ufeff{text}", ("arg-chain", "directives", "unicode-values")),
    "cut": (lambda text: text.rstrip("\n"), ("heredoc-pipes", "poetry-export", "stage-case")),
}
#: What is younger than BuildKit 0.13, with what that one says of it.
YOUNG = {
    "onbuild-cache": "stage needs to be defined before current command",
    "onbuild-copies": "it needs to be defined before current stage",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file, and how it is built."""

    name: str
    text: str
    args: Mapping[str, str] = field(default_factory=dict)
    platform: Platform = NATIVE
    environment: Mapping[str, str] = field(default_factory=dict)
    """What every image from elsewhere sets."""

    @property
    def told(self) -> str:
        """What the test is called."""
        parts = [self.name, *(f"{name}={value}" for name, value in self.args.items())]
        return " ".join(parts if self.platform == NATIVE else [*parts, str(self.platform)])


def cases() -> Iterator[Case]:
    """Everything that is asked of BuildKit."""
    texts = {path.stem: path.read_bytes().decode() for path in sorted(FOLDER.glob("*.Dockerfile"))}
    for name, text in texts.items():
        for args in ({}, *_ARGS.get(name, ())):
            yield Case(name=name, text=text, args=args)
        if name in _CROSS:
            yield Case(name=name, text=text, platform=OTHER)
    for way, (write, names) in _WRITTEN.items():
        for name in names:
            yield Case(name=f"{name}-{way}", text=write(texts[name]))
