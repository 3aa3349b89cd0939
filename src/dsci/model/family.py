"""The one table: which images a repository holds, and which of them stand on which.

Order, lineage, descendants, suites to inherit and repositories all derive from here; nothing else in dsci lists
images. `discover` fills the table from folders and settings, `edges` from Dockerfiles; it knows no key and no version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model.dockerfile import Recipe
from dsci.model.graphs import closure
from dsci.model.limits import DEFAULT, Limits
from dsci.model.oci import ANY, Platform
from dsci.model.reference import Reference, Repository
from dsci.model.settings import InputSettings, SecretSettings
from dsci.model.tagrule import TagRule

C = TypeVar("C", str, "TargetId")


class TargetId(msgspec.Struct, frozen=True, order=True):
    """One image on one platform: what is built, what `--only` takes, what a CI job is called."""

    image: str
    platform: Platform

    @classmethod
    def parse(cls, text: str) -> TargetId:
        """Read `image@os/arch`."""
        image, at, platform = text.partition("@")
        if not at:
            raise ConfigError(f"{text!r} is no target", hint="write image@platform, such as ml@linux/amd64")
        return cls(image, Platform.parse(platform))

    def __str__(self) -> str:
        return f"{self.image}@{self.platform}"


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """A set of in-container tests of one kind. It belongs to an image, and to everything that descends from it."""

    name: str
    kind: str
    """`structure` (a YAML file, of either form), `pytest`, `notebooks`, `r` or `shell` (files of a folder, run inside
    the image), `host` (test modules that run here) or `service` (a folder with a compose file)."""
    owner: str
    path: str
    """A file or a folder, from the repository's root."""
    files: tuple[str, ...]
    limits: Limits = DEFAULT
    allow: tuple[str, ...] = ()
    """What of the machine that runs it it may reach."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image of the family, as folders and settings declare it."""

    name: str
    group: str
    """The name its version and its Git tags go by; members of one group (variants) share both."""
    suffix: str = ""
    """What the tags of this variant end in; nothing for the default one, and for an image that has no variants."""
    endings: tuple[str, ...] = ()
    """What a tag may end in that means this variant: its suffix first; the last one has all of its values."""
    variant: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Its value of each axis."""
    context: str
    dockerfile: str
    stage: str | None = None
    platforms: tuple[Platform, ...]
    args: Mapping[str, str] = msgspec.field(default_factory=dict)
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    """OCI labels that the settings give it, by their full names."""
    secrets: tuple[SecretSettings, ...] = ()
    inputs: tuple[InputSettings, ...] = ()
    needs: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    repositories: tuple[Repository, ...]
    """Where it is published; the first one is the primary repository."""
    tag_rules: tuple[TagRule, ...]
    suites: tuple[Suite, ...] = ()
    inherit: bool = True
    previous_names: tuple[str, ...] = ()
    """What it was called before."""
    release: bool = True
    reproducible: bool = False
    """Whether its layers carry no time but that of its inputs' last commit."""

    @property
    def declared(self) -> str:
        """The name that it shares with its variants: `ml` of `ml:cuda12`."""
        return declared(self.name)

    @property
    def repository(self) -> Repository:
        """The primary repository."""
        return self.repositories[0]

    @property
    def targets(self) -> tuple[TargetId, ...]:
        """One target per platform."""
        return tuple(TargetId(self.name, platform) for platform in self.platforms)


