"""How fast a host is asked after it complained: all of us wait, and then ask one after the other."""

from __future__ import annotations

import itertools

from dsci.drivers.pace import Pace

HOST, OTHER = "https://a:443", "https://b:443"


class Clock:
    """Time goes by where somebody waits, and nowhere else."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def gaps(pace: Pace, clock: Clock, count: int = 4) -> list[float]:
    """The time between so many requests, sent as soon as may be; nobody answers."""
    times = []
    for _ in range(count + 1):
        pace.wait(HOST)
        times.append(clock.now)
    return [round(after - before, 3) for before, after in itertools.pairwise(times)]


def test_a_first_complaint_is_waited_for_and_then_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.throttled(HOST, 10)
    pace.wait(OTHER)
    assert clock.now == 100, "others are asked as ever"
    pace.wait(HOST)
    assert 110 <= clock.now <= 111
    assert gaps(pace, clock) == [0, 0, 0, 0]


def test_who_goes_on_complaining_is_asked_ever_more_slowly() -> None:
    clock = Clock()
    pace = Pace(clock)
    seen = []
    for _ in range(9):
        pace.throttled(HOST, 1)
        pace.throttled(HOST, 1)  # of the same burst: counts once
        pace.wait(HOST)
        seen.append(gaps(pace, clock, 1)[0])
    assert seen == [0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]


def test_who_answers_is_asked_faster_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(3):
        pace.throttled(HOST, 1)
        pace.wait(HOST)
    assert gaps(pace, clock, 2) == [0.1, 0.1]
    for _ in range(20):
        pace.answered(HOST)
    between = gaps(pace, clock)[-1]
    assert 0 < between < 0.05
    for _ in range(60):
        pace.answered(HOST)
    assert gaps(pace, clock)[-1] == 0
