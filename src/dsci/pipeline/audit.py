"""`dsci verify --tags`: what is claimed, held against what every registry shows.

Each tag that a release should have is asked for, and every tag that a registry lists is explained or told. Nothing is
changed: `dsci release` puts right what can be, and what was written by somebody else is theirs to take away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import msgspec
from msgspec.structs import replace

from dsci.model.artifact import about
from dsci.model.claims import Released
from dsci.model.family import Family
from dsci.model.reference import Reference, Repository
from dsci.model.releases import floats
from dsci.model.tagname import RESERVED
from dsci.pipeline.naming import Name, names_of
from dsci.ports import Registry

_AT_ONCE = 8

State = Literal["moved", "missing", "held", "unknown"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that is not as the claims have it, or (`held`) stays with a release that is passed over."""

    state: State
    reference: str
    image: str
    version: str = ""
    """The release that should have it; empty for a tag that no release asks for."""
    expected: str = ""
    found: str = ""
    moving: bool = False
    named: str = ""
    """The version that it names instead, where it names a release."""
    why: str = ""
    """Why its release is passed over."""


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and what differs."""

    repositories: tuple[str, ...]
    releases: int
    tags: int
    findings: tuple[Finding, ...]

    @property
    def true(self) -> bool:
        """Whether every tag that a release should have names it."""
        return all(each.state in ("held", "unknown") for each in self.findings)


def audit(
    registry: Registry,
    family: Family,
    claims: Mapping[str, Sequence[Released]],
    groups: Collection[str],
    promoted: Iterable[Name] = (),
) -> Audit:
    """Compare the tags of these groups in every registry, and those that places which releases are `promoted` to have.

    Raises RegistryError where one cannot be asked.
    """
    expected = [
        each
        for group in sorted(groups)
        for image in family.groups[group]
        for repository in image.repositories
        for each in names_of(image, repository, claims[group])
    ]
    expected += [each for each in promoted if each.claim.group in groups]
    images: dict[Repository, list[str]] = {}
    for group in sorted(groups):
        for image in family.groups[group]:
            for repository in image.repositories:
                images.setdefault(repository, []).append(image.name)
    known = {
        (repository, digest): str(claim.version)
        for repository, names in images.items()
        for name in names
        for claim in claims[family.images[name].group]
        for digest in claim.digests.values()
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        present = pool.map(lambda each: registry.resolve(each.reference), expected)
        findings = [
            Finding(
                state="moved" if there else "missing",
                reference=str(each.reference),
                image=each.claim.group,
                version=str(each.claim.version),
                expected=str(each.digest),
                found=str(there.digest) if there else "",
                moving=each.moving,
                named=known.get((each.reference.repository, there.digest), "") if there else "",
            )
            for each, there in zip(expected, present, strict=True)
            if there is None or there.digest != each.digest
        ]
        asked = {each.reference for each in expected}
        stuck = {
            Reference.parse(each.reference): each
            for group in sorted(groups)
            for each in _stuck(family, claims[group], group)
        }
        for repository, tags in zip(images, pool.map(registry.tags, images), strict=True):
            for name in (repository.tag(tag) for tag in tags if not _explained(tag)):
                if name in stuck:
                    findings.append(stuck[name])
                elif name not in asked:
                    findings.append(Finding(state="unknown", reference=str(name), image=images[repository][0]))
    return Audit(
        repositories=tuple(
            sorted({str(each) for each in images} | {str(each.reference.repository) for each in expected})
        ),
        releases=sum(claim.by_dsci for group in groups for claim in claims[group]),
        tags=len(expected),
        findings=tuple(sorted(findings, key=lambda each: each.reference)),
    )


def _stuck(family: Family, claims: Sequence[Released], group: str) -> Iterator[Finding]:
    """The tags that only releases which are passed over want: they stay where they are."""
    bare = [replace(claim, held="") for claim in claims]
    why = {claim.version: claim.held for claim in claims if claim.held}
    for image in family.groups[group] if why else ():
        now = floats(image, claims)
        for tag, claim in floats(image, bare).items():
            if tag in now:
                continue
            for repository in image.repositories:
                yield Finding(
                    state="held",
                    reference=str(repository.tag(tag)),
                    image=image.name,
                    version=str(claim.version),
                    moving=True,
                    why=why[claim.version],
                )


def _explained(tag: str) -> bool:
    """Whether a tag is dsci's own, or holds what is attached to a digest."""
    return tag.startswith(RESERVED) or about(tag) is not None
