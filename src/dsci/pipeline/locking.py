"""What `dsci.lock` is to pin: what is in use, and only where it is asked for, what a base is now (rule 2).

A base that the file has stays; one that it lacks is pinned to what the last release was built on, and resolved only
where nothing was released on it. Nothing is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import claims as claiming
from dsci.model import lock, version
from dsci.model.claims import TagFormat
from dsci.model.family import Family, TargetId
from dsci.model.oci import ANY, Digest, Platform
from dsci.model.reference import Reference
from dsci.model.text import nearest
from dsci.pipeline.bases import named_at, pins_of, resolve_now
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.world import World

_Key = tuple[str, Platform]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A base that the file pins otherwise than before, newly, or no more."""

    name: str
    platform: Platform
    old: Digest | None
    new: Digest | None
    rebuilds: tuple[str, ...] = ()
    """The images that are built again because of it, with what stands on them, parents first."""


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is to hold, and how that differs from what it holds."""

    bases: lock.Bases
    moved: tuple[Moved, ...]


def locked(world: World, now: Snapshot, *, update: bool, names: Collection[str] = ()) -> Locked:
    """Pin every external base. With `update` those that are named (all, where none is) are moved to what they are now.

    Raises ConfigError for a name that is no base and no image, and for a base that does not exist; RegistryError where
    its registry does not answer. Both say where it is named.
    """
    family = now.family
    wanted = _wanted(now)
    chosen = _chosen(family, names) if update else frozenset[str]()
    used = _in_use(world, now)
    bases = dict(_kept(wanted.keys(), now.locked, used, chosen))
    # An index and the platforms in it are moved together or not at all; the index first.
    for name, platform in sorted(wanted.keys() - bases.keys(), key=lambda key: (key[0], key[1] != ANY, key[1])):
        reference, target = wanted[name, platform]
        index = bases.get((name, ANY))
        asked = reference.repository.at(index) if index else reference
        found, why = resolve_now(world, asked, platform, named_at(now, reference, target))
        if found is None:
            raise ConfigError(why)
        bases[name, platform] = found
    moved = [
        Moved(name=name, platform=platform, old=old, new=new, rebuilds=_rebuilds(family, used, (name, platform), new))
        for name, platform in sorted(bases.keys() | now.locked.keys())
        if (old := now.locked.get((name, platform))) != (new := bases.get((name, platform)))
    ]
    return Locked(bases=bases, moved=tuple(moved))


def lacking(now: Snapshot) -> tuple[str, ...]:
    """What the file does not pin although a Dockerfile names it, and what it pins for nobody; a line each."""
    wanted = _wanted(now)
    missing = {key: named_at(now, *named) for key, named in wanted.items() if key not in now.locked}
    return (
        *sorted(f"{where}: {name} {platform} is not pinned" for (name, platform), where in missing.items()),
        *(
            f"{name} {platform} is pinned, and no image names it"
            for name, platform in sorted(now.locked.keys() - wanted)
        ),
    )


def _wanted(now: Snapshot) -> Mapping[_Key, tuple[Reference, TargetId]]:
    """Every base, and the first target that names it. Raises ConfigError where that cannot be read."""
    for node in now.family.nodes.values():
        if node.problem:
            raise ConfigError(node.problem, hint="what its bases are is not known: mend it first")
    return {
        (str(reference), platform): (reference, target)
        for target in reversed(now.family.order)
        for reference, platform in now.family.nodes[target].external
    }


def _chosen(family: Family, names: Collection[str]) -> frozenset[str]:
    """The bases that are meant: by their own names, with a tag or for all of them, or by the images that name them."""
    known = {str(reference): reference for node in family.nodes.values() for reference, _ in node.external}
    chosen: set[str] = set()
    for name in names:
        if images := family.named(name):
            targets = [target for image in images for target in family.images[image].targets]
            found = {str(reference) for target in targets for reference, _ in family.nodes[target].external}
        else:
            given = _reference(name)
            found = {text for text, each in known.items() if given is not None and _means(given, each)}
        if not found and not images:
            familiar = sorted(each.familiar for each in known.values())
            raise ConfigError(
                f"{name!r} is no image here, and no base of one{nearest(name, familiar)}",
                hint=f"the bases are {', '.join(familiar) or 'none'}",
            )
        chosen |= found
    return frozenset(chosen if names else known)


def _reference(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except ConfigError:
        return None


def _means(given: Reference, base: Reference) -> bool:
    """Whether a name means a base: without a tag all of its repository."""
    return given == base or (given.repository == base.repository and given.tag is None and given.digest is None)


def _in_use(world: World, now: Snapshot) -> Mapping[TargetId, Mapping[_Key, Digest]]:
    """What each target is pinned to as things stand, by the file and this clone's release tags; nobody is asked."""
    git = world.source.git
    form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
    known = claiming.released(git.tags(), form, now.family.groups)
    last = {group: version.newest(found) for group, found in known.items()}
    return pins_of(replace(world, resolve=None, lenient=True), now, last, [])[0]


def _kept(
    wanted: Collection[_Key],
    before: lock.Bases,
    used: Mapping[TargetId, Mapping[_Key, Digest]],
    chosen: Collection[str],
) -> Iterator[tuple[_Key, Digest]]:
    """What stays: as the file has it, else as most images have it that were released on it."""
    names: dict[str, list[_Key]] = {}
    for key in wanted:
        names.setdefault(key[0], []).append(key)
    for name, keys in names.items():
        if name in chosen:
            continue
        if before.keys() >= set(keys):
            yield from ((key, before[key]) for key in keys)
        elif (name, ANY) in keys:
            # An index and the platforms in it come from one record or none.
            record = next((pins for pins in used.values() if pins.keys() >= set(keys)), None)
            yield from ((key, record[key]) for key in keys if record)
        else:
            votes = {key: Counter(pins[key] for pins in used.values() if key in pins) for key in keys}
            yield from ((key, count.most_common(1)[0][0]) for key, count in votes.items() if count)


def _rebuilds(
    family: Family, used: Mapping[TargetId, Mapping[_Key, Digest]], key: _Key, new: Digest | None
) -> tuple[str, ...]:
    """The images that are pinned to something else as things stand, and all that stand on them."""
    own = {target for target, pins in used.items() if new is not None and pins.get(key, new) != new}
    all_of = own | family.descendants(own)
    return tuple(dict.fromkeys(target.image for target in family.order if target in all_of))
