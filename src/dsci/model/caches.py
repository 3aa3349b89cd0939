"""Build caches: where BuildKit keeps the steps of a target's build for the next machine, and who may write there.

A cache only saves time. It is part of no key and of no image, nothing is released from it, and a build goes on without
it. Each target has one of its own and reads no other: what it stands on comes as a pinned image, not as steps. How
BuildKit is told, and what it does when a cache is out of order, is the builder's affair.

Source: https://docs.docker.com/build/cache/backends/ (`inline` is not among ours: it writes into the image's config).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, assert_never

import msgspec

from dsci.model.dockerfile import Recipe
from dsci.model.family import Image, Node, TargetId
from dsci.model.hashing import sha256
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.settings import CacheSettings, CacheType, Settings

#: What the tags of caches begin with.
TAG_PREFIX = "dsci-cache-"
_SLUG_LIMIT = 80
_CLASSIC = "the engine's classic image store writes no caches (the containerd image store does)"


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """The cache of one target."""

    type: Literal["registry", "gha", "local"]
    place: str
    """A reference, a scope of GitHub's cache service, or a folder."""
    read: bool
    """Whether this build may go on from the steps that are kept there."""
    write: bool
    """Whether this build's steps are kept there."""
    every: bool
    """Whether the steps of all stages are kept (`mode=max`), or only those that the image consists of."""


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has to keep steps with."""

    wanted: CacheType | None = None
    """What the caller asks for, instead of the settings."""
    actions: bool = False
    """Whether GitHub's cache service shows itself here."""
    exports: bool = True
    """Whether the engine can write caches at all."""
    trusted: bool = True
    """Whether what is built here may reach others: what a request brings may not."""
    folder: str = ""
    """Where caches of type `local` are."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A target's cache, or none, and why."""

    cache: Cache | None
    type: CacheType
    why: str
    unread: str = ""
    """Why nothing is taken from it."""
    unwritten: str = ""
    """Why nothing of this build is kept in it."""


def told(choices: Iterable[Choice]) -> tuple[str, ...]:
    """What a person should know of these, each thing once."""
    lines: dict[str, None] = {}
    for choice in choices:
        if choice.why:
            lines[f"cache: {choice.type}: {choice.why}"] = None
        if choice.unread and choice.unwritten:
            lines[f"cache: neither read ({choice.unread}) nor written ({choice.unwritten})"] = None
        elif choice.unread:
            lines[f"cache: written, not read: {choice.unread}"] = None
        elif choice.unwritten:
            lines[f"cache: read, not written: {choice.unwritten}"] = None
    return tuple(lines)


def choose(settings: Settings, image: Image, node: Node, means: Means, *, private: bool, fresh: bool) -> Choice:
    """The cache of a target.

    What is `private` (uncommitted work, no right to push) leaves no steps to others; what is built `fresh` takes none.
    """
    given = _given(settings, image)
    own = Repository.parse(given.repository) if given.repository else image.repository
    kind, why = _kind(means.wanted or given.type, own, means)
    if kind == "none" or kind == "auto":
        return Choice(cache=None, type="none", why=why)
    name = slug(node.id)
    match kind:
        case "registry":
            place = str(own.tag(f"{TAG_PREFIX}{name}"))
        case "gha":
            place = name
        case "local":
            place = f"{means.folder}/{name}"
        case _:
            assert_never(kind)
    unwritten, unread = _unwritten(means, private=private), _unread(image) if fresh else ""
    cache = Cache(type=kind, place=place, read=not unread, write=not unwritten, every=has_side_stages(node.recipe))
    used = cache.read or cache.write
    return Choice(cache=cache if used else None, type=kind, why=why, unread=unread, unwritten=unwritten)


def repositories(settings: Settings) -> frozenset[Repository]:
    """The repositories that hold caches and are no image's own."""
    given = [settings.cache, *(image.cache for image in settings.images.values())]
    names = {each.repository for each in given if isinstance(each, CacheSettings)} - {None}
    return frozenset(Repository.parse(name) for name in names if name)


def _unwritten(means: Means, *, private: bool) -> str:
    if not means.exports:
        return _CLASSIC
    if not means.trusted:
        return "what a request brings is kept for nobody"
    return "uncommitted work, and what may not be pushed, is kept for nobody" if private else ""


def _unread(image: Image) -> str:
    """Why a build takes no steps of others."""
    return "what is reproducible runs every step" if image.reproducible else "every step is to be run"


def _given(settings: Settings, image: Image) -> CacheSettings:
    own = settings.images.get(image.declared)
    given = settings.cache if own is None or own.cache is None else own.cache
    return given if isinstance(given, CacheSettings) else CacheSettings(type=given)


def _kind(asked: CacheType, repository: Repository, means: Means) -> tuple[CacheType, str]:
    """What becomes of the type that was asked for, and why."""
    homeless = repository.registry == EMBEDDED
    match asked:
        case "auto" if means.actions:
            return "gha", "GitHub's cache service is here"
        case "auto" if homeless:
            return "none", "no registry is configured, and the engine keeps its own steps"
        case "auto" if not means.exports:
            return "none", _CLASSIC
        case "auto":
            return "registry", "a registry is configured"
        case "registry" if homeless:
            return "none", "no registry is configured"
        case "gha" if not means.actions:
            return "none", "GitHub's cache service is not here: a step sees no ACTIONS_RUNTIME_TOKEN by itself"
        case "none":
            return asked, ""
        case _:
            return asked, "as asked for"


def slug(target: TargetId) -> str:
    """A target as a part of names: `ml-linux-amd64`; of a variant `ml..cuda12-linux-amd64`, which no image is called.

    Only names that are too long are cut, and told apart by a hash.
    """
    text = re.sub(r"[^a-zA-Z0-9._-]", "-", f"{target.image}-{target.platform}".replace(":", ".."))
    if len(text) <= _SLUG_LIMIT:
        return text
    return f"{text[: _SLUG_LIMIT - 17]}-{sha256(str(target).encode())[:16]}"


def has_side_stages(recipe: Recipe) -> bool:
    """Whether stages are built that the image does not descend from: their steps are in no layer of it.

    Where there are none, `mode=max` would keep the same steps under more names and take longer to write.
    """
    names = {stage.name: stage for stage in recipe.stages if stage.name}
    line = 0
    stage = recipe.stages[-1] if recipe.stages else None
    while stage is not None:
        line += 1
        above = names.get(stage.base.lower())
        stage = above if above is not None and above.index < stage.index else None
    return line < len(recipe.stages)
