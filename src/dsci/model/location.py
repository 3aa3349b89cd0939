"""Where the values of a file stand in it, for errors that are found long after it was read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Location(msgspec.Struct, frozen=True):
    """Where a value stands in its file, for errors that are found later."""

    file: str
    lines: Mapping[tuple[str, ...], int]

    def at(self, *path: str) -> str:
        """`file:line` of the key path, or of its nearest enclosing key."""
        line = self.line(*path)
        return self.file if line is None else f"{self.file}:{line}"

    def line(self, *path: str) -> int | None:
        """The line of the key path, or of its nearest enclosing key."""
        return next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), None)
