"""Limits of suites: whose count, and what is said of what passed one."""

from __future__ import annotations

import math

import pytest

from dsci.model import limits
from dsci.model.limits import Left, Limits
from dsci.model.quantities import duration
from dsci.model.settings import FamilySuiteSettings, SuiteSettings

RAISING = "set suites.{}"


def test_an_images_own_limits_come_before_the_familys_one_by_one() -> None:
    family = FamilySuiteSettings(timeout="1h", disk="1GB", memory="1GiB")
    assert Limits.of(family) == Limits(check=300, suite=3600, processes=2048, memory=2**30, disk=10**9)
    own = SuiteSettings(check_timeout="30s", processes=0, disk="0", allow=("privileged",))
    assert Limits.of(family, own) == Limits(check=30, suite=3600, processes=0, memory=2**30, disk=0)
    assert Limits.of(FamilySuiteSettings()) == limits.DEFAULT


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7200, "2h"), (5400, "90m"), (90, "90s"), (60, "1m"), (2, "2s"), (0.25, "0.2s"), (0, "0s"), (math.inf, "infs")],
)
def test_durations_are_written_as_in_settings(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_said_of_what_passed_a_limit() -> None:
    left = Left(seconds=0, budget="the suite's 10m", setting="timeout")
    said = [
        left.late(RAISING),
        left.waited(RAISING),
        left.unbegun(RAISING),
        limits.overdue(30),
        limits.out_of_memory(0, RAISING),
        limits.out_of_memory(512 * 10**6, RAISING),
        limits.too_much_disk(5 * 10**9, RAISING),
        limits.too_many_processes(2048, RAISING),
    ]
    assert said == [
        "still running when the suite's 10m were over, so it was killed: set suites.timeout",
        "still so when the suite's 10m were over: set suites.timeout",
        "it did not run, since the suite's 10m were over: set suites.timeout",
        "still running after 30 s, so it was killed",
        "the machine's memory was not enough, so something in it was killed",
        "more than 512 MB of memory was wanted, so something in it was killed: set suites.memory",
        "it wrote more than 5.0 GB beside its image, so it was killed: set suites.disk",
        "it ran all the 2048 processes that it may, so it was killed: set suites.processes",
    ]
