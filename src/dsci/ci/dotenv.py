"""What a run came to, as variables for GitLab's later jobs: `artifacts: reports: dotenv`.

GitLab takes 5 kB and, by default, 20 variables; values have no blanks, quotes or line breaks, so lists are joined by
commas. What does not fit or could not be read is left out whole, and counted.

Source: https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dsci.ci import outputs
from dsci.model.report import Report

LIMIT = 5_000
"""Bytes of the whole file."""
_LIST = 1_500
"""Bytes of one list."""
_SAFE = re.compile(r"\A[A-Za-z0-9._:/@=+-]+\Z")


def document(report: Report) -> bytes:
    """The variables, a line each."""
    digests = outputs.digests_of_releases(report) or outputs.digests_of_targets(report)
    values = {
        "DSCI_FAILED": "true" if report.failed else "false",
        "DSCI_RELEASED": "true" if report.released else "false",
    }
    if _SAFE.match(report.plan.commit):
        values["DSCI_COMMIT"] = report.plan.commit
    for name, items in (
        ("VERSIONS", (f"{image}={version}" for image, version in outputs.versions(report).items())),
        ("TAGS", outputs.tags(report)),
        ("DIGESTS", (f"{subject}={digest}" for subject, digest in digests.items())),
    ):
        values |= _list(f"DSCI_{name}", items)
    return "".join(f"{name}={value}\n" for name, value in values.items()).encode("ascii")


def _list(name: str, items: Iterable[str]) -> dict[str, str]:
    """A list, and under another name how many of it are left out."""
    kept: list[str] = []
    room, left = _LIST, 0
    for item in items:
        if _SAFE.match(item) and len(item) < room:
            kept.append(item)
            room -= len(item) + 1
        else:
            left += 1
    return {name: ",".join(kept)} | ({f"{name}_LEFT_OUT": str(left)} if left else {})
