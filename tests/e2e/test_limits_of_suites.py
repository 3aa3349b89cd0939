"""Limits of suites as dsci.yaml says them, and what a run leaves in the engine that was ended in the middle of one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from tests import realengine
from tests.e2e.conftest import Project

from dsci.drivers.runs import LABEL

pytestmark = pytest.mark.engine

#: Seconds that nobody else on this machine sleeps.
LONG = 900_000 + os.getpid()
GREEDY = """\
schemaVersion: "2.0.0"
commandTests:
- {name: sleeps, command: sleep, args: ["600"]}
- {name: forks, command: bash, args: [-c, ":(){ :|:& };:; while :; do :; done"]}
- {name: fills, command: bash, args: [-c, "while :; do head -c 20000000 /dev/zero >> /tmp/x; sleep 0.1; done"]}
- {name: eats, command: bash, args: [-c, "head -c 300000000 /dev/zero | tail"]}
- {name: fine, command: "true"}
"""
TIGHT = """\
suites: {check_timeout: 90s, processes: 60, disk: 50MB, memory: 60MB}
images: {base: {suites: {check_timeout: 12s}}}
"""
SLEEPING = 'schemaVersion: "2.0.0"\ncommandTests: [{{name: sleeps, {steps}command: sleep, args: ["{seconds}"]}}]\n'


def test_limits_are_those_of_dsci_yaml(tiny: Project) -> None:
    """An image's own, and the family's where it has none."""
    tiny.write({"images/base/suites/greedy.yaml": GREEDY, "dsci.yaml": TIGHT})
    ended = tiny.dsci("test", "base", "--json", code=1)
    found = {check["name"].removeprefix("Command Test: "): check for check in ended.json["suites"][0]["checks"]}
    assert {name: check["verdict"] for name, check in found.items()} == {
        **dict.fromkeys(("sleeps", "forks", "fills", "eats"), "failed"),
        "fine": "passed",
    }
    for name, why in (
        (
            "sleeps",
            "still running when the check's 12s were over, so it was killed: for more, set suites.check_timeout",
        ),
        ("forks", "it ran all the 60 processes that it may, so it was killed: for more, set suites.processes"),
        ("fills", "it wrote more than 50 MB beside its image, so it was killed: for more, set suites.disk"),
        ("eats", "more than 60 MB of memory was wanted, so something in it was killed: for more, set suites.memory"),
    ):
        assert f"{why} in dsci.yaml" in found[name]["detail"]


def test_the_suites_of_all_images_share_a_runs_time(tiny: Project) -> None:
    """More suites than run side by side, of two images: none of them is silently missing."""
    files = {f"images/base/suites/s{n}.yaml": SLEEPING.format(steps="", seconds=600) for n in range(4)}
    tiny.write({**files, "dsci.yaml": "suites: {total_timeout: 4s}\n"})
    began = time.monotonic()
    ended = tiny.dsci("test", "base", "--json", code=1)
    assert time.monotonic() - began < 60
    said = [check["detail"] for suite in ended.json["suites"] for check in suite["checks"]]
    assert len(said) == 4 and all("the run's 4s were over" in each for each in said)
    assert any(each.startswith("it did not run") for each in said)


def _begin(project: Project, command: str) -> tuple[subprocess.Popen[str], str]:
    """Begin `dsci test base`; gives it and its run's label, once this goes on in a container."""
    process = project.start("test", "base")
    deadline = time.monotonic() + 120
    while not realengine.processes(command):
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.1)
    (lock,) = (project.state / "dsci" / "runs").glob("*.lock")
    return process, f"{LABEL}={lock.stem}"


def _left(label: str) -> set[str]:
    return realengine.containers(label) | realengine.volumes(label)


Write = Callable[[Project, int], str]


def _command(project: Project, seconds: int) -> str:
    project.write({"images/base/suites/s.yaml": SLEEPING.format(steps="", seconds=seconds)})
    return f"sleep {seconds}"


def _steps(project: Project, seconds: int) -> str:
    steps = f"setup: [[sleep, '{seconds}']], "
    project.write({"images/base/suites/s.yaml": SLEEPING.format(steps=steps, seconds=1)})
    return f"sleep {seconds}"


def _pytest(project: Project, seconds: int) -> str:
    text = "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends python3\n"
    test = f"import subprocess\ndef test_sleeps(): subprocess.run(['sleep', '{seconds}'])\n"
    project.write({"images/base/Dockerfile": text, "images/base/suites/test_s.py": test})
    return f"sleep {seconds}"


KINDS = [_command, pytest.param(_steps, marks=pytest.mark.slow), pytest.param(_pytest, marks=pytest.mark.slow)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_run_left_is_swept_by_the_next_one(tiny: Project, kind: Write) -> None:
    """kill -9: nobody was there to take anything away."""
    command = kind(tiny, LONG)
    process, label = _begin(tiny, command)
    process.kill()
    process.communicate()
    assert _left(label) and realengine.processes(command)
    kind(tiny, 1)
    tiny.dsci("test", "base")
    assert _left(label) == set() and not realengine.processes(command)
    assert list((tiny.state / "dsci" / "runs").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_leaves_nothing(tiny: Project, kind: Write, number: int) -> None:
    command = kind(tiny, LONG)
    process, label = _begin(tiny, command)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number and time.monotonic() - began < 30
    assert _left(label) == set() and not realengine.processes(command)
    assert list((tiny.state / "dsci" / "runs").iterdir()) == []
