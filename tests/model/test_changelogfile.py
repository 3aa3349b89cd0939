"""A CHANGELOG.md that dsci and people write together."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace
from sampling import examples

from dsci.model.changelog import Entry, Kind, Parent, Release
from dsci.model.changelogfile import missing, update
from dsci.model.changelogrows import BEGIN, END
from dsci.model.keepachangelog import PREAMBLE
from dsci.model.links import Links
from dsci.model.numbers import calendar

GITHUB = Links.of("https://github.com/acme/images")
DAY = 86_400


def keep_a_changelog(releases: list[Release], **more: Any) -> str:
    return update("", releases, **more)


def entry(kind: Kind, summary: str, n: int = 1, **more: Any) -> Entry:
    return Entry(kind=kind, summary=summary, commits=(f"{n:x}" * 40,), **more)


def release(version: str, *told: Entry, image: str = "ml", since: str = "", **more: Any) -> Release:
    values: dict[str, Any] = {"when": 1_700_000_000, "commit": "c" * 40} | more
    tag = f"{image}-v{version}"
    return Release(
        image=image, version=version, tag=tag, since=f"{image}-v{since}" if since else "", entries=told, **values
    )


FIRST = release("1.0.0", entry(Kind.FEATURE, "begin", 1))
SECOND = release("1.1.0", entry(Kind.FIX, "close", 2), since="1.0.0", when=1_700_000_000 + DAY)
THIRD = release("2.0.0", entry(Kind.FEATURE, "way", 3, breaking=True), since="1.1.0", when=1_700_000_000 + 2 * DAY)
ALL = [THIRD, SECOND, FIRST]
NEXT = release("2.1.0", entry(Kind.FEATURE, "more", 4), entry(Kind.FIX, "less", 5), since="2.0.0", when=None)


def test_a_new_file() -> None:
    assert (
        keep_a_changelog(ALL, links=GITHUB)
        == PREAMBLE
        + """
## [2.0.0] - 2023-11-16

### Added

