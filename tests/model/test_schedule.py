"""What should begin first: the item that most work waits for."""

from __future__ import annotations

from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.schedule import UNKNOWN, ways


def test_the_longest_way_counts_and_not_the_number_of_children() -> None:
    needs = {"base": [], "python": ["base"], "ml": ["python"], "r": ["base"], "lone": [], "tool": ["elsewhere"]}
    seconds = {"base": 5.0, "python": 10.0, "ml": 100.0, "r": 3.0, "lone": 40.0, "tool": -1.0}
    found = ways(needs, seconds)
    assert found == {"base": 115.0, "python": 110.0, "ml": 100.0, "r": 3.0, "lone": 40.0, "tool": 0.0}


def test_what_was_never_measured_counts_alike() -> None:
    assert ways({"a": [], "b": ["a"], "c": []}, {}) == {"a": 2 * UNKNOWN, "b": UNKNOWN, "c": UNKNOWN}


def test_a_circle() -> None:
    with pytest.raises(CycleError):
        ways({"a": ["b"], "b": ["a"]}, {})


@given(st.lists(st.tuples(st.floats(0, 1000), st.sets(st.integers(0, 9), max_size=3)), max_size=10))
def test_nothing_is_more_urgent_than_what_it_waits_for(items: list[tuple[float, set[int]]]) -> None:
    needs = {n: [need for need in given if need < n] for n, (_, given) in enumerate(items)}
    found = ways(needs, {n: took for n, (took, _) in enumerate(items)})
    for n, given_ in needs.items():
        assert all(found[need] >= found[n] for need in given_)
        assert found[n] >= items[n][0]
