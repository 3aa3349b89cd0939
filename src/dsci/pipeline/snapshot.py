"""A commit as images, inputs and source keys.

One tree of Git objects is read into a family: settings, Dockerfiles and ignore files are parsed, each target's context
is listed and hashed. The work tree's changes can be laid over it, for local builds. Nothing is asked but Git.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import config, discover, dockerfile, edges, family, inputs, keys, lock, members
from dsci.model.dockerfile import Recipe
from dsci.model.family import Family, Image, TargetId
from dsci.model.inputs import ContextFile, Inputs
from dsci.model.keys import SourceKeys
from dsci.model.location import Location
from dsci.model.oci import Platform
from dsci.model.settings import Settings
from dsci.model.tree import SYMLINK, Tree, TreeEntry, below
from dsci.ports import Git


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """How a repository is read: what its folders and files do not say themselves."""

    git: Git
    project: str
    platform: Platform
    registries: tuple[str, ...] = ()
    """Registries given by the caller; they replace the configured ones."""
    branch: str = ""
    """The branch that is released, where the caller knows it; else the one that is checked out."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A commit (and perhaps the work tree's changes over it) as images, inputs and source keys."""

    settings: Settings
    family: Family
    tree: Tree
    inputs: Mapping[TargetId, Inputs]
    files: Mapping[TargetId, tuple[ContextFile, ...]]
    generated: Mapping[TargetId, tuple[ContextFile, ...]]
    sources: SourceKeys
    locked: lock.Bases = msgspec.field(default_factory=dict)
    """What dsci.lock pins."""
    dirty: Mapping[TargetId, str] = msgspec.field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    """Paths whose content comes from the work tree."""


def snapshot(
    source: Source,
    commit: str,
    *,
    overlay: Mapping[str, TreeEntry | None] | None = None,
) -> Snapshot:
    """Read a commit; `overlay` lays changed paths of the work tree over it. Raises ConfigError for what cannot be."""
    git = source.git
    tree = _overlaid(git.tree(commit), overlay or {})
    changed = frozenset(path for path, entry in (overlay or {}).items() if entry is not None)

    def read(path: str) -> str:
        return _text(git, tree, path, changed)

    settings, location = _settings(source, tree, read)
    images = discover.discover(settings, location, tree, project=source.project, platform=source.platform)
    tree.expect({image.context for image in images.values()}, whole=True)
    dockerfiles = _texts(git, tree, dict.fromkeys(image.dockerfile for image in images.values()), changed)
    assembled = edges.assemble(
        images, dockerfiles, configured=bool(settings.registries), build_platform=source.platform
    )
    assembled = replace(assembled, warnings=(*discover.passed_over(tree, images), *assembled.warnings))
    filters: dict[TargetId, Inputs] = {}
    files: dict[TargetId, tuple[ContextFile, ...]] = {}
    generated: dict[TargetId, tuple[ContextFile, ...]] = {}
    own: dict[TargetId, str] = {}
    for target, node in assembled.nodes.items():
        image = images[target.image]
        filters[target] = _filter(image, node.recipe, tree, read)
        files[target] = filters[target].files(tree)
        _check_names(files[target])
        generated[target] = _generated(git, image, commit) if image.inputs else ()
        own[target] = keys.own_key(image, target, node.recipe, files[target], tree[image.dockerfile].oid)
    sources = keys.source_keys(assembled, own)
    members.check_distinct(assembled, sources.full)
    return Snapshot(
        settings=settings,
        family=assembled,
        tree=tree,
        inputs=filters,
        files=files,
        generated=generated,
        sources=sources,
        locked=lock.parse(read(lock.FILE_NAME)) if lock.FILE_NAME in tree else {},
        dirty=_dirty(assembled, filters, overlay) if overlay else {},
        changed=changed,
    )


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """Some images of an earlier commit, each for itself: what they were made of, not what they stood on."""

    tree: Tree
    images: Mapping[str, Image]
    inputs: Mapping[TargetId, Inputs]
    files: Mapping[TargetId, tuple[ContextFile, ...]]
    own: Mapping[TargetId, str]


