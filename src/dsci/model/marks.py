"""Marks: what people say of releases after they were made, as files of the ledger beside its records.

A hold passes over the versions that a rollback went back behind, a yank over one version for good, and a lift takes
marks back. A version that is passed over keeps its number and its immutable tags; no tag that moves is its own any
more, so that the next older one has it, or a newer one that comes (rule 15 of the semantics). A mark is never changed,
and which marks stand depends on no order: two people who write some at once lose none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError, HistoryError
from dsci.model.claims import Released
from dsci.model.ledger import BRANCH
from dsci.model.numbers import precedence
from dsci.model.oci import Digest
from dsci.model.text import line

#: The ledger's folder of marks.
FOLDER = "marks"
SCHEMA = 1
_ID = 16
_WIDTH = 500

Claims = Mapping[str, Sequence[Released]]


class Kind(StrEnum):
    """What a mark says."""

    HOLD = "hold"
    YANK = "yank"
    LIFT = "lift"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said of a group's releases."""

    schema: int = SCHEMA
    kind: Kind
    image: str
    """The group."""
    version: str = ""
    """What a hold went back to, or what a yank is about."""
    passes: tuple[str, ...] = ()
    """The versions that are passed over, newest first."""
    lifts: tuple[str, ...] = ()
    """The ids of the marks that are taken back."""
    why: str = ""
    by: str = ""
    when: int = 0
    """Seconds since the epoch."""

    @property
    def content(self) -> bytes:
        """The file that holds it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @property
    def id(self) -> str:
        """What lifts name it by: its content decides."""
        return Digest.of(self.content).hex[:_ID]

    @property
    def path(self) -> str:
        """Where the ledger has it: `marks/<image>/<time>-<id>.json`, its own for every mark."""
        written = datetime.fromtimestamp(self.when, UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{FOLDER}/{self.image}/{written}-{self.id}.json"

    @property
    def shown(self) -> str:
        """What it means for a version that it passes over, in a line."""
        said = "yanked" if self.kind is Kind.YANK else f"held back for {self.version}"
        return f"{said}: {line(self.why, _WIDTH)}" if self.why else said


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Every mark of a ledger, by its id."""

    known: Mapping[str, Mark] = msgspec.field(default_factory=dict)

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Marks:
        """The marks of a ledger, by their paths.

        Raises HistoryError that names a file which cannot be read: who passes over it may move a tag to what was
        yanked.
        """
        known: dict[str, Mark] = {}
        for path, content in sorted(files.items()):
            try:
                mark = msgspec.json.decode(content, type=Mark)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise HistoryError(
                    f"{path} on the branch {BRANCH} is no mark: {error}", hint="put it right, or take it off the branch"
                ) from None
            if mark.schema != SCHEMA:
                raise HistoryError(
                    f"{path} on the branch {BRANCH} is a mark of schema {mark.schema}, and this dsci reads {SCHEMA}",
                    hint="run the dsci that wrote it, or a newer one",
                )
            known[Digest.of(content).hex[:_ID]] = mark
        return cls(known=known)

    @property
    def standing(self) -> Mapping[str, Mark]:
        """Those that pass over something and were not taken back."""
        gone = {name for mark in self.known.values() for name in mark.lifts}
        return {name: mark for name, mark in self.known.items() if mark.passes and name not in gone}

    @property
    def over(self) -> Mapping[tuple[str, str], str]:
        """Each version that is passed over, by its group, and why: a yank before a hold, the later of two holds."""
        found: dict[tuple[str, str], str] = {}
        for mark in sorted(self.standing.values(), key=lambda each: (each.kind is Kind.YANK, each.when, each.version)):
            found |= dict.fromkeys(((mark.image, version) for version in mark.passes), mark.shown)
        return found

    def of(self, group: str, kind: Kind) -> Mapping[str, Mark]:
        """Those of a kind that stand for a group."""
        return {name: mark for name, mark in self.standing.items() if mark.image == group and mark.kind is kind}

    def owned(self, owner: Callable[[str], str | None]) -> Marks:
        """The same with what groups are called now, where `owner` knows what they were called then."""
        return Marks(known={name: replace(mark, image=owner(mark.image) or "") for name, mark in self.known.items()})

    def mentioned(self, group: str) -> frozenset[str]:
        """Every version of a group that a mark has ever passed over."""
        return frozenset(each for mark in self.known.values() if mark.image == group for each in mark.passes)

    def on(self, claims: Claims) -> dict[str, tuple[Released, ...]]:
        """The claims of each group, each with why it is passed over."""
        over = self.over
        return {
            group: tuple(
                claim if claim.held == (why := over.get((group, str(claim.version)), "")) else replace(claim, held=why)
                for claim in found
            )
            for group, found in claims.items()
        }


