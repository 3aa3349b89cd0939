"""How a registry comes to show names of releases: copies, then immutable tags, then floating ones.

A `Way` is that of one registry alone. What is right already is not written again, what is immutable is never
overwritten, and no floating tag moves before all that never moves stands. Which names a release has is `publish`'s to
say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from dsci.errors import ConflictError, DsciError, RegistryError
from dsci.model.claims import Released
from dsci.model.family import Image
from dsci.model.keys import index_tag
from dsci.model.oci import Descriptor, Digest
from dsci.model.reference import Reference, Repository
from dsci.model.releases import fixed, floats
from dsci.model.report import Publication
from dsci.pipeline.transfer import copy_attached, copy_image
from dsci.ports import Console, Registry

#: How many names of a registry are looked at and written at once.
_AT_ONCE = 8

T = TypeVar("T")


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """A public name that a claimed release should have."""

    claim: Released
    reference: Reference
    digest: Digest
    primary: Repository
    moving: bool


def names_of(image: Image, repository: Repository, claims: Sequence[Released]) -> Iterator[Name]:
    """Every name that these releases of an image should have in a repository, those that never move first."""
    own = (image.name, *image.previous_names)
    for moving, tags in ((False, fixed(image, claims)), (True, floats(image, claims))):
        for tag, claim in tags.items():
            digest = claim.of(own)
            if digest is not None:
                yield Name(
                    claim=claim,
                    reference=repository.tag(tag),
                    digest=digest,
                    primary=image.repository,
                    moving=moving,
                )


def copy(registry: Registry, primary: Repository, repository: Repository, digest: Digest) -> None:
    """Have an index's content in a repository that is not the primary one, under its unique tag.

    What is attached to it comes along, and before any name that people use.
    """
    if repository == primary:
        return
    unique = index_tag(digest)
    if registry.resolve(repository.tag(unique)) is None:
        copy_image(registry, primary.at(digest), registry, repository, unique)
    copy_attached(registry, primary, digest, registry, repository)


class Way:
    """The way of one registry: copies, immutable tags, floating tags; none begins before all of the last are done."""

    def __init__(self, registry: Registry, names: Sequence[Name]) -> None:
        self._registry = registry
        self._contents = _Contents(registry)
        self._names = names
        self._changed: dict[Reference, bool] = {}
        self.error: DsciError | None = None
        copies = dict.fromkeys((name.primary, name.reference.repository, name.digest) for name in names)
        try:
            _all_of(lambda each: copy(registry, *each), tuple(copies))
            for moves in (False, True):
                together: dict[tuple[Repository, Digest], list[Name]] = {}
                for name in (name for name in names if name.moving is moves):
                    together.setdefault((name.reference.repository, name.digest), []).append(name)
                _all_of(self._write_all, tuple(together.values()))
        except DsciError as error:
            self.error = error

    @property
    def publications(self) -> list[Publication]:
        """The names that stand for what they should."""
        return [
            Publication(
                image=name.claim.group,
                version=str(name.claim.version),
                reference=str(name.reference),
                digest=str(name.digest),
                changed=self._changed[name.reference],
            )
            for name in self._names
            if name.reference in self._changed
        ]

    def tell(self, console: Console) -> None:
        """Say what was written."""
        written: dict[tuple[bool, Repository, Digest], list[str]] = {}
        for name in self._names:
            if self._changed.get(name.reference):
                where = (name.moving, name.reference.repository, name.digest)
                written.setdefault(where, []).append(str(name.reference.tag))
        for (_, repository, digest), tags in written.items():
            console.say(f"tagged {repository}: {' '.join(tags)} → {digest.short}")

    def _write_all(self, names: Sequence[Name]) -> None:
        """Write the names of one index, one after the other.

        docker-registry, which writes an index again for every name that it gets, answers 500 to whoever reads it
        meanwhile, and each such answer costs a pause.
        """
        conflicts: list[ConflictError] = []
        for name in names:
            try:
                self._write(name)
            except ConflictError as conflict:  # of this name alone
                conflicts.append(conflict)
        if conflicts:
            raise conflicts[0]

    def _write(self, name: Name) -> None:
        """Let a name stand for its release, unless it does. Other content is a conflict where it never moves.

        So it is where somebody else moves the name at the same time.
        """
        present = self._registry.resolve(name.reference)
        right = present is not None and present.digest == name.digest
        if present is not None and not right and not name.moving:
            raise taken(name, present.digest)
        if not right:
            self._contents.put(name)
        self._changed[name.reference] = not right


def taken(name: Name, other: Digest) -> ConflictError:
    """The error that an immutable tag is which names other content."""
    return ConflictError(
        f"{name.reference} names {other} already, but {name.claim.tag.name} claims {name.digest}",
        hint="somebody wrote this tag outside dsci: delete it in the registry, then run dsci release again",
    )


class _Contents:
    """What names are put on: each index is read once, and written by whoever looked at the name. Safe for threads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[Reference, tuple[Descriptor, bytes]] = {}

    def put(self, name: Name) -> Digest:
        """Let a name stand for its release. Raises RegistryError where the release is not in that repository."""
        repository = name.reference.repository
        index = repository.at(name.digest)
        found = self._known.get(index) or self._registry.manifest(index)
        if found is None:
            raise RegistryError(
                f"{name.claim.tag.name} claims {name.digest}, which {repository} does not have",
                hint="a clean-up of the registry may have removed it: restore it, or release a new version",
            )
        self._known[index] = found
        self._registry.push_manifest(repository, found[1], found[0].media_type, name.reference.tag, look=False)
        return name.digest


def _all_of(act: Callable[[T], None], items: Sequence[T]) -> None:
    """Do this to all of them side by side, and raise what went wrong first in their order.

    Nothing more is begun after a registry's own failure: it would be waited for each time.
    """
    over = threading.Event()

    def unless_over(item: T) -> None:
        if not over.is_set():
            try:
                act(item)
            except RegistryError:
                over.set()
                raise

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ended = [pool.submit(unless_over, item) for item in items]
    for each in ended:
        each.result()
