"""pytest inside the image, with nothing installed into it.

The image's own Python runs the tests. pytest and what it needs are pure Python and come from dsci's own installation:
they are copied into a volume beside the tests and put behind everything the image has on its path, so a package that
the image brings is the one that is tested. The JUnit file that pytest writes is the verdict, checked against its exit
code. An image without Python fails by name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

from msgspec.structs import replace

from dsci.model import suitefiles
from dsci.model.bundle import Launch
from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import Ran
from dsci.suites import bundles, inside, journal
from dsci.suites.inside import MOUNT, OUT, OUTPUT_LIMIT, SUITE
from dsci.suites.subject import Subject

_JUNIT = f"{OUT}/junit.xml"
_RUN = f"""\
import sys
sys.dont_write_bytecode = True
if sys.path[0] == "{MOUNT}":
    del sys.path[0]
sys.path.append("{MOUNT}/kit")
try:
    import pytest
except Exception as error:
    why = "%s: %s" % (type(error).__name__, error)
    sys.exit("dsci: pytest cannot run in this image's Python %s: %s" % (sys.version.split()[0], why))
sys.exit(pytest.main([
    "-p", "no:cacheprovider", "--rootdir={SUITE}", "--import-mode=importlib", "-q", "-rs", "--color=no",
    "-o", "junit_family=xunit2", "--junitxml={_JUNIT}", "-p", "{journal.PLUGIN}", "{SUITE}",
]))
"""


def volume(subject: Subject, suite: Suite) -> bytes:
    """The tar of the suite, of pytest, and of what runs it."""
    kit = {f"kit/{path}": data for path, data in {**_kit(), f"{journal.PLUGIN}.py": journal.SOURCE.encode()}.items()}
    # pytest looks for settings upwards from the suite: what the image has at its root is not meant for it.
    return inside.volume(subject, suite, {**kit, "run.py": _RUN.encode(), "pytest.ini": b"[pytest]\n"})


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the test modules of a suite in one container; one check for each test."""
    if why := subject.over:
        yield from (Check(name=path, verdict=Verdict.FAILED, detail=why) for path in suitefiles.tests(suite))
        return
    filled = volume(subject, suite)
    ran: Ran | None = None
    for python in ("python3", "python"):
        with subject.container(
            entrypoint=[python], command=[f"{MOUNT}/run.py"], volume=(MOUNT, filled), several=True
        ) as container:
            one = subject.clock.one()
            with journal.each_within(container, one.seconds) as overdue:
                ran = container.run(subject.rest, OUTPUT_LIMIT)
            if ran.exit_code is None and "not found" in ran.reason:
                continue
            if overdue.test and not ran.limit:
                ran = replace(ran, exit_code=None, reason=one.late(subject.bounds.raising), limit="time")
            launch = Launch(entrypoint=(python,), command=(f"{MOUNT}/run.py",), volume=True)
            seen = None if ran.exit_code == 0 else container.seen()
            bundle = bundles.of(launch, replace(ran, seen=seen), alone=False)
            if ran.exit_code is None and (told := journal.checks(container, ran.reason, _output(ran))):
                found: Iterable[Check] = told
            else:
                found = _checks(suite, ran, container.copy_out(_JUNIT))
            for check in found:
                yield replace(check, bundle=bundle) if check.verdict is Verdict.FAILED else check
            return
    yield Check(
        name=suite.name,
        verdict=Verdict.FAILED,
        detail="the image has no Python, so pytest cannot run inside it\n" + (ran.reason if ran else ""),
    )


def _checks(suite: Suite, ran: Ran, junit: bytes | None) -> Iterator[Check]:
    output = _output(ran)
    failed = False
    count = 0
    for check in _read_junit(junit):
        failed = failed or check.verdict is Verdict.FAILED
        count += 1
        yield check
    if ran.exit_code is None:
        yield Check(name=suite.name, verdict=Verdict.FAILED, detail=f"{ran.reason}\n{output}")
    elif ran.exit_code != 0 and not failed:
        why = "no test ran" if ran.exit_code == 5 else f"pytest ended with exit code {ran.exit_code}"
        why = f"{why}\n{ran.reason}".strip()
        yield Check(name=suite.name, verdict=Verdict.FAILED, detail=f"{why}\n{output}")
    elif ran.exit_code == 0 and not count:
        yield Check(name=suite.name, verdict=Verdict.FAILED, detail=f"pytest left no record of its tests\n{output}")


def _output(ran: Ran) -> str:
    return clean(ran.stdout.decode(errors="replace") + ran.stderr.decode(errors="replace"))


def _read_junit(junit: bytes | None) -> Iterator[Check]:
    """The test cases of a JUnit file; one that is not XML gives none."""
    if junit is None:
        return
    try:
        root = ElementTree.fromstring(junit)
    except ElementTree.ParseError:
        return
    for case in root.iter("testcase"):
        name = "::".join(filter(None, (case.get("classname", ""), case.get("name", ""))))
        verdict, detail = Verdict.PASSED, ""
        for child in case:
            if child.tag in ("failure", "error"):
                verdict, detail = Verdict.FAILED, child.text or child.get("message") or ""
            elif child.tag == "skipped" and verdict is Verdict.PASSED:
                verdict, detail = Verdict.SKIPPED, _reason(child)
        yield Check(name=name, verdict=verdict, seconds=_seconds(case.get("time")), detail=clean(detail))


def _reason(skipped: ElementTree.Element) -> str:
    """Why a test was skipped; "" where its author does not say."""
    said = skipped.get("message") or ""
    if skipped.get("type") == "pytest.xfail":
        return f"expected to fail: {said}".removesuffix(": ")
    return "" if said == "unconditional skip" else said


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


@cache
def _kit() -> dict[str, bytes]:
    """The Python files of pytest and everything it requires here, by their paths below site-packages."""
    files: dict[str, bytes] = {}
    todo, seen = ["pytest"], set[str]()
    while todo:
        name = todo.pop()
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            described = file.parts[0].endswith(".dist-info") and file.name in ("METADATA", "entry_points.txt")
            if not file.parts[0].startswith("..") and (file.suffix == ".py" or described):
                files[file.as_posix()] = Path(str(file.locate())).read_bytes()
        todo += _required(distribution)
    return files


def _required(distribution: metadata.Distribution) -> list[str]:
    """The names of what a distribution needs on Linux with this Python, extras left out."""
    from packaging.requirements import Requirement

    environment = {"extra": "", "sys_platform": "linux", "python_version": "{}.{}".format(*sys.version_info[:2])}
    wanted = [Requirement(text) for text in distribution.requires or ()]
    return [item.name for item in wanted if item.marker is None or item.marker.evaluate(environment)]
