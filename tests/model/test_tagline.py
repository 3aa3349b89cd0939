"""docker/metadata-action's lines: every type, every attribute, and an error for everything else."""

from __future__ import annotations

import re

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st
from tests.model.metadata_blocks import BLOCKS, COMMITTED, DIFFERENT, EVENTS, NOW, SHA

from dsci.errors import ConfigError
from dsci.model import tagrecord, tags
from dsci.model.event import Event, Trigger
from dsci.model.numbers import calendar
from dsci.model.tags import Flavor, Guard, Other, Subject


def subject(version: str = "", git_tag: str = "", event: Event | None = None) -> Subject:
    return Subject(
        sha=SHA,
        when=COMMITTED,
        version=semver.Version.parse(version) if version else None,
        git_tag=git_tag or f"v{version}",
        event=event or Event(trigger=Trigger.TAG, tag=git_tag or f"v{version}", default_branch="main", now=NOW),
    )


def all_tags(rules: tuple[tags.TagRule, ...], about: Subject) -> list[str]:
    return [tag.name for tag in (*tags.plan_tags(rules, about, ()), *tags.ref_tags(rules, about))]


@pytest.mark.parametrize(("block", "event"), [(block, event) for block in BLOCKS for event in EVENTS])
def test_blocks(block: str, event: str) -> None:
    flavor, lines, expected = BLOCKS[block]
    about, version = EVENTS[event]
    wanted, _ = DIFFERENT.get((block, event), (expected[event], ""))
    assert sorted(all_tags(tags.rules(lines, flavor), subject(version, event=about))) == sorted(wanted.split())


def test_differences_are_differences() -> None:
    """The list of exceptions holds nothing that the action does as well, and a reason for each."""
    for (block, event), (given_here, why) in DIFFERENT.items():
        assert sorted(given_here.split()) != sorted(BLOCKS[block][2][event].split())
        assert why


