"""Claims: Git tags that say which version of which image was released, and of what.

The shape of a tag's name is configured; what dsci wrote into an annotated tag's message is read back here. A tag that
somebody made by hand claims a version too, without saying what is in it: when dsci releases that version it lays a
second tag beside it, whose name ends in `.dsci`. What comes next is `version`'s to say.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import semver
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model.family import Image, declared, release_groups, renamed
from dsci.model.numbers import Precedence, precedence
from dsci.model.oci import Digest, OciError, Platform
from dsci.model.settings import VersioningSettings
from dsci.model.text import line

_TRAILER = re.compile(r"^(Dsci-[A-Z][a-z]+): (.+)$", re.MULTILINE)
#: How many dependencies a claim names, and how long each may be.
_MOVED_LIMIT, _MOVED_WIDTH = 50, 200
#: What the name of a claim of a version that was tagged by hand ends in; no version can.
BESIDE = ".dsci"
_ONE, _MANY = "v{version}", "{image}-v{version}"


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A Git tag as Git tells it."""

    name: str
    oid: str
    commit: str
    message: str
    """Empty for a lightweight tag."""
    merged: bool
    """Whether HEAD can reach its commit."""


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a Git tag claims. What dsci wrote into the tag's message is read back here."""

    group: str
    version: semver.Version
    tag: Tag
    digests: Mapping[str, Digest] = msgspec.field(default_factory=dict)
    """The index digest of each member of the group; empty for a tag that dsci did not make."""
    keys: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The content key of each target."""
    bases: Mapping[tuple[str, Platform], Digest] = msgspec.field(default_factory=dict)
    """What the external bases were."""
    moved: tuple[str, ...] = ()
    """Its direct dependencies that moved since the stable release before it, and how far; one line each."""
    beside: Tag | None = None
    """The tag that claims it, where the version itself was tagged by hand."""
    held: str = ""
    """Why it is passed over: no tag that moves is its own. Marks say it, not tags."""

    @property
    def claimed_by(self) -> Tag:
        """The tag whose push is the claim."""
        return self.beside or self.tag

    @property
    def by_dsci(self) -> bool:
        """Whether dsci claimed it, so that its content is known."""
        return bool(self.digests)

    def of(self, names: Iterable[str]) -> Digest | None:
        """The index that it claims of an image, under the first of its names that is known here."""
        return next((self.digests[name] for name in names if name in self.digests), None)


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What the name of a Git tag says."""

    group: str
    """Empty where only the tag's message can say it."""
    version: semver.Version
    written: str
    """The image as the name has it, perhaps an earlier one; the group where the name has none."""
    beside: bool
    """Whether it lies beside a tag that was made by hand."""
    order: Precedence
    """What versions are sorted by."""


class _Template(msgspec.Struct, frozen=True, kw_only=True):
    """A shape of Git tags, taken apart: what stands before, between and behind its fields."""

    before: str
    between: str
    behind: str
    image: bool
    """Whether it has an image."""
    image_first: bool

    @classmethod
    def of(cls, text: str) -> _Template:
        before, first, between, *rest = re.split(r"\{(image|version)\}", text)
        if not rest:
            return cls(before=before, between="", behind=between, image=False, image_first=False)
        return cls(before=before, between=between, behind=rest[1], image=True, image_first=first == "image")

    def splits(self, name: str) -> list[tuple[str | None, str]]:
        """Every way to read a name: the image (None where the shape has none) and the version."""
        end = len(name) - len(self.behind)
        if end < len(self.before) or not name.startswith(self.before) or not name.endswith(self.behind):
            return []
        body = name[len(self.before) : end]
        if not self.image:
            return [(None, body)]
        found: list[tuple[str | None, str]] = []
        place = body.find(self.between)
        while place >= 0:
            one, other = body[:place], body[place + len(self.between) :]
            found.append((one, other) if self.image_first else (other, one))
            place = body.find(self.between, place + 1)
        return found


class TagFormat:
    """The shape of Git tags: `{image}-v{version}`, or any other with both fields."""

    def __init__(
        self,
        template: str,
        groups: Sequence[str],
        *,
        earlier: Mapping[str, str] | None = None,
        numbers: type[semver.Version] = semver.Version,
        other: str = "",
    ) -> None:
        """`groups` are those that are released, and `earlier` maps what images were called before to them.

        `other` is a shape that is read and not written: that of a family that had one image, or more than one.
        """
        self.template = template
        self.groups = tuple(groups)
        self.numbers = numbers
        # An earlier name goes first, as `owner` is asked what was meant when the tag was made.
        self._owners: dict[str, str | None] = {group: group for group in groups}
        self._owners |= {name: group if group in self.groups else None for name, group in (earlier or {}).items()}
        self._templates = [_Template.of(each) for each in (template, other) if each]
        self._known: dict[str, Named | None] = {}
        self._numbers: dict[str, tuple[semver.Version, Precedence] | None] = {}

    @classmethod
    def of(
        cls, settings: VersioningSettings, groups: Sequence[str], earlier: Mapping[str, str] | None = None
    ) -> TagFormat:
        """The configured format, or the usual one. Raises ConfigError when several groups would share tags."""
        one = len(groups) <= 1
        usual, other = (_ONE, _MANY) if one else (_MANY, _ONE)
        template = settings.tag or usual
        if template.count("{image}") > 1 or (not one and "{image}" not in template):
            raise ConfigError(
                f"versioning.tag: {template!r} must name {{image}} once, or several images would share a Git tag",
                hint="use {image} and {version}, such as {image}-v{version}, or `mode: lockstep`",
            )
        other = "" if settings.tag or settings.mode == "lockstep" else other
        return cls(template, groups, earlier=earlier, numbers=settings.numbers(), other=other)

    @classmethod
    def of_images(cls, settings: VersioningSettings, images: Iterable[Image]) -> TagFormat:
        """The same, for what these images are released as."""
        images = tuple(images)
        return cls.of(settings, release_groups(images), renamed(images))

    def render(self, group: str, version: semver.Version) -> str:
        """The Git tag of a version."""
        return self.template.replace("{image}", group).replace("{version}", str(version))

    def read(self, name: str) -> Named | None:
        """What a Git tag's name says; None for tags of other tools and other images. It is asked more than once."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> Named | None:
        beside = name.endswith(BESIDE)
        for template in self._templates:
            for image, number in template.splits(name.removesuffix(BESIDE)):
                group = self._group(image)
                if group is None:
                    continue
                read = self._number(number)
                if read is not None:
                    version, order = read
                    return Named(group=group, version=version, written=image or group, beside=beside, order=order)
        return None

    def _number(self, text: str) -> tuple[semver.Version, Precedence] | None:
        """A version and its place; None for what is none. The images of a family count the same numbers."""
        if text not in self._numbers:
            self._numbers[text] = None
            with contextlib.suppress(ValueError):
                version = self.numbers.parse(text)
                self._numbers[text] = version, precedence(version)
        return self._numbers[text]

    def _group(self, image: str | None) -> str | None:
        """The group that a tag is about; "" where its name does not say it."""
        if image is None:
            return self.groups[0] if len(self.groups) == 1 else ""
        return self.owner(image)

    def owner(self, image: str) -> str | None:
        """The group that an image's name, perhaps an earlier one, stands for."""
        return self._owners.get(image)