def record(marks: Iterable[Mark]) -> Mapping[str, bytes]:
    """The files that the ledger is to hold of these."""
    return {mark.path: mark.content for mark in marks}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever makes a mark says of it."""

    why: str = ""
    by: str = ""
    when: int
    """Seconds since the epoch."""


def claimed(group: str, claims: Sequence[Released], version: str) -> Released:
    """The claim of a version, written as people do. Raises ConfigError that names those there are."""
    wanted = re.sub(r"\Av(?=[0-9])", "", version)
    found = next((claim for claim in claims if str(claim.version) == wanted), None)
    if found is not None and found.by_dsci:
        return found
    known = ", ".join([str(claim.version) for claim in claims if claim.by_dsci][:8]) or "nothing yet"
    raise ConfigError(f"{group} {line(wanted, 80)} is not released by dsci", hint=f"released are {known}")


def rollback(group: str, claims: Sequence[Released], target: Released, said: Said) -> Mark | None:
    """The hold that lets a group's floats go back to a release; None where nothing stands above it any more.

    `claims` carry what is passed over already. Raises ConfigError for a release that takes no float itself.
    """
    if target.version.prerelease:
        raise ConfigError(
            f"{group} {target.version} is a prerelease, and no tag that moves is ever its own",
            hint="roll back to a stable version",
        )
    if target.held:
        raise ConfigError(
            f"{group} {target.version} is passed over itself ({target.held})",
            hint=f"roll back to another version, or lift that first: dsci unhold {group}, or dsci yank --undo",
        )
    order = precedence(target.version)
    above = [each for each in claims if not each.version.prerelease and precedence(each.version) > order]
    passes = tuple(str(each.version) for each in above if not each.held)
    return _mark(Kind.HOLD, group, said, version=str(target.version), passes=passes) if passes else None


def yank(group: str, target: Released, marks: Marks, said: Said) -> Mark | None:
    """The mark that passes over a version for good; None where it is yanked already."""
    version = str(target.version)
    if any(version in mark.passes for mark in marks.of(group, Kind.YANK).values()):
        return None
    return _mark(Kind.YANK, group, said, version=version, passes=(version,))


def unyank(group: str, version: str, marks: Marks, said: Said) -> Mark | None:
    """The mark that takes a yank back; None where there is none."""
    return _lift(
        group, said, {name: mark for name, mark in marks.of(group, Kind.YANK).items() if mark.version == version}
    )


def unhold(group: str, marks: Marks, said: Said) -> Mark | None:
    """The mark that takes every hold of a group back; None where there is none."""
    return _lift(group, said, marks.of(group, Kind.HOLD))


def _lift(group: str, said: Said, found: Mapping[str, Mark]) -> Mark | None:
    return _mark(Kind.LIFT, group, said, lifts=tuple(sorted(found))) if found else None


def _mark(
    kind: Kind,
    group: str,
    said: Said,
    *,
    version: str = "",
    passes: tuple[str, ...] = (),
    lifts: tuple[str, ...] = (),
) -> Mark:
    return Mark(
        kind=kind,
        image=group,
        version=version,
        passes=passes,
        lifts=lifts,
        why=line(said.why, _WIDTH),
        by=line(said.by, 100),
        when=said.when,
    )
