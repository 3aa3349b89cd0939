"""R scripts and tests of testthat, run by the R of real images."""

from __future__ import annotations

import functools
import re
from xml.etree import ElementTree

import pytest
from tests.suites.conftest import Subjects, details, only, run_suite, verdicts

from dsci.model import junit
from dsci.model.reference import Reference
from dsci.model.report import Verdict

pytestmark = pytest.mark.engine

PASS, FAIL, SKIP = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
report = functools.partial(run_suite, "r")

TESTS = r"""
test_that("adds", { expect_equal(1 + 1, 2) })
test_that("bad <&> \"q\" é", { expect_equal(1 + 1, 3); expect_true(FALSE) })
test_that("stops", { stop("a value \033[31mred\033[0m \001 ]]>") })
test_that("skips", { skip("no gpu here") })
test_that("skips silently", { skip("") })
test_that("warns", { warning("careful"); expect_true(TRUE) })
test_that("writes", { writeLines("x", "made"); expect_equal(helped(), readLines("data.txt")) })
describe("math", { it("works", { expect_equal(2, 2) }) })
"""
ENDS = {
    "test-syntax.R": ('test_that("x", {', r"unexpected end of input"),
    "test-quits.R": ('test_that("x", { quit(status = 0) })', r"it left no record of its tests\n(.*\n)*Start test: x"),
    "test-none.R": ('later <- function() test_that("x", { })', r"^no test ran"),
    "test-outside.R": ('stop("no data")\ntest_that("x", { expect_true(TRUE) })', r"test-outside.R:1: .*no data"),
    "test-library.R": ('library(nowhere)\ntest_that("x", { })', r"no package called .nowhere"),
}
PLAIN = {
    "test_good.R": 'stopifnot(1 + 1 == 2, file.exists("test_good.R")); writeLines("x", "made"); warning("careful")',
    "test-bad.r": "x <- 1\nstopifnot(x == 2)",
    "test_status.R": "# test_that() would be one way\nquit(status = 3)",
    "test_says.R": 'describe <- summary; print(describe(c(1, 2))); message("\\033[31mred \\001")',
}


@pytest.mark.slow
def test_every_way_a_test_of_testthat_can_end(subject: Subjects, testthat: Reference) -> None:
    files = {"sub/test-all.R": TESTS, "sub/helper-x.R": 'helped <- function() "x"\n', "sub/data.txt": "x\n"}
    files |= {name: text for name, (text, _) in ENDS.items()}
    found = report(subject, testthat, files)
    told = details(found)
    all_of_it = {name.partition("::")[2]: v for name, v in verdicts(found).items() if name.startswith("sub/")}
    assert all_of_it == {
        "adds": PASS,
        'bad <&> "q" é': FAIL,
        "stops": FAIL,
        "skips": SKIP,
        "skips silently": FAIL,
        "warns": PASS,
        "writes": PASS,
        "math: works": PASS,
    }, told
    bad = told['sub/test-all.R::bad <&> "q" é']
    assert "test-all.R:3: 1 + 1 not equal to 3." in bad and "FALSE is not TRUE" in bad
    assert "a value red  ]]>" in told["sub/test-all.R::stops"]
    assert told["sub/test-all.R::skips"] == "no gpu here" and "careful" in told["sub/test-all.R::warns"]
    for name, (_, pattern) in ENDS.items():
        checks = [check for check in found.checks if check.name.startswith(name)]
        assert [check.verdict for check in checks] == [FAIL], checks
        assert re.search(pattern, checks[0].detail), checks[0].detail
    assert len(list(ElementTree.fromstring(junit.document([found])).iter("testcase"))) == len(found.checks)


@pytest.mark.slow
def test_what_does_not_end(subject: Subjects, testthat: Reference) -> None:
    """A test that takes too long is ended, and the next one runs; where the time of all is over, it says where."""
    files = {"test-a.R": 'test_that("endless", { while (TRUE) NULL })\ntest_that("next", { expect_true(TRUE) })'}
    found = report(subject, testthat, files, timeout=2)
    assert verdicts(found) == {"test-a.R::endless": FAIL, "test-a.R::next": PASS}, details(found)
    assert "reached elapsed time limit" in details(found)["test-a.R::endless"]
    found = report(subject, testthat, files, suite=5)
    assert only(found).detail == (
        "still running when the suite's 5s were over, so it was killed: raise suites.timeout\nStart test: endless"
    )


@pytest.mark.slow
def test_plain_scripts_and_no_testthat(subject: Subjects, r: Reference) -> None:
    found = report(subject, r, {**PLAIN, "test-that.R": TESTS})
    told = details(found)
    assert verdicts(found) == {
        "test-bad.r": FAIL,
        "test-that.R": FAIL,
        "test_good.R": PASS,
        "test_says.R": PASS,
        "test_status.R": FAIL,
    }, told
    assert "it ended with exit code 1\nError: x == 2 is not TRUE" in told["test-bad.r"]
    assert "it ended with exit code 3" in told["test_status.R"]
    assert "careful" in told["test_good.R"] and told["test_says.R"] == "red"
    assert "dsci: the image's R cannot load testthat, which this file uses: there is no package" in told["test-that.R"]


def test_an_image_without_r(subject: Subjects, bare: Reference) -> None:
    found = report(subject, bare, {"test_a.R": "1", "test-b.R": TESTS})
    assert set(details(found).values()) == {"the image has no R: Rscript is not on its PATH"}
    assert set(verdicts(found).values()) == {FAIL}
