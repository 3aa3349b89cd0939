"""Folders and settings become images.

A tree that follows one of the usual layouts needs no settings at all; `dsci.yaml` adds to it and overrules it. Suites
are found beside the images. What the Dockerfiles say is not read here: `edges` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import suitefiles, tags, variants
from dsci.model.family import Image, Suite, declared
from dsci.model.limits import Limits
from dsci.model.location import Location
from dsci.model.oci import Platform
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.settings import ImageSettings, Settings
from dsci.model.text import nearest
from dsci.model.tree import Tree

_NAME = re.compile(r"\A[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_SUITES = "suites"


def discover(
    settings: Settings,
    location: Location,
    tree: Tree,
    *,
    project: str,
    platform: Platform,
    only: frozenset[str] | None = None,
) -> Mapping[str, Image]:
    """The images of a tree: by the layout of its folders, then as the settings say.

    `images/<name>/Dockerfile` wins over `<name>/Dockerfile`, which wins over one `Dockerfile` at the root (named like
    the project). `platform` is what an image is built for when nothing is said. With `only`, those of these images that
    there are, without a look at the others. Raises ConfigError: no images, one name twice, an illegal name, a path that
    is not there.
    """
    wanted = None if only is None else frozenset(map(declared, only))
    found = _layout(tree, project, wanted)
    if "" in found.values() and settings.images and not found.keys() & settings.images.keys():
        found = {}  # The settings say what the Dockerfile at the root makes.
    for name in settings.images:
        if name not in found and not _NAME.match(name):
            raise ConfigError(f"{location.at('images', name)}: images.{name}: {_ILLEGAL_NAME}")
    known = {name: settings.images.get(name) or ImageSettings() for name in {**found, **settings.images}}
    if not known and only is None:
        raise ConfigError(
            "no images found: there is no images/<name>/Dockerfile, no <name>/Dockerfile and no Dockerfile",
            hint="commit a Dockerfile (dsci reads what Git knows), or name one under images: in dsci.yaml",
        )
    images = {
        image.name: image
        for name, given in sorted(known.items())
        if wanted is None or name in wanted
        for image in _variants(name, given, found.get(name), settings, location, tree, project, platform)
    }
    if only is not None:
        return {name: image for name, image in images.items() if name in only}
    for image in images.values():
        for need in image.needs:
            if need not in images:
                where = location.at("images", image.declared, "needs")
                near = nearest(need, sorted(images))
                raise ConfigError(f"{where}: images.{image.declared}.needs: there is no image {need!r}{near}")
    _check_previous_names(images, location)
    owners: dict[Repository, str] = {}
    for image in images.values():
        for repository in image.repositories:
            other = owners.setdefault(repository, image.declared)
            if other != image.declared:
                raise ConfigError(f"{other} and {image.declared} would both be published as {repository}")
    return images


def _check_previous_names(images: Mapping[str, Image], location: Location) -> None:
    """Raises ConfigError where the releases under a name would belong to two images."""
    heirs: dict[str, str] = {}
    for image in images.values():
        for old in image.previous_names:
            other = old if old in images else heirs.get(old)
            if other is not None:
                where = location.at("images", image.declared, "previous_names")
                said = "an image of its own" if other == old else f"a previous name of {other} already"
                raise ConfigError(f"{where}: images.{image.declared}.previous_names: {old} is {said}")
            heirs[old] = image.name


def passed_over(tree: Tree, images: Mapping[str, Image]) -> tuple[str, ...]:
    """Warnings about Dockerfiles that look like images of a layout, and are none because another layout was found."""
    used = {image.dockerfile for image in images.values()}
    folders = [folder for folder in tree.folders("") if folder[0] != "."]
    tree.expect(folders)
    likely = ["Dockerfile", *(f"{folder}/Dockerfile" for folder in folders)]
    places = [path for path in likely if path in tree and path not in used]
    found = next((path for path in sorted(used) if path in tree), "")
    return tuple(
        f"{path} makes no image, because {found} does: name it under images: in dsci.yaml, or move it"
        for path in sorted(places)
    )


_ILLEGAL_NAME = "an image name is lower-case letters and digits with single . _ - between them"


def _layout(tree: Tree, project: str, only: frozenset[str] | None) -> dict[str, str]:
    """Image names and their folders, by the first layout that the tree has; with `only`, those of these names."""
    for root in ("images", ""):
        places = [f"{root}/{name}" if root else name for name in tree.folders(root) if root or name[0] != "."]
        if only is not None:
            wanted = [place for place in places if place.rpartition("/")[2].lower() in only]
            # Whether the tree has this layout at all, its other images tell as well: one of them is enough.
            if found := _folders(tree, wanted):
                return _named(found)
        if only is not None:
            if any(f"{place}/Dockerfile" in tree for place in places):
                return {}
        elif found := _folders(tree, places):
            return _named(found)
    return {_root_name(project): ""} if "Dockerfile" in tree else {}


def _folders(tree: Tree, places: Sequence[str]) -> list[str]:
    tree.expect(places)
    return [place for place in places if f"{place}/Dockerfile" in tree]


def _named(folders: Iterable[str]) -> dict[str, str]:
    """Folders by the names of their images."""
    named: dict[str, str] = {}
    for folder in folders:
        name = folder.rpartition("/")[2].lower()
        if not _NAME.match(name):
            raise ConfigError(f"{folder}/Dockerfile: {name!r} cannot name an image: {_ILLEGAL_NAME}")
        if name in named:
            raise ConfigError(f"two images are named {name!r}: {named[name]}/Dockerfile and {folder}/Dockerfile")
        named[name] = folder
    return named


def _root_name(project: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")
    return name or "image"


def _variants(
    name: str,
    given: ImageSettings,
    folder: str | None,
    settings: Settings,
    location: Location,
    tree: Tree,
    project: str,
    platform: Platform,
) -> Iterator[Image]:
    """The image, or each of its variants: as the image is, but for what makes the variant."""
    if given.variants is None:
        yield _image(name, given, folder, settings, location, tree, project, platform)
        return
    for variant in variants.expand(given.variants, location, ("images", name, "variants")):
        own = msgspec.structs.replace(
            given,
            args={**given.args, **variant.args},
            dockerfile=given.dockerfile if variant.dockerfile is None else variant.dockerfile,
            target=given.target if variant.stage is None else variant.stage,
            platforms=given.platforms if variant.platforms is None else variant.platforms,
        )
        image = _image(name, own, folder, settings, location, tree, project, platform, suites=variant.suites)
        called = variant.suffix.replace("-", ":", 1)
        yield replace(
            image,
            name=f"{name}{called}",
            suffix=variant.suffix,
            endings=variant.names,
            variant=variant.values,
            previous_names=tuple(f"{old}{called}" for old in given.previous_names),
        )


def _image(
    name: str,
    given: ImageSettings,
    folder: str | None,
    settings: Settings,
    location: Location,
    tree: Tree,
    project: str,
    platform: Platform,
    *,
    suites: tuple[str, ...] = (),
) -> Image:
    where = ("images", name)
    context = (given.context if given.context is not None else folder or "").strip("/").removeprefix("./")
    context = "" if context == "." else context
    if given.dockerfile is not None:
        path = given.dockerfile.removeprefix("./")
    else:
        path = "/".join(filter(None, ((folder if folder is not None else context), "Dockerfile")))
    if path not in tree:
        near = nearest(path, [known for known in tree if "ockerfile" in known])
        raise ConfigError(
            f"{location.at(*where, 'dockerfile')}: images.{name}: there is no {path} in Git{near}",
            hint="commit it, or set images.NAME.dockerfile to a path from the repository's root",
        )
    if context and not any(path != context for path in tree.under(context)):
        raise ConfigError(f"{location.at(*where, 'context')}: images.{name}.context: no folder {context} in Git")
    platforms = tuple(Platform.parse(text) for text in given.platforms or settings.platforms) or (platform,)
    rules = given.tags if given.tags is not None else settings.tags
    flavor = given.flavor or settings.flavor
    return Image(
        name=name,
        group=_root_name(project) if settings.versioning.mode == "lockstep" and given.release else name,
        context=context,
        dockerfile=path,
        stage=given.target,
        platforms=tuple(sorted(set(platforms))),
        args=given.args,
        labels=settings.labels.under(given.labels),
        secrets=given.secrets,
        inputs=given.inputs,
        needs=given.needs,
        external=given.external,
        repositories=_repositories(name, given, settings, project),
        tag_rules=tags.rules(rules, flavor),
        suites=_suites(
            name, given, context if folder is None and context else folder, settings, location, tree, more=suites
        ),
        inherit=(given.suites or settings.suites).inherit,
        previous_names=given.previous_names,
        release=given.release,
        reproducible=settings.reproducible if given.reproducible is None else given.reproducible,
    )


def _repositories(name: str, given: ImageSettings, settings: Settings, project: str) -> tuple[Repository, ...]:
    if given.repository is not None:
        return (Repository.parse(given.repository),)
    if settings.registries:
        return tuple(Repository.parse(f"{prefix}/{name}") for prefix in settings.registries)
    return (Repository(EMBEDDED, f"{_root_name(project)}/{name}"),)


def _suites(
    name: str,
    given: ImageSettings,
    folder: str | None,
    settings: Settings,
    location: Location,
    tree: Tree,
    *,
    more: tuple[str, ...],
) -> tuple[Suite, ...]:
    """The suites declared for an image, or else those in `suites/` beside its Dockerfile and in `suites/<image>/`.

    `folder` is where its Dockerfile was found; None when settings alone name it. `more` are those of a variant alone.
    """
    chosen = given.suites or settings.suites
    limits = Limits.of(settings.suites, given.suites)
    roots: set[str]
    if chosen.paths is not None:
        roots = {path.strip("/").removeprefix("./") for path in chosen.paths}
    else:
        roots = {f"{folder}/{_SUITES}" if folder else _SUITES} if folder is not None else set()
        roots |= {f"{_SUITES}/{name}"} if folder != "" else set()
    extra = {path.strip("/").removeprefix("./") for path in more}
    suites: list[Suite] = []
    for root in sorted(roots | extra):
        found = suitefiles.below(name, root, tree, chosen.allow, limits)
        if not found and (chosen.paths is not None or root in extra):
            keys = ("variants", "overrides") if root in extra else ("suites", "paths")
            raise ConfigError(
                f"{location.at('images', name, *keys)}: {'.'.join(('images', name, *keys))}: no tests at {root!r}",
                hint=suitefiles.HINT,
            )
        suites += found
    names = [suite.name for suite in suites]
    return tuple(
        replace(suite, name=f"{name}/{suite.path}") if names.count(suite.name) > 1 else suite for suite in suites
    )
