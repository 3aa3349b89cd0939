"""Containers that take all they can get: each is ended from outside, says which limit it passed, and leaves nothing."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from tests import realengine
from tests.suites.conftest import Subjects

from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import LABEL, Run
from dsci.model.reference import Reference
from dsci.model.report import Verdict
from dsci.ports import Ran, Special
from dsci.suites import commands, native, nativefile, structure, structurefile
from dsci.suites.clock import Clock, Total
from dsci.suites.commands import Job
from dsci.suites.subject import Subject

pytestmark = pytest.mark.engine

#: Nobody can ask it to end.
DEAF = "trap '' TERM INT HUP; "
FORKS = DEAF + ":(){ :|:& };:; while :; do :; done"
FILLS = DEAF + "while :; do head -c 20000000 /dev/zero >> /{}/x; sleep 0.05; done"
GREEDY = "head -c 300000000 /dev/zero | tail > /dev/null"


def alone(subject: Subject, script: str, **special: Any) -> Ran:
    """Run a script in a container of its own."""
    with subject.container(entrypoint=[""], command=["bash", "-c", script], special=Special(**special)) as container:
        return container.run(subject.timeout, 1000)


def shared(subject: Subject, script: str) -> Ran:
    """Run it beside what goes on in a container."""
    wanted = Job(argv=("bash", "-c", script), environment={}, passes=lambda ran: ran.exit_code == 0)
    return commands.run(subject, [wanted])[0][-1]


def left(run: Run) -> set[str]:
    return realengine.containers(f"{LABEL}={run.id}") | realengine.volumes(f"{LABEL}={run.id}")


@pytest.mark.parametrize("how", [alone, shared])
def test_a_fork_bomb(subject: Subjects, bare: Reference, run: Run, engine: DockerEngine, how: Any) -> None:
    began = time.monotonic()
    ran = how(subject(bare, processes=60), FORKS)
    assert (ran.exit_code, ran.limit) == (None, "processes")
    assert ran.reason == "it ran all the 60 processes that it may, so it was killed: raise suites.processes"
    assert time.monotonic() - began < 30
    assert left(run) == set(), "what passed a limit goes at once"


def test_processes_are_bounded_before_anybody_looks(subject: Subjects, bare: Reference) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; echo all"
    ran = alone(subject(bare, processes=6), f'exec sh -c "{script}"')
    assert b"all" not in ran.stdout and b"annot fork" in ran.stderr


@pytest.mark.parametrize("how", [alone, shared])
def test_what_fills_its_disk(subject: Subjects, bare: Reference, run: Run, how: Any) -> None:
    began = time.monotonic()
    ran = how(subject(bare, disk=50_000_000), FILLS.format("tmp"))
    assert (ran.exit_code, ran.limit) == (None, "disk")
    assert ran.reason == "it wrote more than 50 MB beside its image, so it was killed: raise suites.disk"
    assert time.monotonic() - began < 30
    assert left(run) == set(), "what passed a limit goes at once"


def test_what_fills_a_volume(subject: Subjects, run: Run) -> None:
    """The image's own volumes and the one that suites are copied into."""
    with realengine.image("FROM debian:bookworm-slim\nVOLUME /data\n") as image:
        ran = alone(subject(image, disk=50_000_000), FILLS.format("data"))
        assert (ran.exit_code, ran.limit) == (None, "disk")
        tar = realengine.tar_of({"out": realengine.folder(0o1777)})
        made = subject(image, disk=50_000_000)
        with made.container(
            entrypoint=[""], command=["sh", "-c", FILLS.format("dsci/out")], volume=("/dsci", tar)
        ) as container:
            assert container.run(60, 1000).limit == "disk"
    assert left(run) == set()


@pytest.mark.parametrize(("memory", "fits"), [(30_000_000, 30), (0, 1000)])
def test_what_fills_a_folder_in_memory(subject: Subjects, bare: Reference, memory: int, fits: int) -> None:
    script = f"df -m /m | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2; head -c {memory} /dev/zero > /m/x; id"
    ran = alone(subject(bare, memory=memory), script, memory=("/m",))
    assert fits * 0.9 < int(ran.stdout.split()[0]) < fits * 1.1


