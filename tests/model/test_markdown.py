"""Foreign text as Markdown: whatever it is, a reader sees it as it was written, and nothing else comes of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sampling import examples

from dsci.model.markdown import escape
from dsci.model.text import line

#: What is read as one text; a code span's content stands for the whole span.
_INERT = {"text", "text_special", "code_inline"}
_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def seen(markdown: str) -> str:
    """What a reader sees of a list item; fails for anything but text and code in it, and for mentions in the text."""
    blocks = _PARSER.parse(markdown)
    expected = ["bullet_list_open", "list_item_open", "paragraph_open", "inline"]
    assert [token.type for token in blocks[:4]] == expected
    assert [token.type for token in blocks[4:]] == ["paragraph_close", "list_item_close", "bullet_list_close"]
    children = blocks[3].children or []
    assert {token.type for token in children} <= _INERT, markdown
    text = "".join(" ` " if token.type == "code_inline" else token.content for token in children)
    assert not re.search(r"(?<!\w)@\w|://|\bwww\.", text), markdown
    return "".join(token.content for token in children)


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("plain words, 1.2 (and more)", "plain words, 1.2 (and more)"),
        ("## heading", r"\## heading"),
        ("# 1", r"\# 1"),
        ("#12 is fixed", r"\#12 is fixed"),
        ("- item", r"\- item"),
        ("---", r"\---"),
        ("-1 is no list", "-1 is no list"),
        ("=", r"\="),
        ("1. item", r"1\. item"),
        ("2024) item", r"2024\) item"),
        ("1.2 is no list", "1.2 is no list"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("![x](y)", r"!\[x\](y)"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("<!-- hidden", r"\<!-- hidden"),
        ("a --> b", r"a --\> b"),
        ("thanks @alice and @org/team", "thanks `@alice` and `@org/team`"),
        ("mail a@b.example", "mail `a@b.example`"),
        ("see https://x.example/a_b", "see `https://x.example/a_b`"),
        ("see WWW.x.example", "see `WWW.x.example`"),
        ("use `pip install` now", "use `pip install` now"),
        ("use ``x`` now", "use `x` now"),
        ("an odd ` tick", r"an odd \` tick"),
        ("` `", r"\` \`"),
        ("`a --> b`", r"\`a --\> b\`"),
        ("snake_case and __init__ and _x_", r"snake_case and \_\_init\_\_ and \_x\_"),
        ("a*b*c ~x~ $x$ a|b", r"a\*b\*c \~x\~ \$x\$ a\|b"),
        ("R&D &amp; &#64;x", r"R\&D \&amp; \&#64;x"),
        ("{{ site.x }} {% raw %} {a,b} {+ x +}", r"\{\{ site.x }} \{% raw %} {a,b} \{+ x +\}"),
        ("`{{ x }} @a`", r"\`\{\{ x }} `@a`\`"),
        ("{{@a}} `--> @b`", r"\{\{`@a}}` \`--\> `@b`\`"),
        ("back\\slash\\", "back\\\\slash\\\\"),
        ("größer 🎉 日本語", "größer 🎉 日本語"),
    ],
)
def test_escape(text: str, markdown: str) -> None:
    assert escape(text) == markdown
    ticks = re.compile(r"(?<!`)(`{1,3})(?!`)([^`]*[^`\s][^`]*)\1(?!`)")
    assert seen(f"- {escape(text)}") == (text if "-->" in text or "{{" in text else ticks.sub(r"\2", text))


def test_what_does_not_begin_a_line_needs_less() -> None:
    assert escape("#12", first=False) == "#12"
    assert escape("1. x", first=False) == "1. x"


@given(st.text(alphabet="ab1 \\`*_[]()<>#+-=.!|~&;:@/{}%$^\"'x\tü🎉", max_size=60) | st.text(max_size=60))
@hypothesis(max_examples=examples(600), deadline=None)
def test_any_text_is_inert(text: str) -> None:
    shown = line(text, 300)
    markdown = escape(shown)
    assert "\n" not in markdown and "-->" not in markdown
    if shown:
        told = seen(f"- {markdown}")
        # Only ticks around code that the author wrote may go, and blanks at its ends.
        assert re.sub(r"[`\s]", "", told) == re.sub(r"[`\s]", "", shown)


def test_a_long_line_is_read_quickly() -> None:
    for sign in ("`", "a", "@", "[", "_", "&", "{"):
        assert escape(line(sign * 300_000, 300))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\nb\t c\u2028d", "a b c d"),
        ("\x1b[31mred\x1b[0m\x00", "red"),
        ("admin\u202etxt.exe\u2066", "admintxt.exe"),
        ("x" * 40, "x" * 9 + "…"),
        ("", ""),
    ],
)
def test_line(text: str, expected: str) -> None:
    assert line(text, 10 if text.startswith("x") else 100) == expected
