"""The build context: a tar straight from Git, the same for the same content wherever and whenever it is written."""

from __future__ import annotations

import io
import tarfile
from typing import BinaryIO

from dsci.errors import ConfigError
from dsci.model.family import TargetId
from dsci.model.inputs import ContextFile
from dsci.model.tree import EXECUTABLE, SUBMODULE, SYMLINK
from dsci.pipeline.workshop import Workshop

#: What a Dockerfile is called that the context does not hold.
DOCKERFILE = ".dsci.Dockerfile"
_LFS = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT = 1024


def write_context(shop: Workshop, target: TargetId, dockerfile: str, stream: BinaryIO) -> None:
    """The build context as a tar: Git objects, fixed owners and times, modes 755 and 644 whatever the umask was.

    Raises ConfigError for what Git does not hold the content of: submodules and LFS pointers.
    """
    image, epoch = shop.now.family.images[target.image], shop.epochs[target]
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        folders: set[str] = set()
        for file in shop.now.files[target]:
            _add(archive, file.path, _content(shop, file), file.entry.mode, epoch, folders)
        for file in shop.now.generated[target]:
            _add(archive, file.path, _content(shop, file, generated=True), file.entry.mode, epoch, folders)
        if dockerfile == DOCKERFILE:
            # The ignore file hides the Dockerfile, or it lies outside the context: BuildKit reads it from the tar.
            entry = shop.now.tree[image.dockerfile]
            hidden = ContextFile(path=dockerfile, source=image.dockerfile, entry=entry)
            _add(archive, dockerfile, _content(shop, hidden), entry.mode, epoch, folders)


def _content(shop: Workshop, file: ContextFile, *, generated: bool = False) -> bytes:
    if file.entry.mode == SUBMODULE:
        raise ConfigError(
            f"{file.source} is a submodule: its files are not in this repository's objects",
            hint="name it in .dockerignore, or copy what the image needs into the repository",
        )
    from_work_tree = generated or file.source in shop.now.changed
    content = shop.git.worktree_blob(file.source) if from_work_tree else shop.git.blob(file.entry.oid)
    if len(content) < _LFS_LIMIT and content.startswith(_LFS):
        raise ConfigError(
            f"{file.source} is a Git LFS pointer: the file itself is not in Git",
            hint="name it in .dockerignore, or have the Dockerfile fetch the file",
        )
    return content


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: str, epoch: int, folders: set[str]) -> None:
    parts = path.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        folder = "/".join(parts[:end])
        if folder not in folders:
            folders.add(folder)
            info = tarfile.TarInfo(folder)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, epoch
            archive.addfile(info)
    info = tarfile.TarInfo(path)
    info.mtime = epoch
    if mode == SYMLINK:
        info.type, info.mode = tarfile.SYMTYPE, 0o777
        info.linkname = content.decode("utf-8", errors="surrogateescape")
        archive.addfile(info)
        return
    info.size, info.mode = len(content), 0o755 if mode == EXECUTABLE else 0o644
    archive.addfile(info, io.BytesIO(content))
