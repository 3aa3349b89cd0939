"""Writing names that follow a branch, a request or a schedule, whether or not a version is released.

Such a name moves with what is built, and Git's ancestry guards it (rule 15 of the semantics): a run about an older
commit never takes it back from a newer one. It moves only when the content does. Nothing is claimed here, and what
stands under a name that is unique to a commit is never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dsci.errors import ConflictError, DsciError, HistoryError, RegistryError
from dsci.model.family import Image, TargetId
from dsci.model.oci import OCI_INDEX, Descriptor, Digest
from dsci.model.plan import PlannedRef
from dsci.model.reference import Reference
from dsci.model.report import Publication
from dsci.pipeline.naming import copy
from dsci.pipeline.standing import children_of, look
from dsci.ports import Console, Git, Registry

#: How often a name is looked at again that somebody else writes in the same moment.
_SETTLE = 3


def point(
    registry: Registry,
    git: Git,
    console: Console,
    image: Image,
    ref: PlannedRef,
    content: bytes,
    images: Mapping[TargetId, Descriptor],
) -> tuple[tuple[Publication, ...], Mapping[str, DsciError]]:
    """Let these names stand for an index that the primary repository holds under its unique tag.

    Gives what stands, and the registries in which not all of it does, and why.
    """
    wanted = children_of(image, {target: found.digest for target, found in images.items()})
    digest = Digest.of(content)

    def done(name: Reference) -> Digest | None:
        there = look(registry, name)
        if there is None:
            return None
        if there.children == wanted:
            return there.digest
        if _overtaken(git, ref.commit, there.revision):
            console.say(f"{name} is of {there.revision[:7]}, a later commit, and stays")
            return there.digest
        if name.tag not in ref.moving:
            console.warn(f"{name} names other content already, and stays: it is unique to its commit")
            return there.digest
        return None

    def put(name: Reference) -> Digest:
        copy(registry, image.repository, name.repository, digest)
        return registry.push_manifest(name.repository, content, OCI_INDEX, name.tag, look=False).digest

    published: list[Publication] = []
    failed: dict[str, DsciError] = {}
    for name in (repository.tag(tag) for repository in image.repositories for tag in ref.tags):
        if name.repository.registry in failed:
            continue
        try:
            now, changed = _settle(lambda name=name: done(name), lambda name=name: put(name))  # type: ignore[misc]
        except (RegistryError, ConflictError) as error:
            failed[name.repository.registry] = error
            continue
        if changed:
            console.say(f"tagged {name} → {digest.short}")
        published.append(
            Publication(image=image.name, version="", reference=str(name), digest=str(now), changed=changed)
        )
    return tuple(published), failed


def _settle(done: Callable[[], Digest | None], put: Callable[[], Digest]) -> tuple[Digest, bool]:
    """Write a name that moves: `done` gives what it stands for and may, or None where it is to be put.

    Gives what it stands for then, and whether that was written now. Where somebody else writes it in the same moment
    it is looked at again, and after a few times `put`'s ConflictError is raised.
    """
    for left in reversed(range(_SETTLE)):
        if (stands := done()) is not None:
            return stands, False
        try:
            return put(), True
        except ConflictError:
            if not left:
                raise
    raise AssertionError("unreachable")


def _overtaken(git: Git, commit: str, revision: str) -> bool:
    """Whether a name stands for a later commit than ours; one that this clone does not know says nothing."""
    if not revision or revision == commit:
        return False
    try:
        return git.is_ancestor(commit, revision)
    except HistoryError:
        return False
