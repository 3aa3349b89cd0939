"""What GitLab reads: sections of a log, code quality, variables and container scanning, as its own rules have them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft7Validator
from msgspec.structs import replace

from dsci.ci import codequality, containerscanning, dotenv, sections
from dsci.model.report import Check, Report, Status, SuiteReport, Verdict
from dsci.model.scan import Found, Scanned, ScanReport
from tests.ci.reports import DIGEST, OTHER, failing, outcome, plan, publication, release, target
from tests.hostile import HOSTILE

# ------------------------------------------------------------------------------------------------------ sections

MARK = re.compile(
    r"\x1b\[0Ksection_(?P<what>start|end):(?P<when>[0-9]+):(?P<name>[A-Za-z0-9_.-]+)(?:\[collapsed=true\])?\r\x1b\[0K"
)


@pytest.mark.parametrize("title", HOSTILE)
def test_a_section_is_opened_and_closed_whatever_its_title_is(title: str) -> None:
    text = sections.section(title, "one\ntwo", number="7", now=1_700_000_000)
    start, end = MARK.finditer(text)
    assert (start["what"], end["what"]) == ("start", "end")
    assert start["name"] == end["name"] and start["name"].startswith("dsci_") and len(start["name"]) < 60
    head, *body = text[start.end() : end.start()].split("\n")
    assert body == ["one", "two", ""] and "\x1b" not in head and "\r" not in head


def test_no_two_sections_have_one_name() -> None:
    assert len({sections.name("plan", str(number)) for number in range(20)}) == 20


# -------------------------------------------------------------------------------------------------- code quality

#: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
QUALITY: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./|/)(?!.*(^|/)\.\.(/|$))[^\n\r]+$"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


def quality(report: Report) -> list[dict[str, Any]]:
    found = json.loads(codequality.document(report.failures))
    Draft7Validator(QUALITY).validate(found)
    assert len({item["fingerprint"] for item in found}) == len(found)
    return list(found)


def test_code_quality_names_what_failed_and_what_is_flaky() -> None:
    checks = (
        Check(name="bad", verdict=Verdict.FAILED, detail="first\nsecond", file="images/ml/suites/a.yaml", line=7),
        Check(name="good", verdict=Verdict.PASSED),
        Check(name="now and then", verdict=Verdict.PASSED, attempts=2, detail="timed out"),
        Check(name="left out", verdict=Verdict.SKIPPED, detail="no GPU"),
    )
    report = Report(plan=plan(), suites=(SuiteReport(target="ml@x", suite="ml/a", checks=checks),))
    bad, flaky = quality(report)
    assert bad["description"] == "ml@x ml/a: bad: first"
    assert bad["location"] == {"path": "images/ml/suites/a.yaml", "lines": {"begin": 7}}
    assert (bad["severity"], flaky["severity"]) == ("major", "minor")
    assert flaky["description"].endswith("passed at attempt 2: timed out")


def test_what_could_not_be_built_is_among_it() -> None:
    report = Report(plan=plan(), outcomes=(outcome("ml@x", status=Status.FAILED, detail="no such file"),))
    (entry,) = quality(report)
    assert entry["location"] == {"path": "dsci.yaml", "lines": {"begin": 1}}
    assert entry["description"] == "ml@x build: build: no such file"
    told = Report(
        plan=plan(), outcomes=(outcome("ml@x", status=Status.FAILED, detail="ml/Dockerfile:7: no such file"),)
    )
    assert quality(told)[0]["location"] == {"path": "ml/Dockerfile", "lines": {"begin": 7}}
    held = Report(plan=plan(), outcomes=(outcome("ml@x", status=Status.BLOCKED),))
    assert quality(held) == [], "what is only held back has nothing to mend"
    assert quality(Report(plan=plan())) == []


def test_the_same_failure_has_the_same_fingerprint_and_two_have_two() -> None:
    twice = failing("one", "one", detail="at 12:00", file="a.py", line=3)
    first, second = quality(twice)
    again = quality(failing("one", "one", detail="at 13:00", file="a.py", line=9))
    assert [item["fingerprint"] for item in again] == [first["fingerprint"], second["fingerprint"]]


@pytest.mark.parametrize("text", HOSTILE)
def test_code_quality_stays_what_it_is(text: str) -> None:
    quality(failing(text, detail=text, file=text, line=0))


# --------------------------------------------------------------------------------------------------------- dotenv


def variables(report: Report) -> dict[str, str]:
    """The variables as GitLab reads them: `^(.*?)=(.*)$`, a name of letters, digits and `_`, 5 kB, 20 of them."""
    content = dotenv.document(report)
    assert len(content) <= 5_000
    found: dict[str, str] = {}
    for text in content.decode("ascii").splitlines():
        name, _, value = text.partition("=")
        assert re.fullmatch("[A-Z_]+", name) and name not in found
        assert not re.search(r"[\s'\"]", value)
        found[name] = value
    assert 0 < len(found) < 20
    return found


def test_variables_say_what_was_released() -> None:
    report = Report(
        plan=plan(releases=(release("ml", "1.2.0", ("1.2.0", "1.2")), release("base", "0.1.0+1", ("0.1.0_1",)))),
        released=("ml-v1.2.0", "base-v0.1.0+1"),
        publications=(
            publication("ml", "1.2.0", "ghcr.io/acme/ml:1.2.0"),
            publication("base", "0.1.0+1", "ghcr.io/acme/base:0.1.0_1", OTHER),
        ),
    )
    assert variables(report) == {
        "DSCI_FAILED": "false",
        "DSCI_RELEASED": "true",
        "DSCI_COMMIT": report.plan.commit,
        "DSCI_VERSIONS": "ml=1.2.0,base=0.1.0+1",
        "DSCI_TAGS": "ghcr.io/acme/ml:1.2.0,ghcr.io/acme/base:0.1.0_1",
        "DSCI_DIGESTS": f"ghcr.io/acme/base={OTHER},ghcr.io/acme/ml={DIGEST}",
    }


def test_variables_of_work_have_the_digests_of_targets() -> None:
    report = Report(plan=plan(target("ml")), outcomes=(outcome("ml@linux/amd64", digest=DIGEST),))
    found = variables(report)
    assert found["DSCI_DIGESTS"] == f"ml@linux/amd64={DIGEST}" and found["DSCI_VERSIONS"] == ""
    assert variables(failing("x"))["DSCI_FAILED"] == "true"


def test_what_does_not_fit_is_counted() -> None:
    names = [f"image-{n:03}" for n in range(300)]
    report = Report(
        plan=plan(releases=tuple(release(name, "1.0.0", ("1.0.0",)) for name in names)),
        released=tuple(f"{name}-v1.0.0" for name in names),
        publications=tuple(publication(name, "1.0.0", f"ghcr.io/acme/{name}:1.0.0") for name in names),
    )
    found = variables(report)
    for name in ("DSCI_VERSIONS", "DSCI_TAGS", "DSCI_DIGESTS"):
        assert len(found[name].split(",")) + int(found[f"{name}_LEFT_OUT"]) == 300
    assert found["DSCI_VERSIONS"].startswith("image-000=1.0.0,image-001=1.0.0")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_sets_another_variable(text: str) -> None:
    report = Report(
        plan=replace(plan(releases=(release(text, text, (text,)),)), commit=text),
        released=(f"{text}-v{text}",),
        publications=(publication(text, text, f"{text}:{text}", text),),
    )
    found = variables(report)
    assert found["DSCI_FAILED"] == "false" and "OWNED" not in found.get("DSCI_VERSIONS", "").split("=")


# ---------------------------------------------------------------------------------------------- container scanning


def _text(**more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, **more}


def _thing(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


TOOL = _thing(
    *("id", "name", "version", "vendor"), id=_text(), name=_text(), version=_text(), vendor=_thing("name", name=_text())
)
MOMENT = _text(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")
#: What version 15.0.7 of GitLab's schema asks for of what is written here.
#: https://gitlab.com/gitlab-org/security-products/security-report-schemas
SCANNING = _thing(
    *("scan", "version", "vulnerabilities"),
    version=_text(pattern=r"^15\.[0-9]+\.[0-9]+$"),
    schema=_text(pattern="^https?://.+"),
    scan=_thing(
        *("analyzer", "end_time", "scanner", "start_time", "status", "type"),
        analyzer=TOOL,
        scanner=TOOL,
        start_time=MOMENT,
        end_time=MOMENT,
        status={"enum": ["success", "failure"]},
        type={"enum": ["container_scanning"]},
        messages={
            "type": "array",
            "items": _thing("level", "value", level={"enum": ["info", "warn", "fatal"]}, value=_text()),
        },
    ),
    vulnerabilities={
        "type": "array",
        "items": _thing(
            *("id", "identifiers", "location"),
            id=_text(),
            name={"type": "string", "maxLength": 255},
            severity={"enum": ["Info", "Unknown", "Low", "Medium", "High", "Critical"]},
            solution={"type": "string", "maxLength": 7_000},
            identifiers={
                "type": "array",
                "minItems": 1,
                "items": _thing(
                    *("type", "name", "value"),
                    type=_text(),
                    name=_text(),
                    value=_text(),
                    url=_text(pattern="^(https?|ftp)://.+"),
                ),
            },
            location=_thing(
                *("dependency", "operating_system", "image"),
                dependency=_thing(
                    *("package", "version"),
                    package=_thing("name", name={"type": "string"}),
                    version={"type": "string"},
                ),
                operating_system=_text(),
                image=_text(),
            ),
        ),
    },
)


def scanned(*found: Found, **more: Any) -> ScanReport:
    what = Scanned(**{"tool": "trivy", "found": found, "version": "0.58.1", "system": "debian 12.5"} | more)
    return ScanReport(target="ml@linux/amd64", image=f"ghcr.io/acme/ml@{DIGEST}", scanned=what)


def found(identifier: str = "CVE-2024-0001", **more: Any) -> Found:
    return Found(
        **{"id": identifier, "package": "openssl", "version": "3.0.11", "severity": "high", "fixed": "3.0.13"} | more
    )


def scanning(*scans: ScanReport) -> dict[str, Any]:
    report = Report(
        plan=plan(releases=(release("ml", "1.2.0", ("1.2.0",), members=("ml",)),)), scans=scans, seconds=61.5
    )
    value = json.loads(containerscanning.document(report, now=1_700_000_000, version="0.1.0"))
    Draft7Validator(SCANNING).validate(value)
    return dict(value)


def test_the_report_of_a_scan() -> None:
    value = scanning(scanned(found(), found("GHSA-abcd-1234", severity="negligible", fixed="", package="requests")))
    assert (value["scan"]["status"], value["scan"]["messages"]) == ("success", [])
    assert (value["scan"]["start_time"], value["scan"]["end_time"]) == ("2023-11-14T22:12:19", "2023-11-14T22:13:20")
    assert value["scan"]["scanner"] == {
        "id": "trivy",
        "name": "trivy",
        "version": "0.58.1",
        "vendor": {"name": "Aqua Security"},
    }
    first, second = value["vulnerabilities"]
    assert first["severity"] == "High" and first["solution"] == "Upgrade openssl to 3.0.13"
    assert first["location"] == {
        "dependency": {"package": {"name": "openssl"}, "version": "3.0.11"},
        "operating_system": "debian 12.5",
        "image": "ghcr.io/acme/ml:1.2.0",
    }
    assert first["identifiers"][0]["url"] == "https://nvd.nist.gov/vuln/detail/CVE-2024-0001"
    assert second["severity"] == "Low" and second["identifiers"][0]["type"] == "ghsa"


def test_the_same_on_two_platforms_is_told_once() -> None:
    other = replace(scanned(found()), target="ml@linux/arm64")
    assert len(scanning(scanned(found()), other)["vulnerabilities"]) == 1
    elsewhere = replace(scanned(found()), target="r@linux/amd64", image=f"ghcr.io/acme/r@{OTHER}")
    images = [item["location"]["image"] for item in scanning(scanned(found()), elsewhere)["vulnerabilities"]]
    assert images == ["ghcr.io/acme/ml:1.2.0", f"ghcr.io/acme/r@{OTHER}"]


def test_what_could_not_be_told_is_no_clean_image() -> None:
    value = scanning(scanned(tool="trivy or grype", problem="trivy is not on PATH", version="", system=""))
    assert (value["scan"]["status"], value["vulnerabilities"]) == ("failure", [])
    assert value["scan"]["messages"] == [
        {"level": "warn", "value": "ml@linux/amd64: could not tell: trivy is not on PATH"}
    ]
    assert value["scan"]["scanner"]["version"] == "unknown"


@pytest.mark.parametrize("text", HOSTILE)
def test_the_report_of_a_scan_stays_what_it_is(text: str) -> None:
    scanning(scanned(found(text, package=text, version=text, severity=text, fixed=text), problem=text, system=text))


def test_the_schemas_can_say_no() -> None:
    assert list(Draft7Validator(SCANNING).iter_errors({"version": "14.0.0", "scan": {}, "vulnerabilities": [{}]}))
    assert list(Draft7Validator(QUALITY).iter_errors([{"description": "x"}]))
