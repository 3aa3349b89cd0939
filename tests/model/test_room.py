"""Whether there is room for one more build, and the numbers in which it is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.room import Disk, Guard, Room, Took, full, human, told

GB = 10**9
NEED = Took(engine=3 * GB, scratch=2 * GB)


def disk(free: int, *, device: int = 1, engine: bool = True) -> Disk:
    place = "/var/lib/docker" if engine else "/home/a/state"
    return Disk(place=place, device=device, engine=engine, free=free, total=100 * GB)


def short(*disks: Disk, need: Took | None = NEED, others: tuple[Took, ...] = (), least: int = GB) -> str:
    return Guard(disk=least).short_of_disk(Room(disks=disks), need, others)


def test_a_build_needs_what_its_last_one_took() -> None:
    assert short(disk(3 * GB)) == ""
    assert short(disk(3 * GB - 1)) == "needs about 3.0 GB by its last build, and 3.0 GB are free on /var/lib/docker"
    assert "3.0 GB by its last build, and 1.2 GB are free on /var/lib/docker" in short(disk(1_200_000_000))


def test_a_build_of_which_nothing_is_known_and_a_small_one_need_the_least() -> None:
    for need in (None, Took(engine=5, scratch=5)):
        assert short(disk(GB), need=need) == ""
        expected = "needs 1.0 GB (builder.min_free_disk), and 12 MB are free on /var/lib/docker"
        assert short(disk(12_000_000), need=need) == expected
    assert short(disk(12_000_000), need=None, least=10_000_000) == ""


def test_two_places_on_one_disk_share_it() -> None:
    assert short(disk(4 * GB), disk(4 * GB, device=2, engine=False)) == ""
    both = short(disk(4 * GB), disk(4 * GB, engine=False))
    assert both == "needs about 5.0 GB by its last build, and 4.0 GB are free on /var/lib/docker and /home/a/state"
    assert short(disk(9 * GB), disk(GB, device=2, engine=False)).endswith("1.0 GB are free on /home/a/state")


def test_what_goes_on_is_not_done_with_the_disk() -> None:
    assert short(disk(6 * GB), others=(NEED,)) == ""
    assert short(disk(5 * GB), others=(NEED,)).endswith(
        "5.0 GB are free on /var/lib/docker, 3.0 GB of it for the builds that go on"
    )


def test_no_disk_is_looked_at_where_none_is_to_be_left_or_none_is_here() -> None:
    assert short(disk(0), least=0) == "" and short() == ""


@pytest.mark.parametrize(
    ("first", "now", "running", "fits"),
    [
        (8, 8, 0, True),
        (8, 8, 3, True),
        (8, 8, 4, False),  # what just began has not taken its memory yet
        (8, 2, 1, True),
        (8, 1, 1, False),  # somebody else has taken it meanwhile
        (2, 8, 1, False),
        (0, 0, 0, True),  # one build always runs
        (None, None, 99, True),
        (8, None, 99, True),
    ],
)
def test_memory_bounds_how_many_builds_begin(first: int | None, now: int | None, running: int, fits: bool) -> None:
    def room(count: int | None) -> Room:
        return Room(memory=count if count is None else count * GB)

    assert (Guard(memory=2 * GB, first=room(first)).short_of_memory(room(now), running) == "") is fits
    assert Guard(memory=0, first=room(first)).short_of_memory(room(now), running) == ""


def test_memory_is_told_in_numbers() -> None:
    guard = Guard(memory=2 * GB, first=Room(memory=3_200_000_000))
    assert guard.short_of_memory(Room(memory=1_100_000_000), 1) == (
        "1.1 GB of memory are free, 3.2 GB were at first, and each of 2 builds is reckoned with 2.0 GB (builder.memory)"
    )


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9), st.integers(0, 20))
def test_memory_never_lets_more_begin_when_there_is_less(first: int, now: int, running: int, each: int) -> None:
    def fits(first: int, now: int, running: int) -> bool:
        return not Guard(memory=each, first=Room(memory=first)).short_of_memory(Room(memory=now), running)

    if fits(first, now, running):
        assert fits(first + 1, now, running) and fits(first, now + 1, running)
        assert running == 0 or fits(first, now, running - 1)
    assert fits(first, now, 0)


@pytest.mark.parametrize(
    ("text", "is_full"),
    [
        ("write /x: no space left on device", True),
        ("OSError: [Errno 28] No space left on device: '/x'", True),
        ("cp: error writing '/x': Disk quota exceeded", True),
        ("exit code: 1", False),
    ],
)
def test_what_programs_say_of_a_full_disk(text: str, is_full: bool) -> None:
    assert full(text) is is_full


def test_what_is_left_is_told_of_each_disk() -> None:
    assert told([disk(12_000_000), disk(0, engine=False)]) == (
        "12 MB of 100 GB are free on /var/lib/docker (the engine writes there);"
        " 0 B of 100 GB are free on /home/a/state (dsci writes there)"
    )
    assert told([]) == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (3_140_000_000, "3.1 GB"),
        (64 * 10**12, "64 TB"),
        (7 * 10**16, "70000 TB"),
    ],
)
def test_sizes_for_people(count: Any, text: str) -> None:
    assert human(count) == text
