"""One step of one target: built, found or tested, and what came of it.

What is asked for here runs beside other steps. It notes nothing: what came of a step is given back, and what that means
for other targets is `run`'s to say.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from dsci.errors import DsciError
from dsci.model.family import TargetId
from dsci.model.oci import OCI_MANIFEST, Descriptor, Digest
from dsci.model.plan import Plan, PlannedTarget
from dsci.model.report import Outcome, Status, SuiteReport, Verdict
from dsci.model.schedule import Stage, Step
from dsci.model.text import clean
from dsci.pipeline import build as building
from dsci.pipeline import test as testing
from dsci.pipeline.room import Rooms
from dsci.pipeline.shelf import Shelf
from dsci.pipeline.workshop import Workshop
from dsci.ports import BuildFailure


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one step; nothing is to be told of one that only looked something up."""

    outcome: Outcome | None = None
    image: Descriptor | None = None
    suites: tuple[SuiteReport, ...] = ()
    error: DsciError | None = None

    @property
    def good(self) -> bool:
        return self.outcome is None or self.outcome.status is Status.OK


class Steps:
    """The steps of a plan's targets. Safe for threads."""

    def __init__(
        self,
        shop: Workshop,
        plan: Plan,
        rooms: Rooms,
        good: Mapping[TargetId, Descriptor],
        *,
        tests: bool,
        keep: bool,
        bring: frozenset[str],
    ) -> None:
        """`good` has the images that may be kept when their time is over; `bring` names those to be fetched."""
        self._shop = shop
        self._planned = {TargetId.parse(item.id): item for item in plan.targets}
        self._rooms = rooms
        self._tests = tests
        self._wanted = bring
        self._kept = keep
        self._dropped: set[TargetId] = set()
        uses = [*self._planned, *(need for target in self._planned for need in self.built_on(target))]
        # What is private and only tested comes from its registry like any other image.
        made = frozenset(target for target, item in self._planned.items() if item.action == "build")
        self.shelf = Shelf(
            shop,
            good,
            uses,
            self._stays,
            only_here=shop.private & made,
        )

    def _stays(self, target: TargetId) -> bool:
        """Whether an image is to stay in the engine."""
        return self._kept and (target.image in self._wanted or not self._wanted)

    @property
    def targets(self) -> Iterable[TargetId]:
        """All of them, as the plan has them."""
        return self._planned

    @property
    def idle(self) -> Iterator[Step[TargetId]]:
        """The steps that have nothing to do."""
        for target in self._planned:
            if not self.builds(target):
                yield Step(target, Stage.BUILD)
            if not self.is_tested(target):
                yield Step(target, Stage.TEST)

    def builds(self, target: TargetId) -> bool:
        """Whether a target is to be built; else it is there already."""
        return self._planned[target].action == "build"

    def is_tested(self, target: TargetId) -> bool:
        """Whether suites are to be run on a target."""
        asked = self._tests and self._planned[target].action in ("build", "test")
        return asked and bool(self._shop.now.family.suites(target))

    def built_on(self, target: TargetId) -> tuple[TargetId, ...]:
        """The targets whose images its build wants where its builder sees them."""
        return tuple(self._shop.now.family.nodes[target].needs) if self.builds(target) else ()

    def drop(self, target: TargetId) -> None:
        """Nothing is to come of a build that goes on: break it off."""
        self._dropped.add(target)
        self._shop.builder.cancel(str(target))

    def do(self, step: Step[TargetId], images: Mapping[TargetId, Descriptor]) -> Result:
        """One step of one target, in a thread of its own, with the images of its beginning; then their use is over.

        What failed, and what is dropped, has one use left: its own. A DsciError is told.
        """
        result = self._done(step, images)
        if step.stage is Stage.BUILD:
            self.shelf.free(self.built_on(step.target))
        elif result.good:
            self.shelf.free([step.target])
        return result

    def _done(self, step: Step[TargetId], images: Mapping[TargetId, Descriptor]) -> Result:
        target, item = step.target, self._planned[step.target]
        began = time.monotonic()
        stage = "test" if step.stage is Stage.TEST else "build" if self.builds(target) else "load"
        try:
            match stage:
                case "test":
                    return self._test(target, images) if self.is_tested(target) else Result()
                case "build":
                    return self._build(target, images)
                case _:
                    return self._find(target, item)
        except DsciError as error:
            detail = f"{error.message}\n{error.hint}".strip()
            error.about(str(target))
            return Result(outcome=self._outcome(target, stage, Status.FAILED, began, detail), error=error)

    def _find(self, target: TargetId, item: PlannedTarget) -> Result:
        """An image that is there already; in the engine too, for whoever wants to use it."""
        assert item.digest is not None
        digest = Digest.parse(item.digest)
        found = self._shop.registry.resolve(self._shop.now.family.images[target.image].repository.at(digest))
        image = Descriptor(
            media_type=found.media_type if found else OCI_MANIFEST,
            digest=digest,
            size=found.size if found else 0,
            platform=target.platform,
        )
        if item.action in ("reuse", "retag") and target.image in self._wanted:
            self.shelf.bring(target, image)
        return Result(image=image)

    def _build(self, target: TargetId, images: Mapping[TargetId, Descriptor]) -> Result:
        began = time.monotonic()
        if problem := self._problem(target):
            return Result(outcome=self._outcome(target, "build", Status.FAILED, began, problem))
        if (refusal := self._rooms.refusal(target)) is not None:
            raise refusal
        have = self.shelf.hand if self._shop.builders.of(target.platform) else self.shelf.bring
        for need in self.built_on(target):
            have(need, images[need])
        self.shelf.note(target)
        if target in self._dropped:
            return Result()
        result = building.build(self._shop, target, _digests(images))
        if isinstance(result, BuildFailure):
            dockerfile = self._shop.now.family.images[target.image].dockerfile
            detail = building.failure_text(dockerfile, result)
            return Result(outcome=self._outcome(target, "build", Status.FAILED, began, detail))
        if self._shop.builders.of(target.platform) and self._stays(target):
            self.shelf.bring(target, result.descriptor)
        detail = "an image of this key was there already, and is used" if result.adopted else ""
        outcome = self._outcome(target, "build", Status.OK, began, detail)
        outcome = replace(outcome, digest=str(result.descriptor.digest), took=result.took)
        return Result(outcome=outcome, image=result.descriptor)

    def _problem(self, target: TargetId) -> str:
        """What makes a build pointless: a Dockerfile that cannot be read, a base that is nowhere."""
        problem = self._shop.now.family.nodes[target].problem
        private = target in self._shop.private
        return problem or ("" if private else self._shop.unpinned.get(target, ""))

    def _test(self, target: TargetId, images: Mapping[TargetId, Descriptor]) -> Result:
        began = time.monotonic()
        self.shelf.bring(target, images[target])
        reports = testing.test(self._shop, target, images[target], _digests(images))
        problems = [f"{_title(report)}\n{_failures(report)}" for report in reports if report.problem]
        checks = [check for report in reports for check in report.checks]
        passed = sum(check.verdict is Verdict.PASSED for check in checks)
        skipped = sum(check.verdict is Verdict.SKIPPED for check in checks)
        flaky = sum(check.flaky for check in checks)
        more = (f" ({flaky} flaky)" if flaky else "") + (f", {skipped} skipped" if skipped else "")
        detail = "\n".join(problems) or f"{passed} passed{more} in {len(reports)} suites"
        status = Status.FAILED if problems else Status.OK
        return Result(outcome=self._outcome(target, "test", status, began, detail), suites=reports)

    def _outcome(self, target: TargetId, stage: str, status: Status, began: float, detail: str) -> Outcome:
        """How a step ended that began at this time; where the disk was full, with what is left of it."""
        if status is Status.FAILED and (more := self._rooms.explain(detail)):
            detail = f"{detail}\n{more}"
        seconds = round(time.monotonic() - began, 3)
        return Outcome(subject=str(target), stage=stage, status=status, seconds=seconds, detail=clean(detail))


def _digests(images: Mapping[TargetId, Descriptor]) -> Mapping[TargetId, Digest]:
    return {target: image.digest for target, image in images.items()}


def _title(report: SuiteReport) -> str:
    """The suite and its problem; the suite alone where it could not be run as a whole."""
    return report.suite if report.problem == report.suite else f"{report.suite}: {report.problem}"


def _failures(report: SuiteReport) -> str:
    """The failed checks of a suite with what they said, bounded."""
    shown: list[str] = []
    for check in report.checks:
        if check.verdict is Verdict.FAILED:
            shown.append(f"  {check.name}")
            shown += [f"    {line}" for line in check.story.strip().split("\n")[:40]]
    return "\n".join(shown[:200])
