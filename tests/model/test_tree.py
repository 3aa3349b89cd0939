"""Trees as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.tree import FILE, Tree, TreeEntry, below


def tree(*paths: str) -> Tree:
    return Tree({path: TreeEntry(FILE, path) for path in paths})


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("", ["a", "a-b/c", "a.x", "b/c", "b/d/e", "b0"]),
        ("a", ["a"]),
        ("b", ["b/c", "b/d/e"]),
        ("b/d", ["b/d/e"]),
        ("b/c", ["b/c"]),
        ("c", []),
    ],
)
def test_what_lies_under_a_place(place: str, found: list[str]) -> None:
    assert tree("b0", "b/d/e", "a.x", "a", "b/c", "a-b/c").under(place) == found


_paths = st.lists(st.text("ab/.é0-", min_size=1, max_size=6).filter(lambda path: path.strip("/") == path), max_size=12)


@given(_paths, st.text("ab/.é0-", max_size=4).filter(lambda path: path.strip("/") == path))
def test_the_index_says_what_a_search_would(paths: list[str], place: str) -> None:
    given_tree = tree(*paths)
    searched = {path for path in given_tree if path == place or below(place, path) is not None}
    assert set(given_tree.under(place)) == searched and len(given_tree) == len(set(paths))
    assert all(given_tree[path].oid == path for path in paths)


@pytest.mark.parametrize(("place", "found"), [("", ["a-b", "b"]), ("b", ["d"]), ("b/d", []), ("a", []), ("none", [])])
def test_the_folders_in_a_folder(place: str, found: list[str]) -> None:
    assert tree("b0", "b/d/e", "a.x", "a", "b/c", "a-b/c").folders(place) == found
