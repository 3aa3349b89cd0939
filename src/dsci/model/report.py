"""What happened, as values, and as JSON.

Outcomes are gathered while a plan is carried out; a report is the plan and all of them. Its other documents have a
module each: `reportpage` (Markdown), `junit`, `tap`, and in `dsci.ci` those that CI systems read. Text that a container
or a build printed is foreign: it is stripped of control characters and bounded before it enters any of them. Nothing is
written to disk here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model.bundle import Bundle
from dsci.model.plan import Plan
from dsci.model.room import Took
from dsci.model.scan import ScanReport

SCHEMA = 1

_MAKE = "name a report.json as `dsci build`, `test` or `release` wrote it"


class Verdict(StrEnum):
    """How a single check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Status(StrEnum):
    """How a stage of a target ended."""

    OK = "ok"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a suite."""

    name: str
    verdict: Verdict
    seconds: float = 0.0
    detail: str = ""
    """Why it failed, or why it was skipped; of one that passed at last, why it failed before."""
    attempts: int = 1
    """How often it was run until it ended so."""
    file: str = ""
    """The file that it stands in, from the repository's root, where that is known."""
    line: int | None = None
    bundle: Bundle | None = None
    """Of one that failed in a container: all that is needed to look into it."""

    @property
    def flaky(self) -> bool:
        """Whether it passed, and only when it was tried again."""
        return self.verdict is Verdict.PASSED and self.attempts > 1

    @property
    def story(self) -> str:
        """All there is to tell a person of a check: its own words, and what was run and printed."""
        return "\n".join([self.detail, *(self.bundle.lines if self.bundle is not None else ())])


class SuiteReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one suite found in one target."""

    target: str
    suite: str
    checks: tuple[Check, ...]
    seconds: float = 0.0

    def count(self, verdict: Verdict) -> int:
        """How many checks ended so."""
        return sum(check.verdict is verdict for check in self.checks)

    @property
    def flaky(self) -> int:
        """How many checks passed only when they were tried again."""
        return sum(check.flaky for check in self.checks)

    @property
    def problem(self) -> str:
        """Why the suite has not passed, or "". No test at all, or none but skipped ones, is a failure.

        So is a test that is skipped for no reason.
        """
        failed = [check for check in self.checks if check.verdict is Verdict.FAILED]
        if failed:
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            return f"{failed[0].name}{more}"
        if not self.checks:
            return "no test ran"
        if self.count(Verdict.SKIPPED) == len(self.checks):
            return "every test was skipped"
        bare = [check for check in self.checks if check.verdict is Verdict.SKIPPED and not check.detail.strip()]
        return f"{bare[0].name} is skipped, and no reason is given" if bare else ""

    @property
    def accounted(self) -> SuiteReport:
        """The same; where it failed as a whole there is a check that says so, for whoever looks at checks alone."""
        if not self.problem or self.count(Verdict.FAILED):
            return self
        whole = Check(name=self.suite, verdict=Verdict.FAILED, detail=self.problem)
        return replace(self, checks=(*self.checks, whole))


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one stage of one subject (a target, an image's release) ended."""

    subject: str
    stage: str
    status: Status
    seconds: float = 0.0
    detail: str = ""
    digest: str | None = None
    took: Took | None = None
    """What a build took of the disk."""


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that stands in a registry now."""

    image: str
    version: str
    reference: str
    digest: str
    changed: bool
    """Whether this run wrote it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what came of it."""

    schema: int = SCHEMA
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    suites: tuple[SuiteReport, ...] = ()
    scans: tuple[ScanReport, ...] = ()
    """What scans before a release found."""
    publications: tuple[Publication, ...] = ()
    released: tuple[str, ...] = ()
    """Git tags that were claimed or finished."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything failed; what was only blocked by a failure does not count twice."""
        return any(outcome.status is Status.FAILED for outcome in self.outcomes)

    @property
    def verdicts(self) -> tuple[SuiteReport, ...]:
        """What suites found, and as further ones what failed or was held back before any could find something."""
        return self._with(*_WITHOUT)

    @property
    def failures(self) -> tuple[SuiteReport, ...]:
        """The same without what was only held back: where it is said once what is to be mended."""
        return self._with(Status.FAILED)

    def _with(self, *statuses: Status) -> tuple[SuiteReport, ...]:
        told = {(suite.target, "test") for suite in self.suites if suite.problem}
        more = [
            SuiteReport(target=item.subject, suite=item.stage, checks=(_whole(item),), seconds=item.seconds)
            for item in self.outcomes
            if item.status in statuses and (item.subject, item.stage) not in told
        ]
        return (*self.suites, *more)

    @classmethod
    def read(cls, content: bytes, *, name: str) -> Report:
        """Read a report from a file of this name. Raises ConfigError for what is none, or one of another schema."""
        try:
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema == SCHEMA:
                return msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{name} is no report: {error}", hint=_MAKE) from None
        raise ConfigError(f"{name} is a report of schema {schema}, and this dsci reads {SCHEMA}", hint=_MAKE)

    def to_json(self) -> bytes:
        """The report as a document, two spaces deep. How checks are run again stands in their own files."""
        suites = tuple(
            replace(suite, checks=tuple(_without_launch(check) for check in suite.checks)) for suite in self.suites
        )
        return msgspec.json.format(msgspec.json.encode(replace(self, suites=suites)), indent=2)


class _Head(msgspec.Struct, kw_only=True):
    """What every report begins with, whatever its schema."""

    schema: int


_WITHOUT = {Status.FAILED: Verdict.FAILED, Status.BLOCKED: Verdict.SKIPPED}


def _whole(outcome: Outcome) -> Check:
    """A stage that came to nothing, as a check."""
    detail = outcome.detail or f"{outcome.stage} {outcome.status}"
    return Check(name=outcome.stage, verdict=_WITHOUT[outcome.status], detail=detail, seconds=outcome.seconds)


def _without_launch(check: Check) -> Check:
    return check if check.bundle is None else replace(check, bundle=replace(check.bundle, launch=None))
