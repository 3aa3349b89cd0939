"""Everything that work on targets needs: the snapshot it is done for, whom to ask, and how things are called."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dsci.model import keys
from dsci.model.builders import Builders
from dsci.model.caches import Cache
from dsci.model.family import TargetId
from dsci.model.oci import Platform
from dsci.model.reference import EMBEDDED, Reference, Repository
from dsci.pipeline.snapshot import Snapshot
from dsci.ports import INACTIVITY, Builder, Console, Engine, Git, Handed, HostSide, KnownBuilders, Registry
from dsci.suites.clock import Total


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that work on targets needs: the snapshot it is done for and whom to ask."""

    now: Snapshot
    pins: keys.Pins
    keys: Mapping[TargetId, str | None]
    suites: Mapping[TargetId, str]
    git: Git
    engine: Engine
    builder: Builder
    handed: Handed
    known: KnownBuilders
    registry: Registry
    console: Console
    unpinned: Mapping[TargetId, str]
    """Why a target has no key: a base of it does not exist, or could not be asked for."""
    epochs: Mapping[TargetId, int] = msgspec.field(default_factory=dict)
    """SOURCE_DATE_EPOCH of each target that is built, in seconds."""
    fresh: bool = False
    """Whether everything is built without what BuildKit remembers of earlier builds."""
    network: str = "default"
    builders: Builders = Builders()
    """Who builds for which platform, where it is not the engine itself."""
    caches: Mapping[TargetId, Cache] = msgspec.field(default_factory=dict)
    """Where the steps of builds are kept, for those targets that have such a place."""
    inactivity: float = INACTIVITY
    """How long a build may say nothing, in seconds."""
    private: frozenset[TargetId] = frozenset()
    """Targets that never leave this machine: uncommitted work, what may not be pushed, and all that stands on them."""
    host: Mapping[str, str] | None = None
    """This machine's environment, for suites that are allowed to reach it; None where nothing is allowed."""
    time: Total = msgspec.field(default_factory=Total)
    """The time that all suites have together."""
    host_side: HostSide | None = None
    """What runs on this machine for suites; None where nothing is tested."""
    nonce: str
    """What tells this run's names in the engine and the registry from those of another run at the same time."""

    def forgets(self, target: TargetId) -> bool:
        """Whether a target is built without what BuildKit remembers of earlier builds.

        So is what is reproducible: BuildKit sets back what is younger than the commit, and a step that it remembers may
        have run before that. What never leaves this machine is nobody's proof, and built as fast as it can be.
        """
        reproducible = self.now.family.images[target.image].reproducible
        return self.fresh or (reproducible and target not in self.private)

    def local_name(self, target: TargetId) -> Reference:
        """The name a target's image has in the engine: unique for its content and this run, never a public one."""
        content = self.keys[target] or self.now.sources.full[target]
        state = "private-" if target in self.private else ""
        return self._local(target).tag(f"dsci-{state}{content[:32]}-{self.nonce}")

    def made_by(self, platform: Platform) -> str:
        """What builds for a platform, for receipts and messages."""
        builder = self.builders.of(platform)
        return str(self.known.about(builder)) if builder else self.engine.version()

    def kept_name(self, target: TargetId) -> Reference:
        """The name under which an image stays in the engine, for whoever asked to have it."""
        image = self.now.family.images[target.image]
        arch = "" if len(image.platforms) == 1 else f"-{str(target.platform).replace('/', '-')}"
        return self._local(target).tag(f"dev{arch}{image.suffix}")

    def _local(self, target: TargetId) -> Repository:
        return Repository(EMBEDDED, self.now.family.images[target.image].repository.path)
