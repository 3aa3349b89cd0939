"""Versions: which tags are claims, what a release decision rests on (rule 14), and that versions only grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import semver
from builders import AMD64, ARM64, change, git_tag, released
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from dsci.errors import ConfigError
from dsci.model import version
from dsci.model.commits import Bump, Change
from dsci.model.config import VersioningSettings
from dsci.model.lines import Line
from dsci.model.oci import Digest, Platform
from dsci.model.version import Decision, Released, TagFormat, claim_trailers, next_version

NONE, PATCH, MINOR, MAJOR = Bump.NONE, Bump.PATCH, Bump.MINOR, Bump.MAJOR
GROUPS = ("jupyter-ml", "ml", "r")
CHANGED = "images/ml/Dockerfile changed"


def parsed(text: str) -> semver.Version:
    return semver.Version.parse(text)


# --------------------------------------------------------------------------------------------------- tag formats


@pytest.mark.parametrize(
    "template", ["{image}-v{version}", "{image}/v{version}", "{image}@{version}", "{version}_{image}"]
)
@pytest.mark.parametrize("text", ["1.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3-rc.1+b.2", "10.20.30"])
def test_git_tags_come_back(template: str, text: str) -> None:
    form = TagFormat.of(VersioningSettings(tag=template), GROUPS)
    for group in GROUPS:
        assert form.read(form.render(group, parsed(text)), GROUPS) == (group, parsed(text))


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{image}-v{version}", "xjupyter-v1.0.0"),
        ("{image}-v{version}", "ml-v1.0"),
        ("{image}-v{version}", "ml-v1"),
        ("{image}-v{version}", "ml-v01.0.0"),
        ("{image}-v{version}", "ml-v1.0.0.1"),
        ("{image}-v{version}", "ml-v1.0.0/x"),
        ("{image}-v{version}", "ml-1.0.0"),
        ("{image}-v{version}", "v1.0.0"),
        ("{image}-v{version}", "-v1.0.0"),
        ("{image}-v{version}", "x/ml-v1.0.0"),
        ("{image}-v{version}", "ml-v1.0.0\n"),
        ("{image}/v{version}", "ml-v1.0.0"),
        ("v{version}", "xv1.0.0"),
        ("v{version}", "v1.0.0 "),
        ("v.{version}", "vx1.0.0"),
    ],
)
def test_tags_of_others(template: str, name: str) -> None:
    assert TagFormat(template).read(name, GROUPS) is None


def test_a_name_at_the_end_of_another_is_not_that_image() -> None:
    form = TagFormat("{image}-v{version}")
    assert form.read("jupyter-ml-v3.0.0", ("ml",)) is None
    assert form.read("jupyter-ml-v3.0.0", GROUPS) == ("jupyter-ml", parsed("3.0.0"))


def test_a_single_image_has_plain_tags() -> None:
    form = TagFormat.of(VersioningSettings(), ["ml"])
    assert form.render("ml", parsed("1.2.3")) == "v1.2.3"
    assert form.read("v1.2.3", ["ml"]) == ("ml", parsed("1.2.3"))
    assert TagFormat.of(VersioningSettings(), ["ml", "r"]).render("r", parsed("1.2.3")) == "r-v1.2.3"


@pytest.mark.parametrize(
    ("template", "groups"),
    [("v{version}", ["ml", "r"]), ("{image}-{image}-v{version}", ["ml", "r"]), ("{image}{image}{version}", ["ml"])],
)
def test_formats_that_cannot_work(template: str, groups: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"versioning\.tag: ") as caught:
        TagFormat.of(VersioningSettings(tag=template), groups)
    assert "{image}-v{version}" in caught.value.hint


_names = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-)[a-z0-9]{1,3}){0,2}", fullmatch=True)
_versions = st.builds(
    lambda numbers, rest: parsed(".".join(map(str, numbers)) + rest),
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.sampled_from(["", "", "-rc.1", "-a-b.2", "+b", "-rc.2+b-1"]),
)


@given(st.lists(_names, min_size=1, max_size=4, unique=True), _versions, st.sampled_from(["-v", "/v", "@", "/", "-"]))
@hypothesis(max_examples=60)
def test_any_name_comes_back(groups: list[str], number: semver.Version, between: str) -> None:
    form = TagFormat.of(VersioningSettings(tag=f"{{image}}{between}{{version}}"), groups)
    for group in groups:
        assert form.read(form.render(group, number), groups) == (group, number)


# -------------------------------------------------------------------------------------------------------- claims

DIGEST, OTHER = Digest.of(b"one"), Digest.of(b"two")
KEY = "ab" * 32
BASE = ("docker.io/library/debian:12", AMD64)


def read_claim(message: str) -> Released:
    claims = version.released([git_tag("ml-v1.0.0", message=message)], TagFormat("{image}-v{version}"), ("ml",))
    return claims["ml"][0]


def test_claims_are_sorted_by_version_and_parted_by_group() -> None:
    names = ["ml-v1.9.0", "ml-v1.10.0", "ml-v2.0.0-rc.1", "r-v0.1.0", "v9.0.0", "jupyter-ml-v3.0.0", "nightly"]
    claims = version.released(map(git_tag, names), TagFormat("{image}-v{version}"), ("ml", "r", "new"))
    assert {group: [str(claim.version) for claim in found] for group, found in claims.items()} == {
        "ml": ["2.0.0-rc.1", "1.10.0", "1.9.0"],
        "r": ["0.1.0"],
        "new": [],
    }


def test_what_a_claim_says_is_read_back() -> None:
    digests = {"ml": DIGEST, "ml-cuda": OTHER}
    keys = {"ml@linux/amd64": KEY, "ml@linux/arm64": "0" * 64}
    bases = {BASE: DIGEST, ("ghcr.io/a/b@" + str(OTHER), ARM64): OTHER}
    trailers = claim_trailers(digests, keys, bases, group="ml")
    assert trailers.split("\n")[0] == f"Dsci-Digest: {DIGEST}"
    claim = read_claim(f"ml 1.0.0\n\n- feat: a (1234567)\n\n{trailers}\n")
    assert (claim.digests, claim.keys, claim.bases) == (digests, keys, bases)
    assert claim.by_dsci


def test_trailers_are_in_an_order_that_the_content_decides() -> None:
    pins = {("b", ARM64): OTHER, ("b", AMD64): DIGEST, ("a", AMD64): OTHER}
    given = ({"x": OTHER, "ml": DIGEST}, {"ml@linux/arm64": KEY, "ml@linux/amd64": KEY})
    assert claim_trailers(*given, pins, group="ml").split("\n") == [
        f"Dsci-Digest: {DIGEST}",
        f"Dsci-Digest: {OTHER} x",
        f"Dsci-Key: {KEY} ml@linux/amd64",
        f"Dsci-Key: {KEY} ml@linux/arm64",
        f"Dsci-Base: {OTHER} linux/amd64 a",
        f"Dsci-Base: {DIGEST} linux/amd64 b",
        f"Dsci-Base: {OTHER} linux/arm64 b",
    ]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "  \n"])
def test_what_stands_behind_the_trailers_does_not_matter(end: str) -> None:
    assert read_claim(f"ml 1.0.0\n\nDsci-Digest: {DIGEST}{end}").digests == {"ml": DIGEST}
    assert read_claim(f"ml 1.0.0\n\nDsci-Digest: {DIGEST} ml-cuda{end}").digests == {"ml-cuda": DIGEST}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="lightweight"),
        pytest.param("release of ml", id="by hand"),
        pytest.param(f"notes\n\nDsci-Digest: {DIGEST}\n\nsigned: me", id="not the last paragraph"),
        pytest.param(f"ml 1.0.0\n\n- Dsci-Digest: {DIGEST} (1234567)", id="a commit's subject"),
        pytest.param(f"ml 1.0.0\n\n dsci-digest: {DIGEST}", id="another spelling"),
        pytest.param("ml 1.0.0\n\nDsci-Digest: sha256:12", id="no digest"),
        pytest.param(f"ml 1.0.0\n\nDsci-Other: {DIGEST}", id="another trailer"),
        pytest.param(f"ml 1.0.0\n\nDsci-Key: {KEY} ml@linux/amd64", id="keys alone"),
    ],
)
def test_what_dsci_has_not_claimed(message: str) -> None:
    claim = read_claim(message)
    assert not claim.by_dsci
    assert claim.version == parsed("1.0.0")


def test_spoofed_trailers_above_the_real_ones_are_ignored() -> None:
    subject = f"Dsci-Digest: {OTHER}\nDsci-Key: {'f' * 64} ml@linux/amd64\nDsci-Base: {OTHER} linux/amd64 debian"
    trailers = claim_trailers({"ml": DIGEST}, {"ml@linux/amd64": KEY}, {BASE: DIGEST}, group="ml")
    claim = read_claim(f"ml 1.0.0\n\n{subject}\n\n{trailers}")
    assert (claim.digests, claim.keys, claim.bases) == ({"ml": DIGEST}, {"ml@linux/amd64": KEY}, {BASE: DIGEST})


def test_trailers_that_cannot_be_read_are_left_out() -> None:
    lines = [
        f"Dsci-Digest: {DIGEST}",
        "Dsci-Digest: nonsense other",
        "Dsci-Key: 12 ml@linux/amd64",
        f"Dsci-Other: {KEY} ml@linux/amd64",
        f"Dsci-Base: {DIGEST} nonsense debian",
        "Dsci-Base: nonsense linux/amd64 debian",
    ]
    claim = read_claim("ml 1.0.0\n\n" + "\n".join(lines))
    assert (claim.digests, claim.keys, claim.bases) == ({"ml": DIGEST}, {}, {})


_targets = st.dictionaries(_names.map(lambda name: f"{name}@linux/amd64"), st.just(KEY), max_size=3)
_digests = st.dictionaries(_names, st.binary(max_size=2).map(Digest.of), min_size=1, max_size=3)
_bases = st.dictionaries(
    st.tuples(_names, st.sampled_from([AMD64, ARM64, Platform("linux", "arm", "v7")])), st.just(OTHER), max_size=3
)


@given(_digests, _targets, _bases, st.text(max_size=30))
@hypothesis(max_examples=60)
def test_claims_come_back_whatever_the_notes_say(
    digests: dict[str, Digest],
    keys: dict[str, str],
    bases: dict[tuple[str, Platform], Digest],
    notes: str,
) -> None:
    digests = {**digests, "ml": DIGEST}
    claim = read_claim(f"{notes}\n\n{claim_trailers(digests, keys, bases, group='ml')}\n")
    assert (claim.digests, claim.keys, claim.bases) == (digests, keys, bases)


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
        pytest.param(["ml@five"], "no version of three numbers", id="no version"),
        pytest.param(["ml@1.0", "ml@4.0.0"], "no version of three numbers", id="the newest counts, or none"),
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
@hypothesis(max_examples=150)
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


def test_releases_under_an_earlier_name() -> None:
    form = TagFormat("{image}-v{version}", {"jupyter": "lab"})
    digest = Digest.of(b"x")
    tags = [
        git_tag("jupyter-v1.0.0", message=f"a\n\nDsci-Digest: {digest}"),
        git_tag("lab-v1.1.0"),
        git_tag("r-v3.0.0"),
    ]
    old = version.released(tags, form, ["lab"])["lab"]
    assert [str(claim.version) for claim in old] == ["1.1.0", "1.0.0"]
    assert old[1].digests == {"jupyter": digest}, "the image stands under its old name"
    assert form.written("jupyter-v1.0.0") == "jupyter" and TagFormat("v{version}").written("v1.0.0") == ""
    assert form.render("lab", parsed("1.0.0")) == "lab-v1.0.0"
