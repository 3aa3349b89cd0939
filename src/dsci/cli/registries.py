"""Every registry behind one object: the one on this machine for images that were given none, HTTP for the rest.

Which of the two a name means is all that is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsci.drivers.layout import LayoutRegistry
    from dsci.drivers.registry import HttpRegistry
    from dsci.model.oci import Descriptor, Digest
    from dsci.model.reference import Reference, Repository
    from dsci.ports import ImageSource, Registry


class Registries:
    """A registry that is the embedded one or a remote one, by each name's host. Implements `ports.Registry`."""

    def __init__(self, embedded: LayoutRegistry, remote: Callable[[], HttpRegistry]) -> None:
        self.embedded = embedded
        self._remote = remote

    def _of(self, repository: Repository) -> Registry:
        from dsci.model.reference import EMBEDDED

        return self.embedded if repository.registry == EMBEDDED else self._remote()

    def resolve(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry`."""
        return self._of(reference.repository).resolve(reference)

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        """See `ports.Registry`."""
        return self._of(reference.repository).manifest(reference)

    def blob(self, repository: Repository, blob: Descriptor) -> bytes:
        """See `ports.Registry`."""
        return self._of(repository).blob(repository, blob)

    def open_blob(self, repository: Repository, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """See `ports.Registry`."""
        return self._of(repository).open_blob(repository, blob)

    def lacks(self, repository: Repository, blob: Descriptor) -> bool:
        """See `ports.Registry`."""
        return self._of(repository).lacks(repository, blob)

    def push_image(self, source: ImageSource, repository: Repository, tag: str | None = None) -> Descriptor:
        """See `ports.Registry`."""
        return self._of(repository).push_image(source, repository, tag)

    def push_manifest(
        self, repository: Repository, content: bytes, media_type: str, tag: str | None = None, *, look: bool = True
    ) -> Descriptor:
        """See `ports.Registry`."""
        return self._of(repository).push_manifest(repository, content, media_type, tag, look=look)

    def push_blob(self, repository: Repository, content: bytes, media_type: str) -> Descriptor:
        """See `ports.Registry`."""
        return self._of(repository).push_blob(repository, content, media_type)

    def mount(self, source: Repository, blob: Descriptor, repository: Repository) -> bool:
        """See `ports.Registry`; content does not cross from one kind of registry to the other this way."""
        from dsci.model.reference import EMBEDDED

        if (source.registry == EMBEDDED) != (repository.registry == EMBEDDED):
            return False
        return self._of(repository).mount(source, blob, repository)

    def attach(self, repository: Repository, content: bytes, tag: str | None = None) -> Descriptor:
        """See `ports.Registry`."""
        return self._of(repository).attach(repository, content, tag)

    def referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
        """See `ports.Registry`."""
        return self._of(repository).referrers(repository, subject)

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """See `ports.Registry`."""
        return self._of(repository).tags(repository)

    def check_push(self, repository: Repository) -> None:
        """See `ports.Registry`."""
        self._of(repository).check_push(repository)

    def written(self, reference: Reference) -> int | None:
        """See `ports.Registry`."""
        return self._of(reference.repository).written(reference)

    def delete(self, repository: Repository, digest: Digest) -> bool:
        """See `ports.Registry`."""
        return self._of(repository).delete(repository, digest)

    def untag(self, repository: Repository, tag: str) -> bool:
        """See `ports.Registry`."""
        return self._of(repository).untag(repository, tag)

    def sweep(self, repository: Repository) -> int:
        """See `ports.Registry`."""
        return self._of(repository).sweep(repository)
