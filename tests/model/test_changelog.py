"""Commits as entries, releases as documents."""

from __future__ import annotations

import msgspec
import pytest
from builders import WHEN, change
from msgspec.structs import replace

from dsci.model.changelog import Entry, Kind, Parent, Release, document, entries, url
from dsci.model.links import Links

SHA = "a" * 40
LINKS = Links.of("https://github.com/acme/images")


def one(message: str, *, author: str = "") -> Entry:
    (entry,) = entries([change(message, sha=SHA, author=author)])
    return entry


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("feat: x", Kind.FEATURE),
        ("FIX: x", Kind.FIX),
        ("fix(security): x", Kind.SECURITY),
        ("security: x", Kind.SECURITY),
        ("security(deps): x", Kind.SECURITY),
        ("perf: x", Kind.PERFORMANCE),
        ("deprecate: x", Kind.DEPRECATION),
        ('Revert "feat: x"', Kind.REVERT),
        ("revert(deps): x", Kind.REVERT),
        ("deps: x", Kind.DEPENDENCY),
        ("build(deps): bump x", Kind.DEPENDENCY),
        ("fix(Deps-Dev): bump x", Kind.DEPENDENCY),
        ("docs: x", Kind.OTHER),
        ("just a text", Kind.OTHER),
    ],
)
def test_kinds(subject: str, kind: Kind) -> None:
    assert one(subject).kind is kind


def test_an_entry_says_everything() -> None:
    message = (
        "feat(api)!: new way [skip release] (#12)\n\nCloses #3\n\nBREAKING CHANGE: the old\n  is gone\n"
        "Co-authored-by: Bo <bo@x.example>"
    )
    assert one(message, author="Ann") == Entry(
        kind=Kind.FEATURE,
        type="feat",
        scope="api",
        summary="new way",
        breaking=True,
        breaks=("the old is gone",),
        commits=(SHA,),
        requests=("#12",),
        issues=("#3",),
        authors=("Ann", "Bo"),
    )
    assert one("feat: new [skip ci]").summary == "new"


def test_a_commit_without_a_type_tells_its_subject() -> None:
    assert one("Update stuff (#4)") == Entry(kind=Kind.OTHER, summary="Update stuff", commits=(SHA,), requests=("#4",))
    assert one("\n").summary == "(no subject)"
    assert one("fix: [skip ci]").summary == "(no subject)"


def test_a_squashed_branch_is_told_line_by_line() -> None:
    message = "feat: all of it (#9)\n\n* fix: one (#8)\n* docs!: two\n\nCloses #1\n\nBREAKING CHANGE: it breaks"
    first, second, third = entries([change(message, sha=SHA, author="Ann")])
    assert (first.summary, first.requests, first.issues) == ("all of it", ("#9",), ("#1",))
    assert first.breaks == ("it breaks",)
    assert (second.summary, second.requests, second.issues) == ("one", ("#8",), ())
    assert (third.summary, third.requests, third.breaking, third.breaks) == ("two", ("#9",), True, ())
    assert {entry.authors for entry in (first, second, third)} == {("Ann",)}


def test_what_is_said_twice_is_told_once() -> None:
    found = entries(
        [
            change("fix: typo (#2)", sha="1" * 40, author="Ann"),
            change("feat: x", sha="2" * 40, author="Ann"),
            change("fix!: typo\n\nCloses #5", sha="3" * 40, author="Bo"),
            change("fix(a): typo", sha="4" * 40),
        ]
    )
    assert [entry.commits for entry in found] == [("1" * 40, "3" * 40), ("2" * 40,), ("4" * 40,)]
    assert found[0].breaking and found[0].authors == ("Ann", "Bo") and found[0].issues == ("#5",)


def test_ten_thousand_equal_commits_are_joined_quickly() -> None:
    (entry,) = entries(change("update", sha=f"{n:040x}") for n in range(10_000))
    assert len(entry.commits) == 10_000


def test_hostile_text_becomes_one_short_line() -> None:
    entry = one("feat(\x1b[31msc\u202eope\x1b[0m): " + "x" * 300_000 + "\n\n" + "y" * 300_000)
    assert entry.scope == "scope" and len(entry.summary) == 300 and entry.summary.endswith("x…")
    assert len(one("z" * 300_000).summary) == 300


# ------------------------------------------------------------------------------------------------ releases

