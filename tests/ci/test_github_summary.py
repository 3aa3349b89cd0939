"""A plan in a job's summary: what is to be done, within its bytes, and nothing in it but what is meant."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

from dsci.ci.summary import of_plan
from tests.ci.reports import plan, release, target
from tests.hostile import HOSTILE


def test_what_is_to_be_done_is_listed_and_the_rest_counted() -> None:
    text = of_plan(
        plan(
            target("base", "reuse"),
            target("ml"),
            target("r", "test", reason="its suites changed"),
            releases=(release("ml", "1.2.0", ("1.2.0",), reason="feat: more"),),
            warnings=("a base has no tag",),
        )
    )
    assert (
        text
        == """\
## Plan: 1 to build, 1 to test, 1 to release

Commit `c0ffeec0ffee`; 1 of 3 targets stay as they are.

| target | action | why |
|---|---|---|
| `ml@linux/amd64` | build | its inputs changed |
| `r@linux/amd64` | test | its suites changed |

### Releases

| image | version | why |
|---|---|---|
| ml | 1.2.0 | feat: more |

### Warnings

| |
|---|
| a base has no tag |
"""
    )


def test_a_plan_without_work_says_so() -> None:
    text = of_plan(plan(target("base", "reuse")))
    assert text == "## Plan: nothing to do\n\nCommit `c0ffeec0ffee`; 1 of 1 targets stay as they are.\n"


@pytest.mark.parametrize("budget", [0, 50, 1_000, 100_000])
def test_no_budget_is_exceeded(budget: int) -> None:
    huge = plan(*(target(f"image-{number}", reason="because " * 40) for number in range(4_000)))
    text = of_plan(huge, budget=budget)
    assert len(text.encode()) <= budget
    assert budget < 1_000 or "\nand 3" in text, "it says how many are left out"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_named_is_text_in_a_cell(text: str) -> None:
    item = replace(target("ml"), id=text, reason=text)
    named = release(text, text, (), reason=text)
    value = replace(plan(item, releases=(named,), warnings=(text,)), commit=text)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(of_plan(value))
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2", "h3", "h3"]
    rows = "".join({"tr_open": "\n", "td_open": "d", "th_open": "h"}.get(token.type, "") for token in tokens)
    assert rows.split() == ["hhh", "ddd", "hhh", "ddd", "h", "d"]
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "text_special", "code_inline", "softbreak"}, kinds
