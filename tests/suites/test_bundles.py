"""What is kept of a check that failed in a real container."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests import realengine
from tests.suites.conftest import Subjects

from dsci.errors import ConfigError
from dsci.model.bundle import Bundle, Launch
from dsci.model.family import Suite
from dsci.model.reference import Reference
from dsci.model.report import SuiteReport, Verdict
from dsci.suites import replay
from dsci.suites import run as suites
from dsci.suites.subject import Subject

pytestmark = pytest.mark.engine

FILE = "images/x/suites/a.yaml"
SECRET = "hunter2-and-more"


def checks(subject: Subject, text: str) -> SuiteReport:
    """What came of a file of tests."""
    suite = Suite(name="x/a", kind="structure", owner="x", path=FILE, files=(FILE,))
    return suites.run(suite, subject, target="x@linux/amd64")


def only(found: SuiteReport) -> Bundle:
    (bundle,) = [check.bundle for check in found.checks if check.bundle is not None]
    return bundle


def file(commands: str, more: str = "") -> dict[str, str]:
    return {FILE: f'schemaVersion: "2.0.0"\n{more}\ncommandTests:\n{commands}\n'}


def test_a_command_that_failed(subject: Subjects, bare: Reference) -> None:
    tests = file(
        '- {name: good, command: "true"}\n'
        "- {name: bad, command: sh, args: [-c, 'echo $WORD \"$SECRET\"; echo wrong >&2; exit 3'],\n"
        "   expectedOutput: [never]}",
        'globalEnvVars: [{key: MINE, value: "m-${PATH}"}]\ncontainerRunOptions: {user: "1234", envVars: [SECRET]}',
    )
    # What stands in the file is replaced before a shell sees it.
    tests[FILE] = tests[FILE].replace('$WORD "$SECRET"', "out; env")
    made = replace(
        subject(bare, tests), allow=frozenset({"host-environment"}), host={"SECRET": SECRET}, digest="sha256:12"
    )
    found = checks(made, tests[FILE])
    good, bad = found.checks
    assert (good.bundle, good.file, good.line) == (None, FILE, 5)
    assert (bad.file, bad.line) == (FILE, 6)
    bundle = only(found)
    assert (bundle.target, bundle.suite, bundle.check) == ("x@linux/amd64", "x/a", "Command Test: bad")
    assert bundle.argv == ("sh", "-c", "echo out; env; echo wrong >&2; exit 3") and bundle.exit_code == 3
    assert bundle.stdout.startswith("out\n") and bundle.stderr == "wrong\n"
    assert bundle.environment == ("MINE", "SECRET") and bundle.image == "sha256:12"
    assert "SECRET=***" in bundle.stdout and SECRET not in repr(found)
    assert bundle.seen is not None and not bundle.seen.out_of_memory and bundle.seen.health == ""
    told = bundle.seen.inspect
    assert told["Config"]["User"] == "1234" and told["State"]["ExitCode"] == 3
    assert {"MINE", "SECRET", "PATH"} <= set(told["Config"]["Env"])
    assert bundle.launch is not None and bundle.launch.special == {"user": "1234"}
    assert bundle.launch.environment["SECRET"] is None
    assert "exit code 3, expected 0" in bad.detail and "out\n" not in bad.detail and "out\n" in bad.story


def test_a_command_behind_steps(subject: Subjects, bare: Reference) -> None:
    tests = file(
        '- {name: a, setup: [[sh, -c, "echo $A > /set"]], envVars: [{key: A, value: own}], command: cat, args: [/no]}'
    )
    bundle = only(checks(subject(bare, tests), tests[FILE]))
    assert bundle.launch is not None
    assert bundle.launch.steps == (("sh", "-c", "echo $A > /set"),) and bundle.launch.around == {"A": "own"}
    assert bundle.seen is not None and bundle.seen.inspect["State"]["Running"] is True
    assert bundle.argv == ("cat", "/no") and "No such file" in bundle.stderr


def test_a_step_that_failed(subject: Subjects, bare: Reference) -> None:
    tests = file('- {name: a, setup: [[sh, -c, "exit 4"]], command: "true"}')
    bundle = only(checks(subject(bare, tests), tests[FILE]))
    assert bundle.seen is not None and bundle.argv == ("true",)


def test_a_command_that_takes_too_long(subject: Subjects, bare: Reference) -> None:
    tests = file("- {name: a, command: sh, args: [-c, 'echo begun; sleep 60']}")
    bundle = only(checks(subject(bare, tests, timeout=2), tests[FILE]))
    assert bundle.exit_code is None and "killed" in bundle.reason and bundle.stdout == "begun\n"
    assert bundle.seen is not None and not bundle.seen.out_of_memory


def test_the_kernel_killed_it_for_want_of_memory(subject: Subjects, bare: Reference) -> None:
    hungry = "head -c 300000000 /dev/zero | tail -c 200000000 >/dev/null; exit 9"
    tests = file(f"- {{name: hungry, command: sh, args: [-c, '{hungry}']}}")
    bundle = only(checks(subject(bare, tests, memory=32 << 20), tests[FILE]))
    assert bundle.seen is not None and bundle.seen.out_of_memory and bundle.exit_code == 9
    assert bundle.seen.inspect["State"]["OOMKilled"] is True
    assert bundle.seen.inspect["HostConfig"]["Memory"] == 32 << 20
    assert bundle.ended.startswith("exit code 9; ") and "memory" in bundle.ended


@pytest.fixture(scope="module")
def sick() -> Iterator[Reference]:
    health = "HEALTHCHECK --interval=1s --retries=1 --timeout=5s CMD echo refused; exit 7\n"
    with realengine.image(f"FROM debian:bookworm-slim\n{health}") as name:
        yield name


def test_a_health_check_that_failed(subject: Subjects, sick: Reference) -> None:
    tests = file("- {name: a, command: sh, args: [-c, 'sleep 5; exit 1']}", 'containerRunOptions: {user: "0"}')
    found = checks(subject(sick, tests), tests[FILE])
    bundle = only(found)
    assert bundle.seen is not None and bundle.seen.health == "unhealthy"
    assert bundle.seen.probes[-1].output == "refused\n" and bundle.seen.probes[-1].exit_code != 0
    assert "Health" not in bundle.seen.inspect["State"]
    assert "its health check says unhealthy" in bundle.ended and "refused" in found.checks[0].story


def test_a_test_of_pytest_that_failed(subject: Subjects, python: Reference) -> None:
    path = "images/x/suites/test_it.py"
    files = {path: "import sys\n\ndef test_good(): pass\n\ndef test_bad():\n    print('said')\n    assert 1 == 2\n"}
    suite = Suite(name="x/pytest", kind="pytest", owner="x", path="images/x/suites", files=(path,))
    found = suites.run(suite, subject(python, files), target="x@linux/amd64")
    good, bad = found.checks
    assert good.bundle is None and bad.verdict is Verdict.FAILED
    # pytest says where: GitHub shows it there.
    assert (bad.file, bad.line) == (path, 7)
    bundle = only(found)
    assert bundle.argv[:2] == ("python3", "/dsci/run_pytest.py") and bundle.exit_code == 1 and not bundle.alone
    assert "1 failed, 1 passed" in bundle.stdout and bundle.launch is not None and bundle.launch.volume
    assert "1 failed, 1 passed" not in bad.story and "assert 1 == 2" in bad.story


def test_a_script_that_failed(subject: Subjects, bare: Reference) -> None:
    """What runs inside an image goes one way for every kind."""
    path = "images/x/suites/deep/test_it.sh"
    files = {path: "echo out; echo err >&2; cat words; exit 3\n", "images/x/suites/deep/words": "a word\n"}
    suite = Suite(name="x/shell", kind="shell", owner="x", path="images/x/suites", files=tuple(files))
    made = subject(bare, files)
    bundle = only(suites.run(suite, made, target="x@linux/amd64"))
    assert bundle.argv == ("sh", "/dsci/suite/deep/test_it.sh") and bundle.exit_code == 3
    assert (bundle.stdout, bundle.stderr) == ("out\na word\n", "err\n")
    assert bundle.launch is not None and bundle.launch.volume
    assert bundle.launch.special == {"folder": "/dsci/suite/deep"}
    assert replay.read(bundle.launch, made).special.folder == "/dsci/suite/deep"
    assert suites.volume(suite, made) is not None


STARTED = """
env: {AROUND: here}
start: {command: [sh, -c, "echo serving; echo noise >&2; sleep 60"], until: {log: serving}}
checks:
  - {log: never said}
  - {run: "echo $AROUND $OWN; id -u; exit 5", env: {OWN: mine}, user: "1234", name: beside}
