"""What commit messages say, by Conventional Commits 1.0.0 and by what people write (docs of the rules: §1b)."""

from __future__ import annotations

import pytest
from builders import commit
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from dsci.model.commits import TYPES, Bump, read

NONE, PATCH, MINOR, MAJOR = Bump.NONE, Bump.PATCH, Bump.MINOR, Bump.MAJOR


@pytest.mark.parametrize(
    ("message", "bump"),
    [
        ("fix: a", PATCH),
        ("perf: a", PATCH),
        ("revert: feat: a\n\nRefs: 1234567", PATCH),
        ("feat: a", MINOR),
        ("feat(x): a", MINOR),
        ("feat( x , y ): a", MINOR),
        ("FEAT: a", MINOR),
        ("Feat: a", MINOR),
        ("feat:   a", MINOR),
        ("\n\n  feat: a", MINOR),
        ("feat!: a", MAJOR),
        ("chore(x)!: a", MAJOR),
        ("docs: a", NONE),
        ("chore: a", NONE),
        ("refactor: a", NONE),
        ("deps: a", NONE),
        ("feature: a", NONE),
        ("feat:a", NONE),
        ("feat : a", NONE),
        ("feat:", NONE),
        ("feat", NONE),
        ("feat((x)): a", NONE),
        ("wip", NONE),
        ("", NONE),
        ("Merge branch 'x'", NONE),
        ('Revert "feat: a"\n\nThis reverts commit 1234567.', NONE),
        ("docs: x\n\nfeat: prose", NONE),
        pytest.param("fix: a\n\nBREAKING CHANGE: b", MAJOR, id="footer"),
        pytest.param("fix: a\n\nBREAKING-CHANGE: b", MAJOR, id="footer with a hyphen"),
        pytest.param("fix: a\r\n\r\nBREAKING CHANGE: b\r\n", MAJOR, id="footer, CRLF"),
        pytest.param("fix: a\r\rBREAKING CHANGE: b", MAJOR, id="footer, CR"),
        pytest.param("fix: a\n\nSigned-off-by: A <a@b>\nBREAKING CHANGE: b", MAJOR, id="footer after another"),
        pytest.param("fix: a\n\nRefs #12\nBREAKING CHANGE: b", MAJOR, id="footer after a reference"),
        pytest.param("fix: a\n\nBREAKING CHANGE: b\nover two lines", MAJOR, id="footer of two lines"),
        pytest.param("fix: a\n\nBREAKING CHANGE: b\n\nmore of it\n\nRefs: 1", MAJOR, id="footer that goes on"),
        pytest.param("fix: a\n\nbody\n\nBREAKING CHANGE: b", MAJOR, id="footer after a body"),
        pytest.param("fix: a\nBREAKING CHANGE: b", MAJOR, id="footer right below"),
        pytest.param("fix: a\n\nbreaking change: b", PATCH, id="lower case (item 15)"),
        pytest.param("fix: a\n\nbreaking-change: b", PATCH, id="lower case with a hyphen"),
        pytest.param("fix: a\n\nBREAKING CHANGE #b", PATCH, id="no colon (item 12)"),
        pytest.param("fix: a\n\nBREAKING-CHANGE #b", PATCH, id="no colon, hyphen"),
        pytest.param("fix: a\n\nBREAKING CHANGE", PATCH, id="no description"),
        pytest.param("fix: a\n\nthis is not a BREAKING CHANGE: really", PATCH, id="prose"),
        pytest.param("fix: a\n\nnot a\nBREAKING CHANGE: really", PATCH, id="prose at the start of a line"),
        pytest.param("fix: a\n\n- BREAKING CHANGE: b", PATCH, id="a list item"),
        pytest.param("something\n\nBREAKING CHANGE: b", NONE, id="not conventional at all"),
    ],
)
def test_what_a_message_is_worth(message: str, bump: Bump) -> None:
    assert read(commit(message)).bump is bump


def test_the_parts_of_a_header() -> None:
    change = read(commit("Fix( ml )!:  drop  it \n\nbody"))
    assert (change.type, change.scope, change.summary, change.breaking) == ("fix", "ml", "drop  it", True)
    assert read(commit("fix(): a")).scope == ""
    plain = read(commit("Update things (#12)\n\nfix: a"))
    assert (plain.type, plain.scope, plain.summary) == ("", "", "Update things (#12)")
    assert plain.commit.subject == "Update things (#12)"
    assert commit("\n\n  a b \nc\n").subject == "a b"
    assert commit("").subject == ""


def test_bumps_have_names_and_an_order() -> None:
    assert [str(bump) for bump in sorted([MAJOR, NONE, MINOR, PATCH])] == ["none", "patch", "minor", "major"]
    assert TYPES["feat"] is MINOR


@pytest.mark.parametrize(
    ("message", "skip"),
    [
        ("feat: a [skip release]", True),
        ("feat: a\n\n[Release Skip]", True),
        ("feat: a [skip ci]", False),
        ("feat: skip release", False),
    ],
)
def test_skipping(message: str, skip: bool) -> None:
    assert read(commit(message)).skip is skip


@pytest.mark.parametrize(
    ("footers", "asked"),
    [
        ("Release-As: 5.0.0", ((None, "5.0.0"),)),
        ("release-as: v5.0.0", ((None, "5.0.0"),)),
        ("Release-As: ml@2.0.0-rc.1", (("ml", "2.0.0-rc.1"),)),
        ("Release-As: ml@v2.0.0\nRelease-As: r@1.0.0", (("ml", "2.0.0"), ("r", "1.0.0"))),
        ("Release-As: ml@2.0.0\n\nSigned-off-by: A", (("ml", "2.0.0"),)),
        ("Release-As: 5.0.0 please", ()),
        ("Release-As #5", ()),
        ("see\nRelease-As: 5.0.0", ()),
        ("Release-As:", ()),
    ],
)
def test_versions_asked_for(footers: str, asked: tuple[tuple[str | None, str], ...]) -> None:
    assert read(commit(f"chore: x\n\n{footers}")).release_as == asked
    assert read(commit(f"not conventional\n\n{footers}")).release_as == asked


@given(st.text(max_size=60) | st.text("feat:! ()\n\r#BREAKINGCH-", max_size=60))
@hypothesis(max_examples=50)
def test_every_message_can_be_read(message: str) -> None:
    change = read(commit(message, sha="a" * 40))
    assert change.commit.message == message
    assert change.type == change.type.lower()
    assert "\n" not in change.summary
    assert (change.bump is MAJOR) is change.breaking


@given(
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,8}", fullmatch=True),
    st.from_regex(r"[a-z/, ]{0,8}", fullmatch=True),
    st.booleans(),
    st.from_regex(r"[a-z][a-z :()!]{0,10}[a-z]", fullmatch=True),
)
@hypothesis(max_examples=50)
def test_headers_come_back(kind: str, scope: str, bang: bool, summary: str) -> None:
    change = read(commit(f"{kind}{f'({scope})' if scope else ''}{'!' if bang else ''}: {summary}"))
    assert (change.type, change.scope, change.breaking) == (kind.lower(), scope.strip(), bang)
    assert change.summary == summary
