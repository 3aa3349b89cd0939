"""Which step may begin now: every target is built, then tested, and what most work waits for begins first.

A target is tested once it is built and all that it stands on has passed. It is built once all that it stands on is
built: while its parents' suites still run, that is speculation. Without speculation it waits for them to pass. Urgency
is always counted as if nothing were built on speculation, so a suite goes before everything that stands on what it
tests. Tests that pile up go before builds: images are done with soon. This only says what may begin and notes what has
ended; nothing is built here, and nobody waits.

Source: the critical path method, as in https://en.wikipedia.org/wiki/Critical_path_method
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import IntEnum
from graphlib import TopologicalSorter
from typing import Any, Generic, TypeVar

import msgspec

from dsci.model.graphs import closure

T = TypeVar("T", bound=Hashable)
S = TypeVar("S", bound=Any)

#: What something takes that was never measured, in seconds.
UNKNOWN = 60.0


class Stage(IntEnum):
    """What is done to a target; what comes first here goes first."""

    TEST = 0
    BUILD = 1


class Step(msgspec.Struct, Generic[S], frozen=True):
    """One stage of one target."""

    target: S
    stage: Stage


class Schedule(Generic[S]):
    """What of some targets has begun and ended, and what may begin. Targets can be sorted; it is for one thread."""

    def __init__(
        self, needs: Mapping[S, Iterable[S]], seconds: Mapping[Step[S], float], *, speculate: bool = True
    ) -> None:
        """`needs`: what each target stands on; needs that are no targets do not count. Raises CycleError."""
        self._needs = {target: [need for need in given if need in needs] for target, given in needs.items()}
        self._below: dict[S, list[S]] = {target: [] for target in needs}
        cautious: dict[Step[S], list[Step[S]]] = {}
        hasty: dict[Step[S], list[Step[S]]] = {}
        for target, given in self._needs.items():
            for need in given:
                self._below[need].append(target)
            build, test = Step(target, Stage.BUILD), Step(target, Stage.TEST)
            passed = [Step(need, Stage.TEST) for need in given]
            cautious |= {build: passed, test: [build]}
            hasty |= {build: [Step(need, Stage.BUILD) for need in given], test: [build, *passed]}
        self._urgency = ways(cautious, seconds)
        self._waiting = TopologicalSorter(hasty if speculate else cautious)
        self._waiting.prepare()
        self._ready: list[Step[S]] = []
        self._running: dict[Step[S], None] = {}
        self._passed: set[S] = set()
        self._blocked: set[S] = set()
        self._stopped = False

    def begin(self, hands: int, fits: Callable[[S], bool] = lambda target: True) -> tuple[Step[S], ...]:
        """Begin what may begin, the most urgent first, while fewer than `hands` steps go on.

        Where as many tests wait as there are hands, tests go first: or what is built would pile up untested.
        A build that does not fit yet lets others go before it. Where nothing else is going on or may begin, it begins
        all the same: waiting would change nothing.
        """
        self._ready += self._waiting.get_ready()
        self._ready = [step for step in self._ready if step.target not in self._blocked]
        crowded = sum(step.stage is Stage.TEST for step in self._ready) >= hands
        self._ready.sort(
            key=lambda step: (step.stage if crowded else Stage.TEST, -self._urgency[step], step.stage, step.target)
        )
        begun: list[Step[S]] = []
        for step in () if self._stopped else self._ready:
            if len(self._running) < hands and (step.stage is Stage.TEST or fits(step.target)):
                self._running[step] = None
                begun.append(step)
        if self._ready and not self._running and not self._stopped:
            self._running[self._ready[0]] = None
            begun.append(self._ready[0])
        self._ready = [step for step in self._ready if step not in self._running]
        return tuple(begun)

    def done(self, step: Step[S]) -> None:
        """A step has ended well; where its target was blocked meanwhile, nothing comes of it."""
        del self._running[step]
        self._waiting.done(step)
        self._passed |= {step.target} if step.stage is Stage.TEST else set()

    def fail(self, step: Step[S]) -> tuple[S, ...]:
        """A step has failed: the targets that stand on its target and are blocked by it, sorted; some may be building.

        None of them begins anything any more.
        """
        del self._running[step]
        below = closure([step.target], self._below) - self._blocked
        self._blocked |= {step.target, *below}
        return tuple(sorted(below))

    def stop(self) -> None:
        """Nothing begins any more."""
        self._stopped = True

    @property
    def running(self) -> tuple[Step[S], ...]:
        """What is going on, in the order in which it began."""
        return tuple(self._running)

    @property
    def left(self) -> tuple[S, ...]:
        """The targets that have neither passed nor failed nor been blocked, sorted."""
        return tuple(sorted(self._needs.keys() - self._passed - self._blocked))

    def sure(self, target: S) -> bool:
        """Whether all that a target stands on has passed: if not, what is built of it is speculation."""
        return self._passed.issuperset(self._needs[target])


def ways(needs: Mapping[T, Iterable[T]], seconds: Mapping[T, float]) -> Mapping[T, float]:
    """For each item, the time from its beginning to the end of the longest way of what stands on it, in seconds.

    `needs` are what must be done before each item; needs that are no items themselves do not count. Raises CycleError.
    """
    behind: dict[T, list[T]] = {item: [] for item in needs}
    for item, given in needs.items():
        for need in given:
            if need in behind:
                behind[need].append(item)
    found: dict[T, float] = {}
    for item in TopologicalSorter(behind).static_order():
        own = max(0.0, seconds.get(item, UNKNOWN))
        found[item] = own + max((found[other] for other in behind[item]), default=0.0)
    return found
