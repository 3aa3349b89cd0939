"""Dockerfiles become edges: which images stand on which, and on what from outside.

A name in a Dockerfile means a sibling or an external image by rule 5 of the semantics; near misses are reported, never
guessed. A Dockerfile that cannot be read is its own image's problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import dockerfile, members
from dsci.model.dockerfile import Recipe
from dsci.model.family import Base, Family, Image, Node, TargetId
from dsci.model.oci import Platform
from dsci.model.reference import Reference, Repository
from dsci.model.text import nearest


def assemble(
    images: Mapping[str, Image],
    dockerfiles: Mapping[str, str],
    *,
    configured: bool,
    build_platform: Platform | None = None,
) -> Family:
    """Read every image's Dockerfile and draw the edges (rule 5 of the semantics).

    `dockerfiles` maps paths to texts. `configured` tells whether registries were configured; when not, the prefix
    under which the Dockerfiles name siblings is inferred. `build_platform` is what BUILDPLATFORM means,
    the machine that builds; each target's own platform when it is not known. A Dockerfile that cannot be read is its
    image's problem alone.

    Raises ConfigError: a stage whose name hides a pinned image, a cyclic need, a sibling that lacks the
    platform.
    """
    recipes: dict[TargetId, Recipe] = {}
    syntaxes: dict[TargetId, Reference | None] = {}
    problems: dict[TargetId, str] = {}
    for image in images.values():
        for target in image.targets:
            try:
                parsed = dockerfile.parse(dockerfiles[image.dockerfile], path=image.dockerfile)
                recipes[target] = recipe_of(image, target, dockerfiles[image.dockerfile], build_platform=build_platform)
                syntaxes[target] = _tagged(_parse(parsed.syntax, image, 1)) if parsed.syntax else None
            except ConfigError as error:
                recipes[target], syntaxes[target] = dockerfile.UNREADABLE, None
                problems[target] = f"{error.message} ({error.hint})" if error.hint else error.message
    names = _SiblingNames.of(images, recipes, configured=configured)
    nodes = {
        target: replace(_node(target, images, recipe, syntaxes[target], names), problem=problems.get(target, ""))
        for target, recipe in recipes.items()
    }
    warnings = [*names.warnings, *problems.values()]
    for target, recipe in recipes.items():
        path = images[target.image].dockerfile
        warnings += [f"{path}:{warning.line}: {warning.message}" for warning in recipe.warnings]
    family = Family(images=images, nodes=nodes, warnings=tuple(dict.fromkeys(warnings)))
    try:
        _ = family.order, family.image_order, family.release_order
    except CycleError as error:
        chain = " → ".join(str(target) for target in reversed(error.args[1]))
        raise ConfigError(
            f"the images stand on each other in a circle: {chain}",
            hint="images.NAME.external lists names that are not siblings",
        ) from None
    return family


def recipe_of(image: Image, target: TargetId, text: str, *, build_platform: Platform | None) -> Recipe:
    """What a target's Dockerfile, which has this text, says. Raises ConfigError where it cannot be read."""
    return dockerfile.resolve(
        dockerfile.parse(text, path=image.dockerfile),
        stage=image.stage,
        args=image.args,
        platform=target.platform,
        build_platform=build_platform,
    )


