"""What failed, as GitLab's code quality report: it is shown in merge requests, at the files that it names.

GitLab passes over what names no file. A check that knows none (an image that could not be built) stands at
`dsci.yaml`, and its description says what it is about.

Source: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dsci.ci.place import is_inside, place_of
from dsci.model.report import Check, SuiteReport, Verdict
from dsci.model.text import clean, line

_NOWHERE = "dsci.yaml"
_DESCRIPTION, _NAME = 1_000, 200


def document(reports: Iterable[SuiteReport]) -> bytes:
    """The report: an entry for each check that failed, and for each that passed only when it was tried again."""
    return msgspec.json.format(msgspec.json.encode(list(_entries(reports))), indent=2) + b"\n"


def _entries(reports: Iterable[SuiteReport]) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    for report in reports:
        for check in report.accounted.checks:
            if check.verdict is Verdict.FAILED or check.flaky:
                print_ = _fingerprint(report, check)
                seen[print_] = seen.get(print_, 0) + 1
                # GitLab keeps one of those that have the same.
                again = hashlib.sha256(f"{print_} {seen[print_]}".encode()).hexdigest()
                yield _entry(report, check, again)


def _entry(report: SuiteReport, check: Check, fingerprint: str) -> dict[str, Any]:
    first = clean(check.detail, _DESCRIPTION).strip().partition("\n")[0]
    how = f"passed at attempt {check.attempts}: {first}" if check.flaky else first or "failed"
    return {
        "description": line(f"{report.target} {report.suite}: {check.name}: {how}", _DESCRIPTION),
        "check_name": line(f"{report.suite}: {check.name}", _NAME),
        "fingerprint": fingerprint,
        "severity": "minor" if check.flaky else "major",
        "location": _location(check),
    }


def _location(check: Check) -> dict[str, Any]:
    file, number = place_of(check)
    path = file.removeprefix("./")
    known = bool(path) and is_inside(path)
    return {"path": path if known else _NOWHERE, "lines": {"begin": max(1, (number or 1) if known else 1)}}


def _fingerprint(report: SuiteReport, check: Check) -> str:
    """What is the same as long as the same check fails, whatever it says and wherever its line moves."""
    words = (report.target, report.suite, check.name, check.file, "flaky" if check.flaky else "failed")
    return hashlib.sha256("\0".join(words).encode(errors="replace")).hexdigest()
