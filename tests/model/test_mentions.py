"""What messages mention: requests, issues, authors, what breaks."""

from __future__ import annotations

import pytest
from builders import commit

from dsci.model.mentions import mentions, title


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("feat: x (#12)", ("feat: x", ("#12",))),
        ("feat: x (!12)", ("feat: x", ("!12",))),
        ("fix: x (#12) (#13)", ("fix: x", ("#12", "#13"))),
        ("fix: x #12", ("fix: x #12", ())),
        ("fix: x (#12) y", ("fix: x (#12) y", ())),
        ("fix: x (#1234567890)", ("fix: x (#1234567890)", ())),
        ("(#12)", ("", ("#12",))),
        ("", ("", ())),
    ],
)
def test_title(text: str, expected: tuple[str, tuple[str, ...]]) -> None:
    assert title(text) == expected


def test_a_title_of_requests_alone_is_bounded() -> None:
    rest, found = title("x " + "(#1)" * 1000)
    assert len(found) == 20 and rest.startswith("x (#1)")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("feat: x (#1)", ("#1",)),
        ("Merge pull request #7 from a/b\n\nfeat: x", ("#7",)),
        ("Merge branch 'x' into 'main'\n\nfeat: x\n\nSee merge request group/sub/project!44", ("!44",)),
        ("feat: x\n\nSee merge request !5", ("!5",)),
        ("feat: x\n\nwe See merge request !5", ()),
    ],
)
def test_requests(message: str, expected: tuple[str, ...]) -> None:
    assert mentions(commit(message)).requests == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Closes #3", ("#3",)),
        ("closes: #3, #4 and acme/other#5", ("#3", "#4", "acme/other#5")),
        ("Fixes #3, and #4.", ("#3", "#4")),
        ("This resolved #3, then closes #3 again", ("#3",)),
        ("Fixes: ABC-1, #2", ("ABC-1", "#2")),
        ("fixes UTF-8 decoding", ()),
        ('Fixes: 54a4f0239f2e ("x")', ()),
        ("see #3", ()),
        ("prefixes #3", ()),
        ("Implements #9,", ("#9",)),
        ("Closes " + ", ".join(f"#{n}" for n in range(100)), tuple(f"#{n}" for n in range(20))),
    ],
)
def test_issues(body: str, expected: tuple[str, ...]) -> None:
    assert mentions(commit(f"fix: close #1\n\n{body}")).issues == expected


@pytest.mark.parametrize(
    ("author", "body", "expected"),
    [
        ("Ann", "", ("Ann",)),
        ("", "", ()),
        ("Ann", "Co-authored-by: Bo <bo@x.example>\nco-AUTHORED-by: ann <a@x.example>", ("Ann", "Bo")),
        ("ann@x.example", "Co-authored-by: bo@x.example", ("ann", "bo")),
        ("<a@x.example>", "Co-authored-by: <b@x.example>", ()),
        ("\x1b[31mRed\u202e\x07", "", ("Red",)),
        ("x" * 1000, "", ("x" * 79 + "…",)),
        ("dependabot[bot]", "", ("dependabot[bot]",)),
    ],
)
def test_authors(author: str, body: str, expected: tuple[str, ...]) -> None:
    assert mentions(commit(f"fix: x\n\n{body}", author=author)).authors == expected


def test_what_breaks_goes_on_below() -> None:
    message = (
        "feat!: x\n\nBREAKING CHANGE: the folder\n  has moved\nRefs: #3\n\nBREAKING-CHANGE: another\n"
        "BREAKING CHANGE: a third\n\nBREAKING CHANGE without a colon"
    )
    assert mentions(commit(message)).breaks == ("the folder has moved", "another", "a third")


def test_a_message_of_any_size_is_read() -> None:
    found = mentions(commit("fix: x\n\n" + "Closes #1, " * 30_000 + "\n" + "BREAKING CHANGE: x\n" * 5000))
    assert found.issues == ("#1",) and found.breaks == ("x",)
    assert mentions(commit("")).requests == ()
