"""Whom facts are asked of, and through whom effects are had; what is asked and done is said elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from dsci.model.oci import Digest, Platform
from dsci.model.reference import Reference
from dsci.model.settings import AttestSettings, ScanSettings
from dsci.pipeline.remote import Remote
from dsci.pipeline.snapshot import Source
from dsci.ports import (
    Builder,
    Console,
    Engine,
    Forge,
    Handed,
    HostSide,
    KnownBuilders,
    Lister,
    Machine,
    Registry,
    Scanner,
    Signer,
)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the facts are asked of."""

    source: Source
    registry: Registry | None
    """None: stay offline."""
    resolve: Callable[[Reference, Platform], Digest | None] | None
    """Finds an external base's platform manifest now; None: stay offline."""
    lenient: bool
    """Whether an answer that cannot be had is "unknown" instead of an error."""
    remote: Remote = Remote.ASK
    """What may be asked of the Git remote."""
    say: Callable[[str], None] = lambda text: None
    """Is told what is fetched."""


class Hands(msgspec.Struct, frozen=True, kw_only=True):
    """Whom effects are had through."""

    registry: Registry
    engine: Engine
    builder: Builder
    builders: KnownBuilders
    handed: Handed
    machine: Machine
    host_side: HostSide
    console: Console
    forge: Callable[[str], Forge | None]
    """The forge of this kind (`auto`, `github`, `gitlab`); None where `auto` finds none that it may write to."""
    lister: Lister
    """Who lists packages where dsci does not do so itself."""
    scanner: Callable[[ScanSettings], Scanner]
    """Who scans images, as the settings say."""
    signer: Callable[[AttestSettings], Signer]
    """Who signs releases, as the settings say."""
    nonce: str
    """The part of this run's id that goes into names."""
    place: str = ""
    """Whose machines build here, as provenance names them; "" where no CI system says."""
    host: Mapping[str, str] | None = None
    """This machine's environment, for suites that are allowed to reach it; None where nothing is allowed."""
