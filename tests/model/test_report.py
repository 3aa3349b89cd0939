"""What happened, told: documents that stay well formed whatever containers print."""

from __future__ import annotations

import json
import re

import pytest
from builders import STACK, look
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace
from sampling import examples

from dsci.errors import ConfigError
from dsci.model import reportpage
from dsci.model.bundle import Bundle, Launch
from dsci.model.plan import Plan, PlannedRelease
from dsci.model.report import Check, Outcome, Publication, Report, Status, SuiteReport, Verdict
from dsci.model.scan import Scanned, ScanReport
from dsci.model.text import clean

PASSED, FAILED, SKIPPED = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED


def suite(*verdicts: Verdict, name: str = "ml/pytest", detail: str = "") -> SuiteReport:
    checks = tuple(Check(name=f"check {n}", verdict=verdict, detail=detail) for n, verdict in enumerate(verdicts))
    return SuiteReport(target="ml@linux/amd64", suite=name, checks=checks, seconds=1.5)


# ------------------------------------------------------------------------------------------------- foreign text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param("plain\ttext\n", "plain\ttext\n", id="plain"),
        pytest.param("a\r\nb\rc", "a\nb\nc", id="line ends"),
        pytest.param("\x1b[1;31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b]0;title\x07x", "x", id="title, bell"),
        pytest.param("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", id="link"),
        pytest.param("\x1bMx", "x", id="two-byte sequence"),
        pytest.param("\x1b(Bx", "(Bx", id="an escape that is none loses its escape"),
        pytest.param("\x9b31mred", "31mred", id="one-byte sequence"),
        pytest.param("a\x00\x07\x08\x0b\x7f\x85b", "ab", id="control characters"),
        pytest.param("\ud800x\udfff", "x", id="half surrogate pairs"),
        pytest.param("\ufffex\uffff", "x", id="no characters"),
        pytest.param("é 日本 🎉 \u00a0", "é 日本 🎉 \u00a0", id="everything else stays"),
    ],
)
def test_cleaning(text: str, plain: str) -> None:
    assert clean(text) == plain


def test_the_end_of_a_long_text_is_kept() -> None:
    assert clean("abcdef", 6) == "abcdef"
    assert clean("abcdefg", 6) == "… 1 characters left out\nbcdefg"
    assert len(clean("x" * 100_000)) < 17_000