@pytest.mark.parametrize("how", [alone, shared])
def test_what_wants_too_much_memory(subject: Subjects, bare: Reference, how: Any) -> None:
    ran = how(subject(bare, memory=60_000_000), GREEDY)
    assert (ran.exit_code, ran.limit) == (137, "memory")
    assert ran.reason.startswith(
        "more than 60 MB of memory was wanted, so something in it was killed: raise suites.memory"
    )


def test_want_of_memory_is_told_once(subject: Subjects, bare: Reference) -> None:
    """The engine goes on saying it of a container whose next command fails for another reason."""
    with subject(bare, memory=60_000_000).container(entrypoint=[""], command=["sleep", "60"]) as container:
        assert container.start() == ""
        found = [container.execute(["sh", "-c", script], {}, 30, 1000) for script in (GREEDY, "exit 3")]
    assert [ran.limit for ran in found] == ["memory", ""] and found[1].reason == ""


@pytest.mark.parametrize("how", [alone, shared])
@pytest.mark.parametrize("script", ["yes", "cat /dev/zero >&2"])
def test_what_prints_without_end(subject: Subjects, bare: Reference, how: Any, script: str) -> None:
    """It costs neither memory here nor disk there, and the end of it is kept."""
    made = subject(bare, timeout=2)
    tracemalloc.start()
    ran = how(made, DEAF + script)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ran.limit == "time" and len(ran.stdout) + len(ran.stderr) in (1000, commands.OUTPUT_LIMIT)
    assert peak < 20_000_000 and ran.seconds < 9


def test_the_log_of_what_prints_without_end_is_bounded(subject: Subjects, bare: Reference) -> None:
    with subject(bare, timeout=3).container(entrypoint=[""], command=["yes"]) as container:
        container.run(3, 1000)
        path = realengine.docker("inspect", "--format", "{{.LogPath}}", str(container._container.id))  # type: ignore[attr-defined]
        script = f"du -cm {path}* | tail -n 1"
        (told,) = [realengine.docker("run", "--rm", "--volume", f"{path.rpartition('/')[0]}:{path.rpartition('/')[0]}",
                                     str(bare), "sh", "-c", script)]  # fmt: skip
    assert 8 <= int(told.split()[0]) <= 18


# ---------------------------------------------------------------------------------------------------------- budgets


SLOW = """\
schemaVersion: "2.0.0"
commandTests:
- {name: quick, command: "true"}
- {name: slow, command: sleep, args: ["600"]}
- {name: late, command: "true"}
- {name: later, setup: [["true"]], command: "true"}
fileExistenceTests: [{name: there, path: /etc, shouldExist: true}]
fileContentTests: [{name: says, path: /etc/debian_version, expectedContents: ["1"]}]
licenseTests: [{files: [/etc/debian_version]}]
"""


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        ({"suite": 7}, "the suite's 7s were over{} raise suites.timeout"),
        ({"total": 7}, "the run's 7s were over{} raise suites.total_timeout"),
    ],
)
def test_what_did_not_come_to_run_fails_by_its_name(
    subject: Subjects, bare: Reference, monkeypatch: pytest.MonkeyPatch, limits: dict[str, float], over: str
) -> None:
    monkeypatch.setattr(commands, "_AT_ONCE", 1)
    total = Total(limits["total"]) if "total" in limits else Total()
    made = subject(bare, suite=limits.get("suite", 60), total=total)
    began = time.monotonic()
    with total.running():
        found = {check.name: check for check in structure.run(made, *structurefile.located(SLOW, file="s.yaml"))}
    assert time.monotonic() - began < 30
    assert {name: check.verdict for name, check in found.items()} == {
        "Command Test: quick": Verdict.PASSED,
        "Command Test: slow": Verdict.FAILED,
        "Command Test: late": Verdict.FAILED,
        "Command Test: later": Verdict.FAILED,
        "File Content Test: says": Verdict.FAILED,
        "File Existence Test: there": Verdict.FAILED,
        "License Test": Verdict.FAILED,
    }
    killed = found.pop("Command Test: slow").detail
    assert killed.startswith(f"still running when {over.format(', so it was killed:')}")
    del found["Command Test: quick"]
    assert all(f"it did not run, since {over.format(':')}" in each.detail for each in found.values())