ENTRY = Entry(
    kind=Kind.FIX, type="fix", summary="x", commits=(SHA,), requests=("#1",), issues=("T-1",), authors=("Bo",)
)
PARENT = Parent(image="python", version="2.0.0", tag="python-v2.0.0", entries=(ENTRY,))
RELEASE = Release(
    image="ml",
    version="1.1.0",
    tag="ml-v1.1.0",
    since="ml-v1.0.0",
    commit=SHA,
    when=WHEN,
    entries=(ENTRY,),
    parents=(PARENT,),
)


@pytest.mark.parametrize(
    ("when", "date"),
    [(WHEN, "2023-11-14"), (None, ""), (0, "1970-01-01"), (-5, "1970-01-01"), (10**18, "9999-12-31")],
)
def test_dates(when: int | None, date: str) -> None:
    assert Release(image="a", version="1.0.0", tag="v1.0.0", commit=SHA, when=when).date == date


def test_stable() -> None:
    def stable(version: str) -> bool:
        return Release(image="a", version=version, tag="t", commit=SHA).stable

    assert stable("1.0.0") and stable("1.0.0+b-1") and not stable("1.0.0-rc.1+b")


def test_authors_are_told_once() -> None:
    given = [("Zoe", "ann"), ("Ann",), ("Bo", "zoe")]
    told = Release(
        image="a",
        version="1.0.0",
        tag="t",
        commit=SHA,
        entries=tuple(msgspec.structs.replace(ENTRY, authors=names) for names in given),
    )
    assert told.authors == ("Ann", "Bo", "zoe")


def test_url() -> None:
    first = Release(image="a", version="1.0.0", tag="v1.0.0", commit=SHA, when=WHEN)
    assert url(RELEASE, LINKS) == "https://github.com/acme/images/compare/ml-v1.0.0...ml-v1.1.0"
    assert url(first, LINKS) == "https://github.com/acme/images/releases/tag/v1.0.0"
    coming = Release(image="a", version="1.0.0", tag="v1.0.0", commit=SHA)
    assert url(coming, LINKS) == ""
    next_one = Release(image="a", version="1.1.0", tag="v1.1.0", since="v1.0.0", commit=SHA)
    assert url(next_one, LINKS) == "https://github.com/acme/images/compare/v1.0.0...HEAD"


def test_document() -> None:
    coming = Release(image="r", version="1.0.0", tag="r-v1.0.0", commit=SHA, reason="first release")
    moved = replace(RELEASE, moved=("pandas 1 → 2: a major move",))
    told = document([moved], LINKS, unreleased=[coming])
    entry = {
        "kind": "fix",
        "type": "fix",
        "scope": "",
        "summary": "x",
        "breaking": False,
        "breaks": [],
        "commits": [{"sha": SHA, "url": f"https://github.com/acme/images/commit/{SHA}"}],
        "requests": [{"id": "#1", "url": "https://github.com/acme/images/pull/1"}],
        "issues": [{"id": "T-1", "url": None}],
        "authors": ["Bo"],
    }
    assert told == {
        "schema": 1,
        "repository": "https://github.com/acme/images",
        "releases": [
            {
                "image": "ml",
                "version": "1.1.0",
                "tag": "ml-v1.1.0",
                "since": "ml-v1.0.0",
                "commit": SHA,
                "date": "2023-11-14",
                "yanked": False,
                "url": "https://github.com/acme/images/compare/ml-v1.0.0...ml-v1.1.0",
                "reason": "",
                "entries": [entry],
                "dependencies": ["pandas 1 → 2: a major move"],
                "parents": [
                    {"image": "python", "version": "2.0.0", "tag": "python-v2.0.0", "changes": 1, "entries": [entry]}
                ],
                "authors": ["Bo"],
            }
        ],
        "unreleased": [
            {
                "image": "r",
                "version": "1.0.0",
                "tag": "r-v1.0.0",
                "since": None,
                "commit": SHA,
                "date": None,
                "yanked": False,
                "url": None,
                "reason": "first release",
                "entries": [],
                "dependencies": [],
                "parents": [],
                "authors": [],
            }
        ],
    }
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def test_a_parent_that_is_in_the_document_is_not_told_twice() -> None:
    python = Release(image="python", version="2.0.0", tag="python-v2.0.0", commit=SHA, entries=(ENTRY,))
    told = document([RELEASE, python], Links())
    assert told["releases"][0]["parents"][0]["entries"] == [] and told["repository"] is None
