"""Tags of releases and runs: immutable ones told from floats, floats forward only (rule 15), no name for two things."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
import semver
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model import tags
from dsci.model.event import Event, Trigger
from dsci.model.numbers import calendar
from dsci.model.tags import DEFAULT_RULES, Flavor, Guard, Other, PlannedTag, Subject, TagRule, plan_tags, ref_tags

SHA = "0123456789abcdef0123456789abcdef01234567"
DEFAULT = tags.rules(DEFAULT_RULES)


def version(text: str) -> semver.Version:
    return semver.Version.parse(text)


def subject(of: semver.Version) -> Subject:
    return Subject(sha=SHA, version=of, git_tag=f"v{of}")


def plan(
    rules: Iterable[TagRule], new: semver.Version, others: Iterable[semver.Version] = ()
) -> tuple[PlannedTag, ...]:
    return plan_tags(rules, subject(new), [Other(other, f"v{other}") for other in others])


def names(text: str, others: str = "", rules: tuple[TagRule, ...] = DEFAULT) -> list[str]:
    return [tag.name for tag in plan(rules, version(text), map(version, others.split()))]


def on(branch: str, **more: Any) -> Subject:
    """A push of a branch."""
    return Subject(sha=SHA, event=Event(trigger=Trigger.BRANCH, branch=branch, default_branch="main"), **more)


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
        ("{tag}", False, "v1.2.3"),
    ],
)
def test_rules(rule: str, moving: bool, tag: str) -> None:
    parsed = tags.parse(rule)
    assert parsed.plan(subject(version("1.2.3"))) == PlannedTag(tag, moving)
    assert parsed.render(subject(version("1.2.3"))) == tag
    assert parsed.guard is (Guard.VERSION if moving else Guard.EXACT)
    assert parsed.render(Subject(sha=SHA)) is None


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
        ("dsci-{branch}", "dsci's own"),
        ("{branch}-{pr}", "no run is about branch and pr at once"),
        ("{package:numpy}", "versions of packages come with inventories"),
        ("{package:numpy:major.minor}", "versions of packages come with inventories"),
        ("{date}", "a date needs a format"),
        ("{date:}", "a date needs a format"),
        ("{commit_date:YYYYQ}", "'Q' in the date format"),
        ("{package}", "unknown field {package}"),
        ("{branch:x}", "unknown field {branch:x}"),
        ("value=x,enable=true", "not a legal image tag"),
        ("${{ github.sha }}", "lone brace"),
    ],
)
def test_illegal_rules(rule: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        tags.parse(rule)


def test_unknown_fields_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        tags.parse("{semver}")
    assert caught.value.hint == (
        "known fields: version, major, minor, patch, sha, tag, branch, pr, date:FORMAT, commit_date:FORMAT"
    )


def test_what_looks_like_a_line_of_the_action_is_told_how_to_be_one() -> None:
    for text in ("value=x,enable=true", "{{version}}"):
        with pytest.raises(ConfigError) as caught:
            tags.parse(text)
        assert "type=" in caught.value.hint


def test_build_metadata_is_no_prerelease_in_a_tag() -> None:
    assert names("1.2.3+b.1") == ["1.2.3_b.1", "sha-0123456789ab", "1.2", "1", "latest"]


def test_a_tag_that_grows_too_long_is_cut_and_told_apart() -> None:
    rule = tags.parse("a" * 125 + "{version}")
    one, other = rule.render(subject(version("1.2.3"))), rule.render(subject(version("1.2.4")))
    assert one is not None and other is not None and one != other
    assert len(one) == 128 and re.fullmatch("a{115}-[0-9a-f]{12}", one)


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
    rules = tuple(map(tags.parse, ("{major}.{minor}.{patch}", "{version}")))
    assert names("1.2.3-rc.1", rules=rules) == ["1.2.3-rc.1"]
    assert names("1.2.3", "1.2.3-rc.1", rules=rules) == ["1.2.3"]


def test_immutable_tags_come_first_and_equal_ones_once() -> None:
    rules = tuple(map(tags.parse, ("latest", "{version}", "{major}.{minor}.{patch}", "edge", "latest")))
    assert plan(rules, version("1.0.0")) == (
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
@hypothesis(max_examples=examples(60))
def test_planned_tags_are_legal_and_unique_and_never_dscis_own(
    texts: list[str], new: semver.Version, others: list[semver.Version]
) -> None:
    rules = []
    for text in texts:
        try:
            rules.append(tags.parse(text))
        except ConfigError:
            continue
    planned = [tag.name for tag in plan(rules, new, others)]
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name) for name in planned)
    assert not any(name.startswith(tags.RESERVED) for name in planned)
    assert len(planned) == len(set(planned))


@given(st.lists(_versions, min_size=1, max_size=6), st.randoms(use_true_random=False))
@hypothesis(max_examples=examples(60))
def test_whatever_the_order_of_releases_floats_end_at_the_newest(
    released: list[semver.Version], random: object
) -> None:
    """Each release is planned with all claims known, as a rerun of an old one would be: no float moves back."""
    order = list(released)
    random.shuffle(order)  # type: ignore[attr-defined]
    stands: dict[str, semver.Version] = {}
    immutable: dict[str, set[str]] = {}
    for new in order:
        for tag in plan(DEFAULT[:4], new, released):
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
    assert [tag.name for tag in plan(DEFAULT, first)][:2] == ["2026.02", f"sha-{SHA[:12]}"]
    assert [tag.name for tag in plan(DEFAULT, second, [first]) if tag.moving] == ["2026", "latest"]
    assert tags.parse("{major}.{minor}.{patch}").render(subject(first)) == "2026.02"
    assert tags.parse("{major}.{minor}.{patch}-x").render(subject(first)) == "2026.02-x"
    assert tags.parse("{patch}").render(subject(first)) is None


def test_an_image_without_a_version_gets_no_release_tags() -> None:
    assert plan_tags(DEFAULT, on("main"), ()) == ()


def test_a_float_stays_clear_of_a_name_that_another_version_has_for_ever() -> None:
    rules = tags.rules(("{version}", "{minor}.{patch}.0"))
    assert [tag.name for tag in plan(rules, version("1.2.3"), [version("2.3.0")])] == ["1.2.3"]
    assert [tag.name for tag in plan(rules, version("1.2.3"))] == ["1.2.3", "2.3.0"]


def test_of_two_versions_that_want_a_name_for_ever_the_lower_one_has_it() -> None:
    rules = tags.rules(("type=pep440,pattern={{version}}",), Flavor(latest="false"))
    first, second = version("1.0.0-rc.1"), version("1.0.0-rc1")
    assert [tag.name for tag in plan(rules, first, [second])] == ["1.0.0rc1"]
    assert plan(rules, second, [first]) == ()


def test_equal_versions_do_not_pull_at_one_float() -> None:
    one, other = version("1.0.0"), version("1.0.0+b.1")
    assert "latest" not in names("1.0.0", "1.0.0+b.1")
    assert [tag.name for tag in plan(DEFAULT, other, [one]) if tag.moving] == ["1.0", "1", "latest"]


def oracle(released: list[semver.Version]) -> dict[str, semver.Version]:
    """Where the floats of the usual rules stand when everything is released: the highest of each line, by hand."""
    floats: dict[str, semver.Version] = {}
    for item in released:
        for name in ("latest", f"{item.major}", f"{item.major}.{item.minor}"):
            if not item.prerelease and (name not in floats or floats[name].compare(item) < 0):
                floats[name] = item
    return floats


def replay(released: list[semver.Version]) -> dict[str, semver.Version]:
    """Each release knows those before it; floats are where they were put last."""
    stands: dict[str, semver.Version] = {}
    for n, new in enumerate(released):
        for tag in plan(DEFAULT, new, released[:n]):
            if tag.moving:
                assert tag.name not in stands or stands[tag.name].compare(new) < 0
                stands[tag.name] = new
        assert stands == oracle(released[: n + 1])
    return stands


@given(st.lists(_versions.filter(lambda item: not item.build), max_size=12, unique_by=str))
@hypothesis(max_examples=examples(60))
def test_replayed_releases_never_move_a_float_back(released: list[semver.Version]) -> None:
    replay(released)


def test_a_busy_year_with_backports_and_prereleases() -> None:
    """243 releases, eleven a day: three lines kept alive at once, every fifth a prerelease, majors among them."""
    released: list[semver.Version] = []
    heads = {1: version("1.0.0"), 2: version("2.0.0"), 3: version("3.0.0")}
    for n in range(243):
        major = (1, 3, 2, 3)[n % 4]
        last = heads[major]
        heads[major] = last.bump_minor() if n % 11 == 0 else last.bump_patch()
        item = heads[major].replace(prerelease=f"rc.{n}") if n % 5 == 0 else heads[major]
        released.append(item)
    stands = replay(released)
    assert stands["latest"].major == 3
    assert stands["1"].major == 1
    assert len(stands) == len(oracle(released))


# ------------------------------------------------------------------------------------------------- flavors


@pytest.mark.parametrize(
    ("rules", "flavor", "expected"),
    [
        pytest.param(DEFAULT_RULES, Flavor(latest="false"), "1.2.3 sha-0123456789ab 1.2 1", id="no latest"),
        pytest.param(("{version}",), Flavor(latest="true"), "1.2.3 latest", id="latest in any case"),
        pytest.param(("{version}",), Flavor(), "1.2.3", id="templates say themselves whether there is a latest"),
        pytest.param(("latest", "{version}"), Flavor(latest="true"), "1.2.3 latest", id="once"),
        pytest.param(("{version}", "latest"), Flavor(prefix="a-", suffix="-z"), "a-1.2.3-z latest", id="not on latest"),
        pytest.param(
            ("{version}", "latest"),
            Flavor(prefix="a-", suffix="-z", prefix_latest=True, suffix_latest=True),
            "a-1.2.3-z a-latest-z",
            id="on latest too",
        ),
        pytest.param(("{major}",), Flavor(suffix="-{{sha}}"), "1-0123456", id="an expression"),
    ],
)
def test_flavors(rules: tuple[str, ...], flavor: Flavor, expected: str) -> None:
    assert names("1.2.3", rules=tags.rules(rules, flavor)) == expected.split()


def test_a_flavor_that_depends_on_the_run_is_none_for_releases() -> None:
    with pytest.raises(ConfigError, match=re.escape("{{branch}} depends on the run, and a release's tags do not")):
        tags.parse("{version}", Flavor(prefix="{{branch}}-"))
    assert tags.parse("{branch}", Flavor(prefix="{{branch}}-")).render(on("main")) == "main-main"


def test_priorities_order_within_what_is_immutable_and_what_floats() -> None:
    lines = """
        # comments are not read
        type=semver,pattern={{major}},priority=1
        type=semver,pattern={{version}}

        type=semver,pattern={{raw}},priority=2000
        type=semver,pattern={{major}}.{{minor}}
    """
    assert names("1.2.3", rules=tags.rules(lines)) == ["v1.2.3", "1.2.3", "1.2", "1", "latest"]


# ------------------------------------------------------------------------------------------------ what follows a ref


REFS = tags.rules(("{version}", "{major}.{minor}", "{major}", "latest", "{branch}", "pr-{pr}", "{branch}-{sha}"))


def followed(rules: Iterable[TagRule], run: Subject, **more: Any) -> list[str]:
    return [tag.name for tag in ref_tags(tuple(rules), run, **more)]


def request(number: str = "12") -> Subject:
    return Subject(sha=SHA, event=Event(trigger=Trigger.PULL_REQUEST, branch="main", number=number))


def test_templates_that_follow_a_ref() -> None:
    assert ref_tags(REFS, on("main")) == (PlannedTag("main-0123456789ab", False), PlannedTag("main", True))
    assert ref_tags(REFS, request()) == (PlannedTag("pr-12", True),)
    assert ref_tags(REFS, Subject(sha=SHA, event=Event(trigger=Trigger.TAG, tag="v1.2.3"))) == ()
    assert plan(REFS, version("1.2.3"))[0] == PlannedTag("1.2.3", False)
    assert all(rule.guard is Guard.REF for rule in REFS[4:])


def test_a_rule_that_is_switched_off_says_nothing() -> None:
    rule = tags.parse("type=semver,pattern={{version}},enable=false")
    assert rule.render(subject(version("1.2.3"))) is None
    assert tags.rules(("type=semver,pattern={{version}},enable=false", "{major}"))[0].source == "{major}"
    assert names("1.2.3", rules=tags.rules(("type=semver,pattern={{version}},enable=false",))) == []


def test_dates() -> None:
    rules = tags.rules(("{date:YYYY-MM-DD}", "{version}-{commit_date:YYYYMMDD}", "{commit_date:HHmm}-{sha}"))
    event = Event(trigger=Trigger.SCHEDULE, branch="main", default_branch="main", now=1_767_225_600)
    run = Subject(sha=SHA, when=1_767_139_200, event=event)
    assert followed(rules, run) == ["0000-0123456789ab", "2026-01-01"]
    run = Subject(sha=SHA, when=1_767_139_200, event=event, version=version("1.2.3-rc.1"), git_tag="v1.2.3-rc.1")
    assert followed(rules, run) == ["0000-0123456789ab", "2026-01-01", "1.2.3-rc.1-20251231"]


def test_a_request_names_itself_or_its_commit() -> None:
    """Whoever may open a request could else move any name that a rule makes of what they control."""
    rules = tags.rules(("{date:YYYY}", "type=raw,value=dev", "type=raw,value={{base_ref}}", "type=sha", "pr-{pr}"))
    assert followed(rules, request()) == ["sha-0123456", "pr-12"]
    assert followed(rules, on("x")) == ["sha-0123456", "1970", "dev"]


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("main", "main"),
        ("Feature_1", "Feature_1"),
        ("123-fix-login", "123-fix-login"),
        ("1.x", "1.x"),
        ("1.4.x", "1.4.x"),
        ("release-v2", "release-v2"),
        ("feature/a", "feature-a-951d42dc02dc"),
        ("feature-a", "feature-a"),
        ("1.4", None),
        ("v2", None),
        ("2", None),
        ("1.2.3", None),
        ("1.2.3-rc.1", None),
        ("2026.02-rc.1", None),
        ("latest", None),
        ("edge", None),
        ("nightly", None),
        ("pr-12", None),
        ("sha-abc", None),
        ("dsci-ledger", None),
        ("main-0123456789ab", None),
        ("日本", None),
        ("-x", None),
        (".hidden", None),
        ("a" * 300, None),
    ],
)
def test_branches(branch: str, tag: str | None) -> None:
    (name,) = followed(tags.rules(("{branch}",)), on(branch))
    if tag is None:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,114}-[0-9a-f]{12}", name)
        assert not name.startswith("dsci-")
    else:
        assert name == tag


def test_a_branch_stays_clear_of_what_the_rules_give_to_releases() -> None:
    rules = tags.rules(("{major}-cuda", "stable", "{branch}", "{tag}", "r-{sha}"))
    for branch in ("1-cuda", "stable", "ml-v1.2.3", "r-0123456789ab"):
        (name,) = followed(rules, on(branch))
        assert name != branch and re.search("-[0-9a-f]{12}$", name)
    assert followed(rules, on("other-cuda")) == ["other-cuda"]
    assert followed(rules, on("other-cuda"), suffixes=("", "-cuda")) != ["other-cuda"]
    assert followed(rules, on("other"), suffixes=("", "-cuda")) == ["other"]


def test_a_hashed_name_that_could_still_be_a_releases_is_named_a_ref() -> None:
    (name,) = followed(tags.rules(("{version}", "{branch}")), on("1.2.3"))
    assert re.fullmatch("ref-1.2.3-[0-9a-f]{12}", name)
    (name,) = followed(tags.rules(("latest-{sha}", "{branch}")), on("latest"))
    assert re.fullmatch("ref-latest-[0-9a-f]{12}", name)


def test_what_a_release_has_is_no_runs() -> None:
    rules = tags.rules(("type=match,pattern=[0-9]+", "type=raw,value={{date 'YYYY'}}"))
    run = on("main")
    assert followed(rules, run) == ["1970"]
    assert followed(rules, run, releases=[Other(version("1970.1.0"), "r1970.1.0")]) == []


def test_one_name_is_guarded_in_one_way() -> None:
    """`latest` of a branch gives way to that of releases; a fixed name that reads as a version's is refused."""
    assert followed(tags.rules(("latest", "type=raw,value=latest")), on("main")) == []
    assert followed(tags.rules(("type=raw,value=latest",)), on("main")) == ["latest"]
    assert followed(tags.rules(("type=raw,value=3.12",)), on("main")) == ["3.12"]
    with pytest.raises(ConfigError, match=re.escape("3.12 could be a release's tag, by the rule '{major}.{minor}'")):
        tags.rules(("{major}.{minor}", "type=raw,value=3.12"))


