"""Scans have three ends, and a report that cannot be read, or knows nothing, is never the good one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsci.model.scan import Found, Scanned, State, judge, read
from dsci.model.settings import ScanSettings

FAIL = ScanSettings(policy="fail")
TRIVY: dict[str, Any] = {
    "SchemaVersion": 2,
    "ArtifactName": "image",
    "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
    "Results": [
        {
            "Target": "image (debian 12.5)",
            "Class": "os-pkgs",
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2024-0001",
                    "PkgName": "openssl",
                    "InstalledVersion": "3.0.11-1",
                    "FixedVersion": "3.0.13-1",
                    "Severity": "HIGH",
                },
                {
                    "VulnerabilityID": "CVE-2024-0002",
                    "PkgName": "zlib1g",
                    "InstalledVersion": "1.2.13",
                    "Severity": "CRITICAL",
                },
            ],
        },
        {"Target": "Python", "Class": "lang-pkgs", "Vulnerabilities": None},
    ],
}
GRYPE: dict[str, Any] = {
    "matches": [
        {
            "vulnerability": {
                "id": "GHSA-1",
                "severity": "Medium",
                "fix": {"versions": ["2.0"], "state": "fixed"},
            },
            "artifact": {"name": "requests", "version": "1.0", "type": "python"},
        },
        {
            "vulnerability": {"id": "CVE-1", "severity": "Negligible", "fix": {"versions": [], "state": "wont-fix"}},
            "artifact": {"name": "bash", "version": "5"},
        },
        {"vulnerability": {"id": "CVE-2"}, "artifact": {"name": "tar"}},
    ],
    "distro": {"name": "debian", "version": "12"},
}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("tool", "report", "version", "system"),
    [
        ("trivy", TRIVY | {"Trivy": {"Version": "0.60.0"}}, "0.60.0", "debian 12.5"),
        ("trivy", {"SchemaVersion": 2, "Results": [{"Target": "x"}]}, "", ""),
        ("grype", GRYPE | {"descriptor": {"name": "grype", "version": "0.84.0"}}, "0.84.0", "debian 12"),
        ("grype", {"matches": [], "distro": {"name": "wolfi"}}, "", "wolfi"),
        ("grype", {"matches": []}, "", ""),
    ],
)
def test_what_looked_and_at_what(tool: Any, report: dict[str, Any], version: str, system: str) -> None:
    scanned = read(tool, encoded(report))
    assert (scanned.version, scanned.system) == (version, system)


def test_trivy() -> None:
    scanned = read("trivy", encoded(TRIVY))
    assert scanned.problem == ""
    assert [each.severity for each in scanned.found] == ["high", "critical"]
    judged = judge(scanned, FAIL)
    assert (judged.state, judged.holds_back) == (State.VULNERABLE, True)
    assert judged.story == "1 high or worse (trivy): CVE-2024-0001 in openssl 3.0.11-1 (fixed in 3.0.13-1)"
    both = judge(scanned, ScanSettings(policy="warn", unfixed=True))
    assert not both.holds_back and both.story.startswith("2 high or worse (trivy): CVE-2024-0002 in zlib1g 1.2.13, CVE")
    clean = judge(scanned, ScanSettings(policy="fail", severity="critical"))
    assert (clean.state, clean.holds_back, clean.story) == (State.CLEAN, False, "clean (trivy, 2 that do not count)")


def test_grype() -> None:
    scanned = read("grype", encoded(GRYPE))
    assert [(each.severity, each.fixed) for each in scanned.found] == [("medium", "2.0"), ("negligible", ""), ("", "")]
    assert judge(scanned, FAIL).state is State.CLEAN
    assert judge(scanned, ScanSettings(policy="fail", severity="medium")).holds_back


@pytest.mark.parametrize(
    ("tool", "report", "why"),
    [
        ("trivy", b"", "no report"),
        ("trivy", b"2024 FATAL could not download", "no report"),
        ("trivy", b"{}", "no report"),
        ("trivy", b"[" * 100_000, "no report"),
        ("trivy", b'{"SchemaVersion": 2, "Results": "none"}', "no report"),
        ("trivy", b'{"SchemaVersion": 2}', "nothing in the image that it knows"),
        ("trivy", encoded(TRIVY | {"Results": [], "Metadata": {}}), "nothing in the image that it knows"),
        (
            "trivy",
            encoded(
                TRIVY
                | {
                    "Results": [{"Target": "x"}],
                    "Metadata": {"OS": {"Family": "debian", "Name": "8", "EOSL": True}},
                }
            ),
            "debian 8 is past its end",
        ),
        ("grype", b"{}", "no report"),
        ("grype", b'{"matches": []}', "knows nothing"),
        ("grype", b'{"matches": [], "distro": {"name": ""}}', "knows nothing"),
    ],
)
def test_what_tells_nothing_is_neither_clean_nor_vulnerable(tool: Any, report: bytes, why: str) -> None:
    scanned = read(tool, report)
    assert why in scanned.problem
    for settings, holds_back in (
        (FAIL, False),
        (ScanSettings(policy="warn", unknown="fail"), False),
        (ScanSettings(policy="fail", unknown="fail"), True),
    ):
        judged = judge(scanned, settings)
        assert (judged.state, judged.holds_back) == (State.UNKNOWN, holds_back)
        assert judged.story.startswith("could not tell: ")


def test_an_image_without_findings_is_clean() -> None:
    assert judge(read("grype", b'{"matches": [], "distro": {"name": "debian"}}'), FAIL).story == "clean (grype)"


def test_what_was_found_counts_although_the_rest_could_not_be_told() -> None:
    found = Found(id="CVE-1", package="x", version="1", severity="critical", fixed="2")
    assert judge(Scanned(tool="trivy", found=(found,), problem="past its end"), FAIL).state is State.VULNERABLE


def test_a_long_list_is_cut_and_nothing_is_told_twice() -> None:
    many = tuple(Found(id=f"CVE-{n}", package="x", version="1", severity="high", fixed="2") for n in range(8))
    story = judge(Scanned(tool="trivy", found=many + many), FAIL).story
    assert story.startswith("8 high or worse") and story.endswith(" and 3 more")
