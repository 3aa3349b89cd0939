"""What commit messages say, by Conventional Commits 1.0.0 and by what people write (docs of the rules: §1b)."""

from __future__ import annotations

import re

import pytest
from builders import commit
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model.commits import TYPES, Bump, Rules, read, reader, speaks

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
        ('Revert "feat: a"\n\nThis reverts commit 1234567.', PATCH),
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
@hypothesis(max_examples=examples(50))
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
@hypothesis(max_examples=examples(50))
def test_headers_come_back(kind: str, scope: str, bang: bool, summary: str) -> None:
    change = read(commit(f"{kind}{f'({scope})' if scope else ''}{'!' if bang else ''}: {summary}"))
    assert (change.type, change.scope, change.breaking) == (kind.lower(), scope.strip(), bang)
    assert change.summary == summary


@pytest.mark.parametrize(
    ("message", "reverts", "kind", "summary"),
    [
        ('Revert "feat: a"\n\nThis reverts commit 1234567.', ("1234567",), "revert", "feat: a"),
        ('Revert "wip"', (), "revert", "wip"),
        ('Revert "Revert "feat: a""\n\nThis reverts commit 1234567.', ("1234567",), "feat", "a"),
        ('Reapply "feat(x)!: a"\n\nThis reverts commit 1234567.', ("1234567",), "feat", "a"),
        ('Reapply "wip"\n\nThis reverts commit 1234567.', ("1234567",), "revert", "wip"),
        ('Revert "Reapply "feat: a""', (), "revert", "feat: a"),
        ("revert: a\n\nRefs: 1234567, abcdef0123", ("1234567", "abcdef0123"), "revert", "a"),
        ("revert: a\n\nThis reverts commit 1234567.\n\nRef: 1234567", ("1234567",), "revert", "a"),
        ("fix: a\n\nRefs: 1234567", (), "fix", "a"),
        ("wip\n\nThis reverts commit 1234567.", (), "", "wip"),
        ('Revert "feat: a"\n\nThis reverts commit 123456.', (), "revert", "feat: a"),
    ],
)
def test_reverts(message: str, reverts: tuple[str, ...], kind: str, summary: str) -> None:
    change = read(commit(message))
    assert (change.reverts, change.type, change.summary) == (reverts, kind, summary)


def test_a_revert_may_break() -> None:
    assert read(commit('Revert "feat: a"\n\nBREAKING CHANGE: gone')).bump is MAJOR


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("chore: x\n\n* feat: a\n* fix(b)!: c\n- feat: no\n*feat: no\n  * feat: no", ["chore", "feat", "fix"]),
        ("All of it (#1)\n\n* wip\n* perf: a", ["perf"]),
        ("* feat: a", []),
    ],
)
def test_squashed_branches(message: str, said: list[str]) -> None:
    assert [statement.type for statement in read(commit(message)).statements] == said
    assert [item.type for item in read(commit(message), Rules(squash=False)).statements] == said[:1] * (
        said[:1] == ["chore"]
    )


@pytest.mark.parametrize(
    ("message", "kind", "summary"),
    [
        ("Merge pull request #1 from a/b\n\nfeat: t\n\nmore", "feat", "t"),
        ("Merge branch 'b' into 'main'\n\nfix: t\n\nSee merge request g/p!1", "fix", "t"),
        ("Merged in topic (pull request #1)\n\nfeat: t", "feat", "t"),
        ("Merge pull request #1 from a/b\n\nTitle\n\nfeat: t", "", "Merge pull request #1 from a/b"),
        ("Merge pull request #1 from a/b", "", "Merge pull request #1 from a/b"),
        ("Merge two files\n\nfeat: t", "", "Merge two files"),
    ],
)
def test_merges(message: str, kind: str, summary: str) -> None:
    parents = ["a" * 40, "b" * 40]
    change = read(commit(message, parents=parents))
    assert (change.type, change.summary, change.merge) == (kind, summary, not kind)
    assert not read(commit(message)).merge, "with one parent its content is its own"


@pytest.mark.parametrize(
    ("prefix", "subject", "kind"),
    [
        (r"[A-Z]+-[0-9]+:", "ABC-1: feat: a", "feat"),
        (r"[A-Z]+-[0-9]+: ", "feat: a", "feat"),
        (r"\W+", "✨ fix: a", "fix"),
        (r".*", "feat: a", ""),
        (r"(?=feat)", "feat: a", "feat"),
    ],
)
def test_prefixes(prefix: str, subject: str, kind: str) -> None:
    assert read(commit(subject), Rules(prefix=re.compile(prefix))).type == kind


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("feat:a", "a space is missing"),
        ("fix(x)!:a", None),
        ("other:a", None),
        ("http://x", None),
        ("ABC-1: feat: a", "behind a prefix"),
        ("[ABC-1] feat: a", "behind a prefix"),
        ("#12 fix: a", "behind a prefix"),
        ("✨ other: a", None),
        ("✨ feat", None),
        ("fix: a\n\nbreaking-change: b", "breaking change where none is counted"),
        ("wip\n\nBREAKING CHANGE: b", "breaking change where none is counted"),
        ("feat!: a\n\na breaking change", None),
        ("feat: a\n\nnothing\nspecial", None),
    ],
)
def test_what_may_have_been_meant(message: str, says: str | None) -> None:
    warnings = read(commit(message)).warnings
    assert (says is None and not warnings) or (says is not None and len(warnings) == 1 and says in warnings[0])


@pytest.mark.parametrize(
    ("message", "parents", "conventional"),
    [("fix: a", 1, True), ("wip", 1, False), ("Merge branch 'x'", 2, True), ("x\n\n* fix: a", 1, True), ("", 1, False)],
)
def test_whether_a_message_can_be_weighed(message: str, parents: int, conventional: bool) -> None:
    given = commit(message, parents=["a" * 40, "b" * 40][:parents])
    assert read(given).conventional is conventional


def test_a_reader_reads_each_commit_once() -> None:
    change = reader(Rules(types={"docs": Bump.MINOR}))
    first = change(commit("docs: a"))
    assert first == read(commit("docs: a"), Rules(types={"docs": Bump.MINOR}))
    assert first.statements[0].bump is Bump.MINOR
    assert change(commit("docs: a")) is first
    assert change(commit("docs: b")).summary == "b"


@pytest.mark.parametrize(
    ("message", "speaking"),
    [
        ('Revert "x"', True),
        ("revert: x", True),
        ("a\n\nThis reverts commit 1234567.", True),
        ("Reapply it", True),
        ("x\n\nrelease-as: 1.0.0", True),
        ("feat: a", False),
        ("", False),
    ],
)
def test_what_may_speak_of_others(message: str, speaking: bool) -> None:
    assert speaks(commit(message)) is speaking
    change = read(commit(message))
    assert speaking or not (change.reverts or change.release_as)
