"""Versions: which tags are claims, what a release decision rests on (rule 14), and that versions only grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import semver
from builders import change, released
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model import version
from dsci.model.claims import Released
from dsci.model.commits import Bump, Change
from dsci.model.lines import Line
from dsci.model.settings import VersioningSettings
from dsci.model.version import Decision, next_version

NONE, PATCH, MINOR, MAJOR = Bump.NONE, Bump.PATCH, Bump.MINOR, Bump.MAJOR
GROUPS = ("jupyter-ml", "ml", "r")
CHANGED = "images/ml/Dockerfile changed"


def parsed(text: str) -> semver.Version:
    return semver.Version.parse(text)


# -------------------------------------------------------------------------------------------------- next version


@pytest.mark.parametrize(
    ("current", "bump", "zero", "following"),
    [
        (None, NONE, False, "0.1.0"),
        ("1.2.3", PATCH, False, "1.2.4"),
        ("1.2.3", MINOR, False, "1.3.0"),
        ("1.2.3", MAJOR, False, "2.0.0"),
        ("0.2.3", PATCH, False, "0.2.4"),
        ("0.2.3", MINOR, False, "0.3.0"),
        ("0.2.3", MAJOR, False, "0.3.0"),
        ("0.2.3", MAJOR, True, "1.0.0"),
        ("1.2.3+b", PATCH, False, "1.2.4"),
    ],
)
def test_the_next_version(current: str | None, bump: Bump, zero: bool, following: str) -> None:
    settings = VersioningSettings(major_on_zero=zero)
    assert str(next_version(parsed(current) if current else None, bump, settings)) == following


def test_the_next_date() -> None:
    settings = VersioningSettings(scheme="calver", calver="YYYY.MM.MICRO")
    current = settings.numbers().parse("2026.2.3")
    assert str(next_version(current, PATCH, settings, now=1_772_321_400)) == "2026.2.4"
    assert str(next_version(None, NONE, settings, now=1_772_321_400)) == "2026.2.0"


# ----------------------------------------------------------------------------------------------------- decisions


def decide(
    *messages: str,
    claims: Sequence[Released | str] = ("1.2.3",),
    elsewhere: Sequence[str] = (),
    source: str = CHANGED,
    parents: Sequence[Decision] = (),
    **settings: object,
) -> Decision:
    """The decision for `ml` after commits, newest first, that touch its inputs, and others that do not."""
    touched = [change(message) for message in messages]
    return version.decide(
        "ml",
        claims=[claim if isinstance(claim, Released) else released("ml", claim) for claim in claims],
        since=[*touched, *map(change, elsewhere)],
        touched=touched,
        source_changed=source,
        parents=parents,
        settings=VersioningSettings(**settings),  # type: ignore[arg-type]
    )


def parent(bump: Bump, number: str | None = "3.0.0", group: str = "python") -> Decision:
    return Decision(group=group, bump=bump, version=parsed(number) if number else None, previous=None, reason="x")


def shown(decision: Decision) -> tuple[str | None, str]:
    return str(decision.version) if decision.version else None, decision.reason


def _sha(message: str) -> str:
    return change(message).commit.sha[:7]


@pytest.mark.parametrize(
    ("messages", "number", "reason"),
    [
        pytest.param(["wip"], "1.2.4", CHANGED, id="floor: any change of the source is a patch"),
        pytest.param(["docs: a"], "1.2.4", CHANGED, id="floor: whatever the type says"),
        pytest.param([], "1.2.4", CHANGED, id="floor: without a commit that touches it"),
        pytest.param(["fix: a"], "1.2.4", CHANGED, id="fix is no more than the floor"),
        pytest.param(["docs: b", "feat: a"], "1.3.0", f"feat: a ({_sha('feat: a')})", id="feat"),
        pytest.param(["feat: b", "feat!: a"], "2.0.0", f"feat!: a ({_sha('feat!: a')})", id="the dearest wins"),
        pytest.param(["feat: b", "feat: a"], "1.3.0", f"feat: b ({_sha('feat: b')})", id="the newest is named"),
    ],
)
def test_bumps(messages: list[str], number: str, reason: str) -> None:
    assert shown(decide(*messages)) == (number, reason)


@pytest.mark.parametrize(
    ("current", "message", "zero", "number"),
    [
        ("0.2.3", "feat!: a", False, "0.3.0"),
        ("0.2.3", "feat!: a", True, "1.0.0"),
        ("0.2.3", "feat: a", False, "0.3.0"),
        ("0.2.3", "fix: a", False, "0.2.4"),
        ("1.3.0-rc.1", "feat: a", False, "1.3.0"),
    ],
)
def test_before_one_and_before_a_release(current: str, message: str, zero: bool, number: str) -> None:
    assert shown(decide(message, claims=[current], major_on_zero=zero))[0] == number


def test_a_change_that_was_taken_back_releases_nothing() -> None:
    decision = decide('Revert "feat: a"', "feat: a", source="")
    assert shown(decision) == (None, "unchanged")
    assert decision.bump is NONE


def test_a_commit_that_touches_no_input_releases_nothing() -> None:
    assert shown(decide(elsewhere=["feat!: everything"], source="")) == (None, "unchanged")


def test_without_a_floor_only_commits_and_parents_count() -> None:
    assert shown(decide("docs: a", floor="none")) == (None, f"{CHANGED} (no commit asks)")
    assert shown(decide("fix: a", floor="none")) == ("1.2.4", f"fix: a ({_sha('fix: a')})")
    assert shown(decide("docs: a", floor="none", parents=[parent(MAJOR)])) == ("1.2.4", "parent python 3.0.0")


def test_the_first_release() -> None:
    decision = decide("feat!: a", "chore: b", claims=())
    assert shown(decision) == ("0.1.0", "first release")
    assert (decision.bump, decision.previous) == (NONE, None)
    assert [item.commit.subject for item in decision.changes] == ["feat!: a", "chore: b"]
    assert shown(decide(claims=(), source="", initial="1.0.0")) == ("1.0.0", "first release")
    assert shown(decide(claims=[released("ml", "4.0.0", merged=False)]))[0] == "0.1.0"


@pytest.mark.parametrize(
    ("claims", "number"),
    [
        pytest.param([released("ml", "2.0.0"), released("ml", "1.9.9")], "2.0.1", id="two on this branch"),
        pytest.param([released("ml", "2.0.0", merged=False), released("ml", "1.2.3")], "1.2.4", id="one elsewhere"),
        pytest.param([released("ml", "1.3.0-rc.1"), released("ml", "1.2.3")], "1.3.0", id="a prerelease"),
    ],
)
def test_the_newest_version_that_this_history_holds_counts(claims: list[Released], number: str) -> None:
    decision = decide("fix: a", claims=claims)
    assert str(decision.version) == number
    assert version.newest(claims) == next(claim for claim in claims if claim.tag.merged)
    assert decision.previous == next(claim for claim in claims if claim.tag.merged)


@pytest.mark.parametrize(
    ("propagate", "bumps", "number", "reason"),
    [
        ("patch", [MAJOR], "1.2.4", "parent python 3.0.0"),
        ("patch", [PATCH], "1.2.4", "parent python 3.0.0"),
        ("same", [MAJOR], "2.0.0", "parent python 3.0.0"),
        ("same", [MINOR], "1.3.0", "parent python 3.0.0"),
        ("same", [PATCH, MINOR], "1.3.0", "parent r 3.0.0"),
        ("same", [NONE], "1.2.4", "parent python 3.0.0"),
        ("none", [MAJOR], None, "unchanged"),
    ],
)
def test_a_parent_acts_through_propagation_only(
    propagate: str, bumps: list[Bump], number: str | None, reason: str
) -> None:
    parents = [parent(bump, group=group) for bump, group in zip(bumps, ("python", "r"), strict=False)]
    assert shown(decide(source="", parents=parents, propagate=propagate)) == (number, reason)


def test_parents_that_move_are_named_in_a_release_alone() -> None:
    moved, still = parent(PATCH), parent(NONE, None, "r")
    assert decide(source="", parents=[moved, still]).parents == (("python", "3.0.0"),)
    assert decide(source="", parents=[still]).parents == ()
    assert decide(source="", parents=[moved], propagate="none").parents == ()
    assert decide("feat: a", parents=[moved], propagate="none").parents == (("python", "3.0.0"),)


def test_the_own_change_counts_beside_the_parents() -> None:
    assert shown(decide("feat: a", parents=[parent(MAJOR)]))[0] == "1.3.0"
    assert shown(decide("feat: a", parents=[parent(MAJOR)], propagate="same")) == ("2.0.0", "parent python 3.0.0")


SKIPPED = "feat: a [skip release]"


def test_skip_release_defers() -> None:
    assert shown(decide(SKIPPED)) == (None, f"deferred by [skip release] ({_sha(SKIPPED)})")
    assert shown(decide(SKIPPED, claims=()))[0] is None


def test_what_was_deferred_counts_in_the_next_release() -> None:
    assert shown(decide("fix: b", SKIPPED)) == ("1.3.0", f"{SKIPPED} ({_sha(SKIPPED)})")
    assert shown(decide(SKIPPED, parents=[parent(PATCH)])) == ("1.3.0", f"{SKIPPED} ({_sha(SKIPPED)})")


def test_a_parent_that_may_not_push_ends_no_deferral() -> None:
    assert shown(decide(SKIPPED, parents=[parent(MAJOR)], propagate="none"))[0] is None


def asking(footer: str) -> str:
    return f"chore: ask\n\nRelease-As: {footer}"


@pytest.mark.parametrize(
    ("footer", "touches", "number"),
    [
        pytest.param("5.0.0", True, "5.0.0", id="unnamed, touching"),
        pytest.param("v5.0.0", True, "5.0.0", id="with a v"),
        pytest.param("5.0.0", False, None, id="unnamed, not touching"),
        pytest.param("ml@5.0.0", True, "5.0.0", id="named, touching"),
        pytest.param("ml@5.0.0", False, "5.0.0", id="named, not touching"),
        pytest.param("ml@1.3.0-rc.1", False, "1.3.0-rc.1", id="a prerelease"),
        pytest.param("r@5.0.0", False, None, id="another image"),
        pytest.param("r@5.0.0", True, None, id="another image, touching"),
        pytest.param("ml@1.2.3", False, None, id="the version it has"),
        pytest.param("ml@1.0.0", False, None, id="an older one"),
        pytest.param("ml@five", False, None, id="no version"),
    ],
)
def test_release_as(footer: str, touches: bool, number: str | None) -> None:
    message = asking(footer)
    decision = decide(message, source="") if touches else decide(elsewhere=[message], source="")
    expected = f"Release-As: {number} ({_sha(message)})" if number else "unchanged"
    assert shown(decision) == (number, expected)


@pytest.mark.parametrize(
    ("footers", "says"),
    [
        pytest.param(["ml@1.2.3"], "1.2.3 is released already", id="the version it has"),
        pytest.param(["ml@1.0.0"], "1.2.3 is released already", id="an older one"),
        pytest.param(["ml@five"], "no version such as", id="no version"),
        pytest.param(["ml@1.0", "ml@4.0.0"], "no version such as", id="the newest counts, or none"),
    ],
)
def test_a_release_as_that_cannot_be_obeyed_is_told(footers: list[str], says: str) -> None:
    decision = decide(elsewhere=[asking(footer) for footer in footers], source="")
    (warning,) = decision.warnings
    assert decision.version is None and says in warning
    assert warning.startswith(f"ml: Release-As: {footers[0][3:]} ({_sha(asking(footers[0]))})")


def test_release_as_beats_everything_else() -> None:
    assert shown(decide(asking("4.0.0"), "feat!: a", parents=[parent(MAJOR)]))[0] == "4.0.0"
    assert shown(decide(f"{asking('4.0.0')} [skip release]", SKIPPED))[0] is None, "that is no version"
    assert shown(decide(SKIPPED, elsewhere=[asking("ml@4.0.0")]))[0] == "4.0.0"
    assert shown(decide(claims=(), elsewhere=[asking("ml@4.0.0")]))[0] == "4.0.0"


def test_a_long_subject_is_cut_in_a_reason() -> None:
    message = "feat: " + "x" * 100
    assert shown(decide(message))[1] == f"feat: {'x' * 74} ({_sha(message)})"


def test_the_newest_request_counts() -> None:
    assert shown(decide(asking("4.0.0"), asking("5.0.0"), source=""))[0] == "4.0.0"


@pytest.mark.parametrize(
    ("number", "bump"), [("2.0.0", MAJOR), ("1.5.0", MINOR), ("1.2.9", PATCH), ("1.2.4-rc.1", PATCH)]
)
def test_a_requested_version_is_still_a_bump(number: str, bump: Bump) -> None:
    assert decide(asking(number)).bump is bump
    assert decide(asking(number), claims=()).bump is NONE


def test_claims_without_a_digest_count_as_versions_too() -> None:
    assert shown(decide("fix: a", claims=[released("ml", "1.2.3", by_dsci=False)]))[0] == "1.2.4"


_messages = st.sampled_from(
    ["fix: a", "feat: a", "feat!: a", "docs: a", "wip", SKIPPED, asking("3.1.0"), asking("ml@0.4.0")]
)
_versions = st.builds(
    lambda numbers, rest: parsed(".".join(map(str, numbers)) + rest),
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.sampled_from(["", "", "-rc.1", "-a-b.2", "+b", "-rc.2+b-1"]),
)
_claims = st.lists(
    st.builds(lambda number, merged: released("ml", str(number), merged=merged), _versions, st.booleans())
)


@given(
    st.lists(_messages, max_size=4),
    st.lists(_messages, max_size=3),
    _claims,
    st.sampled_from(["", CHANGED]),
    st.lists(st.builds(parent, st.sampled_from(Bump)), max_size=2),
    st.builds(
        VersioningSettings,
        floor=st.sampled_from(["patch", "none"]),
        propagate=st.sampled_from(["patch", "same", "none"]),
        major_on_zero=st.booleans(),
    ),
)
@hypothesis(max_examples=examples(150))
def test_versions_only_grow(
    touched: list[str],
    elsewhere: list[str],
    claims: list[Released],
    source: str,
    parents: list[Decision],
    settings: VersioningSettings,
) -> None:
    changes: list[Change] = [change(message) for message in touched]
    claims = sorted(claims, key=lambda claim: claim.version, reverse=True)
    decision = version.decide(
        "ml",
        claims=claims,
        since=[*changes, *map(change, elsewhere)],
        touched=changes,
        source_changed=source,
        parents=parents,
        settings=settings,
    )
    assert decision.reason
    if decision.version is None:
        assert (decision.bump, decision.parents) == (NONE, ())
        return
    mine = [claim.version for claim in claims if claim.tag.merged]
    assert all(decision.version > known for known in mine)
    assert bool(mine) is (decision.previous is not None)


# ------------------------------------------------------------------------------------------------ channels and lines


def on(
    branch: str, *messages: str, claims: Sequence[str] = ("1.2.3",), new: int | None = None, **more: Any
) -> Decision:
    """The decision for `ml` on a branch; only the `new` newest commits are not in a release that counts there."""
    touched = [change(message) for message in messages]
    return version.decide(
        "ml",
        claims=[released("ml", claim) for claim in claims],
        since=touched,
        touched=touched,
        source_changed=more.pop("source", CHANGED),
        parents=(),
        settings=VersioningSettings(),
        line=Line.of(branch, {"next": "rc"}, "ml"),
        fresh=None if new is None else frozenset(each.commit.sha for each in touched[:new]),
    )


@pytest.mark.parametrize(
    ("branch", "messages", "claims", "new", "number"),
    [
        ("next", ["feat: a"], ["1.2.3"], None, "1.3.0-rc.1"),
        ("next", ["fix: b", "feat: a"], ["1.3.0-rc.1", "1.2.3"], 1, "1.3.0-rc.2"),
        ("next", ["feat!: b", "feat: a"], ["1.3.0-rc.1", "1.2.3"], 1, "2.0.0-rc.1"),
        ("next", ["fix: b"], ["2.0.0-rc.1", "1.2.3"], 1, "2.0.0-rc.2"),
        ("next", ["fix: b", asking("4.0.0")], ["4.0.0-rc.1", "1.2.3"], 1, "4.0.0-rc.2"),
        ("next", [asking("4.0.0")], ["1.2.3"], None, "4.0.0-rc.1"),
        ("next", [asking("1.3.0")], ["1.3.0-rc.1", "1.2.3"], 1, "1.3.0-rc.2"),
        ("main", ["fix: b", "feat: a"], ["1.3.0-rc.1", "1.2.3"], 2, "1.3.0"),
        ("main", ["feat!: b", "feat: a"], ["1.3.0-rc.1", "1.2.3"], 2, "2.0.0"),
        ("main", ["feat: a"], ["1.0.0-rc.1"], None, "1.0.0"),
        ("1.x", ["feat: a"], ["1.2.3"], None, "1.3.0"),
        ("2.x", ["feat: a"], ["1.2.3"], None, None),
        ("2.x", ["feat: a"], [], None, None),
        ("r/1.x", ["feat: a"], ["1.2.3"], None, None),
    ],
)
def test_on_a_branch(branch: str, messages: list[str], claims: list[str], new: int | None, number: str | None) -> None:
    assert shown(on(branch, *messages, claims=claims, new=new))[0] == number


def test_what_is_settled_in_a_channel_is_not_deferred_again() -> None:
    assert shown(on("next", "fix: b", SKIPPED, claims=["1.3.0-rc.1", "1.2.3"], new=1))[0] == "1.3.0-rc.2"
    assert shown(on("next", SKIPPED, "fix: b", claims=["1.2.4-rc.1", "1.2.3"], new=1))[1].startswith("deferred")


def test_a_graduation_keeps_all_notes() -> None:
    decision = on("main", "fix: c", "feat: b", "fix: a", claims=["1.3.0-rc.1", "1.2.4-rc.1", "1.2.3"])
    assert [each.commit.subject for each in decision.changes] == ["fix: c", "feat: b", "fix: a"]
    assert decision.base == decision.previous and str(decision.base.version) == "1.2.3"  # type: ignore[union-attr]
    following = on("next", "fix: c", claims=["1.3.0-rc.1", "1.2.3"])
    assert str(following.previous.version) == "1.3.0-rc.1"  # type: ignore[union-attr]
