"""Tags: always legal, immutable ones told from floats, floats forward only (rule 15)."""

from __future__ import annotations

import re

import pytest
import semver
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from dsci.errors import ConfigError
from dsci.model import tags
from dsci.model.numbers import calendar
from dsci.model.tags import DEFAULT_RULES, PlannedTag, TagRule, plan_tags

SHA = "0123456789abcdef0123456789abcdef01234567"
DEFAULT = tuple(map(TagRule.parse, DEFAULT_RULES))


def version(text: str) -> semver.Version:
    return semver.Version.parse(text)


def names(text: str, others: str = "", rules: tuple[TagRule, ...] = DEFAULT) -> list[str]:
    return [tag.name for tag in plan_tags(rules, version(text), map(version, others.split()), sha=SHA)]


@pytest.mark.parametrize(
    ("rule", "moving", "tag"),
    [
        ("{version}", False, "1.2.3"),
        ("v{version}-cuda", False, "v1.2.3-cuda"),
        ("{major}.{minor}.{patch}", False, "1.2.3"),
        ("{major}.{minor}", True, "1.2"),
        ("{major}", True, "1"),
        ("{patch}", True, "3"),
        ("latest", True, "latest"),
        ("sha-{sha}", False, "sha-0123456789ab"),
        ("{major}-{sha}", False, "1-0123456789ab"),
    ],
)
def test_rules(rule: str, moving: bool, tag: str) -> None:
    parsed = TagRule.parse(rule)
    assert parsed.moving is moving
    assert parsed.render(version("1.2.3"), sha=SHA) == tag


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{Version}", "unknown field {Version}"),
        ("{}", "unknown field {}"),
        ("{version", "lone brace"),
        ("version}", "lone brace"),
        ("{{version}}", "lone brace"),
        ("", "not a legal image tag"),
        ("-{version}", "not a legal image tag"),
        ("{version}+b", "not a legal image tag"),
        ("a/{version}", "not a legal image tag"),
        ("dsci-{version}", "dsci's own"),
        ("dsci-latest", "dsci's own"),
    ],
)
def test_illegal_rules(rule: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        TagRule.parse(rule)


def test_unknown_fields_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        TagRule.parse("{semver}")
    assert caught.value.hint == "known fields: version, major, minor, patch, sha"


def test_build_metadata_is_no_prerelease_in_a_tag() -> None:
    assert names("1.2.3+b.1") == ["1.2.3_b.1", "sha-0123456789ab", "1.2", "1", "latest"]


def test_a_tag_that_grows_too_long_is_refused() -> None:
    rule = TagRule.parse("a" * 125 + "{version}")
    with pytest.raises(ConfigError, match="not a legal image tag"):
        rule.render(version("1.2.3"), sha=SHA)


@pytest.mark.parametrize(
    ("new", "others", "floats"),
    [
        pytest.param("1.0.0", "", ["1.0", "1", "latest"], id="first"),
        pytest.param("1.4.1", "1.4.0 1.3.9", ["1.4", "1", "latest"], id="newest"),
        pytest.param("1.3.9", "1.4.0", ["1.3"], id="backport within a major version"),
        pytest.param("1.9.1", "2.0.0 1.9.0", ["1.9", "1"], id="backport after a major version"),
        pytest.param("1.3.9", "1.3.10", [], id="overtaken on its own line"),
        pytest.param("1.10.0", "1.9.0", ["1.10", "1", "latest"], id="by number, not by text"),
        pytest.param("2.0.0-rc.1", "1.0.0", [], id="prerelease"),
        pytest.param("1.0.1", "2.0.0-rc.1 1.0.0", ["1.0", "1", "latest"], id="a newer prerelease holds nothing back"),
        pytest.param("1.0.0", "1.0.0", ["1.0", "1", "latest"], id="the version itself among the others"),
    ],
)
def test_floats_go_forward_only(new: str, others: str, floats: list[str]) -> None:
    assert names(new, others) == [new, "sha-0123456789ab", *floats]


def test_three_numbers_are_not_wasted_on_a_prerelease() -> None:
    rules = tuple(map(TagRule.parse, ("{major}.{minor}.{patch}", "{version}")))
    assert names("1.2.3-rc.1", rules=rules) == ["1.2.3-rc.1"]
    assert names("1.2.3", "1.2.3-rc.1", rules=rules) == ["1.2.3"]


def test_immutable_tags_come_first_and_equal_ones_once() -> None:
    rules = tuple(map(TagRule.parse, ("latest", "{version}", "{major}.{minor}.{patch}", "edge", "latest")))
    assert plan_tags(rules, version("1.0.0"), (), sha=SHA) == (
        PlannedTag("1.0.0", False),
        PlannedTag("latest", True),
        PlannedTag("edge", True),
    )


_numbers = st.integers(0, 3)
_versions = st.builds(
    lambda major, minor, patch, rest: version(f"{major}.{minor}.{patch}{rest}"),
    _numbers,
    _numbers,
    _numbers,
    st.sampled_from(["", "", "", "-rc.1", "-alpha", "+b1"]),
)
_rules = st.lists(
    st.lists(
        st.sampled_from(["{version}", "{major}", "{minor}", "{patch}", "{sha}", "latest", ".", "-", "_", "x"]),
        min_size=1,
        max_size=5,
    ).map("".join),
    max_size=4,
)


@given(_rules, _versions, st.lists(_versions, max_size=5))
@hypothesis(max_examples=60)
def test_planned_tags_are_legal_and_unique_and_never_dscis_own(
    texts: list[str], new: semver.Version, others: list[semver.Version]
) -> None:
    rules = []
    for text in texts:
        try:
            rules.append(TagRule.parse(text))
        except ConfigError:
            continue
    planned = [tag.name for tag in plan_tags(rules, new, others, sha=SHA)]
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name) for name in planned)
    assert not any(name.startswith(tags.RESERVED) for name in planned)
    assert len(planned) == len(set(planned))


@given(st.lists(_versions, min_size=1, max_size=6), st.randoms(use_true_random=False))
@hypothesis(max_examples=60)
def test_whatever_the_order_of_releases_floats_end_at_the_newest(
    released: list[semver.Version], random: object
) -> None:
    """Each release is planned with all claims known, as a rerun of an old one would be: no float moves back."""
    order = list(released)
    random.shuffle(order)  # type: ignore[attr-defined]
    stands: dict[str, semver.Version] = {}
    immutable: dict[str, set[str]] = {}
    for new in order:
        for tag in plan_tags(DEFAULT[:4], new, released, sha=SHA):
            if tag.moving:
                assert tag.name not in stands or stands[tag.name] <= new
                stands[tag.name] = new
            else:
                immutable.setdefault(tag.name, set()).add(str(new))
    stable = [item for item in released if not item.prerelease]
    assert all(len(versions) == 1 for versions in immutable.values())
    assert stands.get("latest") == max(stable, default=None)
    for major in {item.major for item in stable}:
        assert stands[str(major)] == max(item for item in stable if item.major == major)


def test_a_date_that_is_a_whole_version_never_floats() -> None:
    numbers = calendar("YYYY.0M")
    first, second = numbers.parse("2026.02"), numbers.parse("2026.02.1")
    assert [tag.name for tag in plan_tags(DEFAULT, first, (), sha=SHA)][:2] == ["2026.02", f"sha-{SHA[:12]}"]
    assert [tag.name for tag in plan_tags(DEFAULT, second, [first], sha=SHA) if tag.moving] == ["2026", "latest"]
    assert TagRule.parse("{major}.{minor}.{patch}").render(first, sha=SHA) == "2026.02"
