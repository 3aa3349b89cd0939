"""Images in this run's scratch folder, as OCI layouts: what builders that do not see the engine's images are handed.

A builder elsewhere writes what it built into such a folder, and is given the folders of what that stands on; it takes
from them what it does not have. What two folders have in common lies on the disk once, by hard links, and a folder that
has its parents' blobs from the start is not sent them again. A folder goes with its last use, which others decide.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from dsci.drivers.ocitar import REF_NAME
from dsci.drivers.runs import Run
from dsci.drivers.verify import chunks, verified
from dsci.errors import BuilderError, RegistryError
from dsci.model.oci import MANIFEST_TYPES, Descriptor, Digest, Index, Manifest, OciError
from dsci.model.reference import Reference
from dsci.ports import ImageSource

_FOLDER = "handed"
_LAYOUT = '{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """One image in a layout, as an `ImageSource`."""

    folder: Path
    descriptor: Descriptor
    manifest: bytes

    def open(self, blob: Descriptor) -> BinaryIO:
        """The content of a blob of this image."""
        path = _path(self.folder, blob.digest)
        try:
            if path.stat().st_size == blob.size:
                return path.open("rb")
        except OSError as error:
            _fail(path, error)
        raise BuilderError(f"{path} has not the {blob.size} bytes of {blob.digest}", hint="build the image again")


def layout(folder: Path) -> tuple[Laid, str]:
    """The one image of an OCI layout in a folder, and what the layout calls it, or "". Raises BuilderError."""
    try:
        index = Index.from_bytes((folder / "index.json").read_bytes())
        images = [item for item in index.manifests if item.media_type in MANIFEST_TYPES]
        if len(images) != 1 or len(index.manifests) != 1:
            raise BuilderError(
                f"{folder} holds {len(index.manifests)} manifests, and one image of one platform is wanted",
                hint="write a layout of one platform",
            )
        found = Laid(folder=folder, descriptor=images[0], manifest=b"")
        with found.open(images[0]) as stream:
            content = b"".join(verified(chunks(stream), images[0], str(folder)))
    except OSError as error:
        raise BuilderError(f"{folder} cannot be read: {error.strerror}", hint="is it an OCI layout?") from None
    except (OciError, RegistryError) as error:
        raise BuilderError(f"{folder}: {error.message}", hint=error.hint or "write the layout again") from None
    return replace(found, manifest=content), images[0].annotations.get(REF_NAME, "")


class Handed:
    """The layouts of a run, by the names that images have in it. Implements `ports.Handed`; safe for threads."""

    def __init__(self, run: Run) -> None:
        #: Where buildx is run: it takes neither `:` nor `@` in the path of a layout, so it gets relative ones.
        self.root = run.scratch.absolute()
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._images: dict[str, Laid] = {}
        self._taking: dict[str, threading.Lock] = {}
        self._count = 0

    def image(self, name: Reference) -> ImageSource | None:
        """The image that lies here under this name."""
        return self._images.get(str(name))

    def place(self, name: Reference) -> str:
        """The image that lies here under this name, as `--build-context` takes it. Raises BuilderError without one."""
        laid = self._images.get(str(name))
        if laid is None:
            raise BuilderError(f"{name} is not at hand for a builder elsewhere", hint="run the same command again")
        return f"oci-layout://{laid.folder.relative_to(self.root)}@{laid.descriptor.digest}"

    def take(self, name: Reference, source: ImageSource) -> None:
        """Have an image here under this name, every byte of it checked. Raises BuilderError and RegistryError."""
        with self._lock:
            lock = self._taking.setdefault(str(name), threading.Lock())
        with lock:
            found = self._images.get(str(name))
            if found is not None and found.descriptor.digest == source.descriptor.digest:
                return
            folder = self.begin(name)
            try:
                _write(folder, source, self._everything())
            except BaseException:
                self.remove(name)
                raise
            self.settle(name, source.descriptor)

    def remove(self, name: Reference) -> None:
        """What lies here under this name, or was begun, goes."""
        with self._lock:
            folder = self._folders.pop(str(name), None)
            self._images.pop(str(name), None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------ what a build writes

    def begin(self, name: Reference, like: Iterable[Path] = ()) -> Path:
        """A folder for an image of this name, with the blobs of other folders; what was there before goes."""
        self.remove(name)
        with self._lock:
            self._count += 1
            folder = self._folders[str(name)] = self.root / _FOLDER / str(self._count)
        try:
            _path(folder, Digest.of(b"")).parent.mkdir(parents=True)
            (folder / "oci-layout").write_text(_LAYOUT)
            for other in like:
                with contextlib.suppress(FileNotFoundError):
                    for path in other.glob("blobs/*/*"):
                        _link(path, folder / path.relative_to(other))
        except OSError as error:
            _fail(folder, error)
        return folder

    def settle(self, name: Reference, descriptor: Descriptor) -> ImageSource:
        """The folder has this image now, and nothing else. Raises BuilderError where it has not."""
        folder = self._folders[str(name)]
        if not _path(folder, descriptor.digest).is_file():
            raise BuilderError(
                f"the builder tells of {descriptor.digest}, and does not give it",
                hint="it takes BuildKit 0.11 or newer",
            )
        manifest = b"".join(_read(folder, descriptor))
        parsed = Manifest.from_bytes(manifest)
        blobs = {blob.digest: blob for blob in (descriptor, parsed.config, *parsed.layers)}
        laid = Laid(folder=folder, descriptor=descriptor, manifest=manifest)
        for blob in blobs.values():
            laid.open(blob).close()
        wanted = {_path(folder, digest) for digest in blobs}
        for path in folder.glob("blobs/*/*"):
            if path not in wanted:
                path.unlink()
        self._images[str(name)] = laid
        return laid

    def folders(self, names: Iterable[Reference]) -> list[Path]:
        """Where these images lie, those that do."""
        return [laid.folder for name in names if (laid := self._images.get(str(name))) is not None]

    def _everything(self) -> list[Path]:
        with self._lock:
            return [laid.folder for laid in self._images.values()]


def _link(path: Path, new: Path) -> bool:
    """Have the same file once more. The folder it is in may be on its way out."""
    new.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        new.hardlink_to(path)
    return new.exists()


def _write(folder: Path, source: ImageSource, others: Iterable[Path]) -> None:
    """Write an image's blobs, but for those that lie in other folders."""
    manifest = Manifest.from_bytes(source.manifest)
    try:
        _path(folder, source.descriptor.digest).write_bytes(source.manifest)
        for blob in {blob.digest: blob for blob in (manifest.config, *manifest.layers)}.values():
            path = _path(folder, blob.digest)
            if any(_link(_path(other, blob.digest), path) for other in others):
                continue
            path.parent.mkdir(exist_ok=True)
            with source.open(blob) as stream, path.open("xb") as file:
                for chunk in verified(chunks(stream), blob, str(path)):
                    file.write(chunk)
    except OSError as error:
        _fail(folder, error)


def _read(folder: Path, blob: Descriptor) -> Iterator[bytes]:
    path = _path(folder, blob.digest)
    try:
        with path.open("rb") as file:
            yield from verified(chunks(file), blob, str(path))
    except OSError as error:
        _fail(path, error)


def _path(folder: Path, digest: Digest) -> Path:
    return folder / "blobs" / digest.algorithm / digest.hex


def _fail(path: Path, error: OSError) -> NoReturn:
    raise BuilderError(
        f"what a builder elsewhere is handed cannot be kept in {path}: {error.strerror}",
        hint="make room there, or let XDG_STATE_HOME name another place",
    ) from None