class _SiblingNames(msgspec.Struct, frozen=True):
    """Which names in Dockerfiles mean siblings."""

    repositories: Mapping[Repository, str]
    """Names of images by where they are published; variants share both."""
    members: Mapping[str, Sequence[Image]]
    """The variants of each image by its name, the default one first."""
    configured: bool
    """Whether the repositories are the user's own words; a prefix that is inferred has been told of already."""
    warnings: list[str]

    @classmethod
    def of(cls, images: Mapping[str, Image], recipes: Mapping[TargetId, Recipe], *, configured: bool) -> _SiblingNames:
        repositories = {repository: image.declared for image in images.values() for repository in image.repositories}
        members: dict[str, list[Image]] = {}
        for image in sorted(images.values(), key=lambda image: image.suffix):
            members.setdefault(image.declared, []).append(image)
        warnings: list[str] = []
        if not configured:
            prefixes: dict[str, str] = {}
            for target, recipe in sorted(recipes.items()):
                for source in recipe.sources:
                    repository = _parse(source.name, images[target.image], source.line).repository
                    prefix, _, name = str(repository).rpartition("/")
                    if name in members and name != images[target.image].declared and prefix != "docker.io/library":
                        prefixes.setdefault(prefix, f"{images[target.image].dockerfile}:{source.line}")
            if len(prefixes) == 1:
                (prefix,) = prefixes
                repositories |= {Repository.parse(f"{prefix}/{name}"): name for name in members}
            elif prefixes:
                places = ", ".join(f"{prefix} ({place})" for prefix, place in sorted(prefixes.items()))
                warnings.append(
                    f"siblings are named under several prefixes: {places}; all of them are taken as external images;"
                    f" set registries: in dsci.yaml to the one that is yours"
                )
        return cls(repositories, members, configured, warnings)

    def find(self, name: str, reference: Reference, user: Image, line: int) -> Image | None:
        """The sibling that `name` stands for in this image's Dockerfile, or None.

        Raises ConfigError for a variant that there is not.
        """
        plain, _, tag = name.partition(":")
        found: str | None = None
        if reference.digest is None:
            found = self.repositories.get(reference.repository)
        if found is None and plain in self.members:  # Names hold no / : @, so this is a bare name.
            found = plain if tag in ("", "latest") or members.named_alone(self.members[plain], tag) else None
        repository = reference.repository
        spellings = {name, name.removesuffix(":latest"), str(repository), repository.familiar}
        if found == user.declared or spellings & set(user.external):
            return None
        if found is None:
            self._near_miss(name, reference, user, line)
            return None
        return self._variant(found, reference.tag, user, line)

    def _variant(self, name: str, tag: str | None, user: Image, line: int) -> Image:
        """The variant of a sibling that a tag names, or else the one like its user."""
        where, known = f"{user.dockerfile}:{line}", self.members[name]
        found = members.by_tag(known, tag or "")
        if found is None and members.says_something_else(known, tag):
            self.warnings.append(
                f"{where}: the tag {tag} names no variant of {name}:"
                f" those are {', '.join(f'{name}:{each.endings[-1][1:]}' for each in known)}"
            )
        return found or members.alike(known, user, where=where)

    def _near_miss(self, name: str, reference: Reference, user: Image, line: int) -> None:
        """Report a name that is almost a sibling's: most often a slip, never silently one."""
        where = f"{user.dockerfile}:{line}"
        last = reference.repository.path.rpartition("/")[2]
        prefixes = {str(known).rpartition("/")[0] for known in self.repositories}
        told = "/" not in name or reference.digest is not None or self.configured
        if last in self.members and last != user.declared and told:
            self.warnings.append(
                f"{where}: {name} is taken as an external image although {last} is an image of this repository;"
                f" write {last} to stand on it, or list {name} under images.{user.declared}.external"
            )
        elif str(reference.repository).rpartition("/")[0] in prefixes and last not in self.members:
            near = nearest(last, sorted(self.members))
            if near:
                self.warnings.append(f"{where}: {name} is taken as an external image{near}")


def _node(
    target: TargetId, images: Mapping[str, Image], recipe: Recipe, syntax: Reference | None, names: _SiblingNames
) -> Node:
    image = images[target.image]
    siblings: dict[str, TargetId] = {}
    bases: set[Base] = set()
    lineage: Base | None = None
    for source in recipe.sources:
        reference = _parse(source.name, image, source.line)
        platform = source.platform or target.platform
        if source.name.lower() in recipe.stage_names:
            raise ConfigError(
                f"{image.dockerfile}:{source.line}: a stage is named {source.name!r} like the image it stands on;"
                " BuildKit would build on the stage's pin instead of the stage",
                hint="give the stage another name",
            )
        sibling = names.find(source.name, reference, image, source.line)
        if sibling is not None:
            need = TargetId(sibling.name, platform)
            if need not in sibling.targets:
                raise ConfigError(
                    f"{image.dockerfile}:{source.line}: {target} needs {sibling.name} for {platform},"
                    f" which is built for {', '.join(map(str, sibling.platforms))}",
                    hint=f"add {platform} to the platforms of {sibling.name}",
                )
            if siblings.setdefault(source.name, need) != need:
                raise ConfigError(
                    f"{image.dockerfile}:{source.line}: {source.name} is wanted for two platforms in one image",
                    hint="BuildKit pins one image per name: split the Dockerfile in two images",
                )
            continue
        base = Base(name=source.name, reference=_tagged(reference), platform=platform)
        bases.add(base)
        if source.name == recipe.lineage and platform == (recipe.lineage_platform or target.platform):
            lineage = base
    needs = set(siblings.values())
    for name in image.needs:
        where = f"images.{image.declared}.needs"
        named = images[name] if images[name].suffix else members.alike(names.members[name], image, where=where)
        wanted = TargetId(named.name, target.platform)
        if wanted not in named.targets:
            raise ConfigError(
                f"{where}: {named.name} is not built for {target.platform}",
                hint=f"add {target.platform} to the platforms of {named.name}",
            )
        needs.add(wanted)
    return Node(
        id=target,
        recipe=recipe,
        syntax=syntax,
        parent=siblings.get(recipe.lineage) if recipe.lineage else None,
        needs=tuple(sorted(needs)),
        siblings=siblings,
        bases=tuple(sorted(bases)),
        lineage=lineage,
    )


def _parse(name: str, image: Image, line: int) -> Reference:
    try:
        return Reference.parse(name)
    except ConfigError as error:
        raise ConfigError(f"{image.dockerfile}:{line}: {error.message}", hint=error.hint) from None


def _tagged(reference: Reference) -> Reference:
    """The reference with the tag that its absence means."""
    return reference if reference.tag or reference.digest else replace(reference, tag="latest")
