"""pytest on the machine that dsci runs on, with fixtures for the image under test.

The tests run with the rights of whoever runs dsci, so they have to be allowed. What the fixtures are is
`dsci.fixtures`' to say, and in what surroundings pytest runs is the driver's; here its JUnit file becomes checks, held
against how it ended.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsci.errors import ConfigError
from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.model.tree import below
from dsci.ports import HostFile, HostSide, Services
from dsci.suites import junit
from dsci.suites.subject import Subject

#: What has to be allowed.
ALLOWANCE = "host-tests"
#: What pytest says where it found nothing to run.
#: Source: https://docs.pytest.org/en/stable/reference/exit-codes.html
_NOTHING = 5
_SHOWN = 4000


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the test modules of a suite on this machine; one check for each test. Raises ConfigError if not allowed."""
    permitted(subject, suite.path)
    yield from tests(subject, suite, None, subject.timeout)


def permitted(subject: Subject, place: str) -> None:
    """Raises ConfigError where tests may not run on this machine."""
    if ALLOWANCE not in subject.allow:
        raise ConfigError(
            f"{place}: its Python tests would run on this machine, and that is not allowed",
            hint=subject.allowing.format(ALLOWANCE),
        )


def tests(subject: Subject, suite: Suite, services: Services | None, timeout: float) -> Iterator[Check]:
    """Run a suite's test modules, at most `timeout` seconds, with its services if it has any."""
    done = side(subject).pytest(
        files(subject, suite),
        image=subject.image,
        platform=subject.platform,
        allow=subject.allow,
        allowing=subject.allowing,
        services=services,
        timeout=timeout,
    )
    found = junit.checks(done.junit)
    yield from found
    why = ""
    if done.ran.exit_code is None:
        why = f"{done.ran.reason}, while {done.going or 'no test'} was going on"
    elif done.ran.exit_code and not any(check.verdict is Verdict.FAILED for check in found):
        nothing = done.ran.exit_code == _NOTHING
        why = "no test ran" if nothing else f"pytest ended with exit code {done.ran.exit_code}"
    elif not done.ran.exit_code and not found:
        why = "pytest left no record of its tests"
    if why:
        said = [clean(each.decode(errors="replace"), _SHOWN) for each in (done.ran.stdout, done.ran.stderr)]
        yield Check(name=suite.name, verdict=Verdict.FAILED, detail="\n".join([why, *filter(None, said)]))


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
