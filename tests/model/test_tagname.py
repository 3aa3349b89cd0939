"""Texts become legal tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.tagname import Piece, assemble, legal, like_a_version, like_another


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("a", "a"),
        ("feature/a b", "feature-a-b"),
        ("a//b", "a-b"),
        ("1.2.3+b.1", "1.2.3-b.1"),
        ("-.a", "a"),
        ("/a", "a"),
        ("_a", "_a"),
        ("Ä", ""),
        ("", ""),
    ],
)
def test_legal(text: str, tag: str) -> None:
    assert legal(text) == tag


@pytest.mark.parametrize("name", ["1", "v1", "V2", "1.4", "1.2.3", "1.2.3.4", "1.2.3-rc.1", "1.2.3rc1", "2026.02-rc.1"])
def test_what_reads_as_a_version(name: str) -> None:
    assert like_a_version(name) and like_another(name)


@pytest.mark.parametrize("name", ["1.x", "1.4.x", "v1.x", "12-fix", "a1.2.3", "1-2", "v", "version", "1a2b"])
def test_what_does_not(name: str) -> None:
    assert not like_another(name)


@pytest.mark.parametrize("name", ["latest", "edge", "nightly", "pr-1", "pr-1-x", "sha-", "sha-x", "dsci-", "dsci-x"])
def test_what_reads_as_something_else(name: str) -> None:
    assert like_another(name) and not like_a_version(name)


@pytest.mark.parametrize("name", ["latest2", "edges", "pr-x", "shasum", "dsci", "prerelease"])
def test_what_only_begins_so(name: str) -> None:
    assert not like_another(name)


@given(st.lists(st.builds(Piece, st.text(), st.booleans(), st.booleans()), min_size=1), st.booleans())
def test_whatever_is_put_together_is_legal_or_nothing(pieces: list[Piece], taken: bool) -> None:
    name = assemble(pieces, lambda _: taken)
    assert re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name) or not name
    assert not name.startswith("dsci-")
    assert name or not any(piece.foreign and piece.text for piece in pieces)
