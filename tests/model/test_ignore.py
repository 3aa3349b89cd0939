"""`.dockerignore`: verdicts that BuildKit gives, patterns that it refuses."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.errors import ConfigError
from dsci.model.ignore import Ignore

CASES = [
    # pattern lines, ignored files, kept files
    ("", [], ["a", "a/b"]),
    ("a", ["a", "a/b", "a/b/c"], ["b", "b/a", "ab"]),
    ("/a", ["a", "a/b"], ["b/a"]),
    ("//a", ["a"], ["b/a"]),
    ("./a/", ["a", "a/b"], ["b/a"]),
    ("x/../a", ["a"], ["x"]),
    ("  a  ", ["a"], ["b"]),
    ("a\r\nb\r\n", ["a", "b"], ["c"]),
    ("\ufeffa", ["a"], ["\ufeffa"]),
    ("# a\n#b", [], ["# a", "a", "#b", "b"]),
    ("  # a", ["# a"], ["a"]),
    (".", [], ["a"]),
    ("/", [], ["a"]),
    ("/ /", [], ["a", " "]),
    ("*", ["a", "a/b", ".git/x"], []),
    ("*.md", ["a.md"], ["a.mdx", "d/a.md", "amd"]),
    ("*/temp*", ["d/temp", "d/tempo/x"], ["temp", "d/e/temp"]),
    ("a?", ["ab", "ab/c"], ["a", "abc", "a/"]),
    ("a/*/c", ["a/b/c", "a/b/c/d"], ["a/c", "a/b/b/c"]),
    ("**", ["a", "a/b"], []),
    ("**/a", ["a", "b/a", "b/c/a", "b/a/x"], ["ba", "b/ca"]),
    ("**a", ["a", "ba", "c/ba"], ["ab"]),
    ("**/*.go", ["a.go", "d/e/a.go"], ["a.goo"]),
    ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
    ("a**", ["a", "ab", "ab/c"], ["b/a"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b/z"], ["ab", "a/xb"]),
    ("**/a/**", ["a/b", "x/a/b"], ["a", "x/a"]),
    ("[ab]/**", ["a/x", "b/x"], ["c/x"]),
    ("***", ["a", "b/a"], []),
    ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
    ("[^a-c]x", ["dx"], ["ax"]),
    ("[\\]]x", ["]x"], ["ax"]),
    ("a\\*b", ["a*b"], ["axb"]),
    ("a.b(c)|{d}$+", ["a.b(c)|{d}$+"], ["axb(c)|{d}$+"]),
    ("*.b(c)$+", ["a.b(c)$+"], ["axb(c)$+", "a.bc$+", "a.b(c)$"]),
    ("?x|y{2}", ["ax", "yy", "ayy"], ["x", "y{2}"]),  # patternmatcher forgets to escape these (tried)
    ("\\dx", ["1x"], ["dx"]),  # an escape goes to RE2 as it is; BuildKit 0.13 agrees (tried)
    ("[*]", ["[]", "^]"], ["*", "w]"]),  # so does a class with a wildcard in it (tried)
    ("*\n!a", ["b", "b/a"], ["a", "a/b"]),
    ("!a\n*", ["a", "b"], []),
    ("*.md\n!README*.md\nREADME-secret.md", ["a.md", "README-secret.md"], ["README.md", "README-x.md"]),
    ("a\n!a/b", ["a/c", "a/bb"], ["a/b", "a/b/c"]),
    ("a\n!a/b\na/b/c", ["a/c", "a/b/c"], ["a/b/d"]),
    ("**\n!**/*.py", ["a", "a/b"], ["a.py", "a/b/c.py"]),
    ("**\n!src/**", ["a"], ["src/a", "src/b/c"]),
    ("! a", [], ["a"]),
    ("*\n! a", ["b"], ["a"]),
    ("*\n!/a", ["b"], ["a"]),
    ("*\n/!a", ["b"], ["a"]),  # cleaning comes before the second look for the '!' (tried)
    ("*\n!!a", ["a"], ["!a"]),
    # A directory's verdict comes down rule by rule, and rules that could not change it were not asked (tried):
    ("foo\n!foo/bar\nfoo", ["foo/baz"], ["foo/bar"]),
    ("a/b\n!a", ["a/b/c.py"], ["a/x"]),
    ("data/\udcff", [], ["data/\udcff", "data/x"]),  # bytes that are no UTF-8 match wildcards only (tried)
    ("data/?", ["data/\udcff"], ["data/xy"]),
]


@pytest.mark.parametrize(("text", "ignored", "kept"), CASES)
def test_verdicts(text: str, ignored: list[str], kept: list[str]) -> None:
    ignore = Ignore.parse(text)
    assert [path for path in ignored + kept if ignore.ignores(path)] == ignored


ILLEGAL = [
    ("!", 1),
    ("a\n\n!  ", 3),
    ("!/", 1),
    ("a\n[", 2),
    ("a\n[]", 2),
    ("[]a]", 1),
    ("[^]", 1),
    ("[a", 1),
    ("[a-", 1),
    ("[a-]", 1),
    ("[-a]", 1),
    ("[-]", 1),
    ("[a-b-c]", 1),
    ("[\\", 1),
    ("a\\", 1),
    ("#\n[z-a]", 2),
    ("\\y*", 1),
]


@pytest.mark.parametrize(("text", "line"), ILLEGAL)
def test_illegal_patterns_are_named_with_their_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^\.dockerignore:{line}: ") as caught:
        Ignore.parse(text)
    assert caught.value.hint


def test_verdicts_do_not_depend_on_the_order_of_questions() -> None:
    text = "*\n!src\nsrc/**/cache\n!src/keep/cache/x"
    paths = ["src/keep/cache/x/y", "src/keep/cache/z", "src/a/b/cache/c", "src/a", "other/a"]
    forwards, backwards = Ignore.parse(text), Ignore.parse(text)
    assert [forwards.ignores(path) for path in paths] == [False, True, True, False, True]
    assert [backwards.ignores(path) for path in reversed(paths)] == [True, False, True, True, False]


def test_rules_without_parse() -> None:
    assert not Ignore().ignores("a/b")
    assert Ignore.parse("# nothing").rules == Ignore().rules == ()


def test_many_files_and_hostile_patterns_are_cheap() -> None:
    ignore = Ignore.parse("\n".join(["**/*a*a*a*a*a*a*b", "*/**/**/**/**/**/c", "!x/[a-z]*"] * 8))
    start = time.process_time()
    verdicts = {ignore.ignores(f"{'a' * 60}/d{number % 50}/{'a' * 60}{number}") for number in range(1000)}
    assert verdicts == {False}
    assert time.process_time() - start < 2
    assert ignore.ignores("z/" * 3000 + "c")


_patterns = st.text("ab/.*?![]^-\\# \n\r\t\ufeff\udc80é", max_size=30)
_paths = st.lists(st.text("ab.*!é\udc80", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join)


@given(_patterns | st.text(max_size=30), _paths | st.text(max_size=20))
def test_any_text_has_a_verdict_or_a_config_error(text: str, path: str) -> None:
    try:
        ignore = Ignore.parse(text)
    except ConfigError:
        return
    verdict = ignore.ignores(path)
    assert ignore.ignores(path) is verdict
    assert Ignore((*ignore.rules, *Ignore.parse("**").rules)).ignores(path)


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join), _paths)
def test_a_plain_pattern_ignores_itself_and_all_below(pattern: str, below: str) -> None:
    ignore = Ignore.parse(f"/{pattern}/")
    assert ignore.ignores(pattern)
    assert ignore.ignores(f"{pattern}/{below}")
    assert not ignore.ignores(f"{pattern}x")
    assert not Ignore.parse(f"*\n!{pattern}").ignores(f"{pattern}/{below}")