@pytest.mark.parametrize(
    ("line", "version", "git_tag", "tag"),
    [
        ("type=semver,pattern={{version}}", "1.2.3", "ml-v1.2.3", "1.2.3"),
        ("type=semver,pattern={{ version }}", "1.2.3", "", "1.2.3"),
        ("type=semver,pattern={{raw}}", "1.2.3", "ml-v1.2.3", "v1.2.3"),
        ("type=semver,pattern={{raw}}", "1.2.3", "ml/1.2.3", "1.2.3"),
        ("type=semver,pattern={{raw}}", "1.2.3-rc.1", "", "v1.2.3-rc.1"),
        ("type=semver,pattern=v{{major}}", "1.2.3-rc.1", "", "1.2.3-rc.1"),
        ("type=semver,pattern=v{{major}},prefix=x-,suffix=-y", "1.2.3-rc.1", "", "x-1.2.3-rc.1-y"),
        ("type=semver,pattern={{version}}", "1.2.3+b.1", "", "1.2.3_b.1"),
        ("type=semver,pattern={{major}}/{{minor}}", "1.2.3", "", "1-2"),
        ("type=semver,pattern={{patch}}-stable", "1.2.3", "", "3-stable"),
        ("type=semver,pattern={{version}},match=ml-v(.*)", "1.2.3", "ml-v1.2.3", "1.2.3"),
        ("type=semver,pattern={{raw}},match=ml-(.*)", "1.2.3", "ml-v1.2.3", "v1.2.3"),
        ("type=semver,pattern={{version}},match=lab-v(.*)", "1.2.3", "ml-v1.2.3", None),
        ("type=semver,pattern={{version}},match=lab-v(.*)", "1.2.3", "v1.2.3", "1.2.3"),
        (r"type=semver,pattern={{version}},match=v(\d+\.\d+\.\d+)", "1.2.3-rc.1", "v1.2.3-rc.1", None),
        (r"type=semver,pattern=stable,match=v(\d+\.\d+\.\d+)", "1.2.3", "other", None),
        ("type=semver,pattern={{version}},value=v4.5.6", "1.2.3", "", "4.5.6"),
        ("type=semver,pattern={{raw}},value=v4.5.6+b", "1.2.3", "", "v4.5.6_b"),
        ("type=semver,pattern={{major}}.{{minor}},value=4.5.6", "1.2.3", "", "4.5"),
        ("type=semver,pattern={{major}},value=4.5.6-rc.1", "1.2.3", "", "4.5.6-rc.1"),
        ("type=semver,pattern={{major}},value=p1/v4.5.6,match=v(.*)", "1.2.3", "", "4"),
        ("type=semver,pattern={{major}},value=v4.5.6,match=x(.*)", "1.2.3", "", "4"),
        ("type=pep440,pattern={{version}}", "1.2.3-rc.1", "", "1.2.3rc1"),
        ("type=pep440,pattern={{raw}}", "1.2.3-rc.1", "", "v1.2.3-rc.1"),
        ("type=pep440,pattern={{major}}.{{minor}}.{{patch}}", "1.2.3", "", "1.2.3"),
        ("type=pep440,pattern={{version}}", "1.2.3-foo.1", "", None),
        ("type=pep440,pattern={{version}}", "1.2.3+b-1", "", "1.2.3_b.1"),
        ("type=pep440,pattern={{version}},value=1.2.3post1", "9.9.9", "", "1.2.3.post1"),
        ("type=pep440,pattern={{major}}.{{minor}},value=1!4.5", "9.9.9", "", "4.5"),
        (r"type=match,pattern=\d.\d.\d", "1.2.3", "", "1.2.3"),
        ("type=match,pattern=v(.*),group=1", "2.0.8-beta.67", "", "2.0.8-beta.67"),
        (r"type=match,pattern=v(\d.\d),group=1", "2.0.8", "", "2.0"),
        (r"type=match,pattern=v(\d.\d),group=1", "2.0.8-beta.67", "", None),
        (r"type=match,pattern=\d+", "1.0.0", "20200110-RC2", "20200110"),
        (r"type=match,pattern=p1-v(\d.\d.\d),group=1", "1.2.3", "p1-v1.2.3", "1.2.3"),
        (r"type=match,pattern=p1-v(\d.\d.\d),group=1", "1.2.3", "p1/v1.2.3", None),
        ("type=match,pattern=/V(.+)/i,group=1", "1.2.3", "", "1.2.3"),
        (r"type=match,pattern=/\d+/g,group=1", "1.2.3", "", "2"),
        (r"type=match,pattern=/\d+/gu,group=7", "1.2.3", "", None),
        ("type=match,pattern=(x)?v,group=1", "1.2.3", "", None),
        ("type=match,pattern=x*", "1.2.3", "", None),
        ("type=match,pattern=v(.*),group=1,value=v9-jammy", "1.2.3", "", "9-jammy"),
        ("type=ref,event=tag", "1.2.3", "ml-v1.2.3", "ml-v1.2.3"),
        ("type=ref,event=tag", "1.2.3+b.1", "v1.2.3+b.1", "v1.2.3_b.1"),
        ("type=ref,event=tag,suffix=-x", "1.2.3", "ml/v1.2.3", "ml-v1.2.3-x-1342d25080e5"),
        ("type=ref,event=tag", "1.0.0", "dsci-v1.0.0", "ref-dsci-v1.0.0-eefdc377f106"),
        ("type=raw,value={{tag}}-slim", "1.2.3", "", "v1.2.3-slim"),
        ("type=sha,prefix={{tag}}-", "1.2.3", "", "v1.2.3-860c190"),
        ("type=match,pattern=v,prefix={{tag}}-{{sha}}-", "1.2.3-rc.1", "", "v1.2.3-rc.1-860c190-v"),
    ],
)
def test_lines_about_releases(line: str, version: str, git_tag: str, tag: str | None) -> None:
    rule = tags.parse(line)
    assert rule.guard in (Guard.EXACT, Guard.VERSION)
    assert rule.render(subject(version, git_tag)) == tag


