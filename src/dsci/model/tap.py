"""What suites found, in the Test Anything Protocol: a line for each check, and YAML below what is to be explained.

Everything in it means the same in versions 13 and 14. It says 13, because Perl's harness refuses a later one; and each
text is a string in double quotes on a line of its own, which that harness reads as well as a parser of YAML.

Sources: https://testanything.org/tap-version-14-specification.html, https://metacpan.org/pod/TAP::Parser::YAMLish::Reader
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from dsci.model.report import Check, SuiteReport, Verdict
from dsci.model.text import clean, line

_NAME, _TEXT = 500, 8_000


def document(reports: Iterable[SuiteReport]) -> bytes:
    """All of them as one list of checks, each by its target, its suite and its name."""
    checks = [(report, check) for report in reports for check in report.accounted.checks]
    lines = ["TAP version 13", f"1..{len(checks)}" + ("" if checks else " # SKIP nothing was tested")]
    for number, (report, check) in enumerate(checks, 1):
        lines += _point(number, f"{report.target} {report.suite}: {check.name}", check)
    return ("\n".join(lines) + "\n").encode()


def _point(number: int, name: str, check: Check) -> list[str]:
    result = "not ok" if check.verdict is Verdict.FAILED else "ok"
    skipped = f" # SKIP {_plain(check.detail)}" if check.verdict is Verdict.SKIPPED else ""
    lines = [f"{result} {number} - {_plain(name)}{skipped}"]
    if check.verdict is Verdict.FAILED or check.flaky:
        lines += ["  ---", *(f"  {key}: {value}" for key, value in _told(check).items()), "  ..."]
    return lines


def _told(check: Check) -> Mapping[str, str]:
    """What is to be known of a check, as YAML on one line each."""
    told = {"message": _quoted(line(check.detail.strip().partition("\n")[0], _NAME)), "detail": _quoted(check.detail)}
    told |= {"duration_ms": f"{check.seconds * 1000:.0f}"}
    if check.flaky:
        told |= {"flaky": "true", "attempts": str(check.attempts)}
    if (bundle := check.bundle) is not None:
        told |= {"ended": _quoted(bundle.ended), "image": _quoted(bundle.image), "replay": _quoted(bundle.replay)}
        if bundle.alone:
            told |= {"stdout": _quoted(bundle.stdout), "stderr": _quoted(bundle.stderr)}
    return told


#: Not every harness knows that a number sign may be escaped: what failed must not be taken for skipped.
_DIRECTIVE = re.compile(r"#(?=[\s#]*(?:skip|todo))", re.IGNORECASE)


def _plain(text: str) -> str:
    """One line in which no number sign begins a directive."""
    return _DIRECTIVE.sub("", line(text, _NAME)).replace("\\", "\\\\").replace("#", "\\#")


def _quoted(text: str) -> str:
    """Text as YAML; of the signs that end a line there only the usual one stays."""
    text = clean(text, _TEXT).replace("\u2028", "\n").replace("\u2029", "\n")
    return json.dumps(text, ensure_ascii=False)
