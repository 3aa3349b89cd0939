"""Tars that depend on their files alone: folders before what lies in them, fixed owners, one time for all."""

from __future__ import annotations

import io
import tarfile


class TarWriter:
    """Adds files to an archive, each below the folders that it lies in."""

    def __init__(self, archive: tarfile.TarFile, *, when: int = 0, folders: int = 0o755) -> None:
        """`when` is the time of everything, in seconds since the epoch; `folders` the mode of what lies above files."""
        self._archive = archive
        self._when = when
        self._mode = folders
        self._folders: set[str] = set()

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A regular file."""
        info = self._entry(path)
        info.size, info.mode = len(content), mode
        self._archive.addfile(info, io.BytesIO(content))

    def link(self, path: str, to: str) -> None:
        """A symbolic link."""
        info = self._entry(path)
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, to
        self._archive.addfile(info)

    def folder(self, path: str) -> None:
        """A folder, unless something lies in it already."""
        self._above(f"{path}/")

    def _entry(self, path: str) -> tarfile.TarInfo:
        """An entry of this name, behind its folders."""
        self._above(path)
        info = tarfile.TarInfo(path)
        info.mtime = self._when
        return info

    def _above(self, path: str) -> None:
        """The folders that lead there, once each."""
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            folder = "/".join(parts[:end])
            if folder not in self._folders:
                self._folders.add(folder)
                above = tarfile.TarInfo(folder)
                above.type, above.mode, above.mtime = tarfile.DIRTYPE, self._mode, self._when
                self._archive.addfile(above)
