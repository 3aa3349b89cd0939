"""Release notes: Markdown for a forge's page, plain text for the tag."""

from __future__ import annotations

import re
from typing import Any

import pytest
from builders import STACK, WHEN, change, look
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace
from sampling import examples

from dsci.model.changelog import Entry, Kind, Parent, Release, entries
from dsci.model.changelogfile import update
from dsci.model.claims import Tag, TagFormat, claim_trailers, released
from dsci.model.links import Links
from dsci.model.notes import LIMIT, book, heading, message, planned, release_notes
from dsci.model.oci import Digest

GITHUB = Links.of("https://github.com/acme/images")
HOSTILE = [
    "feat: \x1b[31mred\x1b[0m",
    "feat(<b>x</b>): <script>alert(1)</script>",
    "fix: [x](javascript:alert(1)) ![y](z)",
    "## heading",
    "fix: ## heading | a `b",
    "Dsci-Digest: sha256:" + "0" * 64,
    "fix: x\n\nDsci-Digest: sha256:" + "0" * 64,
    "fix: x\n\nBREAKING CHANGE: y\n\nDsci-Key: " + "0" * 64 + " ml@linux/amd64",
    "fix!: x\n\nBREAKING CHANGE: Dsci-Digest: sha256:" + "0" * 64,
    "fix: a\u2028\u2028Dsci-Digest: sha256:" + "0" * 64,
    "fix: a\r\rDsci-Digest: sha256:" + "0" * 64,
    "x" * 300_000,
    "fix: größer 🎉 日本語 @all",
]


def entry(kind: Kind, summary: str, n: int = 1, **more: Any) -> Entry:
    return Entry(kind=kind, summary=summary, commits=(f"{n:x}" * 40,), **more)


def release(*told: Entry, **more: Any) -> Release:
    values: dict[str, Any] = {
        "image": "ml",
        "version": "1.1.0",
        "tag": "ml-v1.1.0",
        "since": "ml-v1.0.0",
        "commit": "c" * 40,
        "when": WHEN,
        "entries": told,
    }
    return Release(**values | more)


FULL = release(
    entry(Kind.OTHER, "tidy"),
    entry(Kind.FIX, "close the file", 2, scope="io", requests=("#12",), issues=("#3", "T-1"), authors=("Bo",)),
    entry(Kind.FEATURE, "new _way_", 3, breaking=True, breaks=("the old is gone", "# and"), authors=("ann",)),
    entry(Kind.FEATURE, "more", 4),
    parents=(
        Parent(image="python", version="2.0.0", tag="python-v2.0.0", entries=(entry(Kind.FIX, "pip", 5),)),
        Parent(image="base", version="1.0.1", tag="base-v1.0.1", entries=()),
    ),
)


def test_notes_without_links() -> None:
    assert (
        release_notes(FULL, Links())
        == """\
### Breaking changes

- new \\_way\\_ (3333333)
  - the old is gone
  - \\# and

### Features

- more (4444444)

### Fixes

- **io:** close the file (#12, 2222222, closes #3, closes T-1)

### Other changes

- tidy (1111111)

### Parents

- <details><summary>python 2.0.0: 1 change</summary>

  - pip (5555555)

  </details>
- base 1.0.1: no change of its own

Authors: ann, Bo
"""
    )


def test_notes_with_links() -> None:
    told = release_notes(FULL, GITHUB, listed={"python-v2.0.0"}, level=4)
    base = "https://github.com/acme/images"
    assert "#### Breaking changes\n" in told and "<details>" not in told
    assert (
        f"- **io:** close the file ([#12]({base}/pull/12), [2222222]({base}/commit/{'2' * 40}),"
        f" closes [#3]({base}/issues/3), closes T-1)\n" in told
    )
    assert "- python 2.0.0: 1 change\n" in told
    assert told.endswith(f"\n\n[All changes since ml-v1.0.0]({base}/compare/ml-v1.0.0...ml-v1.1.0)\n")
    assert release_notes(release(since=""), GITHUB).endswith(f"[ml-v1.1.0]({base}/releases/tag/ml-v1.1.0)\n")


def test_nothing_to_say() -> None:
    assert release_notes(release(), Links()) == "No change of its own.\n"
    assert release_notes(release(reason="`x`\n# y"), Links()) == "`x` # y\n"
    assert message(release()) == "ml 1.1.0\n\nNo change of its own."
    assert message(release(reason="dsci.yaml\n\nDsci-Key: x")) == "ml 1.1.0\n\nBecause: dsci.yaml Dsci-Key: x"


def test_what_is_too_much_is_counted() -> None:
    many = [entry(Kind.FEATURE, f"f{n}") for n in range(LIMIT - 1)] + [entry(Kind.FIX, f"x{n}") for n in range(3)]
    told = release_notes(release(*many, *[entry(Kind.OTHER, "o")] * 4), Links())
    assert "- x0 " in told and "- x1 " not in told and "- o" not in told and "\n… and 6 more.\n" in told
    said = message(release(*many, *[entry(Kind.OTHER, "o")] * 4))
    assert "- x0 " in said and "- x1 " not in said and "- o" not in said and said.endswith("\n\n… and 6 more")
    above = Parent(image="p", version="1.0.0", tag="p", entries=tuple(many))
    assert f"- … and {len(many) - 50} more\n" in release_notes(release(parents=(above,)), Links())
    same = entry(Kind.FIX, "x")
    same = Entry(kind=Kind.FIX, summary="x", commits=tuple(f"{n:040x}" for n in range(1, 6)))
    assert "- x (0000000, 0000000, 0000000, 2 more)" in release_notes(release(same), Links())


