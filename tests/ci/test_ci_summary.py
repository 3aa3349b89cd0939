"""The job's summary: within its bytes, cut where it matters least, and nothing in it but what is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace

from dsci.ci.summary import BUDGET, fitted, planned, summary
from dsci.model.report import Check, Report, Status, SuiteReport, Verdict
from dsci.model.reportpage import Section
from tests.ci.reports import failing, outcome, plan, publication, release, target
from tests.hostile import HOSTILE
from tests.model.sampling import examples

#: What GitHub takes of a step. https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
MIB = 1 << 20


def size(text: str) -> int:
    return len(text.encode())


def test_a_small_report_is_shown_whole() -> None:
    text = summary(failing("one"), title="dsci test")
    assert text.startswith("## dsci test: failed\n\nCommit `c0ffeec0ffee`, 0.0 s.\n")
    assert "### `ml@linux/amd64`: test failed\n\n```text\nwhy\n```\n" in text
    assert text.endswith("\n") and "more" not in text
    assert summary(Report(plan=plan()), title="x").startswith("## x: done\n")


@pytest.fixture(scope="module")
def huge() -> Report:
    """A report whose page is some twenty times what there is room for."""
    targets = tuple(target(f"image-{n}", reason="because " * 40) for n in range(3_000))
    failures = tuple(outcome(each.id, status=Status.FAILED, detail="é" * 15_000) for each in targets[:60])
    checks = tuple(Check(name=f"{n}" * 60, verdict=Verdict.PASSED, attempts=2) for n in range(500))
    return Report(
        plan=plan(*targets),
        outcomes=failures,
        suites=(SuiteReport(target="ml", suite="s" * 300, checks=checks),),
        publications=tuple(publication("ml", "1.0.0", f"ghcr.io/acme/ml:{n}") for n in range(4_000)),
        notes=tuple("n" * 400 for _ in range(2_000)),
    )


def test_a_huge_report_stays_far_below_what_github_takes(huge: Report) -> None:
    text = summary(huge, title="dsci release")
    assert MIB * 0.5 < size(text) <= BUDGET < MIB * 0.9
    # Each section is there, and says what is left out of it.
    for heading in ("## dsci release: failed", "### `image-0@linux/amd64`: build failed", "### Flaky", "### Released"):
        assert f"{heading}\n" in text
    left = [int(line.split()[1]) for line in text.splitlines() if line.startswith("and ") and line.endswith(" more")]
    assert len(left) == 5 and all(left)
    rows = sum(line.startswith("| `image-") for line in text.splitlines())
    assert rows + left[0] == 3_000
    assert text.count("build failed\n") + left[1] == 60


@pytest.mark.parametrize("budget", [0, 50, 250, 1_000, 10_000, 100_000])
def test_no_budget_is_exceeded(huge: Report, budget: int) -> None:
    assert size(summary(huge, title="dsci", budget=budget)) <= budget


def test_where_others_wrote_already_less_is_written(huge: Report) -> None:
    assert summary(huge, title="dsci", budget=-5) == ""
    small = summary(huge, title="dsci", budget=1_000)
    assert small.startswith("## dsci: failed\n") and "and 29" in small


SECTIONS = st.lists(
    st.builds(
        Section,
        head=st.lists(st.text(max_size=20), max_size=2).map(tuple),
        rows=st.lists(st.text(max_size=80), max_size=8).map(tuple),
        left_out=st.integers(0, 5),
    ),
    max_size=4,
)


@given(SECTIONS, st.integers(0, 1_500))
@hypothesis(max_examples=examples(150), deadline=None)
def test_sections_fit_whatever_they_are(parts: list[Section], budget: int) -> None:
    text = fitted(parts, budget)
    assert len(text.encode(errors="replace")) <= budget
    whole = "".join(f"{line}\n" for part in parts for line in part.lines())
    if len(whole.encode(errors="replace")) * 8 < budget:
        assert text == whole


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_named_is_text_in_a_cell(text: str) -> None:
    """No link, image or HTML comes of it, no cell and no heading more than there should be."""
    item = replace(target("ml"), id=text, action=text, reason=text)
    suites = tuple(
        SuiteReport(target=text, suite=text, checks=(Check(name=text, verdict=verdict, detail=text),))
        for verdict in (Verdict.SKIPPED, Verdict.FAILED)
    )
    report = Report(
        plan=replace(plan(item), commit=text),
        outcomes=(outcome(text, text, Status.FAILED, detail=text),),
        suites=suites,
        publications=(publication(text, text, text, text),),
        notes=(text,),
    )
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(summary(report, title=f"dsci {text}"))
    headings = [token for token in tokens if token.type == "heading_open"]
    assert [token.tag for token in headings] == ["h2", "h3", "h3", "h3"]
    rows = "".join({"tr_open": "\n", "td_open": "d", "th_open": "h"}.get(token.type, "") for token in tokens)
    assert rows.split() == ["hhhhh", "ddddd", "hhhh", "dddd", "hh", "dd"]
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "text_special", "code_inline", "softbreak"}, kinds
    assert {token.type for token in tokens} & {"html_block", "link_open", "image"} == set()


def test_a_plan_as_a_page() -> None:
    """What is to be done, and what is not left to guess where there is nothing."""
    coming = plan(target("ml"), target("r", "test"), target("base", "reuse"), releases=(release("ml", "1.0.0", ()),))
    assert planned(coming, title="dsci plan") == (
        "## dsci plan\n\nCommit `c0ffeec0ffee`: 1 to build, 1 to test.\n\n| target | action | why |\n|---|---|---|\n"
        "| `ml@linux/amd64` | build | its inputs changed |\n| `r@linux/amd64` | test | its inputs changed |\n"
        "\n### Releases\n\n| image | version | why |\n|---|---|---|\n| ml | 1.0.0 |  |\n"
    )
    assert planned(plan(), title="x") == "## x\n\nCommit `c0ffeec0ffee`: nothing to build or test.\n"
    many = plan(*(target(f"image-{n}") for n in range(900)))
    text = planned(many, title="x", budget=9_000)
    assert size(text) <= 9_000 and "more\n" in text and planned(many, title="x", budget=2) == ""
