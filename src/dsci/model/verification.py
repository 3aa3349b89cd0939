"""What `dsci verify` found: whether a released image is what its sources give, platform by platform.

This is the document that `--json` prints, versioned by `schema`: fields may come to be; none goes or changes its
meaning without another number.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from dsci.model.difference import ConfigDifference, LayerDifference
from dsci.model.receipt import BaseUsed


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """One platform of a release, built again."""

    target: str
    """The target's id, `image@os/arch`."""
    status: Literal["equal", "different", "failed"]
    """`failed`: it could not be built any more."""
    released: str
    """The digest of the platform's manifest as it was released."""
    rebuilt: str | None
    """The digest of what was built now; null where building failed."""
    epoch: int
    """SOURCE_DATE_EPOCH of both builds, in seconds."""
    parents: dict[str, str] = {}
    """The siblings that it stands on, and their manifests' digests."""
    bases: tuple[BaseUsed, ...] = ()
    """The external images that it was built from, and their manifests' digests."""
    config: tuple[ConfigDifference, ...] = ()
    layers: tuple[LayerDifference, ...] = ()
    notes: tuple[str, ...] = ()
    """What else there is to say, such as why it could not be built."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """A released tag, built again."""

    schema: int = 1
    image: str
    version: str
    reference: str
    digest: str
    """The digest of the release's index, as the Git tag claims it."""
    git_tag: str
    commit: str
    targets: tuple[Verified, ...]

    @property
    def equal(self) -> bool:
        """Whether every platform is proven."""
        return all(item.status == "equal" for item in self.targets)
