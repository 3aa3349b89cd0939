"""The ledger: the record of every claim, as files for the branch `dsci-ledger`.

One JSON file a release, made from its Git tag alone, so that whoever writes it later writes the same bytes. The tag is
the lock and the truth; the ledger is what can be read without fetching twelve thousand tags (rule 19 of the semantics).
How the branch is appended to is the Git driver's affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsci.errors import HistoryError
from dsci.model.claims import Released

BRANCH = "dsci-ledger"
REF = f"refs/heads/{BRANCH}"
#: Its folder of releases.
FOLDER = "releases"
SCHEMA = 1


class BaseEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An external base as the release was built on it."""

    name: str
    platform: str
    digest: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed release."""

    schema: int = SCHEMA
    image: str
    version: str
    tag: str
    """The Git tag's name."""
    object: str
    """The id of the tag object that claims it: what the claim is, to the byte."""
    commit: str
    digests: dict[str, str]
    """Image to the digest of its index."""
    keys: dict[str, str]
    """Target to its content key."""
    bases: tuple[BaseEntry, ...]


def path(claim: Released) -> str:
    """Where a claim is recorded: `releases/<image>/<version>.json`."""
    return f"{FOLDER}/{claim.group}/{claim.version}.json"


def entry(claim: Released) -> Entry:
    """The record of a claim."""
    return Entry(
        image=claim.group,
        version=str(claim.version),
        tag=claim.tag.name,
        object=claim.claimed_by.oid,
        commit=claim.tag.commit,
        digests={name: str(digest) for name, digest in sorted(claim.digests.items())},
        keys=dict(sorted(claim.keys.items())),
        bases=tuple(
            BaseEntry(name=name, platform=str(platform), digest=str(digest))
            for (name, platform), digest in sorted(claim.bases.items(), key=lambda item: (item[0][0], str(item[0][1])))
        ),
    )


def record(claims: Iterable[Released]) -> Mapping[str, bytes]:
    """The files that record these claims, those that dsci did not make left out."""
    return {
        path(claim): msgspec.json.format(msgspec.json.encode(entry(claim)), indent=2) + b"\n"
        for claim in claims
        if claim.by_dsci
    }


def parse(path: str, content: bytes) -> Entry:
    """A file of the ledger's. Raises HistoryError that names one which cannot be read."""
    try:
        found = msgspec.json.decode(content, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HistoryError(
            f"{path} on the branch {BRANCH} is no record of a release: {error}",
            hint="put it right: its Git tag says what it has to say",
        ) from None
    if found.schema != SCHEMA:
        raise HistoryError(
            f"{path} on the branch {BRANCH} is of schema {found.schema}, and this dsci reads {SCHEMA}",
            hint="run the dsci that wrote it, or a newer one",
        )
    return found
