"""Names that go together: when they go, what is told, and that nothing waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dsci.drivers.enginediscards import Discards
from dsci.errors import BuilderError, DsciError
from dsci.model.reference import Reference

PATIENCE = 10


def name(number: int) -> Reference:
    return Reference.parse(f"dsci.local/x:dsci-{number}")


class Bin:
    """A place names are taken out of, and what was told of it."""

    def __init__(self, remove: Callable[[Reference], None] = lambda name: None, *, pause: float = 0.0) -> None:
        self.gone: list[Reference] = []
        self.told: list[str] = []
        self.alone = threading.Lock()
        self._do = remove
        self.discards = Discards(self._remove, self._failed, self.alone, pause=pause)

    def _remove(self, name: Reference) -> None:
        assert self.alone.locked(), "others may use images meanwhile"
        self._do(name)
        self.gone.append(name)

    def _failed(self, name: Reference, error: DsciError) -> None:
        self.told.append(f"{name}: {error.message}")


def test_names_wait_for_each_other_and_go_side_by_side() -> None:
    together = threading.Barrier(5)
    place = Bin(lambda _: together.wait(PATIENCE) and None, pause=PATIENCE)
    for number in range(5):
        place.discards.add(name(number))
    assert place.gone == []
    began = time.monotonic()
    place.discards.hurry(wait=True)
    assert sorted(map(str, place.gone)) == sorted(str(name(number)) for number in range(5))
    assert time.monotonic() - began < PATIENCE, "nobody waits for the pause to end"


def test_what_is_not_hurried_goes_after_the_pause() -> None:
    gone = threading.Event()
    place = Bin(lambda _: gone.set(), pause=0.05)
    place.discards.add(name(1))
    assert gone.wait(PATIENCE)
    place.discards.hurry(wait=True)
    place.discards.add(name(2))
    place.discards.hurry(wait=True)
    assert place.gone == [name(1), name(2)], "it begins again for what comes later"


def test_what_comes_while_others_go_goes_next() -> None:
    began, more = threading.Event(), threading.Event()

    def remove(_: Reference) -> None:
        began.set()
        assert more.wait(PATIENCE)

    place = Bin(remove)
    place.discards.add(name(1))
    assert began.wait(PATIENCE)
    place.discards.add(name(2))
    place.discards.hurry(wait=False)
    assert place.gone == []
    more.set()
    place.discards.hurry(wait=True)
    assert place.gone == [name(1), name(2)]


def test_what_stays_is_told_and_the_rest_goes() -> None:
    def remove(which: Reference) -> None:
        if which == name(1):
            raise BuilderError("it is in use")

    place = Bin(remove)
    for number in range(3):
        place.discards.add(name(number))
    place.discards.hurry(wait=True)
    assert place.told == [f"{name(1)}: it is in use"]
    assert set(place.gone) == {name(0), name(2)}


def test_with_nothing_to_do_nothing_is_waited_for() -> None:
    before = threading.active_count()
    Bin(pause=PATIENCE).discards.hurry(wait=True)
    assert threading.active_count() == before


def test_containers_go_side_by_side_and_before_images() -> None:
    order: list[str] = []
    place = Bin(lambda _: order.append("image"), pause=PATIENCE)
    place.discards.add(name(1))
    together = threading.Barrier(3)
    for _ in range(3):
        place.discards.first(lambda: (together.wait(PATIENCE), order.append("container")))
    assert order == [], "each of them alone would make builds stand still"
    place.discards.hurry(wait=True)
    assert order == ["container"] * 3 + ["image"]


def test_a_bug_is_raised_where_it_is_waited_for() -> None:
    def remove(_: Reference) -> None:
        raise ZeroDivisionError

    place = Bin(remove, pause=PATIENCE)
    place.discards.add(name(1))
    with pytest.raises(ZeroDivisionError):
        place.discards.hurry(wait=True)
    assert not place.alone.locked()
