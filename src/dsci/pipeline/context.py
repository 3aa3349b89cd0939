"""The build context: a tar straight from Git, the same for the same content wherever and whenever it is written."""

from __future__ import annotations

import tarfile
from typing import BinaryIO

from dsci.errors import ConfigError
from dsci.model.family import TargetId
from dsci.model.inputs import ContextFile
from dsci.model.tree import EXECUTABLE, SUBMODULE, SYMLINK
from dsci.pipeline.workshop import Workshop
from dsci.tars import TarWriter

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
        tar = TarWriter(archive, when=epoch)
        for file in shop.now.files[target]:
            _add(tar, file.path, _content(shop, file), file.entry.mode)
        for file in shop.now.generated[target]:
            _add(tar, file.path, _content(shop, file, generated=True), file.entry.mode)
        if dockerfile == DOCKERFILE:
            # The ignore file hides the Dockerfile, or it lies outside the context: BuildKit reads it from the tar.
            entry = shop.now.tree[image.dockerfile]
            hidden = ContextFile(path=dockerfile, source=image.dockerfile, entry=entry)
            _add(tar, dockerfile, _content(shop, hidden), entry.mode)


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


def _add(tar: TarWriter, path: str, content: bytes, mode: str) -> None:
    if mode == SYMLINK:
        tar.link(path, content.decode("utf-8", errors="surrogateescape"))
    else:
        tar.file(path, content, 0o755 if mode == EXECUTABLE else 0o644)
