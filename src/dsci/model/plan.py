"""The plan as a document: what is built, tested and released, and why.

It can be printed, compared, stored and carried to another machine, which works on the same pins then; a dry run is a
plan that nobody carries out. It is made by `planning`, and carried out by the pipeline.
"""

from __future__ import annotations

import msgspec

from dsci.errors import ConfigError, DsciError
from dsci.model.changelog import Entry
from dsci.model.family import TargetId
from dsci.model.keys import Pins
from dsci.model.oci import Digest, Platform

SCHEMA = 1

_MAKE = "make one at this commit, with this dsci: dsci plan --json > plan.json"


class PlannedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target of the plan."""

    id: str
    image: str
    platform: str
    key: str | None
    source_key: str
    action: str
    reason: str
    parent: str | None
    needs: tuple[str, ...]
    wave: int
    suites: tuple[str, ...] = ()
    suites_digest: str = ""
    bases: dict[str, str] = {}
    """External bases and the digests they are pinned to."""
    pins: dict[str, str] = {}
    """Everything it takes from outside, as its key was computed with: digests by `REFERENCE PLATFORM`."""
    repository: str = ""
    """Where its image and its receipts stand under their keys."""
    digest: str | None = None
    """The platform manifest found for the key, when nothing needs building."""
    dirty: bool = False


class PlannedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One release of the plan: a claim to be made, or one that was made and is to be finished."""

    image: str
    version: str
    bump: str
    git_tag: str
    claim: str = ""
    """The Git tag that claims it, where `git_tag` was made by hand."""
    tags: tuple[str, ...]
    moving: tuple[str, ...] = ()
    """Those of the tags that float."""
    previous: str | None = None
    reason: str = ""
    claimed: bool = False
    commit: str = ""
    members: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    parents: dict[str, str] = {}
    dependencies: tuple[str, ...] = ()
    """The direct dependencies that moved, the most important first, and how far."""
    changes: tuple[str, ...] = ()
    """Subjects of the commits that count, newest first, each with its short id."""
    entries: tuple[Entry, ...] = ()
    """What its release notes say of them."""
    since: str | None = None
    """The Git tag that its changes are counted from; None for the first release."""


class PlannedRef(msgspec.Struct, frozen=True, kw_only=True):
    """Names of an image that follow what the run is about, and do not stand for its content yet."""

    image: str
    tags: tuple[str, ...]
    moving: tuple[str, ...]
    """Those of the tags that may stand for other content; the rest is unique to its commit."""
    commit: str
    destinations: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The document."""

    schema: int = SCHEMA
    commit: str
    when: int
    targets: tuple[PlannedTarget, ...]
    releases: tuple[PlannedRelease, ...]
    refs: tuple[PlannedRef, ...] = ()
    superseded: tuple[str, ...] = ()
    """Images that a descendant of this commit has released already."""
    unreleased: dict[str, str] = {}
    """Images that are not released, and why."""
    since: str | None = None
    """The commit that the plan was narrowed down by: what has not changed since then is left out."""
    unaffected: tuple[str, ...] = ()
    """The images that were left out."""
    warnings: tuple[str, ...] = ()

    def only_affected(self, since: str, affected: frozenset[str]) -> Plan:
        """The plan without the images that are none of these."""
        return msgspec.structs.replace(
            self,
            since=since,
            targets=tuple(item for item in self.targets if item.image in affected),
            releases=tuple(item for item in self.releases if not affected.isdisjoint(item.members)),
            refs=tuple(item for item in self.refs if item.image in affected),
            unaffected=tuple(dict.fromkeys(item.image for item in self.targets if item.image not in affected)),
        )

    @property
    def has_work(self) -> bool:
        """Whether carrying it out would do anything."""
        return bool(self.releases or self.refs) or any(target.action in ("build", "test") for target in self.targets)

    def target(self, target: TargetId) -> PlannedTarget:
        """The target with this id. Raises ConfigError when the plan has none."""
        for item in self.targets:
            if item.id == str(target):
                return item
        raise ConfigError(f"the plan has no target {target}", hint="its targets are " + ", ".join(self.ids))

    @property
    def pins(self) -> Pins:
        """What each of its targets is pinned to. Raises ConfigError for what is no pin."""
        found: dict[TargetId, dict[tuple[str, Platform], Digest]] = {}
        try:
            for item in self.targets:
                own = found.setdefault(TargetId.parse(item.id), {})
                for name, digest in item.pins.items():
                    reference, _, platform = name.rpartition(" ")
                    own[reference, Platform.parse(platform)] = Digest.parse(digest)
        except DsciError as error:
            raise ConfigError(f"the plan's pins cannot be read: {error.message}", hint=_MAKE) from None
        return found

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its targets, parents first."""
        return tuple(item.id for item in self.targets)

    def to_json(self) -> bytes:
        """The plan as a stable document, two spaces deep."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, content: bytes) -> Plan:
        """Read a plan back. Raises msgspec.DecodeError for what is none."""
        return msgspec.json.decode(content, type=cls)

    @classmethod
    def read(cls, content: bytes, *, name: str) -> Plan:
        """Read a plan from a file of this name. Raises ConfigError for what is none, or one of another schema."""
        try:
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema == SCHEMA:
                return cls.from_json(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{name} is no plan: {error}", hint=_MAKE) from None
        raise ConfigError(f"{name} is a plan of schema {schema}, and this dsci reads {SCHEMA}", hint=_MAKE)


class _Head(msgspec.Struct, kw_only=True):
    """What every plan begins with, whatever its schema."""

    schema: int
