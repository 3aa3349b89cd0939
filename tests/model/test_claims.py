"""Claims: which Git tags are ours, and what their messages say."""

from __future__ import annotations

import pytest
import semver
from builders import AMD64, ARM64, git_tag
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model.claims import Named, Released, TagFormat, claim_trailers
from dsci.model.claims import released as claimed
from dsci.model.numbers import precedence
from dsci.model.oci import Digest, Platform
from dsci.model.settings import VersioningSettings

GROUPS = ("jupyter-ml", "ml", "r")


def parsed(text: str) -> semver.Version:
    return semver.Version.parse(text)


def named(group: str, number: semver.Version) -> Named:
    return Named(group=group, version=number, written=group, beside=False, order=precedence(number))


# --------------------------------------------------------------------------------------------------- tag formats


@pytest.mark.parametrize(
    "template", ["{image}-v{version}", "{image}/v{version}", "{image}@{version}", "{version}_{image}"]
)
@pytest.mark.parametrize("text", ["1.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3-rc.1+b.2", "10.20.30"])
def test_git_tags_come_back(template: str, text: str) -> None:
    form = TagFormat.of(VersioningSettings(tag=template), GROUPS)
    for group in GROUPS:
        assert form.read(form.render(group, parsed(text))) == named(group, parsed(text))


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
    assert TagFormat(template, GROUPS).read(name) is None


def test_a_name_at_the_end_of_another_is_not_that_image() -> None:
    assert TagFormat("{image}-v{version}", ("ml",)).read("jupyter-ml-v3.0.0") is None
    form = TagFormat("{image}-v{version}", GROUPS)
    assert form.read("jupyter-ml-v3.0.0") == named("jupyter-ml", parsed("3.0.0"))


def test_a_single_image_has_plain_tags() -> None:
    form = TagFormat.of(VersioningSettings(), ["ml"])
    assert form.render("ml", parsed("1.2.3")) == "v1.2.3"
    assert form.read("v1.2.3") == named("ml", parsed("1.2.3"))
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
@hypothesis(max_examples=examples(60))
def test_any_name_comes_back(groups: list[str], number: semver.Version, between: str) -> None:
    form = TagFormat.of(VersioningSettings(tag=f"{{image}}{between}{{version}}"), groups)
    for group in groups:
        assert form.read(form.render(group, number)) == named(group, number)


# -------------------------------------------------------------------------------------------------------- claims

DIGEST, OTHER = Digest.of(b"one"), Digest.of(b"two")
KEY = "ab" * 32
BASE = ("docker.io/library/debian:12", AMD64)


def read_claim(message: str) -> Released:
    form = TagFormat("{image}-v{version}", ("ml",))
    return claimed([git_tag("ml-v1.0.0", message=message)], form, ("ml",))["ml"][0]


def test_claims_are_sorted_by_version_and_parted_by_group() -> None:
    names = ["ml-v1.9.0", "ml-v1.10.0", "ml-v2.0.0-rc.1", "r-v0.1.0", "v9.0.0", "jupyter-ml-v3.0.0", "nightly"]
    form = TagFormat("{image}-v{version}", ("ml", "r", "new"))
    claims = claimed(map(git_tag, names), form, ("ml", "r", "new"))
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


def test_the_index_of_an_image_by_the_first_of_its_names_that_is_known() -> None:
    one, two = (Digest("sha256", letter * 64) for letter in "ab")
    claim = Released(group="ml", version=semver.Version(1), tag=git_tag("ml-v1.0.0"), digests={"ml": one, "old": two})
    assert [claim.of(names) for names in (("ml", "old"), ("new", "old"), ("new",), ())] == [one, two, None, None]


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
@hypothesis(max_examples=examples(60))
def test_claims_come_back_whatever_the_notes_say(
    digests: dict[str, Digest],
    keys: dict[str, str],
    bases: dict[tuple[str, Platform], Digest],
    notes: str,
) -> None:
    digests = {**digests, "ml": DIGEST}
    claim = read_claim(f"{notes}\n\n{claim_trailers(digests, keys, bases, group='ml')}\n")
    assert (claim.digests, claim.keys, claim.bases) == (digests, keys, bases)


