"""Whom the facts are asked of: the repository, registries, and how bases are resolved.

What is asked, and what follows, is said elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dsci.model.oci import Digest, Platform
from dsci.model.reference import Reference
from dsci.pipeline.remote import Remote
from dsci.pipeline.snapshot import Source
from dsci.ports import Registry


@dataclass(frozen=True, kw_only=True)
class World:
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
