"""Dockerfiles: what an image is made of, told without a builder and as BuildKit would tell it.

`parse` reads the file; `resolve` chooses one of its stages and follows it for one platform and one set of build
arguments: which images it stands on or takes from, which files of the context it copies, which arguments reach it.
Nothing is fetched, so what a base image brings along stays unknown: where its variables may decide which files are
copied, all of them count; what its ONBUILD triggers do is not seen. Where versions of BuildKit differ, newer ones are
followed, and refused is what both would build, but differently. Lines are `dockerfile_lexer`'s, variables
`dockerfile_shell`'s, forms `dockerfile_parser`'s, stages `dockerfile_graph`'s, their steps `dockerfile_walk`'s; what is
a sibling and what a base is `family`'s.

Source: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/dockerfile2llb/convert.go
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dsci.errors import ConfigError
from dsci.model.dockerfile_graph import Graph
from dsci.model.dockerfile_parser import Dockerfile, Stage, parse
from dsci.model.dockerfile_walk import CopySource, DockerfileWarning, Source, Undated, Walk
from dsci.model.oci import Platform

__all__ = [
    "UNREADABLE",
    "CopySource",
    "Dockerfile",
    "DockerfileWarning",
    "Recipe",
    "Source",
    "Stage",
    "Undated",
    "parse",
    "resolve",
]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
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
    runs: tuple[Platform, ...]
    """The platforms on which its stages execute something, as far as the file tells, sorted."""
    knows_builder: bool
    """Whether what it is made of may depend on the platform of whoever builds it (`BUILDPLATFORM` and the like)."""
    undated: tuple[Undated, ...]
    """The steps that take files whose times BuildKit remembers whatever it is told, in the order of the file."""
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
    runs=(),
    knows_builder=False,
    undated=(),
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
    walk = Walk(graph)
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
        runs=tuple(sorted(walk.runs)),
        knows_builder=any(name.startswith("BUILD") for name in walk.args & graph.predefined.keys() - args.keys()),
        undated=tuple(sorted(walk.undated)),
        warnings=tuple(sorted(walk.warnings)),
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
