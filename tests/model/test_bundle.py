"""What is kept of a check that failed: nothing secret, and enough to see why."""

from __future__ import annotations

import pytest

from dsci.model.bundle import TAIL, Bundle, Probe, Seen, tail, without_values
from dsci.model.report import Check, Verdict


@pytest.mark.parametrize(
    ("given", "ended"),
    [
        ({}, ""),
        ({"exit_code": 0}, "exit code 0"),
        ({"reason": "still running after 2 s"}, "still running after 2 s"),
        ({"exit_code": 1, "reason": "cut"}, "exit code 1; cut"),
        ({"exit_code": 137, "seen": Seen(out_of_memory=True)}, "exit code 137; out of memory"),
        ({"exit_code": 0, "seen": Seen(health="healthy")}, "exit code 0; its health check says healthy"),
        ({"reason": "took all its memory", "seen": Seen(out_of_memory=True)}, "took all its memory"),
    ],
)
def test_how_a_run_ended(given: dict[str, object], ended: str) -> None:
    assert Bundle(argv=("x",), **given).ended == ended  # type: ignore[arg-type]


def test_what_is_read_of_a_bundle() -> None:
    bundle = Bundle(argv=("sh", "-c", "x y"), exit_code=3, stdout="out", stderr="err")
    assert bundle.lines == [
        *("command: ['sh', '-c', 'x y']", "ended: exit code 3"),
        *("stdout:", "out", "stderr:", "err"),
    ]
    check = Check(name="x", verdict=Verdict.FAILED, detail="why", bundle=bundle)
    assert check.story.startswith("why\ncommand: [")
    assert Check(name="x", verdict=Verdict.FAILED, detail="why").story == "why"


def test_of_a_run_of_many_checks_nothing_printed_is_one_check_s_own() -> None:
    assert Bundle(argv=("pytest",), exit_code=1, stdout="all of them", alone=False).lines == ["ended: exit code 1"]


def test_a_failed_health_check_is_told() -> None:
    probes = (Probe(exit_code=0, output="fine"), Probe(exit_code=7, output="refused\n"))
    told = "health check, exit code 7: refused"
    assert told in Bundle(argv=("x",), seen=Seen(health="unhealthy", probes=probes)).lines
    assert told not in Bundle(argv=("x",), seen=Seen(health="starting", probes=probes)).lines
    assert len(Bundle(argv=("x",), seen=Seen(health="unhealthy")).lines) == 6


def test_the_tail_of_an_output_is_bounded_clean_and_without_secrets() -> None:
    assert tail("\x1b[31mred\x00", {}) == "red"
    assert len(tail("x" * 100_000, {})) < TAIL + 100
    hidden = {"A": "hunter2", "B": "hunter2-and-more", "C": "1", "D": ""}
    assert tail("1 hunter2-and-more hunter2", hidden) == "1 *** ***"
    # What is cut in two by the bound is masked before.
    assert "hunter2" not in tail("hunter2" + "x" * (TAIL - 3), hidden)


def test_of_variables_the_names_are_told() -> None:
    found = {
        "Id": "a",
        "Config": {"Env": ["A=secret", "B", "C=x=y"], "User": "1"},
        "State": {"ExitCode": 1, "Health": {"Log": []}},
    }
    assert without_values(found) == {
        "Id": "a",
        "Config": {"Env": ["A", "B", "C"], "User": "1"},
        "State": {"ExitCode": 1},
    }
    assert without_values({}) == {"Config": {"Env": []}, "State": {}}
