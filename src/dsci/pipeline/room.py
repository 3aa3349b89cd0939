"""Whether this machine has room for one more build: looked at when a build could begin, told in numbers.

A build for which there is no room waits for others to end. One that would wait for ever is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from dsci.errors import BuilderError
from dsci.model.family import TargetId
from dsci.model.room import FREE_ROOM, Guard, Room, Took, full, told
from dsci.ports import Console, Engine, EnginePlace, Machine


class Rooms:
    """What is free for builds, and what each is known to need. For one thread, but for `refusal` and `explain`."""

    def __init__(
        self,
        machine: Machine,
        engine: Engine,
        console: Console,
        *,
        memory: int,
        disk: int,
        took: Mapping[TargetId, Took],
        elsewhere: Callable[[TargetId], bool] = lambda target: False,
    ) -> None:
        """`memory` is what a build is reckoned with, `disk` what has to be left in any case; both in bytes.

        What is built `elsewhere` takes no memory here.
        """
        self._machine = machine
        self._engine = engine
        self._console = console
        self._memory, self._disk = memory, disk
        self._took = took
        self._elsewhere = elsewhere
        self._tight: dict[TargetId, str] = {}
        self._said: set[object] = set()

    @cached_property
    def _guard(self) -> Guard:
        """The rules, with what there is before the first build."""
        return Guard(memory=self._memory, disk=self._disk, first=self._look())

    @cached_property
    def _place(self) -> EnginePlace:
        return self._engine.place()

    def _look(self) -> Room:
        return self._machine.room(self._place)

    def fits(self, target: TargetId, going: Iterable[TargetId]) -> bool:
        """Whether a build has room beside those that are going on; if not, why is told once."""
        guard, now, others = self._guard, self._look(), list(going)
        self._tight.pop(target, None)
        here = [other for other in others if not self._elsewhere(other)]
        if not self._elsewhere(target) and (why := guard.short_of_memory(now, len(here))):
            self._say("memory", f"{target} waits: {why}")
            return False
        promised = [self._took[other] for other in others if other in self._took]
        need = self._took.get(target)
        if guard.short_of_disk(now, need, promised):
            self._engine.collect(wait=True)
            now = self._look()
        if why := guard.short_of_disk(now, need, promised):
            self._tight[target] = why
            if others:
                self._say(target, f"{target} waits: it {why}")
            return False
        return True

    def refusal(self, target: TargetId) -> BuilderError | None:
        """Why a build that was begun nevertheless has to be refused; None where it has room."""
        why = self._tight.get(target)
        return BuilderError(f"{target} {why}", hint=FREE_ROOM) if why else None

    def explain(self, error: str) -> str:
        """What is to be said beside an error that comes of a full disk; "" for any other."""
        if not full(error):
            return ""
        now = told(self._look().disks)
        return f"the disk is full{': ' if now else ''}{now}\n{FREE_ROOM}"

    def _say(self, about: object, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._console.say(text)
