"""pytest on the machine that dsci runs on, with fixtures for the image under test.

The tests run with the rights of whoever runs dsci, so they have to be allowed. What the fixtures are is
`dsci.fixtures`' to say, and in what surroundings pytest runs is the driver's; here its JUnit file becomes checks, held
against how it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dsci.errors import ConfigError
from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.model.tree import below
from dsci.ports import HostFile, HostSide, Ran, Services
from dsci.suites import journal, junit
from dsci.suites.inside import OUTPUT_LIMIT
from dsci.suites.subject import Subject

#: What has to be allowed.
ALLOWANCE = "host-tests"
#: What pytest says where it found nothing to run.
#: Source: https://docs.pytest.org/en/stable/reference/exit-codes.html
_NOTHING = 5
#: Where pytest leaves what it did, seen from the suite's folder; the most that is read of its record, in bytes.
_OUT, _JUNIT = "..", 64 << 20
#: How much of what it printed is told, in characters of each stream.
_SHOWN = 4000


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the test modules of a suite on this machine; one check for each test. Raises ConfigError if not allowed."""
    permitted(subject, suite.path)
    yield from tests(subject, suite, None)


def permitted(subject: Subject, place: str) -> None:
    """Raises ConfigError where tests may not run on this machine."""
    if ALLOWANCE not in subject.allow:
        raise ConfigError(
            f"{place}: its Python tests would run on this machine, and that is not allowed",
            hint=subject.allowing.format(ALLOWANCE),
        )


def tests(
    subject: Subject, suite: Suite, services: Services | None, *, told: Callable[[], str] = lambda: ""
) -> Iterator[Check]:
    """Run a suite's test modules, with its services if it has any.

    What is `told` stands with a pytest that did not come to its end: its tests show by themselves what they used.
    """
    if why := subject.over:
        yield Check(name=suite.name, verdict=Verdict.FAILED, detail=why)
        return
    with side(subject).pytest(
        files(subject, suite),
        (journal.PLUGIN, journal.source(_OUT).encode()),
        image=subject.image,
        platform=subject.platform,
        allow=subject.allow,
        allowing=subject.allowing,
        services=services,
        bounds=subject.bounds,
    ) as session:
        one, rest = subject.clock.one(), subject.clock.suite()
        with journal.each_within(session, one.seconds, _OUT) as overdue:
            ran = session.run(rest.seconds, OUTPUT_LIMIT)
        printed = [clean(each.decode(errors="replace"), _SHOWN).rstrip() for each in (ran.stdout, ran.stderr)]
        said = "\n".join(filter(None, (*printed, told() if ran.exit_code not in range(_NOTHING + 1) else "")))
        yield from took_too_much("containers", session.killed())
        if ran.exit_code is None or overdue.test:
            why = (one if overdue.test else rest).late(subject.bounds.raising)
            ended = Check(name=suite.name, verdict=Verdict.FAILED, detail=f"{why}\n{said}")
            yield from journal.checks(session, why, said, _OUT) or [ended]
            return
        found = junit.checks(session.read(f"{_OUT}/junit.xml", _JUNIT))
    yield from found
    if why := _amiss(ran, found):
        yield Check(name=suite.name, verdict=Verdict.FAILED, detail=f"{why}\n{said}")


def took_too_much(whose: str, killed: Sequence[str]) -> Iterator[Check]:
    """A failed check where containers were killed for what they took: no test need have noticed."""
    if killed:
        yield Check(name=f"limits of {whose}", verdict=Verdict.FAILED, detail="\n".join(killed))


def _amiss(ran: Ran, found: Sequence[Check]) -> str:
    """Why the record that pytest left is not to be trusted, or ""."""
    if ran.exit_code and not any(check.verdict is Verdict.FAILED for check in found):
        return "no test ran" if ran.exit_code == _NOTHING else f"pytest ended with exit code {ran.exit_code}"
    return "" if ran.exit_code or found else "pytest left no record of its tests"


def files(subject: Subject, suite: Suite) -> dict[str, HostFile]:
    """The suite's files by their paths below its own folder."""
    return {
        below(suite.path, path) or path: HostFile(subject.read(path), subject.executable(path)) for path in suite.files
    }


def side(subject: Subject) -> HostSide:
    """This machine's side. Raises ConfigError where there is none."""
    if subject.host_side is None:
        raise ConfigError("nothing runs on this machine here", hint="run it in its repository: dsci test")
    return subject.host_side