@given(st.text(max_size=60) | st.text("\x1b[];0m\x07\\\x9b\r\nABC", max_size=40))
@hypothesis(max_examples=examples(80))
def test_clean_text_is_harmless_and_stays_as_it_is(text: str) -> None:
    plain = clean(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", plain)
    assert clean(plain) == plain


# -------------------------------------------------------------------------------------------------------- suites


@pytest.mark.parametrize(
    ("verdicts", "problem"),
    [
        ([PASSED], ""),
        ([PASSED, SKIPPED], "check 1 is skipped, and no reason is given"),
        ([PASSED, FAILED], "check 1"),
        ([FAILED, PASSED, FAILED, FAILED], "check 0 and 2 more"),
        ([FAILED, SKIPPED], "check 0"),
        ([], "no test ran"),
        ([SKIPPED, SKIPPED], "every test was skipped"),
    ],
)
def test_no_suite_passes_that_tested_nothing(verdicts: list[Verdict], problem: str) -> None:
    report = suite(*verdicts)
    assert report.problem == problem
    assert [report.count(verdict) for verdict in Verdict] == [verdicts.count(verdict) for verdict in Verdict]
    # Whoever looks at checks alone comes to the same.
    assert any(check.verdict is FAILED for check in report.accounted.checks) is bool(problem)
    assert report.accounted.checks[: len(verdicts)] == report.checks
    assert report.accounted.accounted == report.accounted


def test_a_skip_with_a_reason_is_none_of_these() -> None:
    assert suite(PASSED, SKIPPED, detail="no GPU here").problem == ""
    assert suite(SKIPPED, detail="no GPU here").problem == "every test was skipped"


def test_only_what_passed_at_last_is_flaky() -> None:
    checks = tuple(Check(name="x", verdict=verdict, attempts=n, detail="x") for verdict in Verdict for n in (1, 2))
    assert [check.flaky for check in checks] == [False, True, False, False, False, False]
    assert SuiteReport(target="x", suite="x", checks=checks).flaky == 1


# ------------------------------------------------------------------------------------------------------ documents


def plan() -> Plan:
    return look(STACK).plan(found={})


def outcome(subject: str, status: Status, stage: str = "build", detail: str = "", seconds: float = 1.0) -> Outcome:
    return Outcome(subject=subject, stage=stage, status=status, detail=detail, seconds=seconds)


OK = outcome("base@linux/amd64", Status.OK)
BROKEN = outcome("python@linux/amd64", Status.FAILED, "test", "E  assert `1`\n```\x1b[31mred", 2.25)
BLOCKED = outcome("ml@linux/amd64", Status.BLOCKED)
PUBLICATION = Publication(
    image="base", version="1.0.0", reference="ghcr.io/a/base:1.0.0", digest="sha256:12", changed=True
)


@pytest.mark.parametrize(
    ("outcomes", "failed"),
    [((), False), ((OK,), False), ((OK, BLOCKED), False), ((OK, BROKEN, BLOCKED), True)],
    ids=["nothing", "ok", "blocked alone", "failed"],
)
def test_a_failure_is_a_failure(outcomes: tuple[Outcome, ...], failed: bool) -> None:
    report = Report(plan=plan(), outcomes=outcomes)
    assert report.failed is failed
    assert reportpage.document(report).startswith("# dsci: failed\n" if failed else "# dsci: done\n")


def test_the_report_as_json() -> None:
    report = Report(plan=plan(), outcomes=(OK, BROKEN), suites=(suite(PASSED),), publications=(PUBLICATION,))
    value = json.loads(report.to_json())
    assert value["schema"] == 1
    assert value["plan"] == json.loads(plan().to_json())
    assert [item["status"] for item in value["outcomes"]] == ["ok", "failed"]
    assert value["suites"][0]["checks"][0]["verdict"] == "passed"
    assert report.to_json().startswith(b'{\n  "schema"')


def test_the_report_for_people() -> None:
    report = Report(
        plan=plan(),
        outcomes=(OK, outcome("base@linux/amd64", Status.OK, "test", seconds=0.5), BROKEN, BLOCKED),
        publications=(PUBLICATION,),
        notes=("one | two\nthree <b>", "`four`"),
        seconds=12.34,
    )
    assert reportpage.document(report) == (
        "# dsci: failed\n\nCommit `ffffffffffff`, 12.3 s.\n\n"
        "| target | action | why | result | seconds |\n|---|---|---|---|---|\n"
        "| `base@linux/amd64` | build | never built | ok (test) | 1.5 |\n"
        "| `python@linux/amd64` | build | parent base is built | failed (test) | 2.2 |\n"
        "| `r@linux/amd64` | build | parent base is built | – | 0.0 |\n"
        "| `ml@linux/amd64` | build | parent python is built | blocked (build) | 1.0 |\n"
        "\n## `python@linux/amd64`: test failed\n\n"
        "````text\nE  assert `1`\n```red\n````\n"
        "\n## Released\n\n| reference | digest |\n|---|---|\n| `ghcr.io/a/base:1.0.0` | `sha256:12` |\n"
        "\n- one \\| two three \\<b\\>\n- 'four'\n"
    )


def test_what_is_flaky_skipped_and_run_again_stands_on_the_page() -> None:
    failed = Check(name="a|b", verdict=FAILED, bundle=Bundle(argv=("x",), replay="dsci shell --replay 'out/1 2'"))
    flaky = Check(name="now and then", verdict=PASSED, attempts=3)
    skips = tuple(Check(name=f"skip {n}", verdict=SKIPPED, detail="no GPU") for n in range(120))
    text = reportpage.document(
        Report(plan=plan(), suites=(SuiteReport(target="ml@x", suite="s", checks=(failed, flaky, *skips)),))
    )
    table = "| target | suite | check | |\n|---|---|---|---|\n"
    assert f"## Flaky\n\n{table}| `ml@x` | s | now and then | passed at attempt 3 |\n" in text
    assert f"## Skipped\n\n{table}| `ml@x` | s | skip 0 | no GPU |\n" in text
    assert "| `ml@x` | s | skip 99 | no GPU |\n\nand 20 more\n" in text
    assert f"## To run again\n\n{table}| `ml@x` | s | a\\|b | dsci shell --replay 'out/1 2' |\n" in text


def test_what_failed_before_any_suite_is_among_the_verdicts() -> None:
    build = outcome("r@linux/amd64", Status.FAILED, detail="no such file")
    report = Report(plan=plan(), outcomes=(OK, BROKEN, BLOCKED, build), suites=(suite(PASSED),))
    assert [(s.target, s.suite, s.checks[0].verdict, s.checks[0].detail) for s in report.verdicts[1:]] == [
        ("python@linux/amd64", "test", FAILED, BROKEN.detail),
        ("ml@linux/amd64", "build", SKIPPED, "build blocked"),
        ("r@linux/amd64", "build", FAILED, "no such file"),
    ]
    assert [suite.target for suite in report.failures[1:]] == ["python@linux/amd64", "r@linux/amd64"]


def test_a_suite_that_failed_speaks_for_its_stage() -> None:
    tested = outcome("ml@linux/amd64", Status.FAILED, "test")
    report = Report(plan=plan(), outcomes=(tested,), suites=(suite(FAILED),))
    assert report.verdicts == report.suites


def test_values_of_variables_are_in_no_report() -> None:
    launch = Launch(environment={"WORD": "value-of-it"}, around={"OTHER": "value-of-it"})
    bundle = Bundle(argv=("x",), environment=("WORD",), launch=launch)
    check = Check(name="x", verdict=FAILED, bundle=bundle)
    report = Report(plan=plan(), suites=(SuiteReport(target="x", suite="x", checks=(check,)),))
    assert b"value-of-it" not in report.to_json()
    assert json.loads(report.to_json())["suites"][0]["checks"][0]["bundle"]["environment"] == ["WORD"]


def test_a_report_of_nothing_has_no_headings() -> None:
    text = reportpage.document(Report(plan=plan()))
    assert text.count("#") == 1
    assert text.endswith("| – | 0.0 |\n")


def test_the_usual_fence_has_three_marks() -> None:
    text = reportpage.document(Report(plan=plan(), outcomes=(outcome("x", Status.FAILED, detail="a `b` ``c``"),)))
    assert text.endswith("\n## x: build failed\n\n```text\na `b` ``c``\n```\n")


@given(st.text(max_size=30) | st.text("|\\`<>[]()!*_@#\n", max_size=30))
@hypothesis(max_examples=examples(60))
def test_no_name_gets_out_of_its_cell(name: str) -> None:
    """Rendered as GitHub does, a table has the cells that it should, and nothing but text and code in them."""
    check = Check(name=name, verdict=SKIPPED, detail=name)
    text = reportpage.document(Report(plan=plan(), suites=(SuiteReport(target="t", suite=name, checks=(check,)),)))
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    at = next(n for n, token in enumerate(tokens) if token.content == "Skipped")
    cells = [tokens[n + 1] for n in range(at, len(tokens)) if tokens[n].type == "td_open"]
    assert len(cells) == 4
    kinds = {child.type for cell in cells for child in cell.children or ()}
    assert kinds <= {"text", "code_inline", "text_special"}


@given(st.text(max_size=30) | st.text("<>&\"'\x1b[]!-\x00\n\r\t\ud800\ufffe{}`", max_size=30))
@hypothesis(max_examples=examples(60))
def test_no_detail_gets_out_of_its_fence(detail: str) -> None:
    text = reportpage.document(Report(plan=Plan(commit="a" * 40, when=0, targets=(), releases=()), outcomes=(
        outcome("x", Status.FAILED, detail=detail),)))  # fmt: skip
    _, fence, rest = re.split("(`{3,})text\n", text, maxsplit=1)
    body, end, after = rest.rpartition(f"\n{fence}\n")
    assert (body, end, after) == (clean(detail), f"\n{fence}\n", "")
    assert fence not in body


def test_a_report_is_read_as_it_was_written() -> None:
    failed = Check(name="x", verdict=FAILED, bundle=Bundle(argv=("x",), exit_code=3, replay="again"))
    report = Report(
        plan=plan(),
        outcomes=(OK, BROKEN),
        suites=(SuiteReport(target="ml@x", suite="s", checks=(failed,)),),
        scans=(ScanReport(target="ml@x", image="a/b@sha256:12", scanned=Scanned(tool="trivy", problem="no database")),),
        publications=(PUBLICATION,),
    )
    assert Report.read(report.to_json(), name="report.json") == report


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x is no report"),
        (b"[]", "x is no report"),
        (b'{"schema": 2}', "a report of schema 2, and this dsci reads 1"),
        (b'{"schema": 1}', "x is no report: .*plan"),
        (b"[" * 100_000, "x is no report"),
        (b'{"schema": 1, "plan": "\xff"}', "x is no report"),
    ],
)
def test_what_is_no_report(content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Report.read(content, name="x")


def test_a_plan_for_people() -> None:
    coming = PlannedRelease(image="ml", version="1.0.0", bump="minor", git_tag="ml-v1.0.0", tags=(), reason="a | b")
    parts = reportpage.plan_sections(replace(plan(), releases=(coming,)))
    text = "\n".join(line for part in parts for line in part.lines())
    head = "Commit `ffffffffffff`: 4 to build."
    assert text.startswith(f"\n{head}\n\n| target | action | why |\n|---|---|---|\n| `base@linux/amd64` | build |")
    assert text.endswith("\n### Releases\n\n| image | version | why |\n|---|---|---|\n| ml | 1.0.0 | a \\| b |")
    nothing = Plan(commit="a" * 40, when=0, targets=(), releases=())
    (only,) = reportpage.plan_sections(nothing)
    assert only.lines() == ["", "Commit `aaaaaaaaaaaa`: nothing to build or test."]
