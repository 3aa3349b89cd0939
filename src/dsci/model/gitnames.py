"""Names that Git tags cannot have together.

Git keeps refs as files: where `v1` is a tag, `v1/x` cannot be one. On a file system that knows no case, `V1.2.4` and
`v1.2.4` are one file, and a clone there has one of the two tags, under the name of the other. What a name means is
`claims`' to say.
"""

from __future__ import annotations

from collections.abc import Iterable


class TagNames:
    """The tags that stand already, here or on the remote, whatever they name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        for name in sorted(names):
            folded = name.casefold()
            self._names.setdefault(folded, name)
            for folder in _folders(folded) if "/" in folded else ():
                self._folders.setdefault(folder, name)

    def rival(self, name: str) -> str:
        """A tag that cannot stand beside one of this name, or "" where there is none."""
        folded = name.casefold()
        above = (self._names.get(folder, "") for folder in _folders(folded))
        return self._names.get(folded, "") or self._folders.get(folded, "") or next(filter(None, above), "")


def _folders(name: str) -> Iterable[str]:
    """What stands before each slash."""
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))