def earlier(source: Source, commit: str, names: Collection[str]) -> Earlier:
    """Read these images of a commit, those of them that it has, as `snapshot` does. Raises ConfigError likewise."""
    git, tree = source.git, source.git.tree(commit)

    def read(path: str) -> str:
        return _text(git, tree, path)

    settings, location = _settings(source, tree, read)
    images = discover.discover(
        settings, location, tree, project=source.project, platform=source.platform, only=frozenset(names)
    )
    tree.expect({image.context for image in images.values()}, whole=True)
    filters: dict[TargetId, Inputs] = {}
    files: dict[TargetId, tuple[ContextFile, ...]] = {}
    own: dict[TargetId, str] = {}
    for image in images.values():
        for target in image.targets:
            try:
                recipe = edges.recipe_of(image, target, read(image.dockerfile), build_platform=source.platform)
            except ConfigError:
                recipe = dockerfile.UNREADABLE
            filters[target] = _filter(image, recipe, tree, read)
            files[target] = filters[target].files(tree)
            own[target] = keys.own_key(image, target, recipe, files[target], tree[image.dockerfile].oid)
    return Earlier(tree=tree, images=images, inputs=filters, files=files, own=own)


def _text(git: Git, tree: Tree, path: str, changed: Collection[str] = ()) -> str:
    """A file that dsci reads itself. Raises ConfigError for a link: a change of what it leads to would go unnoticed."""
    return _texts(git, tree, [path], changed)[path]


def _texts(git: Git, tree: Tree, paths: Iterable[str], changed: Collection[str] = ()) -> dict[str, str]:
    """The same for several."""
    paths = list(paths)
    for path in paths:
        if tree[path].mode == SYMLINK:
            raise ConfigError(
                f"{path} is a link, and dsci follows none",
                hint="put the file there; a Dockerfile can stay where it lies: images.NAME.dockerfile in dsci.yaml",
            )
    committed = [path for path in paths if path not in changed]
    found = dict(zip(committed, git.contents([tree[path].oid for path in committed]), strict=True))
    found |= {path: git.worktree_blob(path) for path in paths if path in changed}
    return {path: found[path].decode("utf-8", errors="replace") for path in paths}


def _settings(source: Source, tree: Tree, read: Callable[[str], str]) -> tuple[Settings, Location]:
    settings, location = Settings(), Location(config.FILE_NAME, {})
    if config.FILE_NAME in tree:
        settings, location = config.parse(read(config.FILE_NAME))
    if source.registries:
        settings = msgspec.structs.replace(settings, registries=source.registries)
    return settings, location


def _filter(image: Image, recipe: Recipe, tree: Tree, read: Callable[[str], str]) -> Inputs:
    ignore_file = inputs.ignore_file_of(image, tree)
    return Inputs.of(image, recipe, ignore_file, read(ignore_file) if ignore_file else "")


def _check_names(files: Iterable[ContextFile]) -> None:
    """Raises ConfigError for a file whose name is no text: no key, plan or receipt could name it."""
    for file in files:
        if not file.path.isascii() and file.path.encode(errors="replace").decode() != file.path:
            raise ConfigError(
                f"{_shown(file.source)}: the name of this file is not UTF-8",
                hint="rename it, or hide it with a pattern in .dockerignore",
            )


def _shown(path: str) -> str:
    """A path from Git as it can be shown: bytes that are no text as `\\xe9`."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _overlaid(tree: Tree, overlay: Mapping[str, TreeEntry | None]) -> Tree:
    if not overlay:
        return tree
    merged = dict(tree)
    for path, entry in overlay.items():
        if entry is None:
            merged.pop(path, None)
        else:
            merged[path] = entry
    return Tree(merged)


def _generated(git: Git, image: family.Image, commit: str) -> tuple[ContextFile, ...]:
    """The declared generated files (rule 8), as they lie in the work tree of HEAD; none of an older commit."""
    if commit != git.head().commit:
        return ()
    found: list[ContextFile] = []
    for given in image.inputs:
        below_path = given.path.strip("/").removeprefix("./")
        for path, entry in git.hash_files(below_path).items():
            rest = below(below_path, path) if path != below_path else ""
            target = "/".join(filter(None, (given.as_.strip("/"), rest)))
            found.append(ContextFile(path=target, source=path, entry=entry))
    return tuple(sorted(found))


def _dirty(
    assembled: Family, filters: Mapping[TargetId, Inputs], overlay: Mapping[str, TreeEntry | None]
) -> Mapping[TargetId, str]:
    """Targets with changed inputs, the first such path, and everything that stands on them."""
    found: dict[TargetId, str] = {}
    for target in assembled.order:
        own = next((path for path in sorted(overlay) if filters[target].touches(path)), None)
        above = next((found[need] for need in assembled.nodes[target].needs if need in found), None)
        if own or above:
            found[target] = own or above or ""
    return found
