"""What moved among an image's direct dependencies between two commits, read from the files that pin them.

Only files that are inputs of the image are read, and none where the same ones stood there before. What a move is worth
is `model.pins`'s to say; a file that cannot be read is told, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from dsci.model import pinfiles, pins
from dsci.model.family import Image, TargetId
from dsci.model.inputs import ContextFile
from dsci.model.pins import Moved, Pins, Problem
from dsci.model.tree import SUBMODULE, SYMLINK, Tree, TreeEntry
from dsci.ports import Git


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """An image as a commit has it."""

    image: Image
    tree: Tree
    files: Sequence[ContextFile]
    siblings: Collection[str]
    """Names in its Dockerfile that stand for images beside it."""
    changed: frozenset[str] = frozenset()
    """Paths whose content lies in the work tree."""

    @property
    def pinning(self) -> dict[str, TreeEntry]:
        """The files that pin something, its Dockerfile among them."""
        found = {
            file.source: file.entry
            for file in self.files
            if file.entry.mode not in (SUBMODULE, SYMLINK) and pinfiles.is_pin_file(file.source)
        }
        return found | {self.image.dockerfile: self.tree[self.image.dockerfile]}


class Dependencies(msgspec.Struct, kw_only=True):
    """Reads pins, each set of files once."""

    git: Git
    rules: pins.Rules
    problems: set[Problem] = msgspec.field(default_factory=set)
    """What could not be read now; what an earlier commit held cannot be mended any more."""

    def moved(self, then: Side, now: Side, target: TargetId) -> tuple[Moved, ...]:
        """What moved for a target, the most important first."""
        if then.pinning == now.pinning and then.image.args == now.image.args:
            return ()
        old, new = (self._pins(side, target) for side in (then, now))
        self.problems.update(new.problems)
        return pins.compare(old, new, self.rules)

    def _pins(self, side: Side, target: TargetId) -> Pins:
        # The readers of all formats: imported where files are to be read, which most runs have none of.
        from dsci.model import pinfiles_read

        texts = {
            path: (self.git.worktree_blob(path) if path in side.changed else self.git.blob(entry.oid)).decode(
                errors="replace"
            )
            for path, entry in side.pinning.items()
        }
        meant = pinfiles_read.Target(
            stage=side.image.stage, args=side.image.args, platform=target.platform, siblings=side.siblings
        )
        return pinfiles_read.read(texts, dockerfile=side.image.dockerfile, target=meant)