def released(tags: Iterable[Tag], form: TagFormat, groups: Iterable[str]) -> Mapping[str, tuple[Released, ...]]:
    """The claimed versions of every group, newest version first; none for groups that are never released."""
    found: dict[str, list[tuple[Precedence, Released]]] = {group: [] for group in groups}
    beside: dict[tuple[str, semver.Version], Released] = {}
    for tag in tags:
        named = form.read(tag.name)
        if named is None:
            continue
        claim = _read_claim(named, tag)
        group = named.group or form.owner(_first_image(claim))
        if not group:
            continue
        if group != claim.group:
            claim = replace(claim, group=group)
        if named.beside:
            beside[group, claim.version] = claim
        else:
            found[group].append((named.order, claim))
    return {
        group: tuple(
            _completed(claim, beside) if beside else claim
            for _, claim in sorted(claims, key=lambda each: each[0], reverse=True)
        )
        for group, claims in found.items()
    }


def _completed(claim: Released, beside: Mapping[tuple[str, semver.Version], Released]) -> Released:
    """A claim with what the tag beside it says, where there is one and it is about the same commit."""
    other = beside.get((claim.group, claim.version))
    if other is None or claim.by_dsci or other.tag.commit != claim.tag.commit:
        return claim
    return replace(
        claim, digests=other.digests, keys=other.keys, bases=other.bases, moved=other.moved, beside=other.tag
    )


def _first_image(claim: Released) -> str:
    """The image that a claim speaks of, where the tag's name does not say it."""
    return declared(next(iter(claim.keys), "").partition("@")[0])


def claim_trailers(
    digests: Mapping[str, Digest],
    keys: Mapping[str, str],
    bases: Mapping[tuple[str, Platform], Digest],
    *,
    group: str,
    moved: Iterable[str] = (),
) -> str:
    """The lines at the end of a tag's message that say what it claims; `released` reads them back."""
    lines = [
        f"Dsci-Digest: {digest}" + (f" {name}" if name != group else "") for name, digest in sorted(digests.items())
    ]
    lines += [f"Dsci-Key: {key} {target}" for target, key in sorted(keys.items())]
    lines += [f"Dsci-Base: {digest} {platform} {name}" for (name, platform), digest in sorted(bases.items())]
    lines += [f"Dsci-Moved: {line(text, _MOVED_WIDTH)}" for text in moved][:_MOVED_LIMIT]
    return "\n".join(lines)


def _read_claim(named: Named, tag: Tag) -> Released:
    if not tag.message:
        return Released(group=named.group, version=named.version, tag=tag)
    digests: dict[str, Digest] = {}
    keys: dict[str, str] = {}
    bases: dict[tuple[str, Platform], Digest] = {}
    moved: list[str] = []
    unnamed: Digest | None = None
    # Only the last paragraph: what stands above it was written by whoever wrote the commits.
    for name, value in _TRAILER.findall(tag.message.rstrip().rpartition("\n\n")[2]):
        first, _, rest = value.strip().partition(" ")
        try:
            if name == "Dsci-Digest" and rest:
                digests[rest] = Digest.parse(first)
            elif name == "Dsci-Digest":
                unnamed = Digest.parse(first)
            elif name == "Dsci-Key" and re.fullmatch("[0-9a-f]{64}", first):
                keys[rest] = first
            elif name == "Dsci-Moved":
                moved.append(line(value, _MOVED_WIDTH))
            elif name == "Dsci-Base":
                platform, _, base = rest.partition(" ")
                bases[base, Platform.parse(platform)] = Digest.parse(first)
        except OciError:
            continue  # Somebody wrote a trailer by hand: a claim that cannot be read is one dsci did not make.
    claim = Released(
        group=named.group,
        version=named.version,
        tag=tag,
        digests=digests,
        keys=keys,
        bases=bases,
        moved=tuple(moved[:_MOVED_LIMIT]),
    )
    if unnamed is not None:
        digests[named.written or _first_image(claim)] = unnamed
    return claim
