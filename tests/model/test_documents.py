"""Documents of what suites found stay what they are whatever containers print: JUnit XML, TAP."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import settings as hypothesis
from sampling import examples
from tests.reportsamples import ALL, FAILED, JENKINS, PASSED, REPORTS, SKIPPED, check, suite

from dsci.model import junit, tap
from dsci.model.bundle import Bundle
from dsci.model.report import SuiteReport
from dsci.model.text import clean

# --------------------------------------------------------------------------------------------------------- JUnit


def test_junit() -> None:
    text = junit.document([suite(*ALL), suite(name="ml/structure", seconds=0.5)])
    JENKINS.validate(text.decode())
    root = ElementTree.fromstring(text)
    assert root.attrib == {"name": "dsci", "tests": "5", "failures": "2", "errors": "0", "time": "2.000"}
    one, two = root.findall("testsuite")
    assert one.attrib == {
        "name": "ml@linux/amd64 ml/pytest",
        "tests": "4",
        "errors": "0",
        "failures": "1",
        "skipped": "1",
        "time": "1.500",
    }
    passed, failed, skipped, flaky = one.findall("testcase")
    assert passed.attrib == {"classname": "ml@linux/amd64 ml/pytest", "name": "good", "time": "0.250"}
    assert list(passed) == []
    failure, out, err = failed
    assert (failure.tag, failure.attrib["message"]) == ("failure", "first <&> line")
    assert failure.text == "\n  first <&> line\nsecond"
    assert out.text == (
        "$ ['sh', '-c', 'x']\nended: exit code 3\nimage: sha256:12\nreplay: dsci shell --replay out/1\nout <&>\n"
    )
    assert (err.tag, err.text) == ("system-err", "err ]]>")
    (left_out,) = skipped
    assert (left_out.tag, left_out.attrib["message"]) == ("skipped", "no GPU # here")
    (again,) = flaky
    assert (again.tag, again.attrib["message"], again.text) == ("flakyFailure", "passed at attempt 3", "timed out")
    # No test at all: whoever counts cases must not call it good.
    (nothing,) = two
    assert (nothing.attrib["name"], nothing[0].attrib["message"]) == ("ml/structure", "no test ran")


def test_junit_of_a_run_of_many_checks_tells_its_output_of_none() -> None:
    bundle = Bundle(argv=("pytest",), stdout="all of it", stderr="too", alone=False)
    text = junit.document([suite(check("x", FAILED, "why", bundle=bundle))])
    assert b"all of it" not in text and b"too" not in text and b"<system-out>$ [" in text
    silent = junit.document([suite(check("x", FAILED, "why", bundle=Bundle(argv=("true",))))])
    assert b"system-err" not in silent


def test_junit_takes_any_iterable() -> None:
    assert junit.document(report for report in [suite(*ALL)]) == junit.document([suite(*ALL)])


def test_junit_of_many_failures_is_bounded() -> None:
    """GitLab takes 100 MB of a pipeline."""
    noisy = Bundle(argv=("x",), stdout="x" * 8000, stderr="y" * 8000)
    text = junit.document([suite(*(check(f"{n}", FAILED, "&" * 100_000, bundle=noisy) for n in range(3_000)))])
    assert len(text) < 30_000_000
    one = junit.document([suite(check("one", FAILED, "&" * 15_000))])
    assert one.count(b"&amp;") > 15_000


@given(REPORTS)
@hypothesis(max_examples=examples(200), deadline=None)
def test_junit_is_valid_whatever_the_tests_print(reports: list[SuiteReport]) -> None:
    text = junit.document(reports)
    root = ElementTree.fromstring(text)
    JENKINS.validate(text.decode())
    assert [int(item.attrib["tests"]) for item in root] == [len(report.accounted.checks) for report in reports]
    for element, report in zip(root, reports, strict=True):
        assert element.attrib["name"] == clean(f"{report.target} {report.suite}")
        for case, told in zip(element, report.accounted.checks, strict=True):
            assert case.attrib["name"] == clean(told.name)
            verdict = {PASSED: ["flakyFailure"] if told.flaky else [], FAILED: ["failure"], SKIPPED: ["skipped"]}
            assert [child.tag for child in case if not child.tag.startswith("system")] == verdict[told.verdict]
            if told.verdict is FAILED:
                assert (case[0].text or "") == clean(told.detail)


# ----------------------------------------------------------------------------------------------------------- TAP


def test_tap() -> None:
    assert tap.document([suite(*ALL), suite(name="ml/structure")]).decode() == (
        "TAP version 13\n1..5\n"
        "ok 1 - ml@linux/amd64 ml/pytest: good\n"
        "not ok 2 - ml@linux/amd64 ml/pytest: bad\n"
        "  ---\n"
        '  message: "first <&> line"\n'
        '  detail: "\\n  first <&> line\\nsecond"\n'
        "  duration_ms: 0\n"
        '  ended: "exit code 3"\n'
        '  image: "sha256:12"\n'
        '  replay: "dsci shell --replay out/1"\n'
        '  stdout: "out <&>\\n"\n'
        '  stderr: "err ]]>"\n'
        "  ...\n"
        "ok 3 - ml@linux/amd64 ml/pytest: left out # SKIP no GPU \\# here\n"
        "ok 4 - ml@linux/amd64 ml/pytest: now and then\n"
        "  ---\n"
        '  message: "timed out"\n'
        '  detail: "timed out"\n'
        "  duration_ms: 0\n"
        "  flaky: true\n"
        "  attempts: 3\n"
        "  ...\n"
        "not ok 5 - ml@linux/amd64 ml/structure: ml/structure\n"
        "  ---\n"
        '  message: "no test ran"\n'
        '  detail: "no test ran"\n'
        "  duration_ms: 0\n"
        "  ...\n"
    )


def test_tap_of_nothing_says_so() -> None:
    assert tap.document([]) == b"TAP version 13\n1..0 # SKIP nothing was tested\n"


def test_tap_of_a_run_of_many_checks_tells_its_output_of_none() -> None:
    bundle = Bundle(argv=("pytest",), stdout="all of it", alone=False)
    assert b"all of it" not in tap.document([suite(check("x", FAILED, "why", bundle=bundle))])


#: A line of TAP as dsci writes it.
POINT = re.compile(
    r"(?P<not>not )?ok (?P<number>[0-9]+) - (?:[^#\\]|\\[#\\])*(?: # SKIP (?P<why>(?:[^#\\]|\\[#\\])*))?\Z"
)
YAML = re.compile(r"  (?:---|\.\.\.|[a-z_]+: (?:\"(?:[^\"\\]|\\.)*\"|[0-9]+|true))\Z")


@given(REPORTS)
@hypothesis(max_examples=examples(120), deadline=None)
def test_no_output_becomes_a_line_of_tap(reports: list[SuiteReport]) -> None:
    lines = tap.document(reports).decode().split("\n")
    wanted = [check for report in reports for check in report.accounted.checks]
    assert lines.pop() == "" and lines.pop(0) == "TAP version 13"
    assert int(lines.pop(0).partition(" ")[0].removeprefix("1..")) == len(wanted)
    points = [POINT.match(line) for line in lines if not YAML.match(line)]
    assert [bool(point and point["not"]) for point in points] == [item.verdict is FAILED for item in wanted]
    assert [point is not None and point["why"] is not None for point in points] == [
        item.verdict is SKIPPED for item in wanted
    ]
    assert [point and int(point["number"]) for point in points] == list(range(1, len(wanted) + 1))
