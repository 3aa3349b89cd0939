"""What scans before a release found, as GitLab's container scanning report.

It is written of what was scanned alone: GitLab takes a report without findings for an image without vulnerabilities,
so a run that scanned nothing writes none. Where the scanner could not tell, the report says so and is a failure.

Source: https://gitlab.com/gitlab-org/security-products/security-report-schemas, version 15.0.7
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from dsci.model.report import Report
from dsci.model.scan import Found, ScanReport
from dsci.model.text import line

_VERSION = "15.0.7"
_SCHEMA = (
    "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw/"
    f"v{_VERSION}/dist/container-scanning-report-format.json"
)
_SEVERITIES = {"critical": "Critical", "high": "High", "medium": "Medium", "low": "Low", "negligible": "Low"}
_VENDORS = {"trivy": "Aqua Security", "grype": "Anchore"}
_NAME, _TEXT = 255, 1_000


def document(report: Report, *, now: int, version: str) -> bytes:
    """The report of a run that ended `now`; `version` is dsci's own."""
    found = [entry for scan in report.scans for entry in _vulnerabilities(report, scan)]
    value = {
        "version": _VERSION,
        "schema": _SCHEMA,
        "scan": _scan(report, now, version),
        # Of one that is on several platforms every platform's image has it.
        "vulnerabilities": list({entry["id"]: entry for entry in found}.values()),
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _scan(report: Report, now: int, version: str) -> dict[str, Any]:
    tools = sorted({scan.scanned.tool for scan in report.scans})
    known = next((scan.scanned.version for scan in report.scans if scan.scanned.version), "")
    blind = [scan for scan in report.scans if scan.scanned.problem]
    problems = [f"{scan.target}: could not tell: {scan.scanned.problem}" for scan in blind]
    return {
        "analyzer": {"id": "dsci", "name": "dsci", "version": version, "vendor": {"name": "dsci"}},
        "scanner": {
            "id": tools[0] if tools else "none",
            "name": " and ".join(tools) or "none",
            "version": line(known, _NAME) or "unknown",
            "vendor": {"name": _VENDORS.get(tools[0] if tools else "", "unknown")},
        },
        "type": "container_scanning",
        "start_time": _moment(now - int(report.seconds)),
        "end_time": _moment(now),
        "status": "failure" if problems else "success",
        "messages": [{"level": "warn", "value": line(text, _TEXT)} for text in problems],
    }


def _moment(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _vulnerabilities(report: Report, scan: ScanReport) -> Iterator[dict[str, Any]]:
    image = _image(report, scan)
    system = line(scan.scanned.system, _NAME) or "unknown"
    for each in dict.fromkeys(scan.scanned.found):
        identifier = line(each.id, _NAME) or "unknown"
        package, version = line(each.package, _NAME), line(each.version, _NAME)
        same = "\0".join((image, identifier, package, version)).encode(errors="replace")
        yield {
            "id": hashlib.sha256(same).hexdigest(),
            "name": line(f"{identifier} in {package}", _NAME),
            "severity": _SEVERITIES.get(each.severity, "Unknown"),
            "solution": line(_solution(each), _TEXT),
            "identifiers": [
                {"type": _kind(identifier), "name": identifier, "value": identifier, **_address(identifier)}
            ],
            "location": {
                "dependency": {"package": {"name": package}, "version": version},
                "operating_system": system,
                "image": image,
            },
        }


def _image(report: Report, scan: ScanReport) -> str:
    """The image by the version that it is released under, else by its digest."""
    repository = scan.image.partition("@")[0]
    name = scan.target.partition("@")[0]
    version = next((item.version for item in report.plan.releases if name in item.members), "")
    return line(f"{repository}:{version}" if version else scan.image, _TEXT)


def _solution(each: Found) -> str:
    return f"Upgrade {each.package} to {each.fixed}" if each.fixed else "No version of the package has it fixed"


def _kind(identifier: str) -> str:
    return identifier.partition("-")[0].lower() or "unknown"


def _address(identifier: str) -> dict[str, str]:
    known = identifier.replace("-", "").isalnum() and identifier.isascii()
    if known and identifier.startswith("CVE-"):
        return {"url": f"https://nvd.nist.gov/vuln/detail/{identifier}"}
    if known and identifier.startswith("GHSA-"):
        return {"url": f"https://github.com/advisories/{identifier}"}
    return {}
