"""Versions of packages: each kind in its tool's order, which is a total one whatever the texts are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model.packageorder import Reach, compare, key, reach

KINDS = ("apk", "bioconductor", "conda", "cran", "deb", "pypi", "rpm", "jupyter")

#: Each row goes up, with `=` before what is the same as the version before it.
ORDERS = [
    ("deb", "1.0~~ 1.0~~a 1.0~ 1.0~rc1 1.0 =1.00 =0:1.0 =1.0-0 1.0-1 1.0-1+b1 1.0-1+deb12u9 1.0-1+deb12u10 1.0a 1.0+x"),
    ("deb", "9 9Z 9a =9a0 9a9 9. 10 1:0.1 1:1-1-2 02:0 10:0"),
    ("deb", "-~ -a -1-1 =-01-1"),
    ("deb", "~ =~0 0~ 0 =00 =0:0 1 a:1"),
    ("rpm", "1.0~rc1-9 1.0~rc1.1-1 1.0 1.0-1 =1_0-1 =0:1.0-1 1.0-1.el9 1.0-2.el9 1.0^git1-1 1.0a-1 1.0.1-1 =1.0.01-1"),
    ("rpm", "1Z 1a 1.0 1:0-1 =1:0.-01"),
    (
        "apk",
        "1.0_alpha 1.0_alpha1 1.0_beta 1.0_pre20240101 1.0_rc1 1.0_rc2 1.0 1.0-r0 1.0-r1 =1.0-r01 1.0-r10 1.0~a 1.0~ab",
    ),
    ("apk", "1.0 1.0_git20240101 1.0_p1 1.0_p1_p1 1.0_p9 1.0_p10 1.0a 1.0b-r1 1.0.00 1.0.01 1.0.1 1.0.9 1.0.10"),
    ("apk", "1.0_rc_rc 1.0_rc 1.0_rc1 1.0_rc_p1 1.0.? 1.0.?? 1.0_foo 1.0_px 1.0 009 =9 10"),
    ("apk", "v1 v2 1 1a"),
    (
        "pypi",
        "latest 1.dev0 1a1.dev1 1a1 =1alpha1 1b1 1rc1 =1.c1 1 =1.0.0 =v1 1+cu118 1+cu121 =1+CU121 1.post1 1.0.1 1!0",
    ),
    ("pypi", "2.0.x 2022x 2022y 1.0"),
    ("conda", "?0 1..2 =1..2 0.4 =0.4.0 0.4.1.rc =0.4.1.RC 0.4.1 0.9.6 0.960923 1 1996.07.12 1!0.1 2!0"),
    (
        "conda",
        "1.1dev1 1.1_ 1.1a1 1.1b2 1.1.dev1 =1.1.0dev1 =1.1_dev1 1.1.a1 =1-1-a1 1.1 =1.1_0 1.1+1.a 1.1+1 1.1.post1",
    ),
    ("conda", "1.1.post1 1.1.1 1.1post1 1.2+3_4 1.2+3.5 1.2.1"),
    ("conda", "1..2 1.*"),
    ("cran", "abc 0.9 1.0-2 =1.0.2 =1-0-02 1.0.10 1.2 =1.2.0 =1.2-0.0 1.2.0.9000 1.10 2024.1"),
    ("bioconductor", "1.9.10 1.10.0 1.10.1"),
    (
        "jupyter",
        "1.0~1 1.0.dev1 1.0a2 1.0-alpha3 1.0b1 1.0-m4 1.0-rc1 1.0-rc.2 1.0 1.0g 1.0u1 1.0-1 1.0.1 1.0.10 1.0.10+8",
    ),
    ("jupyter", "go go1.9 go1.10 r2"),
]


@pytest.mark.parametrize(("kind", "row"), ORDERS)
def test_the_order_of_each_kind(kind: str, row: str) -> None:
    ranks: list[tuple[int, str]] = []
    for word in row.split():
        same = word.startswith("=")
        ranks.append((ranks[-1][0] + (not same) if ranks else 0, word.removeprefix("=")))
    for rank, version in ranks:
        for other_rank, other in ranks:
            assert compare(kind, version, other) == (rank > other_rank) - (rank < other_rank), (version, other)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_length(kind: str) -> None:
    """CPython reads no more than 4,300 digits as a number."""
    nines, one = "9" * 5_000, "1" + "0" * 5_000
    assert compare(kind, f"1.{nines}", f"1.{one}") == -1 or kind == "pypi"
    assert compare(kind, f"1.{one}", f"1.{nines}") == 1 or kind == "pypi"
    assert reach(kind, f"1.{nines}", f"1.{one}") is Reach.MINOR


@pytest.mark.parametrize(
    "version", ["1!!2", "a!1", "1+2+3", "+1", "1+", "1.2+", "1._2", "1,2", "1-2_3", "!1", "1!", "1..2+3", "1+a..b"]
)
def test_what_is_no_version_to_conda_is_less_than_all_that_are(version: str) -> None:
    assert compare("conda", version, "0dev") == -1
    assert compare("conda", version, version) == 0


ALPHABET = st.text("0011299abprcZ.~^-+_:!* ", min_size=1, max_size=9)
PARTS = "0 1 9 10 01 . . - _ ~ ^ + 1: 1! a rc dev post _p _rc -r _foo alpha *"
WORDS = st.lists(st.sampled_from(PARTS.split()), min_size=1, max_size=7).map("".join)
VERSIONS = st.one_of(WORDS, ALPHABET, st.text(max_size=5))


@given(st.sampled_from(KINDS), st.lists(VERSIONS, min_size=3, max_size=6))
@hypothesis(max_examples=examples(1_200), deadline=None)
def test_every_order_is_total(kind: str, versions: list[str]) -> None:
    for a in versions:
        assert compare(kind, a, a) == 0
        for b in versions:
            assert compare(kind, a, b) == -compare(kind, b, a), (a, b)
            for c in versions:
                if compare(kind, a, b) <= 0 and compare(kind, b, c) <= 0:
                    assert compare(kind, a, c) <= 0, (a, b, c)
                if compare(kind, a, b) == 0:
                    assert compare(kind, a, c) == compare(kind, b, c), (a, b, c)
    for a, b in pairwise(sorted(versions, key=key(kind))):
        assert compare(kind, a, b) <= 0


@given(st.lists(VERSIONS, min_size=2, max_size=2, unique=True))
@hypothesis(max_examples=examples(200), deadline=None)
def test_where_no_tool_says_that_they_are_equal_no_two_are(versions: list[str]) -> None:
    assert compare("jupyter", *versions) != 0


@pytest.mark.parametrize(
    ("kind", "before", "after", "how_far"),
    [
        ("pypi", "1.26.4", "2.0", Reach.MAJOR),
        ("pypi", "1.26", "1.27.1", Reach.MINOR),
        ("pypi", "1.26", "1.26.1", Reach.PATCH),
        ("pypi", "1.26.0.1", "1.26.0.2", Reach.PATCH),
        ("pypi", "2.0rc1", "2.0", Reach.OTHER),
        ("pypi", "2.0+cu118", "2.0.0+cu121", Reach.OTHER),
        ("pypi", "2024.1", "1!0.1", Reach.EPOCH),
        ("pypi", "v1.2", "1.3", Reach.MINOR),
        ("conda", "0!1.2", "1.2", Reach.OTHER),
        ("deb", "2.36-9+deb12u3", "2.36-9+deb12u4", Reach.OTHER),
        ("deb", "1:9.2p1-2", "1:9.6p1-1", Reach.MINOR),
        ("deb", "9.2", "1:9.2", Reach.EPOCH),
        ("deb", "0:9.2", "9.10", Reach.MINOR),
        ("rpm", "32:9.16.23-1.el9", "32:9.16.24-1.el9", Reach.PATCH),
        ("apk", "3.1.4-r5", "3.1.4-r6", Reach.OTHER),
        ("apk", "1.09", "1.9", Reach.OTHER),
        ("cran", "1.2-3", "1.2-4", Reach.PATCH),
        ("cran", "unknown", "1.2-4", Reach.MAJOR),
        ("jupyter", "go1.21", "go1.22", Reach.MINOR),
        ("jupyter", "abc", "abd", Reach.OTHER),
    ],
)
def test_how_far_a_move_goes(kind: str, before: str, after: str, how_far: Reach) -> None:
    assert reach(kind, before, after) is how_far
    assert reach(kind, after, before) is how_far
