"""What a branch may release: stable versions, prereleases of a channel, or versions of an older line.

The branch's name says it: `1.x` and `1.4.x` keep to their line, `ml/1.4.x` is such a line of one image, and
`versioning.prereleases` names the branches whose releases are prereleases. Every other branch releases stable versions.
How far a version moves is `version`'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec
import semver

_MAINTENANCE = re.compile(
    r"\A(?:(?P<image>.+)/)?v?(?P<major>0|[1-9][0-9]{0,8})\.(?:(?P<minor>0|[1-9][0-9]{0,8})\.)?x\Z"
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What a branch may release of one group."""

    branch: str = ""
    channel: str = ""
    """The identifier of its prereleases (`rc`); empty where versions are stable."""
    channels: frozenset[str] = frozenset()
    """The identifiers of every channel."""
    major: int | None = None
    minor: int | None = None
    other: str = ""
    """The image that the branch is for, where that is another one."""

    @classmethod
    def of(cls, branch: str, prereleases: Mapping[str, str], group: str) -> Line:
        """The line of a branch. The first pattern of `prereleases` that fits its name decides its channel."""
        channel = next((name for pattern, name in prereleases.items() if fnmatchcase(branch, pattern)), "")
        channels = frozenset(prereleases.values())
        match = _MAINTENANCE.match(branch)
        if channel or match is None:
            return cls(branch=branch, channel=channel, channels=channels)
        return cls(
            branch=branch,
            channels=channels,
            major=int(match["major"]),
            minor=int(match["minor"]) if match["minor"] else None,
            other=match["image"] if match["image"] not in (None, group) else "",
        )

    @property
    def shown(self) -> str:
        """The line as people write it."""
        return f"{self.major}.x" if self.minor is None else f"{self.major}.{self.minor}.x"

    def holds(self, version: semver.Version) -> bool:
        """Whether a version may be released here."""
        if self.other:
            return False
        return self.major is None or (version.major == self.major and self.minor in (None, version.minor))

    def counts(self, version: semver.Version) -> bool:
        """Whether a release of this version settles, for this branch, what came before it.

        A prerelease of a channel settles nothing for a stable branch: when its commits arrive there they are released.
        """
        if self.channel or not version.prerelease:
            return True
        return version.prerelease.partition(".")[0] not in self.channels

    def number(self, target: semver.Version, known: Iterable[semver.Version]) -> semver.Version:
        """The version on the way to `target` that this line releases next, given all that are claimed."""
        if not self.channel or target.prerelease:
            return target
        taken = [0]
        for version in known:
            name, _, count = (version.prerelease or "").partition(".")
            if version.finalize_version() == target and name == self.channel and count.isdecimal():
                taken.append(int(count))
        return target.replace(prerelease=f"{self.channel}.{max(taken) + 1}")
