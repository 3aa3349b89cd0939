"""Scans before a release: what is vulnerable is held back, and what could not be told is what the policy says it is.

A program stands in trivy's place: the real one cannot be installed where these tests run, and has no database there.
"""

from __future__ import annotations

import json
import os

import pytest
from tests.e2e.conftest import Project, outcomes, released

pytestmark = pytest.mark.engine

CLEAN = {"SchemaVersion": 2, "Results": [{"Target": "debian"}]}
FOUND = {"VulnerabilityID": "CVE-2024-1", "PkgName": "openssl", "FixedVersion": "3.1", "Severity": "CRITICAL"}
VULNERABLE = {"SchemaVersion": 2, "Results": [{"Target": "debian", "Vulnerabilities": [FOUND]}]}


def test_what_a_scan_says_decides_what_is_claimed(tiny: Project) -> None:
    program = tiny.folder.parent / "bin" / "trivy"
    program.parent.mkdir()

    def answer(body: str) -> None:
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)

    def saying(report: object) -> str:
        return f"echo '{json.dumps(report)}'"

    tiny.push("feat: scanned", {"dsci.yaml": "scan: {policy: fail, tool: trivy, unknown: fail}\n"})
    ended = tiny.dsci("release", "--json", code=2)
    assert "trivy is not on PATH" in ended.stderr, "it is said before anything is built"

    tiny.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    answer("echo 'FATAL failed to download vulnerability DB: TOOMANYREQUESTS' >&2; exit 1")
    ended = tiny.dsci("release", "--json", code=1)
    assert {outcomes(ended)[f"{name} scan"] for name in ("base", "ml")} == {"failed"}
    assert "could not tell: trivy ended with 1: FATAL failed" in ended.stdout
    assert tiny.tags() == set() and tiny.images("base") == set()

    answer(saying(VULNERABLE))
    ended = tiny.dsci("release", "--json", code=1)
    assert "CVE-2024-1 in openssl" in ended.stdout and tiny.tags() == set()
    assert "base build" not in outcomes(ended), "what was built is not built again"

    # The same findings, where nobody is held back for them.
    tiny.push("chore: only tell", {"dsci.yaml": "scan: {policy: warn}\n"})
    document = tiny.folder.parent / "scanning.json"
    for_gitlab = ("--report", f"container-scanning={document}")
    ended = tiny.dsci("release", "--json", *for_gitlab)
    assert set(released(ended)) == {"base", "ml"}
    told = json.loads(document.read_text())
    assert tiny.registry is not None
    where = {f"{tiny.registry.address}/{tiny.prefix}/{name}:0.1.0" for name in ("base", "ml")}
    assert {each["location"]["image"] for each in told["vulnerabilities"]} == where
    assert {each["identifiers"][0]["value"] for each in told["vulnerabilities"]} == {"CVE-2024-1"}
    assert ended.json["scans"][0]["scanned"]["found"][0]["package"] == "openssl"
    assert outcomes(ended)["ml scan"] == "skipped" and "CVE-2024-1" in ended.stderr
    # Nothing is to be released now, so nothing is scanned, and no report says that there is nothing.
    document.unlink()
    ended = tiny.dsci("release", *for_gitlab)
    assert "nothing was to be released, and so nothing was scanned" in ended.stderr and not document.exists()

    answer(saying(CLEAN))
    tiny.push("fix: another model", {"images/ml/model.txt": "v2\n"})
    ended = tiny.dsci("release", "--json")
    assert set(released(ended)) == {"ml"}
    assert {name: status for name, status in outcomes(ended).items() if "scan" in name} == {"ml scan": "ok"}
    # Where nothing scans, there is nothing to report of what is released.
    tiny.push("fix: a third model", {"images/ml/model.txt": "v3\n", "dsci.yaml": "scan: {policy: off}\n"})
    ended = tiny.dsci("release", *for_gitlab, code=2)
    assert "nothing was scanned, so there is nothing to report" in ended.stderr and not document.exists()
