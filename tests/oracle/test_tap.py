"""TAP as others read it: Perl's own harness, and tap.py with a real parser of YAML."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from tap.parser import Parser
from tests.model.sampling import examples
from tests.reportsamples import ALL, REPORTS, suite

from dsci.model import tap
from dsci.model.report import Check, SuiteReport, Verdict

#: What TAP::Parser makes of a stream: a line for each check, then what it found wrong with the stream itself.
READER = r"""
use TAP::Parser;
my $parser = TAP::Parser->new({ tap => do { local $/; <STDIN> } });
while (my $result = $parser->next) {
    next unless $result->is_test;
    print $result->is_ok ? "ok" : "not ok", $result->has_skip ? " skip" : "", "\n";
}
print "plan ", $parser->tests_planned // "", "\n", map { "wrong: $_\n" } $parser->parse_errors;
"""


def perl(document: bytes) -> list[str]:
    read = subprocess.run(["perl", "-e", READER], input=document, capture_output=True, check=True)
    return read.stdout.decode(errors="replace").splitlines()


def wanted(reports: list[SuiteReport]) -> list[str]:
    words = {Verdict.PASSED: "ok", Verdict.FAILED: "not ok", Verdict.SKIPPED: "ok skip"}
    return [words[check.verdict] for report in reports for check in report.accounted.checks]


@given(REPORTS)
@hypothesis(max_examples=examples(100), deadline=None)
def test_perl_reads_every_check(reports: list[SuiteReport]) -> None:
    points = wanted(reports)
    assert perl(tap.document(reports)) == [*points, f"plan {len(points)}"]


@given(REPORTS)
@hypothesis(max_examples=examples(100), deadline=None)
def test_a_parser_of_yaml_reads_what_was_told(reports: list[SuiteReport]) -> None:
    found = [line for line in Parser().parse_text(tap.document(reports).decode()) if line.category == "test"]
    checks = [(report, check) for report in reports for check in report.accounted.checks]
    assert [line.ok for line in found] == [check.verdict is not Verdict.FAILED for _, check in checks]
    for line, (report, check) in zip(found, checks, strict=True):
        # tap.py takes an escaped number sign for the beginning of a directive.
        if "#" not in f"{report.target}{report.suite}{check.name}":
            assert line.skip is (check.verdict is Verdict.SKIPPED)
        if check.verdict is Verdict.FAILED:
            assert not line.skip and not line.todo
        if check.verdict is Verdict.FAILED or check.flaky:
            assert line.yaml_block is not None and "detail" in line.yaml_block


@pytest.mark.parametrize(("checks", "code"), [(ALL[:1], 0), (ALL, 1)])
def test_perl_s_harness_ends_as_the_checks_did(checks: tuple[Check, ...], code: int, tmp_path: Path) -> None:
    (tmp_path / "report.tap").write_bytes(tap.document([suite(*checks)]))
    ended = subprocess.run(["prove", "--exec", "cat", "report.tap"], cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == code, ended.stdout
    assert b"Parse errors" not in ended.stdout


@pytest.mark.parametrize("text", ["x # SKIP", "x #todo", "x ## skip", "\\# SKIP", "1..2", "Bail out!", "ok 1"])
def test_what_failed_is_not_taken_for_skipped(text: str) -> None:
    document = tap.document([suite(Check(name=text, verdict=Verdict.FAILED, detail=text))])
    assert perl(document) == ["not ok", "plan 1"]
    (line,) = [line for line in Parser().parse_text(document.decode()) if line.category == "test"]
    assert (line.ok, line.skip, bool(line.todo)) == (False, False, False)