- **Breaking:** way ([3333333](https://github.com/acme/images/commit/3333333333333333333333333333333333333333))

## [1.1.0] - 2023-11-15

### Fixed

- close ([2222222](https://github.com/acme/images/commit/2222222222222222222222222222222222222222))

## [1.0.0] - 2023-11-14

### Added

- begin ([1111111](https://github.com/acme/images/commit/1111111111111111111111111111111111111111))

[unreleased]: https://github.com/acme/images/compare/ml-v2.0.0...HEAD
[2.0.0]: https://github.com/acme/images/compare/ml-v1.1.0...ml-v2.0.0
[1.1.0]: https://github.com/acme/images/compare/ml-v1.0.0...ml-v1.1.0
[1.0.0]: https://github.com/acme/images/releases/tag/ml-v1.0.0
"""
    )
    assert keep_a_changelog([]) == PREAMBLE


def test_groups() -> None:
    parent = Parent(image="py", version="3.0.0", tag="py-v3.0.0", entries=(entry(Kind.FIX, "pip", 9),))
    told = release(
        "1.0.0",
        *[entry(kind, kind.value) for kind in Kind],
        entry(Kind.PERFORMANCE, "gone", 2, breaking=True, breaks=("a",)),
        parents=(parent, replace(parent, image="base", entries=())),
        yanked=True,
    )
    assert (
        keep_a_changelog([told]).removeprefix(PREAMBLE)
        == """
## [1.0.0] - 2023-11-14 [YANKED]

### Added

- feature (1111111)

### Changed

- **Breaking:** gone (2222222)
  - a
- performance (1111111)
- dependency (1111111)
- other (1111111)
- py 3.0.0: 1 change
  - pip (9999999)
- base 3.0.0: no change of its own

### Deprecated

- deprecation (1111111)

### Removed

- Reverted: revert (1111111)

### Fixed

- fix (1111111)

### Security

- security (1111111)
"""
    )
    assert "## [1.0.0] - 2023-11-14\n\nNo change of its own.\n" in keep_a_changelog([release("1.0.0")])
    assert "\n\n`x` \\> y\n" in keep_a_changelog([release("1.0.0", reason="`x` > y")])


EXISTING = """\
# Our changes

Words.

## [Unreleased]

### Added

- By hand: something.

## [1.1.0] - 2023-01-01

Polished by a person,  with odd  blanks.

* and stars

## About

More words.

[1.1.0]: https://elsewhere.example/1.1.0
"""


def test_a_file_that_people_wrote() -> None:
    assert (
        update(EXISTING, ALL, links=GITHUB)
        == """\
# Our changes

Words.

## [Unreleased]

## [2.0.0] - 2023-11-16

### Added

- By hand: something.
- **Breaking:** way ([3333333](https://github.com/acme/images/commit/3333333333333333333333333333333333333333))

## [1.1.0] - 2023-01-01

Polished by a person,  with odd  blanks.

* and stars

## [1.0.0] - 2023-11-14

### Added

- begin ([1111111](https://github.com/acme/images/commit/1111111111111111111111111111111111111111))

## About

More words.

[unreleased]: https://github.com/acme/images/compare/ml-v2.0.0...HEAD
[2.0.0]: https://github.com/acme/images/compare/ml-v1.1.0...ml-v2.0.0
[1.1.0]: https://elsewhere.example/1.1.0
[1.0.0]: https://github.com/acme/images/releases/tag/ml-v1.0.0
"""
    )


@pytest.mark.parametrize(
    "heading",
    [
        "## [2.0.0] - 2023-11-16",
        "## [2.0.0] - 2023-11-16 [YANKED]",
        "## 2.0.0",
        "## v2.0.0 (2023-11-16)",
        "## [v2.0.0](https://x.example) (2023-11-16)",
        "# [2.0.0](https://x.example) (2023-11-16)",
        "### 2.0.0 / 2023-11-16",
        "## ML-v2.0.0 — a title",
        "## 2.0.0 ##",
        "\ufeff## [2.0.0]",
    ],
)
def test_a_version_that_is_there_is_never_touched(heading: str) -> None:
    text = f"{heading}\n\nwords\n"
    assert update(text, [THIRD]) == text
    assert missing(text, [THIRD]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "```\n## [2.0.0]\n```\n",
        "~~~~ md\n## [2.0.0]\n~~~\n## [2.0.0]\n~~~~\n",
        "<!--\n## [2.0.0]\n-->\n",
        "about 2.0.0\n",
        "## [2.0.0.1]\n",
        "#### 2.0.0\n",
        "## 2.0\n",
    ],
)
def test_what_only_looks_like_a_heading(text: str) -> None:
    assert missing(text, ALL) == tuple(ALL)
    once = update(text, ALL)
    assert once.startswith(text) and missing(once, ALL) == () and update(once, ALL) == once


@pytest.mark.parametrize("open_", ["```", "~~~ x", "<!-- never closed", "``` a`b", "```` \n```"])
def test_what_is_never_closed_hides_nothing(open_: str) -> None:
    text = f"# Changelog\n\n{open_}\n\n## [1.1.0]\n\nwords\n"
    once = update(text, ALL, unreleased=[NEXT], links=GITHUB)
    assert missing(text, ALL) == (THIRD, FIRST) and missing(once, ALL) == ()
    assert update(once, ALL, unreleased=[NEXT], links=GITHUB) == once


def test_a_file_without_headings() -> None:
    assert update("Just words", [FIRST]) == "Just words\n\n## [1.0.0] - 2023-11-14\n\n### Added\n\n- begin (1111111)\n"
    assert update("Just words", []) == "Just words"
    assert update("Words\n\n[x]: y", [FIRST], links=GITHUB).endswith(
        "))\n\n[x]: y\n[1.0.0]: https://github.com/acme/images/releases/tag/ml-v1.0.0\n"
    )


def test_old_versions_find_their_places() -> None:
    text = "## 3.0.0\n\n## [1.1.0]\n\n## 0.9.0\n"
    found = [row.split(" - ")[0] for row in update(text, ALL).split("\n") if row.startswith("## ")]
    assert found == ["## 3.0.0", "## [2.0.0]", "## [1.1.0]", "## [1.0.0]", "## 0.9.0"]
    late = release("1.0.1", entry(Kind.FIX, "late"), since="1.0.0")
    found = [row.split(" - ")[0] for row in update(text, [late, *ALL]).split("\n") if row.startswith("## ")]
    assert found == ["## 3.0.0", "## [2.0.0]", "## [1.1.0]", "## [1.0.1]", "## [1.0.0]", "## 0.9.0"]


def test_a_new_release_stands_below_unreleased() -> None:
    text = "## Unreleased\n\n## Notice\n\nwords\n\n## [1.1.0]\n"
    found = [row.split(" - ")[0] for row in update(text, ALL).split("\n") if row.startswith("## ")]
    assert found == ["## Unreleased", "## [2.0.0]", "## Notice", "## [1.1.0]", "## [1.0.0]"]


def test_what_comes_next() -> None:
    once = update(EXISTING, [SECOND, FIRST], unreleased=[NEXT], links=GITHUB)
    head, _, rest = once.partition(END)
    assert head.count("- more ([4444444]") == head.count("- less ([5555555]") == 1
    assert rest.startswith("\n\n### Added\n\n- By hand: something.\n\n## [1.1.0]")
    assert update(once, [SECOND, FIRST], unreleased=[NEXT], links=GITHUB) == once
    assert update(once, [SECOND, FIRST], links=GITHUB) == update(EXISTING, [SECOND, FIRST], links=GITHUB)
    done = replace(NEXT, when=1_700_000_000 + 3 * DAY)
    released = update(once, [done, SECOND, FIRST], links=GITHUB)
    assert "## [Unreleased]\n\n## [2.1.0] - 2023-11-17\n\n### Added\n\n- By hand: something.\n- more (" in released
    assert released.count("- By hand") == released.count("- less (") == 1 and END not in released


def test_what_was_edited_between_the_marks_stays() -> None:
    once = update("", [THIRD], unreleased=[NEXT])
    edited = once.replace("- more (4444444)", "- Much more, and better (4444444)")
    twice = update(edited, [THIRD], unreleased=[NEXT])
    assert "- Much more, and better (4444444)\n" in twice and "- more (" not in twice
    assert twice.count("- less (5555555)") == 1 and END not in twice
    assert update(twice, [THIRD], unreleased=[NEXT]) == twice
    more = replace(NEXT, entries=(*NEXT.entries, entry(Kind.FIX, "even more", 6)))
    third = update(twice, [THIRD], unreleased=[more])
    assert third.count("- even more (6666666)") == 1 and third.count("5555555") == 1 and END in third


def test_a_new_heading_for_what_comes_next() -> None:
    told = update("# C\n\n## [2.0.0]\n\nx\n", [THIRD], unreleased=[NEXT])
    assert told.startswith("# C\n\n## [Unreleased]\n\n<!-- dsci ") and told.endswith(f"{END}\n\n## [2.0.0]\n\nx\n")
    assert update("words\n", [], unreleased=[NEXT]).startswith("words\n\n## [Unreleased]\n\n<!-- dsci ")
    assert update("words\n", [], unreleased=[replace(NEXT, entries=())]) == "words\n"
    assert update("## [Unreleased]", [], unreleased=[NEXT]).startswith("## [Unreleased]\n\n<!-- dsci ")


def test_a_prerelease_takes_nothing_over() -> None:
    candidate = release("3.0.0-rc.1", entry(Kind.FIX, "almost", 7), since="2.0.0")
    told = update(EXISTING, [candidate, SECOND], links=GITHUB)
    assert told.index("- By hand") < told.index("## [3.0.0-rc.1]")
    assert "[unreleased]: https://github.com/acme/images/compare/ml-v1.1.0...HEAD\n" in told
    assert "[unreleased]" not in update(EXISTING, [candidate], links=GITHUB)


def test_hand_written_groups_take_up_what_belongs_to_them() -> None:
    text = (
        "## [Unreleased]\n\nIn short.\n\n### fixed\n\nA paragraph.\n\n```\n### Added\n```\n\n### Added\n\n* one\n\n\n"
        "### Known problems\n\n- two"
    )
    told = release("1.0.0", *NEXT.entries, entry(Kind.OTHER, "tidy", 6))
    assert update(text, [told]) == (
        "## [Unreleased]\n\n## [1.0.0] - 2023-11-14\n\nIn short.\n\n"
        "### fixed\n\nA paragraph.\n\n```\n### Added\n```\n\n- less (5555555)\n\n"
        "### Added\n\n* one\n- more (4444444)\n\n"
        "### Known problems\n\n- two\n\n### Changed\n\n- tidy (6666666)\n"
    )


def test_what_people_told_already_is_not_told_twice() -> None:
    text = "## [Unreleased]\n\n### Added\n\n- The new thing (4444444), in our words\n"
    told = update(text, [release("1.0.0", *NEXT.entries)])
    assert told.count("4444444") == 1 and "- less (5555555)" in told
    only = update("## [Unreleased]\n\n- all: 4444444, 5555555\n", [release("1.0.0", *NEXT.entries)])
    assert only == "## [Unreleased]\n\n## [1.0.0] - 2023-11-14\n\n- all: 4444444, 5555555\n"


def test_link_definitions() -> None:
    base = "https://github.com/acme/images"
    text = (
        "## [Unreleased]\n\n## [2.0.0]\n\n## 1.1.0\n\n## [1.0.0](https://x.example)\n\n"
        f"[Unreleased]: {base}/compare/ml-v1.1.0...HEAD\n\n[2.0.0]: https://mine.example\n"
    )
    assert update(text, ALL, links=GITHUB) == text.replace("ml-v1.1.0...HEAD", "ml-v2.0.0...HEAD")
    for kept in (f"{base}/compare/main...next", "https://other.example/compare/v1...HEAD", f"{base}/x 'a title'"):
        own = text.replace(f"{base}/compare/ml-v1.1.0...HEAD", kept)
        assert update(own, ALL, links=GITHUB) == own
    assert update(text, ALL) == text
    far = f"[2.0.0]: {base}/x\n\n## [2.0.0]\n\nwords\n"
    assert update(far, [THIRD], links=GITHUB) == far
    quiet = "## [2.0.0]\n\n```\n[2.0.0]: x\n```\n"
    assert update(quiet, [THIRD], links=GITHUB).startswith(quiet)


def test_crlf_and_bytes_that_are_no_text() -> None:
    text = EXISTING.replace("\n", "\r\n").replace("Words.", "W\udcffrds.\u2028\x0bx")
    told = update(text, ALL, unreleased=[NEXT], links=GITHUB)
    assert told.replace("\r\n", "").count("\n") == 0 and "W\udcffrds.\u2028\x0bx\r\n" in told
    assert update(told, ALL, unreleased=[NEXT], links=GITHUB) == told
    assert told.replace("\r\n", "\n").replace("W\udcffrds.\u2028\x0bx", "Words.") == update(
        EXISTING, ALL, unreleased=[NEXT], links=GITHUB
    )


# -------------------------------------------------------------------------------------------- several images

BASE = release("1.0.0", entry(Kind.FIX, "root", 8), image="base")
CHILD = release(
    "3.0.0", image="ml", parents=(Parent(image="base", version="1.0.0", tag="base-v1.0.0", entries=BASE.entries),)
)
COMING = [replace(NEXT, image="base", tag="base-v2.1.0"), NEXT]


def test_several_images_share_a_file() -> None:
    told = keep_a_changelog([BASE, CHILD], unreleased=COMING, links=GITHUB, named=True)
    assert "- **base:** more ([4444444]" in told and "- **ml:** less ([5555555]" in told
    assert "## [ml 3.0.0] - 2023-11-14\n\n### Changed\n\n- base 1.0.0: 1 change\n" in told
    assert "[base 1.0.0]: https://github.com/acme/images/releases/tag/base-v1.0.0\n" in told and "[unrel" not in told
    assert update(told, [BASE, CHILD], unreleased=COMING, links=GITHUB, named=True) == told


def test_with_several_images_a_person_says_whose_it_is() -> None:
    text = "## [Unreleased]\n\n- by hand\n\n## base@1.0.0\n"
    one = update(text, [CHILD, BASE], named=True)
    assert one.index("[ml 3.0.0]") < one.index("- by hand") < one.index("## base@1.0.0")
    two = update("## [Unreleased]\n\n- by hand\n", [CHILD, BASE], named=True)
    assert two.index("- by hand") < two.index("[ml 3.0.0]") < two.index("[base 1.0.0]")


def test_other_headings_of_several_images() -> None:
    text = "## ml 3.0.0\n\n## [1.0.0]\n\n## base-v1.0.0\n"
    assert missing(text, [CHILD, BASE], named=True) == ()
    assert missing("## 1.0.0\n", [BASE], named=True) == (BASE,)


# ------------------------------------------------------------------------------------------ calendar versions


def test_calendar_versions_stand_in_their_own_order() -> None:
    numbers = calendar("YYYY.0M.0D")
    many = [release(f"2026.{month}") for month in ("01.09", "01.10", "01.10.1", "02.01-rc.1")]
    text = "## [Unreleased]\n\n- by hand\n\n## [2026.01.10]\n\n## [1.2.3]\n"
    told = update(text, many, numbers=numbers)
    found = [row.split(" - ")[0] for row in told.split("\n") if row.startswith("## ")]
    expected = ["02.01-rc.1", "01.10.1", "01.10", "01.09"]
    assert found == ["## [Unreleased]", *(f"## [2026.{number}]" for number in expected), "## [1.2.3]"]
    assert told.index("[2026.01.10.1]") < told.index("- by hand") < told.index("[2026.01.10]")
    assert update(told, many, numbers=numbers) == told
    assert missing(told, many, numbers=numbers) == ()


# ------------------------------------------------------------------------------------------------- properties

_words = st.text(alphabet="ab #*-`~<>!.[](){}:|\t'é", max_size=12)
_rows = st.one_of(
    st.sampled_from(
        [
            "",
            "",
            "# Changelog",
            "## [Unreleased]",
            "## Unreleased",
            "## [2.0.0] - 2023-11-16",
            "## [1.1.0]",
            "## 1.0.0",
            "## v0.9.0 (2020)",
            "## ml 3.0.0",
            "## [base 1.0.0]",
            "### Added",
            "### Fixed",
            "## About",
            "- by hand",
            "  - below",
            "- told 4444444",
            "```",
            "~~~",
            "<!--",
            "-->",
            "<!-- x -->",
            END,
            "<!-- dsci 0123456789ab: generated; once edited, it stays as it is -->",
            "[2.0.0]: https://x.example",
            "[unreleased]: https://github.com/acme/images/compare/ml-v1.0.0...HEAD",
            "[ml 3.0.0]: x",
            "[z]: y",
        ]
    ),
    _words,
)
_texts = st.builds(
    lambda rows, end, last: end.join(rows) + (end if last else ""),
    st.lists(_rows, max_size=14),
    st.sampled_from(["\n", "\n", "\r\n"]),
    st.booleans(),
)
_single = st.lists(st.sampled_from(ALL), unique=True).map(
    lambda some: (sorted(some, key=lambda each: each.version, reverse=True), [NEXT], False)
)
_several = st.sampled_from([([CHILD, BASE], COMING, True), ([BASE], COMING, True), ([], COMING, True)])


def hand_written(text: str) -> Counter[str]:
    """The rows that must not be lost: all but marks, and the one link that moves on."""
    rows = (row.rstrip("\r") for row in text.split("\n"))
    return Counter(
        row for row in rows if row.strip() and row != END and not BEGIN.match(row) and not row.endswith("...HEAD")
    )


@given(_texts, st.one_of(_single, _several), st.booleans(), st.sampled_from([GITHUB, Links()]))
@example("## [Unreleased]\n\n```\n\n## [1.1.0]\n\n```\n", (ALL, [NEXT], False), True, GITHUB)
@example("<!--\n\n## [Unreleased]\n\n- x\n-->\n", (ALL, [NEXT], False), True, GITHUB)
@hypothesis(max_examples=examples(300), deadline=None)
def test_nothing_is_lost_and_nothing_changes_twice(
    text: str, given_: tuple[list[Release], list[Release], bool], coming: bool, links: Links
) -> None:
    releases, unreleased, named = given_
    more: dict[str, Any] = {"unreleased": unreleased if coming else (), "links": links, "named": named}
    once = update(text, releases, **more)
    assert hand_written(once) >= hand_written(text)
    assert update(once, releases, **more) == once
    assert missing(once, releases, named=named) == ()
    # Whatever comes and goes below `[Unreleased]`, what people wrote stays.
    for other in ({"unreleased": ()}, {"unreleased": unreleased}):
        again = update(once, releases, **more | other)
        assert hand_written(again) >= hand_written(text)
        assert update(again, releases, **more | other) == again


def test_a_large_file_is_read_quickly() -> None:
    many = [release(f"1.{n}.0", entry(Kind.FIX, f"x{n}")) for n in reversed(range(1500))]
    text = keep_a_changelog(many[::2]) + "```x\n" * 20_000 + "<!--\n" * 20_000
    assert missing(update(text, many), many) == ()


@pytest.mark.parametrize("opened", ["<!--", "```\ncode", "~~~ text"])
def test_what_would_swallow_other_sections_is_not_moved(opened: str) -> None:
    """An open comment or code block under `[Unreleased]` stays there: above another section it would hide that one."""
    text = f"## [1.0.0]\n-->\n```\n~~~\n## [Unreleased]\n{opened}"
    once = update(text, [release("2.0.0"), release("1.0.0")])
    assert update(once, [release("2.0.0"), release("1.0.0")]) == once
    assert once.index(opened) > once.index("## [Unreleased]") and once.count("## [1.0.0]") == 1
