"""Files that are there whole or not at all, and locks that die with their owner.

A file is written beside its place, synced, and renamed into it; its folder is synced too, so that what a later file
names is on disk before that one is. An unfinished file is locked by its writer: one that can be locked has none any
more and may be swept. What is written, and where, is the caller's business.

Source: https://man7.org/linux/man-pages/man2/flock.2.html (locks end with the last open descriptor),
https://man7.org/linux/man-pages/man2/fsync.2.html (a folder's entries need a sync of their own).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

_PREFIX = ".dsci-partial-"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold this lock file, alone among all threads and processes. It is made when missing and never removed."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def whole_file(path: Path, workshop: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write that gets its name when the block ends well, and else leaves everything as it was.

    `workshop` is a folder on the same file system, where the file is until then.
    """
    descriptor, name = _begin(workshop)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, pieces: Iterable[bytes], workshop: Path, *, mode: int = 0o644) -> None:
    """Write a file out of these pieces, or leave everything as it was."""
    with whole_file(path, workshop, mode=mode) as file:
        for piece in pieces:
            file.write(piece)


def sweep(workshop: Path) -> None:
    """Remove the unfinished files of writers that are dead."""
    for partial in workshop.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), partial.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _begin(workshop: Path) -> tuple[int, str]:
    """A new locked file; another one where a sweeper was quicker than our lock."""
    while True:
        descriptor, name = mkstemp(dir=workshop, prefix=_PREFIX)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)
