"""Commands run in an image, each as if in a container of its own.

Most commands leave nothing behind. They share containers that go on, which saves each the start of one. A container is
shared as long as the engine shows nothing new in it after a command, and replaced otherwise; and what was run in it is
believed only if the engine finds it untouched in the end. In a shared one a command is not the first process, and the
engine starts it another way; so only what passed there counts, and what failed is run again in a container of its own.
A command with steps before it, one for the image's entrypoint, and one whose container is to be special, has one to
itself from the beginning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import msgspec

from dsci.ports import NOTHING_SPECIAL, Container, Limit, Ran, Special
from dsci.suites.subject import Subject

OUTPUT_LIMIT = 1024 * 1024
#: Commands that run at once.
_AT_ONCE = 4
#: Seconds without a command coming to its end after which one more container is made: about what making it takes.
_WORTH = 0.3
#: What goes on and does nothing, by what images have.
IDLE: tuple[tuple[str, ...], ...] = (("sleep", "infinity"), ("tail", "-f", "/dev/null"))


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A command, what it is given, and what it must do to pass."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    passes: Callable[[Ran], bool]
    steps: Sequence[Sequence[str]] = ()
    """What is done before it, in its file system; no process outlives its step."""
    around: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The variables of the steps, which the command has too."""
    entrypoint: bool = False
    """Whether the command is given to the image's entrypoint, instead of taking its place."""
    hidden: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Those of all its variables whose values are this machine's own, and told to nobody."""


class _Shared(msgspec.Struct, kw_only=True, eq=False):
    """A container that goes on, and what ran in it."""

    container: Container
    closing: ExitStack
    jobs: list[int] = msgspec.field(default_factory=list)


def run(subject: Subject, jobs: Sequence[Job], special: Special = NOTHING_SPECIAL) -> list[tuple[Ran, ...]]:
    """Run every job; gives what its steps and, last, its command did. Raises BuilderError.

    A step that does not come to an end by itself is the last thing that is run.
    """
    commands = _Commands(subject, special)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            found = list(pool.map(commands.first, range(len(jobs)), jobs))
            doubtful = {n for each in pool.map(commands.leave, commands.free) for n in each}
            again = dict(zip(doubtful, pool.map(commands.alone, [jobs[n] for n in doubtful]), strict=True))
        except (KeyboardInterrupt, SystemExit):
            # Only the main thread meets these: nobody else is there to end what goes on.
            subject.cancel()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            for shared in commands.free:
                shared.closing.close()
    return [again.get(n, ran) for n, ran in enumerate(found)]


def _explained(job: Job, container: Container, ran: Ran) -> Ran:
    """What a job did; where it failed, with what the engine says of the container."""
    return ran if job.passes(ran) else msgspec.structs.replace(ran, seen=container.seen())


class _Commands:
    """The containers of one suite's commands. Safe for threads."""

    def __init__(self, subject: Subject, special: Special) -> None:
        self._subject = subject
        self._special = special
        # What an image declares as a volume is no part of what the engine compares.
        self._shares = special == NOTHING_SPECIAL and not subject.config.get("Volumes")
        self._changed = threading.Condition()
        self._idle = IDLE
        self._made = 0
        """How many containers are shared, or about to be."""
        self._progress = 0.0
        """When the last command came to its end in one, or the last one was begun to be made."""
        self.free: list[_Shared] = []
        """Those of them that run nothing now."""

    def first(self, number: int, job: Job) -> tuple[Ran, ...]:
        """Run a job where it is quickest."""
        if why := self._subject.over:
            return (_unrun(why, "time"),)
        if job.steps:
            return self._after(job)
        shared = None if job.entrypoint else self._take()
        if shared is None:
            return self.alone(job)
        try:
            ran = shared.container.quickly(job.argv, job.environment, self._subject.timeout, OUTPUT_LIMIT)
            passed = job.passes(ran)
            if passed:
                shared.jobs.append(number)
            ran = _explained(job, shared.container, ran) if ran.limit else ran
            kept = ran.exit_code is not None and shared.container.settled()
        except BaseException:
            self._fewer()
            shared.closing.close()
            raise
        if kept:
            with self._changed:
                self.free.append(shared)
                self._progress = time.monotonic()
                self._changed.notify()
        else:
            self._fewer()
            shared.container.end()
            shared.closing.close()
        # What took too much of anything takes it again.
        return (ran,) if passed or ran.limit else self.alone(job)

    def alone(self, job: Job) -> tuple[Ran, ...]:
        """Run a job in a container of its own."""
        entrypoint = None if job.entrypoint else [""]
        with self._subject.container(
            entrypoint=entrypoint, command=job.argv, environment=job.environment, special=self._special
        ) as container:
            return (_explained(job, container, container.run(self._subject.timeout, OUTPUT_LIMIT)),)

    def leave(self, shared: _Shared) -> Sequence[int]:
        """The jobs that a container, now that nothing more is run in it, tells nothing of."""
        return () if shared.container.untouched() else shared.jobs

    def _take(self) -> _Shared | None:
        """A container for one command, nobody else's meanwhile; None where there can be none."""
        with self._changed:
            while self._made and not self.free and (left := self._progress + _WORTH - time.monotonic()) > 0:
                self._changed.wait(left)
            if not self._shares:
                return None
            if self.free:
                return self.free.pop()
            self._made += 1
            self._progress = time.monotonic()
        closing = ExitStack()
        try:
            container = self._lasting(closing, {}, Special(watched=False))
        except BaseException:
            self._fewer()
            raise
        if container is None:
            self._shares = False
            self._fewer()
            return None
        return _Shared(container=container, closing=closing)

    def _fewer(self) -> None:
        """A container that was shared, or was to be, is not."""
        with self._changed:
            self._made -= 1
            self._changed.notify_all()

    def _after(self, job: Job) -> tuple[Ran, ...]:
        """Steps and then the command, in one container that is started anew between them."""
        found: list[Ran] = []
        with ExitStack() as closing:
            container = self._lasting(closing, job.around, self._special)
            if container is None:
                why = "nothing in the image keeps a container running, so nothing can be done before the command"
                return (_unrun(why),)
            for n, words in enumerate([*job.steps, job.argv]):
                if n:
                    container.again()
                own = job.environment if n == len(job.steps) else {}
                found.append(container.execute(words, own, self._subject.timeout, OUTPUT_LIMIT))
                if found[-1].exit_code is None:
                    break
            if not job.passes(found[-1]) or any(step.exit_code for step in found[:-1]):
                found[-1] = msgspec.structs.replace(found[-1], seen=container.seen())
        return tuple(found)

    def _lasting(self, closing: ExitStack, environment: Mapping[str, str], special: Special) -> Container | None:
        """A container that goes on until it is closed; None where nothing that the image has keeps one running."""
        for idle in self._idle:
            own = ExitStack()
            container = own.enter_context(
                self._subject.container(entrypoint=[""], command=idle, environment=environment, special=special)
            )
            if not container.start():
                closing.push(own)
                return container
            own.close()
            with self._changed:
                self._idle = tuple(each for each in self._idle if each != idle)
        return None


def _unrun(why: str, limit: Limit = "") -> Ran:
    return Ran(exit_code=None, stdout=b"", stderr=b"", seconds=0.0, reason=why, limit=limit)
