"""pytest inside the image, with nothing installed into it.

The image's own Python runs the tests. pytest and what it needs (`pytestkit`) are copied into a volume beside the tests
and put behind everything the image has on its path, so a package that the image brings is the one that is tested. The
JUnit file that pytest writes is the verdict, checked against its exit code. An image without Python fails by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from dsci.model import suitefiles
from dsci.model.family import Suite
from dsci.model.report import Check
from dsci.ports import Container, Ran
from dsci.suites import inside, journal, junit, pytestkit
from dsci.suites.inside import MOUNT, OUT, OUTPUT_LIMIT, SUITE
from dsci.suites.subject import Subject

_JUNIT = f"{OUT}/junit.xml"


def volume(subject: Subject, suite: Suite) -> bytes:
    """The tar of the suite, of pytest, and of what runs it."""
    kit = {**pytestkit.files(), f"{journal.PLUGIN}.py": journal.SOURCE.encode()}
    more = {f"kit/{path}": data for path, data in kit.items()}
    # pytest looks for settings upwards from the suite: what the image has at its root is not meant for it.
    more |= {"run_pytest.py": inside.script("run_pytest.py"), "pytest.ini": b"[pytest]\n"}
    return inside.volume(subject, suite, more)


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the test modules of a suite in one container; one check for each test."""
    if why := subject.over:
        yield from (inside.failed(path, why) for path in suitefiles.tests(suite))
        return

    def going(container: Container) -> Ran:
        one = subject.clock.one()
        with journal.each_within(container, one.seconds) as overdue:
            ran = container.run(subject.rest, OUTPUT_LIMIT)
        if overdue.test and not ran.limit:
            return replace(ran, exit_code=None, reason=one.late(subject.bounds.raising), limit="time")
        return ran

    def told(container: Container, ran: Ran) -> list[Check]:
        if ran.exit_code is None and (found := journal.checks(container, ran.reason, inside.output(ran))):
            return found
        found = junit.checks(container.copy_out(_JUNIT))
        return inside.accounted(suite.name, ran, found, empty={5: "no test ran"})

    words = (f"{MOUNT}/run_pytest.py", SUITE, _JUNIT, f"{MOUNT}/kit", journal.PLUGIN)
    commands = (("python3", *words), ("python", *words))
    found = inside.run(subject, volume(subject, suite), commands, told, going=going, several=True)
    yield from found or [inside.failed(suite.name, "the image has no Python, so pytest cannot run inside it")]
