"""What a plan rests on: what was observed, and what the caller wants.

Facts are gathered by `pipeline.observe`; what follows from them is `planning`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from dsci.model.claims import Released
from dsci.model.commits import Change, Commit
from dsci.model.event import Event
from dsci.model.family import TargetId
from dsci.model.keys import Pins, SourceKeys
from dsci.model.lines import Line
from dsci.model.oci import Digest
from dsci.model.pins import Moved
from dsci.model.settings import Settings

if TYPE_CHECKING:
    from dsci.model.receipt import Receipt


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry holds for a target's key."""

    image: Digest | None = None
    built: Receipt | None = None
    """The receipt that tells what the image was built of."""
    tested: Receipt | None = None
    """The receipt that says the present suites passed."""
    unknown: str = ""
    """Why the registry could not be asked; then the rest says nothing."""
    lost: str = ""
    """Why an image that stood there cannot be used; then there is none."""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed release that some registry does not show yet."""

    claim: Released
    missing: tuple[str, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a plan rests on, observed before it is made."""

    commit: str
    when: int
    settings: Settings
    sources: SourceKeys
    own_changes: Mapping[TargetId, str]
    """How each target's own source differs from its last release ("" when it does not, or there is none)."""
    keys: Mapping[TargetId, str | None]
    suites: Mapping[TargetId, str]
    pins: Pins
    unpinned: Mapping[TargetId, str] = msgspec.field(default_factory=dict)
    """Why a target's key is not known."""
    found: Mapping[TargetId, Found]
    claims: Mapping[str, tuple[Released, ...]]
    """Of every group; what happened since then is known of the groups alone that decide what is wanted."""
    since: Mapping[str, tuple[Change, ...]]
    """Since each group's last stable release, newest first: what touches its inputs, and what may speak of it."""
    touched: Mapping[str, tuple[Change, ...]]
    """Those that touch its inputs."""
    commits: Mapping[str, Mapping[str, Commit]] = msgspec.field(default_factory=dict)
    """Every commit since each group's last stable release by its sha, newest first."""
    lines: Mapping[str, Line] = msgspec.field(default_factory=dict)
    """What the branch may release of each group."""
    fresh: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)
    """The commits since each group's last stable release that no release which counts here holds yet."""
    moved: Mapping[str, tuple[Moved, ...]] = msgspec.field(default_factory=dict)
    """The direct dependencies of each group that moved since its last stable release."""
    descendants: frozenset[str] = frozenset()
    """Commits of unmerged claims that HEAD is an ancestor of."""
    unconverged: tuple[Pending, ...] = ()
    """Claimed releases whose tags are not all where they should be."""
    asked: Released | None = None
    """The version that the event's tag, made by hand, asks for; it is none of the claims."""
    dirty: Mapping[TargetId, str] = msgspec.field(default_factory=dict)
    """Targets whose inputs differ from HEAD in the work tree, and the first such path."""
    placed: frozenset[str] = frozenset()
    """Images whose names that follow this run stand for what is found of them already."""
    tag_names: frozenset[str] = frozenset()
    """Every Git tag's name, here and on the remote, whatever it names."""
    doubts: tuple[str, ...] = ()
    """What could not be asked, though a version may depend on it."""
    warnings: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller wants."""

    event: Event = msgspec.field(default_factory=Event)
    """What set the run off."""
    release: bool = True
    """Whether versions are decided at all (`build` and `test` want none)."""
    select: frozenset[str] = frozenset()
    """Image names to restrict to, with what they stand on; empty for all."""
    force: bool = False
    """Build even what is found."""
    rerun: bool = False
    """Test even what has passed."""
    notes: bool = True
    """Whether to say of each release what it brings; whoever asks for numbers alone need not know."""