class Base(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An external image that a Dockerfile names, on the platform it is wanted for."""

    name: str
    """As the Dockerfile has it, variables expanded."""
    reference: Reference
    platform: Platform

    @property
    def key(self) -> tuple[str, Platform]:
        """What identifies it among pins."""
        return str(self.reference), self.platform


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A target with everything its Dockerfile says: siblings it needs, bases it comes from."""

    id: TargetId
    recipe: Recipe
    syntax: Reference | None
    """The frontend its `# syntax=` line asks for."""
    parent: TargetId | None
    """The sibling that the final stage descends from: suites are inherited from it."""
    needs: tuple[TargetId, ...]
    """Every sibling named anywhere in it, the declared ones included."""
    siblings: Mapping[str, TargetId]
    """Names as the Dockerfile has them, and the siblings they stand for."""
    bases: tuple[Base, ...]
    lineage: Base | None
    """The external image that the final stage descends from, when it is not a sibling."""
    problem: str = ""
    """Why its Dockerfile cannot be read; then nothing else is known of it, and building it fails."""

    @property
    def shared(self) -> frozenset[Reference]:
        """Bases that one name stands for on several platforms: they are pinned by their index (rule 6)."""
        names = [(base.name, base.reference) for base in self.bases if base.reference.digest is None]
        return frozenset(reference for name, reference in names if names.count((name, reference)) > 1)

    @property
    def external(self) -> tuple[tuple[Reference, Platform], ...]:
        """Everything that the Dockerfile takes from outside the family, its frontend included.

        The index of a shared base comes before its platforms: they are looked for in it.
        """
        wanted = [(base.reference, base.platform) for base in self.bases]
        syntax = [(self.syntax, self.id.platform)] if self.syntax else []
        return (*((reference, ANY) for reference in sorted(self.shared, key=str)), *wanted, *syntax)


class Family(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All images and their edges."""

    images: Mapping[str, Image]
    nodes: Mapping[TargetId, Node]
    warnings: tuple[str, ...] = ()

    @cached_property
    def order(self) -> tuple[TargetId, ...]:
        """Every target, parents first; by name where the order is free."""
        return _ordered({node.id: node.needs for node in self.nodes.values()})

    @cached_property
    def waves(self) -> Mapping[TargetId, int]:
        """The length of the longest way from a target down to one that needs nothing."""
        waves: dict[TargetId, int] = {}
        for target in self.order:
            waves[target] = 1 + max((waves[need] for need in self.nodes[target].needs), default=-1)
        return waves

    @cached_property
    def children(self) -> Mapping[TargetId, frozenset[TargetId]]:
        """The targets that name each target directly."""
        found: dict[TargetId, set[TargetId]] = {target: set() for target in self.nodes}
        for node in self.nodes.values():
            for need in node.needs:
                found[need].add(node.id)
        return {target: frozenset(users) for target, users in found.items()}

    def descendants(self, roots: Iterable[TargetId]) -> frozenset[TargetId]:
        """Everything that stands on these targets, themselves left out."""
        return closure(roots, self.children)

    def ancestors(self, roots: Iterable[TargetId]) -> frozenset[TargetId]:
        """Everything that these targets stand on, themselves left out."""
        return closure(roots, {target: node.needs for target, node in self.nodes.items()})

    @cached_property
    def mirrors(self) -> Mapping[str, Repository]:
        """The registries that images are only copied to, each with the first repository there; none is built from."""
        primary = {image.repository.registry for image in self.images.values()}
        found: dict[str, Repository] = {}
        for repository in (each for name in sorted(self.images) for each in self.images[name].repositories):
            if repository.registry not in primary:
                found.setdefault(repository.registry, repository)
        return found

    def without(self, registries: Collection[str]) -> Family:
        """The same images, not copied to these registries; where they are built stays as it is."""

        def left(image: Image) -> Image:
            copies = (each for each in image.repositories[1:] if each.registry not in registries)
            return replace(image, repositories=(image.repository, *copies))

        return replace(self, images={name: left(image) for name, image in self.images.items()})

    def unreleased_above(self, target: TargetId) -> tuple[TargetId, ...]:
        """What it stands on that is never released itself: a change there reaches nobody but through this target."""
        return tuple(sorted(closure([target], self._unreleased_needs)))

    @cached_property
    def _unreleased_needs(self) -> Mapping[TargetId, Sequence[TargetId]]:
        return {
            each: [need for need in node.needs if not self.images[need.image].release]
            for each, node in self.nodes.items()
        }

    @cached_property
    def groups(self) -> Mapping[str, tuple[Image, ...]]:
        """The images of each release group, the default member (no suffix) first; groups by name."""
        return group_members(self.images.values())

    @cached_property
    def released_groups(self) -> frozenset[str]:
        """The names of the groups that are ever released."""
        return frozenset(release_groups(self.images.values()))

    @cached_property
    def variants(self) -> Mapping[str, tuple[Image, ...]]:
        """The images that share a name and a repository by that name, the default one first."""
        found: dict[str, list[Image]] = defaultdict(list)
        for image in sorted(self.images.values(), key=lambda image: image.suffix):
            found[image.declared].append(image)
        return {name: tuple(members) for name, members in found.items()}

    def named(self, name: str) -> frozenset[str]:
        """The images that a name means: all variants of an image, or the one that it names; none if it is unknown."""
        if name in self.variants:
            return frozenset(image.name for image in self.variants[name])
        ending = f"-{name.partition(':')[2]}"
        members = self.variants.get(declared(name), ())
        return frozenset(image.name for image in members if ending in image.endings)

    @cached_property
    def release_order(self) -> tuple[str, ...]:
        """The groups that are released, each after those that any of its members needs. Raises CycleError."""
        order: dict[str, None] = {}

        def visit(group: str, way: tuple[str, ...]) -> None:
            if group in way:
                raise CycleError("groups need each other", [group, *reversed(way[way.index(group) :])])
            if group not in order and group in self.released_groups:
                for need in self.group_needs(group):
                    visit(need, (*way, group))
                order[group] = None

        for name in self.image_order:
            visit(self.images[name].group, ())
        return tuple(order)

    def group_needs(self, group: str) -> tuple[str, ...]:
        """The groups that a group's members need, by name."""
        needs = {need for member in self.groups[group] for need in self.image_needs(member.name)}
        return tuple(sorted({self.images[need].group for need in needs} - {group}))

    def chosen(self, names: Collection[str], *, together: bool = False) -> frozenset[str]:
        """The images that are named and everything they stand on; all of them where none is named.

        With `together`, also what is released with any of them.
        """
        if not names:
            return frozenset(self.images)
        chosen: frozenset[str] = frozenset()
        more = frozenset(image for name in names for image in self.named(name))
        while more != chosen:
            chosen = more
            targets = [target for name in chosen for target in self.images[name].targets]
            more = chosen | {target.image for target in self.ancestors(targets)}
            if together:
                more |= {member.name for name in more for member in self.groups[self.images[name].group]}
        return chosen

    def chosen_groups(self, names: Collection[str]) -> frozenset[str]:
        """The groups whose releases decide those of these images: their own, and all that these stand on."""
        own = {self.images[name].group for name in self.chosen(names)}
        return closure(own, {group: self.group_needs(group) for group in self.groups}) | own

    def lineage(self, target: TargetId) -> tuple[TargetId, ...]:
        """The target and its parents' parents, oldest first."""
        line = [target]
        while (parent := self.nodes[line[-1]].parent) is not None:
            line.append(parent)
        return tuple(reversed(line))

    def suites(self, target: TargetId) -> tuple[Suite, ...]:
        """The suites that a target must pass: its ancestors' first, its own last."""
        line = self.lineage(target) if self.images[target.image].inherit else (target,)
        return tuple(suite for member in line for suite in self.images[member.image].suites)

    def image_needs(self, name: str) -> tuple[str, ...]:
        """The images that this one needs on any of its platforms, by name."""
        needs = {need.image for target in self.images[name].targets for need in self.nodes[target].needs}
        return tuple(sorted(needs))

    @cached_property
    def image_order(self) -> tuple[str, ...]:
        """Image names, parents first; by name where the order is free."""
        return _ordered({name: self.image_needs(name) for name in self.images})

    def components(self, names: Iterable[str]) -> tuple[frozenset[str], ...]:
        """These images, parted into the sets that no edge of the family connects, and no release that they share."""
        neighbours = {name: {member.name for member in self.groups[image.group]} for name, image in self.images.items()}
        for name in self.images:
            for need in self.image_needs(name):
                neighbours[name].add(need)
                neighbours[need].add(name)
        left, wanted, parts = set(self.images), set(names), list[frozenset[str]]()
        while left:
            root = min(left)
            part = closure([root], neighbours) | {root}
            left -= part
            if part & wanted:
                parts.append(frozenset(part & wanted))
        return tuple(parts)


def _ordered(needs: Mapping[C, Iterable[C]]) -> tuple[C, ...]:
    """Everything, each after what it needs. Raises CycleError."""
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    order: list[C] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return tuple(order)


def declared(name: str) -> str:
    """The name of an image that stands in settings and folders: `ml` of the variant `ml:cuda12`."""
    return name.partition(":")[0]


def renamed(images: Iterable[Image]) -> Mapping[str, str]:
    """The groups that earlier names of images mean now."""
    return {old: image.group for image in images for old in image.previous_names}


def release_groups(images: Iterable[Image]) -> tuple[str, ...]:
    """The names of the groups that are released, sorted."""
    return tuple(name for name, members in group_members(images).items() if all(each.release for each in members))


def group_members(images: Iterable[Image]) -> Mapping[str, tuple[Image, ...]]:
    """The images of each release group, the default member (no suffix) first."""
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        groups[image.group].append(image)
    return {
        name: tuple(sorted(members, key=lambda image: (image.suffix, image.name)))
        for name, members in sorted(groups.items())
    }