STARTED = """\
start: {command: [sleep, "600"], until: {log: ready}, within: 60s}
checks: [{log: other, name: a}, {run: "true", name: b}]
"""
AT_REST = """\
checks: [{run: sleep 600, name: a}, {file: /etc, name: b}, {check: non-root, name: c}, {image: {user: ""}, name: d}]
"""


@pytest.mark.parametrize(
    ("text", "first"), [(STARTED, "still so when the suite's 6s"), (AT_REST, "still running when the suite's 6s")]
)
def test_suites_of_our_own_have_the_same_time(subject: Subjects, bare: Reference, text: str, first: str) -> None:
    began = time.monotonic()
    checks = list(native.run(subject(bare, suite=6), nativefile.parse(text, file="n.yaml"), path="n.yaml"))
    assert time.monotonic() - began < 30
    assert checks[0].verdict is Verdict.FAILED and first in checks[0].detail
    assert len(checks) > 2 and Verdict.PASSED not in {check.verdict for check in checks}
    if text == AT_REST:
        assert all(check.detail.startswith("it did not run, since the suite's 6s were over") for check in checks[1:])


def test_all_suites_of_a_run_share_its_time(subject: Subjects, bare: Reference) -> None:
    """Two that run side by side take it once; what passes while none of them runs is no part of it."""
    total = Total(2.5)
    with total.running(), total.running():
        time.sleep(0.5)
    time.sleep(1)
    first, second = (subject(bare, total=total) for _ in range(2))
    assert 1.7 < first.rest < 2.1
    with total.running():
        assert alone(first, "sleep 600").reason.startswith("still running when the run's 2.5s were over")
    assert second.timeout == 0 and second.over.startswith("it did not run, since the run's 2.5s were over")


def test_a_check_has_the_least_of_what_is_left(subject: Subjects, bare: Reference) -> None:
    made = subject(bare, timeout=5, suite=100, total=Total(50))
    assert made.timeout == 5 and made.within(2).timeout == 2 and made.within(7).timeout == 5
    assert 40 < made.rest <= 50
    assert 20 < subject(bare, timeout=50, suite=30).timeout <= 30


def test_a_check_that_allows_itself_less(subject: Subjects, bare: Reference) -> None:
    made = subject(bare).within(1)
    assert alone(made, "sleep 600").reason == "still running after 1 s, so it was killed"


def test_nobody_has_to_wait_for_what_is_ended(subject: Subjects, bare: Reference) -> None:
    """A container that was started and left, as a service is."""
    made = subject(bare, suite=6)
    with made.container(entrypoint=[""], command=["sh", "-c", DEAF + "while :; do sleep 1; done"]) as container:
        assert container.start() == ""
        deadline = time.monotonic() + 20
        while container.state().running and time.monotonic() < deadline:
            time.sleep(0.1)
        state = container.state()
        assert not state.running and state.killed.startswith("still running when the suite's 6s were over")
        again = container.execute(["true"], {}, 10, 1000)
    assert (again.exit_code, again.limit, again.reason) == (None, "time", state.killed)


def test_nothing_is_started_when_time_is_over(subject: Subjects, bare: Reference) -> None:
    made = subject(bare, suite=0)
    with made.container(entrypoint=[""], command=["sleep", "60"]) as container:
        why = container.start()
        assert why.startswith("it did not run, since the suite's 0s were over") and not container.state().running
        assert container.run(60, 1000).reason == why


def test_a_clock_that_is_not_told_has_what_the_settings_have() -> None:
    clock = Clock()
    assert (clock.check().seconds, round(clock.suite().seconds), clock.total.left().seconds) == (300, 600, float("inf"))
