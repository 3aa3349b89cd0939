"""What container-structure-test prints of its tests: text, JSON and JUnit XML, in its own shapes.

Text that a container printed is foreign: in XML and in text it is stripped of what neither may hold.

Source: https://github.com/GoogleContainerTools/container-structure-test/blob/main/pkg/output/output.go
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from dsci.model.text import clean, whole
from dsci.suites.finding import Finding

JUNIT_SUITE = "container-structure-test.test"
_WIDTH = 27
_COLORS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "purple": 35, "cyan": 36}


def to_json(findings: Sequence[Finding]) -> str:
    """One object: `Pass`, `Fail`, `Total`, `Duration` (nanoseconds) and `Results`."""
    results = []
    for finding in findings:
        item: dict[str, object] = {"Name": finding.name, "Pass": not finding.problems}
        item |= {"Stdout": whole(finding.stdout)} if finding.stdout else {}
        item |= {"Stderr": whole(finding.stderr)} if finding.stderr else {}
        item |= {"Errors": [whole(text) for text in finding.problems]} if finding.problems else {}
        results.append(item | {"Duration": _nanoseconds(finding.seconds)})
    failed = sum(bool(finding.problems) for finding in findings)
    summary: dict[str, object] = {
        "Pass": len(findings) - failed,
        "Fail": failed,
        "Total": len(findings),
        "Duration": sum(_nanoseconds(finding.seconds) for finding in findings),
    }
    summary |= {"Results": results} if results else {}
    text = json.dumps(summary, ensure_ascii=False, separators=(",", ":"))
    # As encoding/json does, so that it may stand in a page.
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text + "\n"


def to_junit(findings: Sequence[Finding], suite: str = "") -> str:
    """One suite in JUnit XML, on one line, well formed whatever was printed."""
    failed = sum(bool(finding.problems) for finding in findings)
    seconds = sum(finding.seconds for finding in findings)
    cases = []
    for finding in findings:
        body = "".join(f"<failure>{_xml(text)}</failure>" for text in finding.problems)
        body += f"<system-out>{_xml(finding.stdout)}</system-out>" if finding.stdout else ""
        body += f"<system-err>{_xml(finding.stderr)}</system-err>" if finding.stderr else ""
        cases.append(f'<testcase name="{_xml(finding.name)}" time="{finding.seconds:.9g}">{body}</testcase>')
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<testsuites failures="{failed}" tests="{len(findings)}" time="{seconds:.9g}">'
        f'<testsuite name="{_xml(suite or JUNIT_SUITE)}">{"".join(cases)}</testsuite></testsuites>\n'
    )


def banner(name: str, *, color: bool) -> str:
    """What stands above the tests of a file."""
    line = f"====== Test file: {clean(name, 500)} ======"
    rule = "=" * len(line)
    return "\n".join(["", *(_painted(text, "purple", color) for text in (rule, line, rule))]) + "\n"


def to_text(finding: Finding, *, color: bool) -> str:
    """One test as people read it."""
    passed = not finding.problems
    lines = [
        f"=== RUN: {clean(finding.name, 500)}",
        _painted("--- PASS" if passed else "--- FAIL", "green" if passed else "red", color),
        f"duration: {duration(finding.seconds)}",
    ]
    for name, printed in (("stdout", finding.stdout), ("stderr", finding.stderr)):
        lines += [_painted(f"{name}: {clean(printed)}", "blue", color)] if printed else []
    lines += [_painted(f"Error: {clean(text)}", "yellow", color) for text in finding.problems]
    return "\n".join(lines) + "\n"


def closing(findings: Sequence[Finding], *, color: bool) -> str:
    """What stands below all tests."""
    if not findings:
        return _painted("No tests run! Check config file format.", "red", color) + "\n"
    failed = sum(bool(finding.problems) for finding in findings)
    side = "=" * ((_WIDTH - len(" RESULTS ")) // 2)
    lines = [
        "",
        "=" * _WIDTH,
        f"{side} RESULTS {side}",
        "=" * _WIDTH,
        _painted(f"Passes:      {len(findings) - failed}", "green", color),
        _painted(f"Failures:    {failed}", "red", color),
        f"Duration:    {duration(sum(finding.seconds for finding in findings))}",
        _painted(f"Total tests: {len(findings)}", "cyan", color),
        "",
        _painted("FAIL" if failed else "PASS", "red" if failed else "green", color),
    ]
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """Seconds as Go's time.Duration writes them. Source: https://pkg.go.dev/time#Duration.String"""
    nanoseconds = _nanoseconds(seconds)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{_plain(nanoseconds, size)}{unit}" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    before = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{before}{_plain(rest, 1_000_000_000)}s"


def _plain(number: int, size: int) -> str:
    """A quotient by a power of ten, without zeros at its end."""
    full, rest = divmod(number, size)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{full}.{digits}" if digits else str(full)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _xml(text: str) -> str:
    return html.escape(clean(text))


def _painted(text: str, name: str, color: bool) -> str:
    return f"\x1b[{_COLORS[name]}m{text}\x1b[0m" if color else text
