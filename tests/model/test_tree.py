"""Paths as seen from a folder."""

from __future__ import annotations

import pytest

from dsci.model.tree import below


@pytest.mark.parametrize(
    ("folder", "path", "rest"),
    [
        ("", "a/b", "a/b"),
        ("a", "a/b/c", "b/c"),
        ("a/b", "a/b/c", "c"),
        ("a", "a", None),
        ("a", "ab/c", None),
        ("a", "b/a/c", None),
        ("a/b", "a", None),
    ],
)
def test_below(folder: str, path: str, rest: str | None) -> None:
    assert below(folder, path) == rest