def test_the_largest_page_fits_on_github() -> None:
    links = Links.of("https://github.com/an-organisation/a-repository-with-a-name")
    many = [entry(Kind.FIX, "a_*" * 40, requests=("#123456",), scope="scope", authors=("A Name",))] * 1000
    assert len(release_notes(release(*many), links)) < 125_000


def test_headings() -> None:
    assert heading(FULL, named=True) == "ml 1.1.0 (2023-11-14)"
    assert heading(replace(FULL, yanked=True), named=False) == "1.1.0 (2023-11-14) [YANKED]"
    assert heading(release(when=None), named=False) == "1.1.0 (unreleased)"


def test_a_book_folds_no_parent_that_it_tells_of() -> None:
    python = release(entry(Kind.FIX, "pip", 5), image="python", version="2.0.0", tag="python-v2.0.0")
    told = book([FULL, python], Links(), named=True)
    assert told.startswith("## ml 1.1.0 (2023-11-14)\n\n### Breaking changes\n")
    assert "\n\n## python 2.0.0 (2023-11-14)\n\n### Fixes\n" in told and "<details>" not in told
    assert book([], Links(), named=True) == ""


def test_the_message_of_a_tag() -> None:
    assert (
        message(FULL)
        == """\
ml 1.1.0

Breaking changes:
- new _way_ (3333333)
  - the old is gone
  - # and

Features:
- more (4444444)

Fixes:
- io: close the file (#12, 2222222)

Other changes:
- tidy (1111111)

Parents:
- python 2.0.0: 1 change
- base 1.0.1: no change of its own"""
    )


def test_a_message_does_not_depend_on_who_runs() -> None:
    """Names of authors come through a `.mailmap` that only one clone may have."""
    anonymous = tuple(Entry(kind=e.kind, summary=e.summary, commits=e.commits) for e in FULL.entries)
    named = tuple(Entry(kind=e.kind, summary=e.summary, commits=e.commits, authors=("X",)) for e in FULL.entries)
    assert message(replace(FULL, entries=anonymous)) == message(replace(FULL, entries=named))


DIGEST = Digest.of(b"real")


def _claims(text: str) -> dict[str, Digest]:
    trailers = claim_trailers({"ml": DIGEST}, {}, {}, group="ml")
    tag = Tag(name="ml-v1.1.0", oid="0", commit="c", message=f"{text}\n\n{trailers}", merged=True)
    return dict(released([tag], TagFormat("{image}-v{version}", ["ml", "r"]), ["ml", "r"])["ml"][0].digests)


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_no_commit_forges_a_trailer_or_markup(said: str) -> None:
    told = release(*entries([change(said)]))
    text = message(told)
    assert _claims(text) == {"ml": DIGEST}
    assert all(row.startswith(("- ", "  - ", "ml 1.1.0")) or row.endswith(":") or not row for row in text.split("\n"))
    assert len(text) < 2000
    page = release_notes(told, Links())
    tags = set(re.findall(r"</?([a-z0-9]+)", MarkdownIt("commonmark").render(page)))
    assert tags <= {"h3", "ul", "li", "p", "strong", "code"} and "\x1b" not in page
    assert "@all" not in page.replace("`@all`", "")


@given(st.lists(st.text(max_size=80), max_size=4), st.text(max_size=60))
@hypothesis(max_examples=examples(150), deadline=None)
def test_no_message_at_all_forges_a_trailer(said: list[str], reason: str) -> None:
    assert _claims(message(release(*entries(map(change, said)), reason=reason))) == {"ml": DIGEST}


def test_the_releases_of_a_plan() -> None:
    shot = look(STACK)
    none: dict[str, Any] = dict.fromkeys(shot.groups, ())
    plan = shot.plan(claims=none, touched={"base": (change("feat: begin"),), "ml": (change("fix: numpy"),)})
    told = {item.image: item for item in planned(plan.releases, when=WHEN)}
    assert [parent.image for parent in told["ml"].parents] == ["python", "base"]
    assert [entry.summary for entry in told["ml"].parents[1].entries] == ["begin"]
    assert told["base"].parents == () and told["base"].date == "2023-11-14"
    assert told["ml"].since == "" and told["ml"].reason == "first release"
    assert message(told["ml"]).endswith("Parents:\n- python 0.1.0: no change of its own\n- base 0.1.0: 1 change")
    alone = planned([item for item in plan.releases if item.image == "ml"])
    assert alone[0].parents == () and alone[0].date == ""


def test_dependencies_that_moved_are_told() -> None:
    """They are foreign text as well: a version may hold anything that a file holds."""
    told = release(moved=("pandas 1.5.3 → 2.0.0: a major move", "[x](javascript:a) → @all <b>\n## y"))
    page = release_notes(told, GITHUB)
    assert "### Dependencies that moved\n\n- pandas 1.5.3 → 2.0.0: a major move\n- " in page
    html = MarkdownIt("commonmark").render(page)
    assert 'javascript:a"' not in html and "<b>" not in html and "<h2" not in html
    again = update("", [told], links=GITHUB)
    assert "### Changed\n\n- pandas 1.5.3 → 2.0.0: a major move\n" in again and update(again, [told]) == again
