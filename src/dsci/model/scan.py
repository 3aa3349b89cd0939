"""What a scanner says of an image, and what becomes of it: clean, vulnerable, or "could not tell", which is neither.

Reports of trivy and grype are read strictly: one that is not what they document tells nothing, and neither does one
that names no distribution and no package, since there was nothing it could have known.

Sources: https://trivy.dev/latest/docs/configuration/reporting/#json (and `pkg/types/report.go`),
https://github.com/anchore/grype#output-formats (and `grype/presenter/models/document.go`)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal

import msgspec

from dsci.model.settings import ScanSettings

#: From the least to the worst; what is called otherwise counts as the least.
_LEVELS = ("unknown", "negligible", "low", "medium", "high", "critical")
_SHOWN = 5


class State(StrEnum):
    """What is known of an image."""

    CLEAN = "clean"
    VULNERABLE = "vulnerable"
    UNKNOWN = "could not tell"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A known vulnerability of a package."""

    id: str
    package: str
    version: str
    severity: str
    """In lower case."""
    fixed: str = ""
    """The version that has it no more, where there is one."""


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """What a scanner came to."""

    tool: str
    found: tuple[Found, ...] = ()
    problem: str = ""
    """Why it could not tell."""
    version: str = ""
    """The scanner's own version, where it says so."""
    system: str = ""
    """The distribution that it found, such as `debian 12`."""


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one target's image."""

    target: str
    image: str
    """Its repository and digest."""
    scanned: Scanned


class _TrivyFound(msgspec.Struct):
    VulnerabilityID: str
    PkgName: str
    InstalledVersion: str = ""
    FixedVersion: str = ""
    Severity: str = ""


class _TrivyResult(msgspec.Struct):
    Target: str
    Vulnerabilities: list[_TrivyFound] | None = None


class _TrivyOS(msgspec.Struct):
    Family: str = ""
    Name: str = ""
    EOSL: bool = False


class _TrivyMetadata(msgspec.Struct):
    OS: _TrivyOS | None = None


class _TrivyItself(msgspec.Struct):
    Version: str = ""


class _Trivy(msgspec.Struct):
    SchemaVersion: int
    Trivy: _TrivyItself | None = None
    Results: list[_TrivyResult] | None = None
    Metadata: _TrivyMetadata | None = None


class _GrypeFix(msgspec.Struct):
    versions: list[str] | None = None


class _GrypeVulnerability(msgspec.Struct):
    id: str
    severity: str = ""
    fix: _GrypeFix | None = None


class _GrypeArtifact(msgspec.Struct):
    name: str
    version: str = ""


class _GrypeMatch(msgspec.Struct):
    vulnerability: _GrypeVulnerability
    artifact: _GrypeArtifact


class _GrypeDistribution(msgspec.Struct):
    name: str = ""
    version: str = ""


class _GrypeItself(msgspec.Struct):
    version: str = ""


class _Grype(msgspec.Struct):
    matches: list[_GrypeMatch]
    distro: _GrypeDistribution | None = None
    descriptor: _GrypeItself | None = None


#: Made once: reports are read in threads.
_TRIVY, _GRYPE = msgspec.json.Decoder(_Trivy), msgspec.json.Decoder(_Grype)


def read(tool: Literal["trivy", "grype"], report: bytes) -> Scanned:
    """What a report in JSON says."""
    try:
        return _trivy(_TRIVY.decode(report)) if tool == "trivy" else _grype(_GRYPE.decode(report))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Scanned(tool=tool, problem=f"{tool} wrote no report that can be read")


def _trivy(report: _Trivy) -> Scanned:
    system = report.Metadata.OS if report.Metadata else None
    found = tuple(
        Found(
            id=each.VulnerabilityID,
            package=each.PkgName,
            version=each.InstalledVersion,
            severity=each.Severity.lower(),
            fixed=each.FixedVersion,
        )
        for result in report.Results or ()
        for each in result.Vulnerabilities or ()
    )
    problem = ""
    if system is not None and system.EOSL:
        problem = f"{system.Family} {system.Name} is past its end: nobody lists its vulnerabilities any more"
    elif not report.Results:
        problem = "trivy found nothing in the image that it knows"
    return Scanned(
        tool="trivy",
        found=found,
        problem=problem,
        version=report.Trivy.Version if report.Trivy else "",
        system=f"{system.Family} {system.Name}".strip() if system else "",
    )


def _grype(report: _Grype) -> Scanned:
    found = tuple(
        Found(
            id=each.vulnerability.id,
            package=each.artifact.name,
            version=each.artifact.version,
            severity=each.vulnerability.severity.lower(),
            fixed=next(iter((each.vulnerability.fix.versions if each.vulnerability.fix else None) or ()), ""),
        )
        for each in report.matches
    )
    known = bool(found) or bool(report.distro and report.distro.name)
    return Scanned(
        tool="grype",
        found=found,
        problem="" if known else "grype knows nothing of the image",
        version=report.descriptor.version if report.descriptor else "",
        system=f"{report.distro.name} {report.distro.version}".strip() if report.distro else "",
    )


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an image."""

    state: State
    holds_back: bool
    """Whether it must not be released."""
    story: str
    """What is told of it, in one line."""


def judge(scanned: Scanned, settings: ScanSettings) -> Judged:
    """What the policy makes of what was found. What counts is found even where the rest could not be told."""
    bad = sorted(_counting(scanned.found, settings), key=lambda each: (-_level(each.severity), each.id, each.package))
    if bad:
        told = ", ".join(_line(each) for each in bad[:_SHOWN])
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        story = f"{len(bad)} {settings.severity} or worse ({scanned.tool}): {told}{more}"
        return Judged(state=State.VULNERABLE, holds_back=settings.policy == "fail", story=story)
    if scanned.problem:
        blocks = settings.policy == "fail" and settings.unknown == "fail"
        return Judged(state=State.UNKNOWN, holds_back=blocks, story=f"{State.UNKNOWN}: {scanned.problem}")
    rest = f", {len(scanned.found)} that do not count" if scanned.found else ""
    return Judged(state=State.CLEAN, holds_back=False, story=f"{State.CLEAN} ({scanned.tool}{rest})")


def _counting(found: Iterable[Found], settings: ScanSettings) -> Iterator[Found]:
    for each in dict.fromkeys(found):
        if _level(each.severity) >= _level(settings.severity) and (each.fixed or settings.unfixed):
            yield each


def _level(severity: str) -> int:
    return _LEVELS.index(severity) if severity in _LEVELS else 0


def _line(each: Found) -> str:
    return f"{each.id} in {each.package} {each.version}" + (f" (fixed in {each.fixed})" if each.fixed else "")