@pytest.mark.parametrize(
    ("line", "guard", "moving"),
    [
        ("type=semver,pattern={{version}}", Guard.EXACT, False),
        ("type=semver,pattern={{raw}}", Guard.EXACT, False),
        ("type=semver,pattern={{major}}.{{minor}}.{{patch}}", Guard.EXACT, False),
        ("type=semver,pattern={{major}}.{{minor}}", Guard.VERSION, True),
        ("type=semver,pattern=stable", Guard.VERSION, True),
        ("type=semver,pattern={{version}},value=1.2.3", Guard.VERSION, True),
        ("type=semver,pattern={{major}},suffix=-{{sha}}", Guard.EXACT, False),
        ("type=match,pattern=v", Guard.VERSION, True),
        ("type=match,pattern=v(.*),group=1", Guard.VERSION, False),
        ("type=match,pattern=v(.*),group=1,value=v1.2.3", Guard.VERSION, True),
        ("type=ref,event=tag", Guard.EXACT, False),
        ("type=raw,value={{tag}}", Guard.EXACT, False),
    ],
)
def test_guards_of_releases(line: str, guard: Guard, moving: bool) -> None:
    rule = tags.parse(line)
    planned = rule.plan(subject("1.2.3"))
    assert rule.guard is guard
    assert planned is not None and planned.moving is moving
    assert rule.render(subject()) is None


@pytest.mark.parametrize(
    ("line", "branch", "tag", "moving"),
    [
        ("type=ref,event=branch", "main", "main", True),
        ("type=ref,event=branch,prefix=b-,suffix=-z", "main", "b-main-z", True),
        ("type=sha", "main", "sha-860c190", False),
        ("type=sha,format=long,prefix=", "main", SHA, False),
        ("type=sha,format=short,prefix=git-", "main", "git-860c190", False),
        ("type=edge", "main", "edge", True),
        ("type=edge", "other", None, True),
        ("type=edge,branch=other", "other", "edge", True),
        ("type=edge,branch=", "main", "edge", True),
        ("type=raw,value=foo/bar", "main", "foo-bar", True),
        ("type=raw,foo", "main", "foo", True),
        ("type=raw,value=a=b", "main", "a-b", True),
        ("type=raw,value={{branch}}-{{sha}}", "main", "main-860c190", False),
        ("type=raw,value=x{{is_default_branch}}", "main", "xtrue", True),
        ("type=raw,value=x{{is_not_default_branch}}", "main", "xfalse", True),
        ("type=raw,value={{tag}}-{{branch}}x,enable=false", "main", "error", True),
        ("type=raw,value={{base_ref}}", "main", None, True),
        ("type=raw,value=a,enable={{is_default_branch}}", "main", "a", True),
        ("type=raw,value=a,enable={{is_default_branch}}", "other", None, True),
        ("type=raw,value=a,enable={{is_not_default_branch}}", "other", "a", True),
        ("type=raw,value=a,enable=false", "main", None, True),
        ("type=raw,value={{date 'YYYYMMDD' tz='Asia/Tokyo'}}", "main", "20260105", True),
        ("type=raw,value={{date 'YYYYMMDD'}}", "main", "20260104", True),
        ('"type=raw","value={{commit_date ""[w]ww"" tz=""UTC""}}"', "main", "w01", True),
        ("TYPE=raw, VALUE = a ", "main", "a", True),
        ("type=schedule", "main", None, True),
    ],
)
def test_lines_about_runs(line: str, branch: str, tag: str | None, moving: bool) -> None:
    run = subject(event=Event(trigger=Trigger.BRANCH, branch=branch, default_branch="main", now=NOW))
    if tag == "error":
        with pytest.raises(ConfigError, match="no run is about branch and pushed-tag at once"):
            tags.parse(line)
        return
    rule = tags.parse(line)
    planned = rule.plan(run)
    assert rule.guard is Guard.REF
    assert (planned.name if planned else None) == tag
    assert planned is None or planned.moving is moving


def test_where_the_default_branch_is_not_known_no_branch_is() -> None:
    run = subject(event=Event(trigger=Trigger.BRANCH, branch="main"))
    assert tags.parse("type=edge").render(run) is None
    assert tags.parse("type=raw,value=a,enable={{is_default_branch}}").render(run) is None


def test_calendar_versions() -> None:
    version = calendar("YYYY.0M.0D").parse("2026.01.05")
    about = Subject(sha=SHA, version=version, git_tag="v2026.01.05")
    lines = "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=pep440,pattern={{version}}"
    assert all_tags(tags.rules(lines), about) == ["2026.01.05", "2026.1.5", "2026.01", "latest"]
    month = calendar("YYYY.0M").parse("2026.02")
    later = Other(calendar("YYYY.0M").parse("2026.02.1"), "v2026.02.1")
    lines = "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=semver,pattern={{major}}"
    planned = tags.plan_tags(tags.rules(lines), Subject(sha=SHA, version=month, git_tag="v2026.02"), [later])
    assert [tag.name for tag in planned] == ["2026.02"]