"""


def test_checks_of_an_image_that_was_started(subject: Subjects, bare: Reference) -> None:
    found = checks(subject(bare, {FILE: STARTED}), STARTED)
    start, log, beside = found.checks
    assert [(check.file, check.line) for check in found.checks] == [(FILE, 3), (FILE, 5), (FILE, 6)]
    assert start.bundle is None and log.bundle is not None and beside.bundle is not None
    # What looks at the image from outside has the image's own run; what printed something itself has that.
    assert (log.bundle.stdout, log.bundle.stderr, log.bundle.exit_code) == ("serving\n", "noise\n", None)
    assert log.bundle.launch is not None and log.bundle.launch.command is not None and not log.bundle.launch.beside
    assert (beside.bundle.stdout, beside.bundle.exit_code) == ("here mine\n1234\n", 5)
    launch = beside.bundle.launch
    assert launch is not None and launch.command == log.bundle.launch.command
    assert launch.beside == ("sh", "-c", "echo $AROUND $OWN; id -u; exit 5") == beside.bundle.argv
    assert (launch.around, launch.environment, launch.user) == ({"AROUND": "here"}, {"OWN": "mine"}, "1234")
    assert beside.bundle.environment == ("AROUND", "OWN")


def test_commands_of_our_own_suites(subject: Subjects, plain: Reference) -> None:
    text = 'env: {A: a}\nchecks:\n- {run: echo $A; exit 3, user: "5"}\n- {run: [x], entrypoint: true, exit: 7}\n'
    found = checks(subject(plain, {FILE: text}), text)
    one, two = (check.bundle for check in found.checks)
    assert one is not None and one.launch is not None and one.launch.entrypoint == ("",)
    assert one.stdout == "a\n" and one.launch.special == {"user": "5"} and one.environment == ("A",)
    assert two is not None and two.launch is not None and two.launch.entrypoint is None
    assert two.launch.command == ("x",) and "ENTRY entry x" in two.stdout


def test_only_the_first_failures_are_kept_whole(
    subject: Subjects, bare: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "_BUNDLES", 1)
    tests = file("".join(f"- {{name: n{n}, command: 'false'}}\n" for n in range(3)))
    found = checks(subject(bare, tests), tests[FILE])
    assert [check.bundle is not None for check in found.checks] == [True, False, False]


# ------------------------------------------------------------------------------------------------------ run again


@pytest.mark.parametrize(
    ("launch", "word"),
    [
        (Launch(special={"privileged": True}), "privileged"),
        (Launch(special={"capabilities": ["SYS_ADMIN"]}), "capabilities"),
        (Launch(special={"binds": ["/:/host"]}), "bind-mounts"),
        (Launch(environment={"PATH": None}), "host-environment"),
        (Launch(around={"PATH": None}), "host-environment"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bundle_from_anywhere_reaches_nothing_that_is_not_allowed(
    subject: Subjects, bare: Reference, launch: Launch, word: str
) -> None:
    made = replace(subject(bare), host={"PATH": "/here"}, allowing="allow {}")
    with pytest.raises(ConfigError) as refused:
        replay.read(launch, made)
    assert f"the bundle asks for {word}" in refused.value.message and refused.value.hint == f"allow {word}"
    again = replay.read(launch, replace(made, allow=frozenset({word})))
    assert {*again.environment.values(), *again.around.values()} <= {"/here"}


def test_what_a_bundle_lacks_or_gets_wrong_is_told(subject: Subjects, bare: Reference) -> None:
    made = replace(subject(bare), allow=frozenset({"host-environment"}))
    with pytest.raises(ConfigError, match="the variable NOBODY is not set here"):
        replay.read(Launch(environment={"NOBODY": None}), made)
    with pytest.raises(ConfigError, match="a container that there is none of"):
        replay.read(Launch(special={"user": 5}), made)
