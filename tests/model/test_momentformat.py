"""Moment's formats; the expected texts are what Moment 2.31 with moment-timezone prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.errors import ConfigError
from dsci.model import momentformat

ALL = (
    "YYYY YY MMMM MMM MM M DDDD DDD DD D dddd ddd dd d E e GGGG WW W ww w HH H hh h mm m ss s A a X x ZZ Z"
    " Hmm YYYYMMDDHHmmss YYYY[T]MM"
)


@pytest.mark.parametrize(
    ("when", "zone", "text"),
    [
        (
            1767225600,
            "UTC",
            "2026 26 January Jan 01 1 001 1 01 1 Thursday Thu Th 4 4 4 2026 01 1 01 1 00 0 12 12"
            " 00 0 00 0 AM am 1767225600 1767225600000 +0000 +00:00 000 20260101000000 2026T01",
        ),
        (
            1766923509,
            "Asia/Tokyo",
            "2025 25 December Dec 12 12 362 362 28 28 Sunday Sun Su 0 7 0 2025 52 52 01 1 21 21 09"
            " 9 05 5 09 9 PM pm 1766923509 1766923509000 +0900 +09:00 2105 20251228210509 2025T12",
        ),
        (
            1735689599,
            "America/New_York",
            "2024 24 December Dec 12 12 366 366 31 31 Tuesday Tue Tu 2 2 2 2025 01 1 01 1 18 18 06"
            " 6 59 59 59 59 PM pm 1735689599 1735689599000 -0500 -05:00 1859 20241231185959 2024T12",
        ),
        (
            1703905200,
            "Asia/Kolkata",
            "2023 23 December Dec 12 12 364 364 30 30 Saturday Sat Sa 6 6 6 2023 52 52 52 52 08 8 08"
            " 8 30 30 00 0 AM am 1703905200 1703905200000 +0530 +05:30 830 20231230083000 2023T12",
        ),
        (
            1709208000,
            "America/St_Johns",
            "2024 24 February Feb 02 2 060 60 29 29 Thursday Thu Th 4 4 4 2024 09 9 09 9 08 8 08"
            " 8 30 30 00 0 AM am 1709208000 1709208000000 -0330 -03:30 830 20240229083000 2024T02",
        ),
        (
            1798895221,
            "UTC",
            "2027 27 January Jan 01 1 002 2 02 2 Saturday Sat Sa 6 6 6 2026 53 53 01 1 13 13 01 1"
            " 07 7 01 1 PM pm 1798895221 1798895221000 +0000 +00:00 1307 20270102130701 2027T01",
        ),
        (
            978220800,
            "Asia/Tokyo",
            "2000 00 December Dec 12 12 366 366 31 31 Sunday Sun Su 0 7 0 2000 52 52 01 1 09 9 09"
            " 9 00 0 00 0 AM am 978220800 978220800000 +0900 +09:00 900 20001231090000 2000T12",
        ),
        (
            1483142400,
            "America/New_York",
            "2016 16 December Dec 12 12 365 365 30 30 Friday Fri Fr 5 5 5 2016 52 52 53 53 19 19 07"
            " 7 00 0 00 0 PM pm 1483142400 1483142400000 -0500 -05:00 1900 20161230190000 2016T12",
        ),
        (
            931048200,
            "Asia/Kolkata",
            "1999 99 July Jul 07 7 185 185 04 4 Sunday Sun Su 0 7 0 1999 26 26 28 28 06 6 06 6"
            " 00 0 00 0 AM am 931048200 931048200000 +0530 +05:30 600 19990704060000 1999T07",
        ),
        (
            1795455900,
            "America/St_Johns",
            "2026 26 November Nov 11 11 327 327 23 23 Monday Mon Mo 1 1 1 2026 48 48 48 48 14 14 02"
            " 2 15 15 00 0 PM pm 1795455900 1795455900000 -0330 -03:30 1415 20261123141500 2026T11",
        ),
    ],
)
def test_formats(when: int, zone: str, text: str) -> None:
    momentformat.check(ALL, zone)
    assert momentformat.render(ALL, when, zone) == text


@pytest.mark.parametrize(
    ("pattern", "zone", "says"),
    [
        ("", "UTC", "needs a format"),
        ("YYYYQ", "UTC", "'Q' in the date format"),
        ("Do", "UTC", "'o' in the date format"),
        ("YYYYY", "UTC", "'Y' in the date format"),
        ("[x", "UTC", "'[' in the date format"),
        ("x]", "UTC", "']' in the date format"),
        ("\\\\M", "UTC", "stands for nothing"),
        ("é", "UTC", "'é' in the date format"),
        ("YYYY", "", "no time zone ''"),
        ("YYYY", "Europe", "no time zone 'Europe'"),
        ("YYYY", "../etc/passwd", "no time zone"),
        ("YYYY", "/etc/localtime", "no time zone"),
        ("YYYY", "zone.tab", "no time zone"),
        ("YYYY", "Europe/Atlantis", "no time zone"),
        ("YYYY", "a" * 5000, "no time zone"),
    ],
)
def test_what_means_nothing(pattern: str, zone: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        momentformat.check(pattern, zone)
    assert says in caught.value.message


@given(st.integers(), st.sampled_from(["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"]))
def test_no_date_of_a_commit_is_too_far_away(when: int, zone: str) -> None:
    assert len(momentformat.render("YYYYMMDD", when, zone)) == 8
