"""Carrying out a plan's targets: parents before children, several at once, and a failure stays where it is.

Each target is built if the plan says so, tested if the plan says so, and then its children may begin. What fails
blocks its descendants; everything else goes on to the end (promise 5). Images are taken out of the engine after their
last use. Nothing is released here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from dsci.errors import ConfigError, DsciError
from dsci.model.family import TargetId
from dsci.model.oci import OCI_MANIFEST, Descriptor, Digest
from dsci.model.plan import Plan, PlannedTarget
from dsci.model.report import Outcome, Status, SuiteReport, Verdict
from dsci.model.schedule import ways
from dsci.model.text import clean
from dsci.pipeline import build as building
from dsci.pipeline import test as testing
from dsci.pipeline.build import Workshop
from dsci.ports import BuildFailure


@dataclass(kw_only=True)
class Work:
    """What came of the targets."""

    outcomes: list[Outcome] = field(default_factory=list)
    suites: list[SuiteReport] = field(default_factory=list)
    images: dict[TargetId, Descriptor] = field(default_factory=dict)
    """The image of every target that is built, tested and good."""
    errors: list[DsciError] = field(default_factory=list)
    """What failed around the targets (an engine, a registry) and through no fault of theirs."""

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""
        self.outcomes.append(outcome)

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
        *,
        jobs: int,
        seconds: Mapping[TargetId, float],
        tests: bool = True,
        keep: bool = False,
        fail_fast: bool = False,
        bring: frozenset[str] = frozenset(),
    ) -> None:
        """`keep` leaves images in the engine: those that `bring` names, which are fetched if need be, or all.

        `seconds` is what targets took before: what most work waits for begins first. With `fail_fast` nothing begins
        any more once something has failed.
        """
        self._shop = shop
        self._planned = {TargetId.parse(item.id): item for item in plan.targets}
        self._jobs = jobs
        self._fail_fast = fail_fast
        self._urgency = ways({target: self._needs(target) for target in self._planned}, self._costs(seconds))
        self._tests = tests
        self._keep = keep
        self._wanted = bring
        self._lock = threading.Lock()
        self._local: set[TargetId] = set()
        self._uses = self._count_uses()
        self._stopping = False
        self.work = Work()

    def _costs(self, seconds: Mapping[TargetId, float]) -> dict[TargetId, float]:
        """What each target takes; one that is only looked up takes nothing."""
        idle = {target: 0.0 for target, item in self._planned.items() if item.action not in ("build", "test")}
        return {**seconds, **idle}

    def _count_uses(self) -> dict[TargetId, int]:
        """How many targets of this plan will still want each image in the engine: itself and children to build."""
        family = self._shop.now.family
        uses = dict.fromkeys(self._planned, 1)
        for target, item in self._planned.items():
            if item.action == "build":
                for need in family.nodes[target].needs:
                    uses[need] = uses.get(need, 0) + 1
        return uses

    def run(self) -> Work:
        """Do it all. A DsciError of one target is its outcome; anything else stops the run and is raised."""
        waiting = {target: set(self._needs(target)) for target in self._planned}
        running: dict[Future[bool], TargetId] = {}
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                while waiting or running:
                    for target in self._next(waiting, self._jobs - len(running)):
                        del waiting[target]
                        running[pool.submit(self._one, target)] = target
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        target = running.pop(future)
                        if not future.result():
                            self._block(target, waiting)
                        for needs in waiting.values():
                            needs.discard(target)
            except BaseException:
                # Ctrl-C, SIGTERM or a bug: nothing new begins, and what goes on is ended, not waited for.
                self._stopping = True
                for future in running:
                    future.cancel()
                self._shop.builder.cancel()
                self._shop.engine.cancel()
                raise
            finally:
                pool.shutdown()
                for target in sorted(self._local):
                    self._let_go(target)
        return self.work

    def _next(self, waiting: Mapping[TargetId, set[TargetId]], free: int) -> list[TargetId]:
        """The targets that may begin now, the most urgent first, as many as there are hands."""
        ready = [target for target, needs in waiting.items() if not needs]
        return sorted(ready, key=lambda target: (-self._urgency[target], target))[:free]

    def _needs(self, target: TargetId) -> tuple[TargetId, ...]:
        return tuple(need for need in self._shop.now.family.nodes[target].needs if need in self._planned)

    def _block(self, failed: TargetId, waiting: dict[TargetId, set[TargetId]]) -> None:
        """Whatever stands on a failed target is not begun; with `fail_fast`, nothing at all."""
        below = self._shop.now.family.descendants([failed])
        for target in sorted(waiting.keys() if self._fail_fast else below & waiting.keys()):
            del waiting[target]
            why = f"{failed} failed" if target in below else f"{failed} failed, and nothing begins after a failure"
            self._end(target, "build", Status.BLOCKED, 0.0, why)
            self._release(target)

    # ---------------------------------------------------------------------------------------------- one target

    def _one(self, target: TargetId) -> bool:
        """Everything one target needs; whether its children may begin."""
        item = self._planned[target]
        try:
            if item.action in ("reuse", "retag"):
                self._reuse(target, item)
                return target.image not in self._wanted or self._fetch(target)
            if item.action == "build":
                if not self._build(target):
                    return False
            else:
                self._reuse(target, item)
            return not self._tests or self._test(target)
        finally:
            self._release(target)

    def _reuse(self, target: TargetId, item: PlannedTarget) -> None:
        assert item.digest is not None
        found = self._shop.registry.resolve(
            self._shop.now.family.images[target.image].repository.at(Digest.parse(item.digest))
        )
        size = found.size if found else 0
        media_type = found.media_type if found else OCI_MANIFEST
        descriptor = Descriptor(
            media_type=media_type, digest=Digest.parse(item.digest), size=size, platform=target.platform
        )
        self.work.images[target] = descriptor

    def _fetch(self, target: TargetId) -> bool:
        """Bring an image that needs no work into the engine, for whoever wants to use it."""
        began = time.monotonic()
        try:
            self._bring(target)
        except DsciError as error:
            return self._failed(target, "load", began, error)
        return True

    def _build(self, target: TargetId) -> bool:
        began = time.monotonic()
        self._shop.console.begin(str(target), "build")
        if problem := self._problem(target):
            self._end(target, "build", Status.FAILED, 0.0, clean(problem))
            return False
        try:
            for need in self._shop.now.family.nodes[target].needs:
                self._bring(need)
            self._note_local(target)
            result = building.build(self._shop, target, self._digests())
        except DsciError as error:
            return self._failed(target, "build", began, error)
        if isinstance(result, BuildFailure):
            dockerfile = self._shop.now.family.images[target.image].dockerfile
            detail = clean(building.failure_text(dockerfile, result))
            self._end(target, "build", Status.FAILED, time.monotonic() - began, detail)
            return False
        with self._lock:
            self.work.images[target] = result.descriptor
        detail = "an image of this key was there already, and is used" if result.adopted else ""
        self._end(target, "build", Status.OK, time.monotonic() - began, detail, str(result.descriptor.digest))
        return True

    def _problem(self, target: TargetId) -> str:
        """What makes a build pointless: a Dockerfile that cannot be read, a base that is nowhere."""
        problem = self._shop.now.family.nodes[target].problem
        private = target in self._shop.private
        return problem or ("" if private else self._shop.unpinned.get(target, ""))

    def _test(self, target: TargetId) -> bool:
        began = time.monotonic()
        if not self._shop.now.family.suites(target):
            return True
        self._shop.console.begin(str(target), "test")
        try:
            self._bring(target)
            reports = testing.test(self._shop, target, self.work.images[target], self._digests())
        except DsciError as error:
            return self._failed(target, "test", began, error)
        self.work.suites += reports
        problems = [f"{_title(report)}\n{_failures(report)}" for report in reports if report.problem]
        checks = [check for report in reports for check in report.checks]
        passed = sum(check.verdict is Verdict.PASSED for check in checks)
        seconds = time.monotonic() - began
        if problems:
            self._end(target, "test", Status.FAILED, seconds, "\n".join(problems))
            return False
        skipped = sum(check.verdict is Verdict.SKIPPED for check in checks)
        more = f", {skipped} skipped" if skipped else ""
        self._end(target, "test", Status.OK, seconds, f"{passed} passed{more} in {len(reports)} suites")
        return True

    def _bring(self, target: TargetId) -> None:
        """Have an image in the engine under its local name, once and checked."""
        image = self.work.images[target]
        self._note_local(target)
        # What is private and built here is nowhere else; what is only tested in private comes from its registry.
        if target not in self._shop.private or self._planned[target].action != "build":
            testing.ensure_local(self._shop, target, image)

    def _note_local(self, target: TargetId) -> None:
        """Whatever comes of it, the target's name may be in the engine from here on: it is taken out in the end."""
        with self._lock:
            self._local.add(target)

    def _release(self, target: TargetId) -> None:
        """One user less of this target and of its parents; an image that nobody wants any more goes."""
        family = self._shop.now.family
        done = [target]
        if self._planned[target].action == "build":
            done += family.nodes[target].needs
        gone: list[TargetId] = []
        with self._lock:
            for item in done:
                self._uses[item] = self._uses.get(item, 1) - 1
                if self._uses[item] <= 0 and item in self._local:
                    self._local.discard(item)
                    gone.append(item)
        for item in gone:
            self._let_go(item)

    def _let_go(self, target: TargetId) -> None:
        """Take this run's name of an image out of the engine, after giving it a lasting one if it is to stay."""
        name = self._shop.local_name(target)
        try:
            if self._keep and target in self.work.images and (target.image in self._wanted or not self._wanted):
                self._shop.engine.tag(name, self._shop.kept_name(target))
            self._shop.engine.remove_image(name)
        except DsciError as error:
            # What came of the work is not this clean-up's to say.
            self._shop.console.warn(f"{name} may be left in the engine: {error.message}")

    def _digests(self) -> Mapping[TargetId, Digest]:
        return {target: descriptor.digest for target, descriptor in self.work.images.items()}

    def _failed(self, target: TargetId, stage: str, began: float, error: DsciError) -> bool:
        detail = f"{error.message}\n{error.hint}".strip()
        self._end(target, stage, Status.FAILED, time.monotonic() - began, clean(detail))
        if not isinstance(error, ConfigError):
            with self._lock:
                self.work.errors.append(error)
        return False

    def _end(
        self, target: TargetId, stage: str, status: Status, seconds: float, detail: str, digest: str | None = None
    ) -> None:
        outcome = Outcome(
            subject=str(target), stage=stage, status=status, seconds=round(seconds, 3), detail=detail, digest=digest
        )
        with self._lock:
            self.work.add(outcome)
        if self._stopping:
            return
        self._shop.console.end(str(target), stage, str(status), seconds, detail)


def _title(report: SuiteReport) -> str:
    """The suite and its problem; the suite alone where it could not be run as a whole."""
    return report.suite if report.problem == report.suite else f"{report.suite}: {report.problem}"


def _failures(report: SuiteReport) -> str:
    """The failed checks of a suite with what they said, bounded."""
    shown: list[str] = []
    for check in report.checks:
        if check.verdict is Verdict.FAILED:
            shown.append(f"  {check.name}")
            shown += [f"    {line}" for line in check.detail.strip().split("\n")[:40]]
    return "\n".join(shown[:200])