@pytest.mark.parametrize(
    ("line", "says", "hint"),
    [
        ("type=semvr,pattern={{version}}", "unknown type 'semvr' (did you mean 'semver'?)", "types are schedule"),
        ("type=,value=a", "unknown type ''", "types are"),
        ('"value=a,type=b"', "unknown type ''", "types are"),
        ("type=sha,prefx=x", "sha has no attribute 'prefx' (did you mean 'prefix'?)", "takes format, enable"),
        ("type=sha,value=x", "sha has no attribute 'value'", "takes format"),
        ("type=ref,branch", "ref has no attribute 'value'", "takes event"),
        ("type=edge,event=branch", "edge has no attribute 'event'", "takes branch"),
        ("type=raw,value=a,value=b", "value is given twice", ""),
        ("type=raw,a,value=b", "value is given twice", ""),
        ("type=raw,type=sha,value=b", "type is given twice", ""),
        ("type=raw,value=a,", "an empty field", ""),
        ("type=raw,value=a,=b", "an empty field", ""),
        ("type=raw", "raw needs value=", ""),
        ("type=raw,value=", "raw needs value=", ""),
        ("type=semver", "semver needs pattern=", ""),
        ("type=pep440,pattern=", "pep440 needs pattern=", ""),
        ("type=match,group=1", "match needs pattern=", ""),
        ("type=ref", "ref needs event=", ""),
        ("type=ref,event=brnch", "event=brnch is none of branch, tag, pr (did you mean 'branch'?)", ""),
        ("type=sha,format=medium", "format=medium is none of short, long", ""),
        ("type=schedule,pattern=", "an empty pattern", ""),
        ("type=schedule,pattern={{sha}}", "{{sha}} depends on the run", "known here: date, commit_date"),
        ("type=semver,pattern={{vers}}", "{{vers}} is not known here (did you mean 'version'?)", "known here: version"),
        ("type=semver,pattern={{date 'YYYY'}}", "{{date 'YYYY'}} depends on the run", "known here: version"),
        ("type=semver,pattern={{{raw}}}", "a brace that belongs to no {{expression}}", ""),
        ("type=semver,pattern={{raw", "a brace that belongs to no {{expression}}", ""),
        ("type=raw,value={branch}", "a brace that belongs to no {{expression}}", ""),
        ("type=semver,pattern={{#if raw}}x{{/if}}", "{{#if raw}} is not known here", ""),
        ("type=semver,pattern={{raw 'x'}}", "raw takes nothing", ""),
        ("type=semver,pattern={{version}},prefix={{branch}}-", "{{branch}} depends on the run", "known here: tag, sha"),
        ("type=semver,pattern={{version}},enable={{is_default_branch}}", "depends on the run", ""),
        ("type=raw,value={{tag}},enable={{is_default_branch}}", "depends on the run", ""),
        ("type=semver,pattern={{version}},value=abc", "value=abc is no version of type semver", "leave value= out"),
        ("type=semver,pattern={{version}},value={{tag}}", "value={{tag}} is no version", "leave value= out"),
        ("type=pep440,pattern={{version}},value=abc", "value=abc is no version of type pep440", ""),
        ("type=semver,pattern={{version}},match=v.*", "has no group 1", "put ( )"),
        ("type=semver,pattern={{version}},match=(", "match=( is no regular expression", "RE2"),
        ("type=match,pattern=(?=x)", "is no regular expression", "RE2"),
        ("type=match,pattern=v(.*),group=2", "has no group 2", "put ( )"),
        ("type=match,pattern=v,group=x", "group=x is no number", ""),
        ("type=match,pattern=/v/y", "the flags 'y' of its regular expression are not known", "i, u, g, s and m"),
        ("type=match,pattern=/v/ii", "the flags 'ii'", ""),
        ("type=match,pattern=x,value=abc", "its pattern matches nothing of its value", ""),
        ("type=raw,value=a,enable=True", "enable=True is neither true nor false", "{{is_default_branch}}"),
        ("type=raw,value=a,enable=", "enable= is neither true nor false", ""),
        ("type=raw,value=a,enable={{branch}}", "enable={{branch}} is neither true nor false", ""),
        ("type=raw,value=a,enable=${{ github.ref == 'x' }}", "GitHub's ${{ }} means nothing in dsci.yaml", "own {{"),
        ("type=raw,value=a,priority=high", "priority=high is no whole number", ""),
        ("type=raw,value={{date}}", "{{date}} is no date", "YYYYMMDD"),
        ("type=raw,value={{date YYYY}}", "{{date YYYY}} is no date", ""),
        ("type=raw,value={{date 'YYYY' zone='UTC'}}", "is no date", ""),
        ("type=raw,value={{date 'YYYYQ'}}", "'Q' in the date format 'YYYYQ' stands for nothing", "known are YYYY"),
        ("type=raw,value={{date 'YYYY' tz='Mars/Base'}}", "there is no time zone 'Mars/Base'", ""),
        ("type=raw,value=/", "nothing of it is legal in a tag", ""),
        ("type=raw,value=dsci-x", "tags that begin with dsci- are dsci's own", ""),
        ('type=raw,value="a', "a quote that is not around a whole field", "around key and value"),
        ('"type=raw,value=a', "a quote that is not around a whole field", ""),
        ('"type=raw"x,value=a', "a quote that is not around a whole field", ""),
        ('"type=raw", "value=a"', "a quote that is not around a whole field", ""),
    ],
)
def test_what_means_nothing_is_an_error_that_quotes_the_line(line: str, says: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tags.parse(line)
    assert says in caught.value.message
    assert repr(line) in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a", ["a"]),
        ("a,b=c", ["a", "b=c"]),
        (" a , b ", [" a ", " b "]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a ""b"" c"', ['a "b" c']),
        ('"",a', ["", "a"]),
        ("a,,b,", ["a", "", "b", ""]),
    ],
)
def test_records(text: str, fields: list[str]) -> None:
    assert tagrecord.fields(text) == fields


