"""Which files of a repository are an image's inputs, and which of them enter its build context.

The context is the tree below its folder, after `.dockerignore`. dsci's own files stay out of it, and so do suites that
lie in it unless the Dockerfile copies them: a changed test is no changed image. The Dockerfile and its ignore file are
inputs wherever they lie. The same answers serve keys, tars and the commits that count for a version.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from dsci.model import config, lock
from dsci.model.dockerfile import Recipe
from dsci.model.family import Image
from dsci.model.ignore import Ignore
from dsci.model.tree import Tree, TreeEntry, below

#: What speaks to dsci alone: a moved base or a new registry is no change of an image.
_OURS = frozenset({config.FILE_NAME, lock.FILE_NAME})

T = TypeVar("T", bound=Hashable)
_NOBODY: frozenset[Any] = frozenset()

_WILDCARD = re.compile(r"[*?\[\\]")


class ContextFile(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A file, link or submodule of a build context: its path inside it, where it comes from, what it is."""

    path: str
    source: str
    """Its path from the repository's root."""
    entry: TreeEntry


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The input filter of one image."""

    context: str
    dockerfile: str
    ignore_file: str | None
    ignore: Ignore
    suite_files: frozenset[str]
    """Suites that lie in the context and that the Dockerfile does not copy."""
    suites: frozenset[str]
    """The files of the image's own suites, wherever they lie."""

    @classmethod
    def of(cls, image: Image, recipe: Recipe, ignore_file: str | None, ignore_text: str) -> Inputs:
        """The filter of an image whose ignore file has this text."""
        suites = {path for suite in image.suites for path in suite.files}
        inside = {path: rest for path in suites if (rest := below(image.context, path)) is not None}
        copied = {path for path, rest in inside.items() for copy in recipe.copies if may_copy(copy.pattern, rest)}
        return cls(
            context=image.context,
            dockerfile=image.dockerfile,
            ignore_file=ignore_file,
            ignore=Ignore.parse(ignore_text),
            suite_files=frozenset(suites - copied),
            suites=frozenset(suites),
        )

    def in_context(self, path: str) -> str | None:
        """The path inside the build context, or None where the file does not enter it."""
        rest = below(self.context, path)
        if rest is None or path in self.suite_files or path in _OURS or self.ignore.ignores(rest):
            return None
        return rest

    def touches(self, path: str) -> bool:
        """Whether a change of this path is a change of the image's inputs."""
        return path in (self.dockerfile, self.ignore_file) or self.in_context(path) is not None

    def files(self, tree: Tree) -> tuple[ContextFile, ...]:
        """The build context, sorted by path."""
        return tuple(
            sorted(
                ContextFile(path=rest, source=path, entry=tree[path])
                for path in tree.under(self.context)
                if (rest := self.in_context(path)) is not None
            )
        )


class Watch(Generic[T]):
    """Whose inputs a path belongs to, for many owners at once: only those are asked above whose folder it lies."""

    def __init__(self, watched: Iterable[tuple[T, Inputs]], *, suites: bool = False) -> None:
        """With `suites`, those that lie in a context or elsewhere count as well."""
        self._files: dict[str, set[T]] = {}
        self._folders: dict[str, list[tuple[T, Inputs]]] = {}
        self._known: dict[str, frozenset[T]] = {}
        for owner, given in watched:
            for path in (given.dockerfile, given.ignore_file, *(given.suites if suites else ())):
                if path is not None:
                    self._files.setdefault(path, set()).add(owner)
            self._folders.setdefault(given.context, []).append((owner, given))

    def touched(self, path: str) -> frozenset[T]:
        """The owners for whom `Inputs.touches` says yes. History names the same paths over and over."""
        if path not in self._known:
            self._known[path] = self._touched(path)
        return self._known[path]

    def touched_by(self, paths: Sequence[str]) -> frozenset[T]:
        """The owners of any of these paths."""
        if len(paths) == 1:
            return self.touched(paths[0])
        found = [owners for owners in map(self.touched, paths) if owners]
        return found[0].union(*found[1:]) if found else _NOBODY

    def _touched(self, path: str) -> frozenset[T]:
        found = set(self._files.get(path, ()))
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            found.update(
                owner for owner, given in self._folders.get(folder, ()) if owner not in found and given.touches(path)
            )
        return frozenset(found)


def ignore_file_of(image: Image, tree: Tree) -> str | None:
    """The ignore file that counts: `<Dockerfile>.dockerignore`, else `.dockerignore` at the context's root.

    Source: https://docs.docker.com/build/concepts/context/#filename-and-location
    """
    own = f"{image.dockerfile}.dockerignore"
    shared = f"{image.context}/.dockerignore" if image.context else ".dockerignore"
    return next((path for path in (own, shared) if path in tree), None)


def may_copy(pattern: str, path: str) -> bool:
    """Whether a COPY source could take this path of the context. Where it cannot be told, it could."""
    clean = "/".join(part for part in pattern.split("/") if part not in ("", "."))
    wildcard = _WILDCARD.search(clean)
    if wildcard is not None:
        return path.startswith(clean[: wildcard.start()])
    return not clean or ".." in clean or path == clean or below(clean, path) is not None
