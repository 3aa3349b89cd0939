"""Carrying out a plan's targets: what may begin is the schedule's to say, and a failure stays where it is.

What fails blocks its descendants; everything else goes on to the end (promise 5). A target that is built while the
suites of what it stands on still run counts as built only once they have passed; when they fail, it is dropped. Steps
run side by side, and one thread notes and tells what came of them. Nothing is released here.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import msgspec

from dsci.errors import ConfigError, DsciError
from dsci.model.family import TargetId
from dsci.model.oci import Descriptor
from dsci.model.plan import Plan
from dsci.model.report import Outcome, Status, SuiteReport
from dsci.model.schedule import Schedule, Stage, Step
from dsci.pipeline.room import Rooms
from dsci.pipeline.steps import Result, Steps
from dsci.pipeline.workshop import Workshop


class Work(msgspec.Struct, kw_only=True):
    """What came of the targets."""

    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    suites: list[SuiteReport] = msgspec.field(default_factory=list)
    images: dict[TargetId, Descriptor] = msgspec.field(default_factory=dict)
    """The image of every target that is built, tested and good."""
    errors: list[DsciError] = msgspec.field(default_factory=list)
    """What failed around the targets (an engine, a registry) and through no fault of theirs."""

    @property
    def bad(self) -> frozenset[TargetId]:
        """Targets that failed or were blocked."""
        return frozenset(
            TargetId.parse(outcome.subject)
            for outcome in self.outcomes
            if outcome.status in (Status.FAILED, Status.BLOCKED) and "@" in outcome.subject
        )


class Runner:
    """One pass over a plan's targets."""

    def __init__(
        self,
        shop: Workshop,
        plan: Plan,
        rooms: Rooms,
        *,
        jobs: int,
        seconds: Mapping[Step[TargetId], float],
        speculate: bool = True,
        tests: bool = True,
        keep: bool = False,
        fail_fast: bool = False,
        bring: frozenset[str] = frozenset(),
    ) -> None:
        """`keep` leaves images in the engine: those that `bring` names, which are fetched if need be, or all.

        `seconds` is what steps took before: what most work waits for begins first. With `fail_fast` nothing begins
        any more once something has failed.
        """
        self._shop = shop
        self._rooms = rooms
        self._jobs = jobs
        self._fail_fast = fail_fast
        self.work = Work()
        self._steps = Steps(shop, plan, rooms, self.work.images, tests=tests, keep=keep, bring=bring)
        self._shelf = self._steps.shelf
        needs = {target: shop.now.family.nodes[target].needs for target in self._steps.targets}
        costs = {**seconds, **dict.fromkeys(self._steps.idle, 0.0)}
        self._schedule = Schedule(needs, costs, speculate=speculate)
        #: Builds that went well, until it is sure that what they stand on is good.
        self._unsure: dict[TargetId, Outcome] = {}
        #: Targets that were blocked while they were being built, and why.
        self._dropped: dict[TargetId, str] = {}
        self._begun: set[TargetId] = set()
        self._stopped_by = ""

    def run(self) -> Work:
        """Do it all. A DsciError of one target is its outcome; anything else stops the run and is raised."""
        running: dict[Future[Result], Step[TargetId]] = {}
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                while True:
                    for step in self._schedule.begin(self._jobs, self._fits):
                        self._tell_beginning(step)
                        running[pool.submit(self._steps.do, step, dict(self.work.images))] = step
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in sorted(done, key=lambda future: running[future].target):
                        self._ended(running.pop(future), future.result())
                self._left_over()
            except BaseException:
                # Ctrl-C, SIGTERM or a bug: nothing new begins, and what goes on is ended, not waited for.
                for future in running:
                    future.cancel()
                self._shop.builder.cancel()
                self._shop.engine.cancel()
                if self._shop.host_side is not None:
                    self._shop.host_side.cancel()
                raise
            finally:
                pool.shutdown()
                self._shelf.clear()
        return self.work

    def _fits(self, target: TargetId) -> bool:
        """Whether there is room for a target's build now."""
        if not self._steps.builds(target):
            return True
        going = [step.target for step in self._schedule.running if step.stage is Stage.BUILD]
        return self._rooms.fits(target, [other for other in going if self._steps.builds(other)])

    # ----------------------------------------------------------------------------------------- what came of steps

    def _tell_beginning(self, step: Step[TargetId]) -> None:
        """A step begins. Where it is a test, all that its target stands on has passed: it is built for good."""
        self._begun.add(step.target)
        if step.stage is Stage.TEST:
            self._note_built(step.target)
            if self._steps.is_tested(step.target):
                self._shop.console.begin(str(step.target), "test")
        elif self._steps.builds(step.target):
            self._shop.console.begin(str(step.target), "build")

    def _note_built(self, target: TargetId) -> None:
        if (outcome := self._unsure.pop(target, None)) is not None:
            self.work.outcomes.append(outcome)

    def _ended(self, step: Step[TargetId], result: Result) -> None:
        """Note what came of a step."""
        target = step.target
        if target in self._dropped:
            self._schedule.done(step)
            self._block(target, "build", self._dropped[target])
            return
        if result.image is not None:
            self.work.images[target] = result.image
        self.work.suites += result.suites
        if result.error is not None and not isinstance(result.error, ConfigError):
            self.work.errors.append(result.error)
        if (outcome := result.outcome) is not None:
            detail = outcome.detail
            if step.stage is Stage.BUILD and result.good and not self._schedule.sure(target):
                self._unsure[target] = outcome
                detail = f"{detail}; what it stands on is still being tested".removeprefix("; ")
            else:
                self.work.outcomes.append(outcome)
            self._shop.console.end(str(target), outcome.stage, str(outcome.status), outcome.seconds, detail)
        if result.good:
            self._schedule.done(step)
        else:
            self._fail(step)

    def _fail(self, step: Step[TargetId]) -> None:
        """Whatever stands on a failed target is not begun, or dropped; with `fail_fast` nothing at all begins."""
        why = f"{step.target} failed"
        for target in self._schedule.fail(step):
            if Step(target, Stage.BUILD) in self._schedule.running:
                self._dropped[target] = f"{why} while it was being built"
                self._steps.drop(target)
            elif target in self._unsure:
                self._block(target, "build", f"{why}: what was built on it meanwhile is dropped")
            else:
                self._block(target, "build", why)
        self._shelf.free([step.target])
        if self._fail_fast:
            self._schedule.stop()
            self._stopped_by = self._stopped_by or why

    def _block(self, target: TargetId, stage: str, why: str) -> None:
        """A target that nothing comes of in this run, whatever was built of it."""
        self._unsure.pop(target, None)
        self.work.images.pop(target, None)
        if target not in self._begun:
            self._shelf.free(self._steps.built_on(target))
        self._shelf.free([target])
        self.work.outcomes.append(Outcome(subject=str(target), stage=stage, status=Status.BLOCKED, detail=why))
        self._shop.console.end(str(target), stage, str(Status.BLOCKED), 0.0, why)

    def _left_over(self) -> None:
        """With `fail_fast`: what did not begin after the failure; of what is built for good, only the suites."""
        for target in self._schedule.left:
            if self._schedule.sure(target):
                self._note_built(target)
            told = any(outcome.subject == str(target) for outcome in self.work.outcomes)
            self._block(target, "test" if told else "build", f"{self._stopped_by}, and nothing begins after a failure")