@given(st.lists(st.text(), min_size=1))
def test_records_that_are_quoted_are_read_back(fields: list[str]) -> None:
    written = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    assert tagrecord.fields(written) == fields


@given(st.lists(st.sampled_from([*"={}/,'\"$", "type=", "raw", "semver", "value=", "pattern=", "{{date 'YYYY'}}"])))
def test_no_line_breaks_the_reader(pieces: list[str]) -> None:
    try:
        rule = tags.parse("type=" + "".join(pieces))
    except ConfigError as error:
        assert "tag rule" in error.message
    else:
        name = rule.render(subject("1.2.3"))
        assert name is None or re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name)


@given(st.text(max_size=200), st.sampled_from(["(.*)*x", "(a|a)*b", r"(\d+)+$", ".*.*.*="]))
def test_no_git_tag_breaks_or_stalls_a_match(git_tag: str, pattern: str) -> None:
    rule = tags.parse(f'"type=match","pattern={pattern}"')
    name = rule.render(subject("1.2.3", git_tag + "a" * 2000))
    assert name is None or re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name)


def test_a_run_about_a_git_tag() -> None:
    """What is named after it and the day is no release's tag, and moves with the day's runs."""
    rules = tags.rules("type=raw,value={{tag}}-{{date 'YYYYMMDD'}}\ntype=semver,pattern={{version}}")
    assert all_tags(rules, subject("1.2.3")) == ["1.2.3", "latest", "v1.2.3-20260104"]
    assert tags.ref_tags(rules, subject(event=Event(trigger=Trigger.BRANCH, branch="main"))) == ()


def test_flavors_give_way_to_attributes() -> None:
    flavor = Flavor(prefix="a-", suffix="-z", latest="false")
    lines = "type=raw,value=x\ntype=raw,value=y,prefix=,suffix=\ntype=sha\ntype=raw,value=latest"
    run = subject(event=Event(trigger=Trigger.BRANCH, branch="main"))
    assert all_tags(tags.rules(lines, flavor), run) == ["sha-860c190-z", "a-x-z", "y", "a-latest-z"]
