"""Version numbers: calendar versions come back as they were written, grow with time and never fall."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from dsci.errors import ConfigError
from dsci.model.numbers import CalVersion, calendar, parts, precedence

SHAPES = (
    "YYYY",
    "YYYY.MICRO",
    "YYYY.0M",
    "YYYY.MM.MICRO",
    "YY.MM",
    "YY.0M.MICRO",
    "0Y.0W.MICRO",
    "YYYY.WW",
    "YYYY.0M.0D",
    "YYYY.MM.DD",
    "YYYY.0M.DD.MICRO",
)
JANUARY = int(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("shape", "first", "second"),
    [
        ("YYYY.0M.0D", "2026.01.05", "2026.01.05.1"),
        ("YYYY.MM.DD", "2026.1.5", "2026.1.5.1"),
        ("YYYY.0M.DD.MICRO", "2026.01.5.0", "2026.01.5.1"),
        ("YYYY.MM.MICRO", "2026.1.0", "2026.1.1"),
        ("YY.0M", "26.01", "26.01.1"),
        ("0Y.0W.MICRO", "26.02.0", "26.02.1"),
        ("YYYY", "2026", "2026.1"),
        ("YYYY.MICRO", "2026.0", "2026.1"),
    ],
)
def test_two_on_one_day(shape: str, first: str, second: str) -> None:
    numbers = calendar(shape)
    one = numbers.following(None, JANUARY)
    other = numbers.following(one, JANUARY)
    assert (str(one), str(other)) == (first, second)
    assert one < other and precedence(one) < precedence(other)
    assert numbers.parse(first) == one and numbers.parse(second.encode()) == other
    assert repr(one) == f"CalVersion({first!r})"


def test_a_year_is_the_weeks() -> None:
    """2027-01-01 is a Friday of the last week of 2026: with the year of the day versions would fall a week later."""
    new_year = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    assert str(calendar("YYYY.0W.MICRO").following(None, new_year)) == "2026.53.0"


def test_dates_are_read_in_utc() -> None:
    late = int(datetime.fromisoformat("2026-02-28T23:30:00-05:00").timestamp())
    assert str(calendar("YYYY.0M.0D").following(None, late)) == "2026.03.01"


def test_a_clock_that_stands_behind_takes_nothing_back() -> None:
    numbers = calendar("YYYY.MM.MICRO")
    assert str(numbers.following(numbers.parse("2030.5.3"), JANUARY)) == "2030.5.4"
    assert str(calendar("YY.MM.MICRO").following(None, 0)) == "0.1.0"


def test_prereleases() -> None:
    numbers = calendar("YYYY.MM.MICRO")
    candidate = numbers.parse("2026.1.0-rc.1")
    assert candidate < numbers.parse("2026.1.0-rc.2") < numbers.parse("2026.1.0")
    assert str(candidate.replace(prerelease="rc.2")) == "2026.1.0-rc.2"
    assert str(candidate.finalize_version()) == "2026.1.0"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ("YYYY.0M.0D", "2026.1.05"),
        ("YYYY.0M.0D", "2026.13.05"),
        ("YYYY.0M.0D", "2026.01.32"),
        ("YYYY.0M.0D", "2026.01.05.0"),
        ("YYYY.0M.0D", "2026.01.05.01"),
        ("YYYY.0M.0D", "v2026.01.05"),
        ("YYYY.0M.0D", "1.2.3"),
        ("YYYY.0M.0D", "2026.01.05-rc.01"),
        ("YYYY.0M.0D", "2026.01.05\n"),
        ("YYYY.0M.0D", "２０２６.01.05"),
        ("YYYY.MM.MICRO", "2026.1"),
        ("YYYY.MM.MICRO", "2026.01.0"),
        ("YYYY.MM.MICRO", "2026.1.1234567"),
        ("YYYY.WW", "2026.54"),
    ],
)
def test_other_texts_are_no_versions(shape: str, text: str) -> None:
    with pytest.raises(ValueError, match="is no version such as"):
        calendar(shape).parse(text)


@pytest.mark.parametrize(
    "shape", ["", "MM", "MICRO", "YYYY.DD", "YYYY-MM", "MM.YYYY", "YYYY.MM.WW", "YYYY.MICRO.MM", "YYYY.YYYY", "year"]
)
def test_shapes_that_are_none(shape: str) -> None:
    with pytest.raises(ConfigError, match="is no shape of a calendar version") as caught:
        calendar(shape)
    assert "YYYY.MM.MICRO" in caught.value.hint


def test_parts_are_written_as_the_version_is() -> None:
    assert parts(calendar("YYYY.0M.0D").parse("2026.01.05.2")) == ("2026", "01", "05.2")
    assert parts(calendar("YYYY").parse("2026")) == ("2026", "", "")
    assert parts(calendar("YY.MM.MICRO").parse("26.1.7")) == ("26", "1", "7")
    assert parts(semver.Version.parse("1.2.3-rc.1")) == ("1", "2", "3")


_times = st.integers(0, 4_000_000_000)


@given(st.sampled_from(SHAPES), st.lists(_times, min_size=1, max_size=6))
def test_versions_only_grow_and_come_back(shape: str, times: list[int]) -> None:
    numbers, current = calendar(shape), None
    for time in times:
        following: CalVersion = numbers.following(current, time)
        assert current is None or following > current
        assert numbers.parse(str(following)) == following
        current = following


_identifiers = st.one_of(st.integers(0, 30).map(str), st.from_regex(r"[a-c][a-c0-9-]{0,2}", fullmatch=True))
_semantic = st.builds(
    lambda a, b, c, pre: semver.Version(a, b, c, ".".join(pre) or None),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
    st.lists(_identifiers, max_size=3),
)


@given(_semantic, _semantic)
def test_precedence_is_semver(one: semver.Version, other: semver.Version) -> None:
    assert (precedence(one) < precedence(other)) == (one < other)
    assert (precedence(one) == precedence(other)) == (one == other)
