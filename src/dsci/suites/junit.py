"""Test cases that a program in a container wrote down as JUnit XML, read as checks.

The document is foreign, so what XML may not hold is taken out first. A skip needs a reason, and what is expected to
fail, in pytest's dialect, says so.
"""

from __future__ import annotations

from xml.etree import ElementTree

from dsci.model.report import Check, Verdict
from dsci.model.text import clean, plain

#: A test case's property that says why a pass is noteworthy.
NOTE = "dsci-note"
#: What pytest gives as the reason where a test has none.
_NO_REASON = ("", "unconditional skip", "Skipped")


def checks(document: bytes | None) -> list[Check]:
    """The test cases of a document; none where it is no XML, or declares entities."""
    text = plain((document or b"").decode("utf-8", errors="replace"))
    if "<!DOCTYPE" in text:
        return []
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return []
    return [_check(case) for case in root.iter("testcase")]


def skip(name: str, reason: str, seconds: float = 0.0) -> Check:
    """A check of a test that was skipped: failed where it does not say why."""
    reason = clean(reason).strip()
    if reason in _NO_REASON:
        return Check(name=name, verdict=Verdict.FAILED, seconds=seconds, detail="skipped, and does not say why")
    return Check(name=name, verdict=Verdict.SKIPPED, seconds=seconds, detail=reason)


def _check(case: ElementTree.Element) -> Check:
    name = "::".join(filter(None, (case.get("classname", ""), case.get("name", ""))))
    seconds = _seconds(case.get("time"))
    wrong = [*case.iter("failure"), *case.iter("error")]
    if wrong:
        detail = clean("\n".join(each.text or each.get("message") or "" for each in wrong))
        return Check(name=name, verdict=Verdict.FAILED, seconds=seconds, detail=detail)
    for skipped in case.iter("skipped"):
        reason = skipped.get("message", skipped.text) or ""
        if skipped.get("type") == "pytest.xfail":
            detail = f"failed, as it is expected to: {clean(reason)}".rstrip(": ")
            return Check(name=name, verdict=Verdict.SKIPPED, seconds=seconds, detail=detail)
        return skip(name, reason, seconds)
    notes = [each.get("value", "") for each in case.iter("property") if each.get("name") == NOTE]
    return Check(name=name, verdict=Verdict.PASSED, seconds=seconds, detail=clean("\n".join(notes)))


def _seconds(text: str | None) -> float:
    try:
        return min(max(0.0, float(text or 0)), 1e9)
    except ValueError:
        return 0.0
