"""The embedded registry: OCI image layouts in a folder, one per repository, behind the same port as a remote one.

Every change is a new file that is complete on disk before it gets its name, so a process that dies at any point leaves
valid layouts; what it left half-written carries a lock that died with it and is swept by the next writer. index.json
changes under a lock, so no writer loses another's tag, and it names a manifest only when everything below it is there.
Nothing is ever changed in place: a blob that several repositories have is one file with several names.

Blobs that nothing needs are removed by `sweep`, under the same lock, and never one that was touched lately: a push
touches the blobs that it finds. Before index.json names a manifest, under the lock, everything below it is looked for
once more; what was swept in between is sent again. So index.json never names what is not there.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import mkstemp
from typing import NoReturn

from msgspec.structs import replace

from dsci.drivers.files import locked, sweep, sync_folder, write_whole
from dsci.drivers.ocitar import IMAGE_NAME, LAYOUT_FILE, REF_NAME, write_oci_tar
from dsci.drivers.verify import chunks, verified
from dsci.errors import AuthError, ConfigError, RegistryError
from dsci.model.artifact import as_referrer, subject_of
from dsci.model.oci import (
    INDEX_TYPES,
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    Index,
    Manifest,
    OciError,
    load_manifest,
)
from dsci.model.reference import EMBEDDED, Reference, Repository
from dsci.ports import ImageSource

#: The largest blob that `blob` reads into memory.
BLOB_LIMIT = 8 * 1024 * 1024
_INDEX_LIMIT = 64 * 1024 * 1024
#: What a layout's folder holds itself; a repository below another must not be called so.
_OWN_NAMES = frozenset({"blobs", "index.json", "oci-layout"})
#: Files of ours beside the layout's: no repository's path component begins with a dot.
_LOCK, _WORKSHOP = ".lock", ".partial"
_MOVE = "move its folder away, then push again"
_RENAME = "give the image another repository"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: A blob that a push wrote or counted on so many seconds ago is not swept: its manifest may still come.
_GRACE = 3600
_UNLINKABLE = frozenset({errno.EEXIST, errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


class _MissingError(RegistryError):
    """A blob is not there, or no longer there, when the manifest that needs it is to be named."""


class LayoutRegistry:
    """Repositories as folders below `root`. Safe for threads and for processes that share the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._swept: set[Repository] = set()
        self._turns: dict[tuple[Repository, Digest], threading.Lock] = {}
        self._about: dict[tuple[Repository, Digest], tuple[Digest | None, Descriptor]] = {}
        """What manifests are about, and how they are listed; their content never changes."""
        self.writes = 0
        """Files written or linked so far: blobs, manifests and changes of an index."""

    # ------------------------------------------------------------------------------------------------------- reading

    def resolve(self, reference: Reference) -> Descriptor | None:
        """The manifest or index that this tag or digest names now."""
        for item in self._index(reference.repository).manifests:
            if _is_named(item, reference):
                return replace(item, annotations={})
        return None

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        """The same with its bytes, verified."""
        found = self.resolve(reference)
        if found is None:
            return None
        if found.size > MANIFEST_LIMIT:
            raise RegistryError(f"{reference}: a manifest of {found.size} bytes is over the limit of {MANIFEST_LIMIT}")
        return found, self.blob(reference.repository, found)

    def blob(self, repository: Repository, blob: Descriptor) -> bytes:
        """A small blob, verified."""
        if blob.size > BLOB_LIMIT:
            raise RegistryError(f"{repository}@{blob.digest} has {blob.size} bytes, over the limit of {BLOB_LIMIT}")
        with self.open_blob(repository, blob) as pieces:
            return b"".join(pieces)

    @contextlib.contextmanager
    def open_blob(self, repository: Repository, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob as a verified stream."""
        path = self._blob_path(repository, blob.digest)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise RegistryError(f"{path}: there is no such blob in {repository}", hint="push its image again") from None
        except OSError as error:
            _fail(path, error)
        with file:
            yield verified(chunks(file), blob, str(path))

    def lacks(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether a blob is not there, or not whole."""
        return not self._has(repository, blob)

    def referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
        """What is attached to an image: whatever index.json names that has it as its subject."""
        found: dict[Digest, Descriptor] = {}
        for item in self._index(repository).manifests:
            if item.media_type not in INDEX_TYPES | MANIFEST_TYPES or item.digest in found:
                continue
            if (repository, item.digest) not in self._about:
                content = self.blob(repository, item)
                self._about[repository, item.digest] = (subject_of(content), as_referrer(content, item.media_type))
            about, listed = self._about[repository, item.digest]
            if about == subject:
                found[item.digest] = listed
        return tuple(found.values())

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """Every tag of the repository."""
        named = (item.annotations.get(REF_NAME) for item in self._index(repository).manifests)
        return tuple(sorted({tag for tag in named if tag}))

    def export(self, reference: Reference, destination: Path) -> Descriptor:
        """Write one tag as a tar that `docker load` takes."""
        return write_oci_tar(self, reference, destination)

    # ------------------------------------------------------------------------------------------------------- writing

    def push_image(self, source: ImageSource, repository: Repository, tag: str | None = None) -> Descriptor:
        """Write the blobs that are missing, then the manifest."""
        what = f"{repository}@{source.descriptor.digest}"
        if Digest.of(source.manifest) != source.descriptor.digest:
            raise RegistryError(f"{what}: the manifest's bytes are not what its digest says", hint="build it again")
        for again in (True, False):
            for blob in _below(what, source.manifest, source.descriptor.media_type):
                with self._turn(repository, blob):
                    if not self._touch(repository, blob):
                        with _source(source, blob) as pieces:
                            self._write_blob(repository, blob, pieces, "the image to push")
            try:
                return self.push_manifest(repository, source.manifest, source.descriptor.media_type, tag)
            except _MissingError:
                if not again:
                    raise
        raise AssertionError("unreachable")

    def push_manifest(
        self,
        repository: Repository,
        content: bytes,
        media_type: str,
        tag: str | None = None,
        *,
        look: bool = True,  # noqa: ARG002  (a look costs nothing here)
    ) -> Descriptor:
        """Write these bytes and name them, unless they are so named."""
        manifest = Descriptor.of(media_type, content)
        reference = repository.tag(tag) if tag else repository.at(manifest.digest)
        if len(content) > MANIFEST_LIMIT:
            raise RegistryError(
                f"{reference}: a manifest of {len(content)} bytes is over the limit of {MANIFEST_LIMIT}",
                hint="shorten its annotations, or give the index fewer manifests",
            )
        below = _below(str(reference), content, media_type)
        missing = [str(item.digest) for item in below if not self._has(repository, item)]
        if missing:
            raise _MissingError(
                f"{reference}: {', '.join(missing[:3])} must be in {repository} first", hint="push it, then this again"
            )
        if not self._touch(repository, manifest):
            self._write_blob(repository, manifest, iter((content,)), str(reference))
        self._name(reference, manifest, (*below, manifest))
        return manifest

    def attach(self, repository: Repository, content: bytes, tag: str | None = None) -> Descriptor:
        """Write an artifact about an image; that index.json names it is all that it takes to be listed."""
        found = as_referrer(content)
        if subject_of(content) is None:
            raise OciError(f"{repository}@{found.digest} is about no image")
        self.push_manifest(repository, content, found.media_type, tag)
        return found

    def push_blob(self, repository: Repository, content: bytes, media_type: str) -> Descriptor:
        """Write a small blob, unless it is there."""
        blob = Descriptor.of(media_type, content)
        if not self._touch(repository, blob):
            self._write_blob(repository, blob, iter((content,) if content else ()), str(repository))
        return blob

    def mount(self, source: Repository, blob: Descriptor, repository: Repository) -> bool:
        """Give another repository's blob a name here: a hard link, or a copy where the file system has none."""
        if self._touch(repository, blob):
            return True
        if not self._touch(source, blob):
            return False
        path = self._blob_path(repository, blob.digest)
        try:
            self._prepare(repository, path.parent)
            path.hardlink_to(self._blob_path(source, blob.digest))
            sync_folder(path.parent)
        except OSError as error:
            if error.errno not in _UNLINKABLE:
                _fail(path, error)
            with self.open_blob(source, blob) as pieces:
                self._write_blob(repository, blob, pieces, str(source))
        else:
            self._count()
        return True

    def check_push(self, repository: Repository) -> None:
        """Write a file and remove it."""
        folder = self._folder(repository)
        try:
            while not folder.exists():
                folder = folder.parent
            descriptor, name = mkstemp(dir=folder, prefix=".dsci-")
            os.close(descriptor)
            Path(name).unlink()
        except OSError as error:
            _fail(folder / "index.json", error)

    # ------------------------------------------------------------------------------------------------------ removing

    def written(self, reference: Reference) -> int | None:
        """When the file of a manifest was written, or counted on by a push, last."""
        found = self.resolve(reference)
        if found is None:
            return None
        try:
            return int(self._blob_path(reference.repository, found.digest).stat().st_mtime)
        except OSError:
            return None

    def delete(self, repository: Repository, digest: Digest) -> bool:
        """Take a manifest out of index.json, by every name it has."""
        return self._change(repository, repository.at(digest), lambda item: None)

    def untag(self, repository: Repository, tag: str) -> bool:
        """Take a name out of index.json; the manifest stays reachable by its digest."""
        return self._change(repository, repository.tag(tag), _unnamed)

    def _change(
        self, repository: Repository, named: Reference, change: Callable[[Descriptor], Descriptor | None]
    ) -> bool:
        """Change whatever has a name in index.json, or take it out; False where nothing has it."""
        path = self._folder(repository) / "index.json"
        if self.resolve(named) is None:
            return False
        try:
            with locked(path.with_name(_LOCK)):
                before = self._index(repository).manifests
                changed = [change(item) if _is_named(item, named) else item for item in before]
                if there := any(_is_named(item, named) for item in before):
                    after = Index(manifests=_tidy(item for item in changed if item is not None))
                    write_whole(path, (after.to_bytes(),), path.with_name(_WORKSHOP))
        except OSError as error:
            _fail(path, error)
        self._count()
        return there

    def sweep(self, repository: Repository) -> int:
        """Remove the blobs that nothing in index.json needs and that no push has touched for an hour."""
        folder = self._folder(repository)
        if not (folder / "index.json").exists():
            return 0
        freed = 0
        try:
            with locked(folder / _LOCK):
                needed = self._needed(repository)
                for path in folder.glob("blobs/*/*"):
                    about = path.stat()
                    if f"{path.parent.name}:{path.name}" not in needed and time.time() - about.st_mtime > _GRACE:
                        path.unlink()
                        freed += about.st_size if about.st_nlink == 1 else 0
        except OSError as error:
            _fail(folder / "index.json", error)
        return freed

    def _needed(self, repository: Repository) -> frozenset[str]:
        """The digests of everything that index.json names, and of all that is below."""
        todo = list(self._index(repository).manifests)
        found: set[str] = set()
        while todo:
            item = todo.pop()
            if str(item.digest) in found:
                continue
            found.add(str(item.digest))
            if item.media_type in INDEX_TYPES | MANIFEST_TYPES and self._has(repository, item):
                content = self.blob(repository, item)
                todo += _below(f"{repository}@{item.digest}", content, item.media_type)
        return frozenset(found)

    def _name(self, reference: Reference, manifest: Descriptor, needs: Iterable[Descriptor]) -> None:
        """Have index.json name the manifest. What a tag named before stays reachable by its digest."""
        repository, tag = reference.repository, reference.tag
        path = self._folder(repository) / "index.json"
        names = {REF_NAME: tag, IMAGE_NAME: f"{repository}:{tag}"} if tag else {}
        try:
            with locked(path.with_name(_LOCK)):
                for blob in needs:
                    if not self._has(repository, blob):
                        raise _MissingError(
                            f"{reference}: {blob.digest} was swept while it was pushed",
                            hint="push it again",
                            temporary=True,
                        )
                before = self._index(repository).manifests
                if any(_is_named(item, reference) and item.digest == manifest.digest for item in before):
                    return
                after = [_unnamed(item) if tag and item.annotations.get(REF_NAME) == tag else item for item in before]
                after.append(replace(manifest, annotations=names))
                write_whole(path, (Index(manifests=_tidy(after)).to_bytes(),), path.with_name(_WORKSHOP))
        except OSError as error:
            _fail(path, error)
        self._count()

    # -------------------------------------------------------------------------------------------------------- files

    def _folder(self, repository: Repository) -> Path:
        parts = repository.path.split("/")
        if _OWN_NAMES & set(parts):
            taken = " or ".join(sorted(_OWN_NAMES & set(parts)))
            raise ConfigError(
                f"{repository}: a repository on this machine cannot have {taken} in its path", hint=_RENAME
            )
        if repository.registry != EMBEDDED:  # @ is in no path, so names of other registries cannot meet our own
            parts.insert(0, f"@{repository.registry}")
        return self.root.joinpath(*parts)

    def _blob_path(self, repository: Repository, digest: Digest) -> Path:
        return self._folder(repository) / "blobs" / digest.algorithm / digest.hex

    def _has(self, repository: Repository, blob: Descriptor) -> bool:
        path = self._blob_path(repository, blob.digest)
        try:
            size = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            _fail(path, error)
        return size == blob.size

    def _touch(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether a blob is there; a sweep then lets it alone for a while."""
        if not self._has(repository, blob):
            return False
        try:
            os.utime(self._blob_path(repository, blob.digest))
        except FileNotFoundError:
            return False
        except OSError:
            return True  # another user's file: it can be used, and swept by that user alone
        return True

    def _index(self, repository: Repository) -> Index:
        path = self._folder(repository) / "index.json"
        try:
            if path.stat().st_size > _INDEX_LIMIT:
                raise RegistryError(f"{path} is larger than any index dsci writes", hint=_MOVE)
            value = json.loads(path.read_bytes())
            items = value["manifests"]
            return Index(manifests=tuple(Descriptor.from_json(item) for item in items))
        except (FileNotFoundError, NotADirectoryError):
            return Index(manifests=())
        except OSError as error:
            _fail(path, error)
        except (ValueError, KeyError, TypeError, RecursionError, OciError):
            raise RegistryError(f"{path} is no index of an image layout", hint=_MOVE) from None

    def _prepare(self, repository: Repository, folder: Path) -> None:
        """Make a layout's folders and its two files, and sweep, once, what dead writers left."""
        top = self._folder(repository)
        workshop = top / _WORKSHOP
        folder.mkdir(parents=True, exist_ok=True)
        workshop.mkdir(exist_ok=True)
        with self._lock:
            first = repository not in self._swept
            self._swept.add(repository)
        if first:
            sweep(workshop)
        if not (top / "oci-layout").exists():
            with locked(top / _LOCK):
                if not (top / "index.json").exists():
                    write_whole(top / "index.json", (Index(manifests=()).to_bytes(),), workshop)
                write_whole(top / "oci-layout", (LAYOUT_FILE,), workshop)

    def _write_blob(self, repository: Repository, blob: Descriptor, pieces: Iterable[bytes], where: str) -> None:
        path = self._blob_path(repository, blob.digest)
        try:
            self._prepare(repository, path.parent)
            write_whole(path, verified(pieces, blob, where), self._folder(repository) / _WORKSHOP)
        except OSError as error:
            _fail(path, error)
        self._count()

    def _turn(self, repository: Repository, blob: Descriptor) -> threading.Lock:
        """Of several threads that want a blob written, one writes it."""
        with self._lock:
            return self._turns.setdefault((repository, blob.digest), threading.Lock())

    def _count(self) -> None:
        with self._lock:
            self.writes += 1


def _below(what: str, content: bytes, media_type: str) -> tuple[Descriptor, ...]:
    """What a manifest or an index needs to be there before it."""
    try:
        inner = load_manifest(content).get("mediaType")
        if media_type in INDEX_TYPES:
            found = Index.from_bytes(content).manifests
        elif media_type in MANIFEST_TYPES:
            manifest = Manifest.from_bytes(content)
            found = (manifest.config, *manifest.layers)
        else:
            raise OciError(f"{media_type[:100]!r} is no media type of a manifest")
        if inner not in (None, media_type):  # CVE-2021-41190
            raise OciError(f"it is pushed as {media_type}, but calls itself something else")
    except OciError as error:
        raise RegistryError(f"{what}: {error.message}", hint=error.hint) from None
    return tuple({item.digest: item for item in found}.values())


@contextlib.contextmanager
def _source(source: ImageSource, blob: Descriptor) -> Iterator[Iterator[bytes]]:
    try:
        stream = source.open(blob)
    except OSError as error:
        raise RegistryError(f"cannot read {blob.digest} of the image to push: {error.strerror}") from None
    with stream:
        yield chunks(stream)


def _is_named(item: Descriptor, reference: Reference) -> bool:
    if reference.digest is not None:
        return item.digest == reference.digest
    return item.annotations.get(REF_NAME) == (reference.tag or "latest")


def _tidy(items: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Sorted by tag; without a tag only what no tag names, once."""
    items = list(items)
    tagged = {item.digest for item in items if REF_NAME in item.annotations}
    bare = {item.digest: item for item in items if REF_NAME not in item.annotations and item.digest not in tagged}
    kept = [*bare.values(), *(item for item in items if REF_NAME in item.annotations)]
    return tuple(sorted(kept, key=lambda item: (item.annotations.get(REF_NAME, ""), item.digest)))


def _unnamed(item: Descriptor) -> Descriptor:
    return replace(item, annotations={k: v for k, v in item.annotations.items() if k not in (REF_NAME, IMAGE_NAME)})


def _fail(path: Path, error: OSError) -> NoReturn:
    """Translate what the file system said. The folder is named: it is what the user can do something about."""
    folder = path.parent
    if error.errno in _FULL:
        raise RegistryError(
            f"there is no room for {path.name} in {folder}: {error.strerror}",
            hint=f"free some space (or quota) on the file system of {folder}, then run again: nothing is half-written",
        ) from None
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise AuthError(
            f"this user may not use {path}: {error.strerror}", hint=f"give it the right to {folder}, or choose another"
        ) from None
    raise RegistryError(f"cannot use {path}: {error.strerror}", hint=f"look after the folder {folder}") from None