def test_releases_under_an_earlier_name() -> None:
    form = TagFormat("{image}-v{version}", ["lab"], earlier={"jupyter": "lab"})
    digest = Digest.of(b"x")
    tags = [
        git_tag("jupyter-v1.0.0", message=f"a\n\nDsci-Digest: {digest}"),
        git_tag("lab-v1.1.0"),
        git_tag("r-v3.0.0"),
    ]
    old = claimed(tags, form, ["lab"])["lab"]
    assert [str(claim.version) for claim in old] == ["1.1.0", "1.0.0"]
    assert old[1].digests == {"jupyter": digest}, "the image stands under its old name"
    assert form.render("lab", parsed("1.0.0")) == "lab-v1.0.0"


# ---------------------------------------------------------------------------------- a family that grows, hand-made tags


def test_a_family_that_had_one_image_keeps_its_versions() -> None:
    """`v1.2.3` of one image is `ml-v1.2.3` of several: the claim says whose it was, a bare tag cannot."""
    form = TagFormat.of(VersioningSettings(), GROUPS)
    trailers = claim_trailers({"ml": DIGEST}, {"ml@linux/amd64": KEY}, {}, group="ml")
    tags = [git_tag("v1.2.3", message=f"ml 1.2.3\n\n{trailers}"), git_tag("v9.0.0"), git_tag("ml-v1.3.0")]
    found = claimed(tags, form, GROUPS)
    assert [str(claim.version) for claim in found["ml"]] == ["1.3.0", "1.2.3"]
    assert found["ml"][1].digests == {"ml": DIGEST}
    assert found["r"] == ()


def test_a_family_that_has_one_image_left_keeps_its_versions() -> None:
    form = TagFormat.of(VersioningSettings(), ["ml"])
    assert form.render("ml", parsed("1.3.0")) == "v1.3.0"
    found = claimed([git_tag("ml-v1.2.3"), git_tag("r-v4.0.0")], form, ["ml"])
    assert [str(claim.version) for claim in found["ml"]] == ["1.2.3"]


def test_a_format_of_ones_own_reads_no_other() -> None:
    assert TagFormat.of(VersioningSettings(tag="{image}-v{version}"), ["ml"]).read("v1.0.0") is None
    assert TagFormat.of(VersioningSettings(mode="lockstep"), ["ml"]).read("ml-v1.0.0") is None


def test_a_version_that_was_tagged_by_hand_is_claimed_beside_it() -> None:
    form = TagFormat("{image}-v{version}", ["ml"])
    trailers = claim_trailers({"ml": DIGEST}, {"ml@linux/amd64": KEY}, {}, group="ml")
    hand = git_tag("ml-v2.0.0", at="a" * 40)
    beside = git_tag("ml-v2.0.0.dsci", at="a" * 40, message=f"ml 2.0.0\n\n{trailers}")
    assert form.read("ml-v2.0.0.dsci") == Named(
        group="ml", version=parsed("2.0.0"), written="ml", beside=True, order=precedence(parsed("2.0.0"))
    )
    (claim,) = claimed([beside, hand], form, ["ml"])["ml"]
    assert claim.by_dsci and claim.digests == {"ml": DIGEST}
    assert claim.tag == hand and claim.claimed_by == beside
    (bare,) = claimed([hand], form, ["ml"])["ml"]
    assert not bare.by_dsci and bare.claimed_by == hand


def test_a_claim_beside_a_tag_that_was_moved_says_nothing_of_it() -> None:
    form = TagFormat("{image}-v{version}", ["ml"])
    message = "ml 2.0.0\n\n" + claim_trailers({"ml": DIGEST}, {}, {}, group="ml")
    tags = [git_tag("ml-v2.0.0", at="b" * 40), git_tag("ml-v2.0.0.dsci", at="a" * 40, message=message)]
    (claim,) = claimed(tags, form, ["ml"])["ml"]
    assert not claim.by_dsci
    assert claimed(tags[1:], form, ["ml"])["ml"] == (), "alone it claims nothing"


def test_the_dependencies_that_moved_come_back() -> None:
    moved = ["pandas 1.5.3 → 2.0.0: a major move", "a\nDsci-Digest: sha256:0", "x" * 300, *map(str, range(60))]
    trailers = claim_trailers({"ml": DIGEST}, {}, {}, group="ml", moved=moved)
    claim = read_claim(f"ml 1.0.0\n\n{trailers}\n")
    assert claim.moved[0] == moved[0] and len(claim.moved) == 50
    assert claim.digests == {"ml": DIGEST}, "no name of a package forges a digest"
    assert len(claim.moved[2]) <= 201
