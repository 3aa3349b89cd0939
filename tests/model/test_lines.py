"""What the name of a branch allows."""

from __future__ import annotations

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.lines import Line

CHANNELS = {"next": "rc", "beta*": "beta", "1.x": "old"}


def version(text: str) -> semver.Version:
    return semver.Version.parse(text)


@pytest.mark.parametrize(
    ("branch", "channel", "shown", "other"),
    [
        ("main", "", None, ""),
        ("", "", None, ""),
        ("next", "rc", None, ""),
        ("beta-7", "beta", None, ""),
        ("1.x", "old", None, ""),
        ("2.x", "", "2.x", ""),
        ("v2.x", "", "2.x", ""),
        ("2.14.x", "", "2.14.x", ""),
        ("ml/0.3.x", "", "0.3.x", ""),
        ("r/0.3.x", "", "0.3.x", "r"),
        ("2.1.3", "", None, ""),
        ("02.x", "", None, ""),
        ("x", "", None, ""),
        ("release-2.x", "", None, ""),
    ],
)
def test_branches(branch: str, channel: str, shown: str | None, other: str) -> None:
    line = Line.of(branch, CHANNELS, "ml")
    assert (line.channel, line.other) == (channel, other)
    assert (line.shown if line.major is not None else None) == shown


@pytest.mark.parametrize(
    ("branch", "held"),
    [
        ("main", "1.2.3 2.0.0 2.1.0 0.1.0"),
        ("2.x", "2.0.0 2.1.0"),
        ("2.0.x", "2.0.0"),
        ("0.x", "0.1.0"),
        ("r/2.x", ""),
    ],
)
def test_what_a_line_holds(branch: str, held: str) -> None:
    line = Line.of(branch, {}, "ml")
    assert [text for text in ["1.2.3", "2.0.0", "2.1.0", "0.1.0"] if line.holds(version(text))] == held.split()


def test_prereleases_of_a_channel_settle_nothing_elsewhere() -> None:
    main, following = Line.of("main", CHANNELS, "ml"), Line.of("next", CHANNELS, "ml")
    assert [main.counts(version(text)) for text in ("1.0.0", "1.0.0-rc.1", "1.0.0-pre.1")] == [True, False, True]
    assert following.counts(version("1.0.0-rc.1")) and following.counts(version("1.0.0-beta.1"))


@pytest.mark.parametrize(
    ("known", "number"),
    [
        ("", "1.3.0-rc.1"),
        ("1.3.0-rc.1", "1.3.0-rc.2"),
        ("1.3.0-rc.9 1.3.0-rc.10 1.3.0-rc.2", "1.3.0-rc.11"),
        ("1.2.0-rc.4 1.3.0-beta.5 1.3.0 1.3.0-rc 1.3.0-rc.x 1.3.0-rc.1.2", "1.3.0-rc.1"),
    ],
)
def test_numbers(known: str, number: str) -> None:
    line = Line.of("next", CHANNELS, "ml")
    assert str(line.number(version("1.3.0"), map(version, known.split()))) == number
    assert line.number(version("1.3.0-x.1"), ()) == version("1.3.0-x.1")
    assert Line().number(version("1.3.0"), map(version, known.split())) == version("1.3.0")


@given(st.lists(st.integers(0, 50), max_size=8))
def test_numbers_only_grow(taken: list[int]) -> None:
    known = [version(f"1.3.0-rc.{count}") for count in taken]
    following = Line.of("next", CHANNELS, "ml").number(version("1.3.0"), known)
    assert following not in known and all(following > one for one in known) and following < version("1.3.0")