def test_requests_are_numbered_and_never_trusted() -> None:
    rules = tags.rules(("{pr}", "type=ref,event=pr"))
    assert followed(rules, request("12")) == ["12-6b51d431df5d", "pr-12"]
    for number in ("1/../x", "é", "v1.2.3\n", "x" * 999):
        given = followed(rules, request(number))
        assert len(given) == 2
        assert all(re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,114}-[0-9a-f]{12}", name) for name in given)
    assert followed(rules, request("")) == []


_LEGAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
#: Nearly anything that https://git-scm.com/docs/git-check-ref-format lets through, and much that it does not.
_branches = st.one_of(
    st.text(min_size=1, max_size=40),
    st.text("abl1.2v-_/+é", min_size=1, max_size=12),
    st.from_regex(r"\A[v]?[0-9]{1,2}(\.[0-9]{1,2}){0,3}([-_.+][a-z0-9]{0,4})?\Z"),
    st.sampled_from(["latest", "edge", "nightly", "pr-1", "sha-1", "dsci-x", "ref-1", "x" * 128, "x" * 129, "x/" * 99]),
)
_templates = st.sampled_from(["{branch}", "b-{branch}", "{branch}-dev", "{branch}-{sha}", "type=ref,event=branch"])


@given(_templates, _branches, _branches)
def test_two_branches_never_share_a_tag(template: str, one: str, other: str) -> None:
    rules = tags.rules((*DEFAULT_RULES, template))

    def name(branch: str) -> str:
        (tag,) = ref_tags(rules, on(branch))
        assert _LEGAL.fullmatch(tag.name) and not tag.name.startswith("dsci-")
        return tag.name

    first = name(one)
    # Names derived from the other's tag are what somebody would choose who wanted the two to meet.
    crafted = [
        first,
        first.replace("-", "/"),
        first[:-13],
        f"ref-{one}",
        f"{first}-{'0' * 12}",
        first.removeprefix("b-"),
    ]
    for branch in {other, *filter(None, crafted)} - {one}:
        assert name(branch) != first


@given(_templates, _branches, _versions, st.sampled_from([(), ("{version}-{sha}", "{tag}", "{major}-slim")]))
def test_no_branch_takes_a_releases_tag(template: str, branch: str, new: semver.Version, more: tuple[str, ...]) -> None:
    rules = tags.rules((*DEFAULT_RULES, *more, template))
    wanted = {tag.name for tag in plan(rules, new)}
    for tried in {branch, *wanted}:
        assert wanted.isdisjoint(followed(rules, on(tried)))
