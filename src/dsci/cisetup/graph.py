"""A family as jobs: one for each target, which waits for the jobs of all that the target needs.

It is made of Dockerfiles and settings alone. What has to be done is for the plan of a run to say, so the graph changes
only when the family does.
"""

from __future__ import annotations

import re

import msgspec

from dsci.errors import ConfigError
from dsci.model.family import Family

_PREFIX = re.compile(r"\A[a-z][a-z0-9-]{0,30}\Z")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_LENGTH = 100


class TargetJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job of one target."""

    name: str
    """Unique among these; lower-case letters, digits and `-`."""
    target: str
    """As `--only` takes it."""
    image: str
    platform: str
    needs: tuple[str, ...]
    """Names of the jobs that it waits for."""


def jobs(family: Family, prefix: str) -> tuple[TargetJob, ...]:
    """A job for each target, those that others wait for first. Raises ConfigError for a prefix that names no job."""
    if not _PREFIX.match(prefix):
        raise ConfigError(f"--job-prefix {prefix!r} begins no name of a job", hint="lower-case letters, digits, -")
    names: dict[object, str] = {}
    found: list[TargetJob] = []
    for target in family.order:
        names[target] = _name(f"{prefix}-{target.image}-{target.platform}", set(names.values()))
        found.append(
            TargetJob(
                name=names[target],
                target=str(target),
                image=target.image,
                platform=str(target.platform),
                needs=tuple(sorted(names[need] for need in family.nodes[target].needs)),
            )
        )
    return tuple(found)


def _name(text: str, taken: set[str]) -> str:
    stem = _NOT_IN_NAMES.sub("-", text.lower())[:_LENGTH].strip("-")
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name
