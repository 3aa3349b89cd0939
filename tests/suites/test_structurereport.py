"""container-structure-test's shapes, word for word; whatever a test prints, they can be read."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.suites import structurereport
from dsci.suites.finding import Finding

GOOD = Finding(name="Command Test: a", stdout="hi\n", seconds=0.25)
BAD = Finding(name="File Existence Test: b", problems=("/x is not there", "and <more>"), stderr="err", seconds=1.5)


def test_json_is_one_line_in_its_own_order() -> None:
    assert structurereport.to_json([GOOD, BAD]) == (
        '{"Pass":1,"Fail":1,"Total":2,"Duration":1750000000,"Results":['
        '{"Name":"Command Test: a","Pass":true,"Stdout":"hi\\n","Duration":250000000},'
        '{"Name":"File Existence Test: b","Pass":false,"Stderr":"err",'
        '"Errors":["/x is not there","and \\u003cmore\\u003e"],"Duration":1500000000}]}\n'
    )
    assert structurereport.to_json([]) == '{"Pass":0,"Fail":0,"Total":0,"Duration":0}\n'


def test_junit_is_one_line_in_its_own_order() -> None:
    assert structurereport.to_junit([GOOD, BAD]) == (
        '<?xml version="1.0" encoding="UTF-8"?><testsuites failures="1" tests="2" time="1.75">'
        '<testsuite name="container-structure-test.test">'
        '<testcase name="Command Test: a" time="0.25"><system-out>hi\n</system-out></testcase>'
        '<testcase name="File Existence Test: b" time="1.5"><failure>/x is not there</failure>'
        "<failure>and &lt;more&gt;</failure><system-err>err</system-err></testcase></testsuite></testsuites>\n"
    )
    assert '<testsuite name="my &quot;suite&quot;">' in structurereport.to_junit([GOOD], 'my "suite"')


def test_text_for_people() -> None:
    rule = "=" * len("====== Test file: a.yaml ======")
    assert structurereport.banner("a.yaml", color=False) == f"\n{rule}\n====== Test file: a.yaml ======\n{rule}\n"
    assert structurereport.to_text(GOOD, color=False) == (
        "=== RUN: Command Test: a\n--- PASS\nduration: 250ms\nstdout: hi\n\n"
    )
    assert structurereport.to_text(BAD, color=True) == (
        "=== RUN: File Existence Test: b\n\x1b[31m--- FAIL\x1b[0m\nduration: 1.5s\n\x1b[34mstderr: err\x1b[0m\n"
        "\x1b[33mError: /x is not there\x1b[0m\n\x1b[33mError: and <more>\x1b[0m\n"
    )
    assert structurereport.closing([GOOD, BAD], color=False) == (
        "\n===========================\n========= RESULTS =========\n===========================\n"
        "Passes:      1\nFailures:    1\nDuration:    1.75s\nTotal tests: 2\n\nFAIL\n"
    )
    assert structurereport.closing([], color=False) == "No tests run! Check config file format.\n"
    assert structurereport.closing([GOOD], color=False).endswith("\nPASS\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1e-9, "1ns"),
        (1.5e-6, "1.5µs"),
        (0.0025, "2.5ms"),
        (0.999999999, "999.999999ms"),
        (1, "1s"),
        (61.25, "1m1.25s"),
        (3600, "1h0m0s"),
        (7325.5, "2h2m5.5s"),
    ],
)
def test_durations_as_go_writes_them(seconds: float, text: str) -> None:
    assert structurereport.duration(seconds) == text


@given(
    st.text(alphabet=st.characters(codec=None), max_size=30), st.text(alphabet=st.characters(codec=None), max_size=30)
)
def test_whatever_is_printed_can_be_read(name: str, text: str) -> None:
    findings = [Finding(name=name, problems=(text,), stdout=text, stderr=text)]
    json.loads(structurereport.to_json(findings).encode())
    root = ElementTree.fromstring(structurereport.to_junit(findings, name).encode())
    assert [child.tag for child in root.iter("testcase")] == ["testcase"]
    "".join((structurereport.to_text(findings[0], color=False), structurereport.banner(name, color=True))).encode()
