"""The images of a run, in the engine and at hand for builders elsewhere: brought there when they are wanted, and taken
out after their last use.

An image is wanted by its own target until that has ended, and by every target that is built on it. Names are this
run's own, so taking one out never takes what another run or a person has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping

from dsci.errors import DsciError
from dsci.model.family import TargetId
from dsci.model.oci import Descriptor
from dsci.pipeline import test as testing
from dsci.pipeline.workshop import Workshop


class Shelf:
    """Which of a run's images are in the engine, and who still wants them. Safe for threads."""

    def __init__(
        self,
        shop: Workshop,
        images: Mapping[TargetId, Descriptor],
        wanted: Iterable[TargetId],
        keep: Callable[[TargetId], bool],
        *,
        only_here: Collection[TargetId],
    ) -> None:
        """`wanted` has every target once for each use of its image; images of `only_here` come from nowhere else.

        What is to be kept gets a lasting name in the end, if it is still among the good `images` then.
        """
        self._shop = shop
        self._images = images
        self._keep = keep
        self._only_here = only_here
        self._lock = threading.Lock()
        self._there: set[TargetId] = set()
        self._uses: dict[TargetId, int] = {}
        for target in wanted:
            self._uses[target] = self._uses.get(target, 0) + 1

    def note(self, target: TargetId) -> None:
        """Whatever comes of it, the target's name may be in the engine from here on: it is taken out in the end."""
        with self._lock:
            self._there.add(target)

    def bring(self, target: TargetId, image: Descriptor) -> None:
        """Have an image in the engine under its local name, once and checked. Raises DsciError."""
        self.note(target)
        if target not in self._only_here or testing.at_hand(self._shop, target, image) is not None:
            testing.ensure_local(self._shop, target, image)

    def hand(self, target: TargetId, image: Descriptor) -> None:
        """Have an image at hand for a builder elsewhere: as one left it, or from the engine or its registry."""
        self.note(target)
        shop, name = self._shop, self._shop.local_name(target)
        if testing.at_hand(shop, target, image) is not None:
            return
        shop.console.step(str(target), f"hand {image.digest.short} to a builder elsewhere")
        if target not in self._only_here:
            shop.handed.take(name, testing.in_registry(shop, target, image))
            return
        with shop.builder.saved(name, classic=shop.engine.mode == "classic") as source:
            shop.handed.take(name, source)

    def free(self, targets: Iterable[TargetId]) -> None:
        """One use less of each of these; what nobody wants any more goes."""
        gone: list[TargetId] = []
        with self._lock:
            for target in targets:
                self._uses[target] -= 1
                if self._uses[target] <= 0 and target in self._there:
                    self._there.discard(target)
                    gone.append(target)
        for target in gone:
            self._let_go(target)

    def clear(self) -> None:
        """Everything goes, whoever wants it; it need not be waited for here."""
        with self._lock:
            gone, self._there = sorted(self._there), set()
        for target in gone:
            self._let_go(target)
        self._shop.engine.collect(wait=False)

    def _let_go(self, target: TargetId) -> None:
        """Take this run's name of an image out of the engine, after giving it a lasting one if it is to stay."""
        name = self._shop.local_name(target)
        try:
            if target in self._images and self._keep(target):
                self._shop.engine.tag(name, self._shop.kept_name(target))
        except DsciError as error:
            # What came of the work is not this clean-up's to say.
            self._shop.console.warn(f"{self._shop.kept_name(target)} is not there: {error.message}")
        self._shop.handed.remove(name)
        self._shop.engine.discard(name)
