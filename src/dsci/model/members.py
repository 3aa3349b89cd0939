"""The variants of an image among each other: which of them a Dockerfile or a tag means.

A tag names a variant by what it ends in; a Dockerfile that names none means the variant whose axes have the same values
as its own. What people name on a command line is found here, too. How settings become variants is `variants`' to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dsci.errors import ConfigError
from dsci.model.family import Family, Image, TargetId
from dsci.model.tagname import like_a_version
from dsci.model.text import nearest


def check_names(names: Iterable[str], family: Family) -> frozenset[str]:
    """The images that these names mean. Raises ConfigError for a name that is no image of the family."""
    chosen: set[str] = set()
    for name in names:
        if not (found := family.named(name)):
            known = sorted(family.images)
            raise ConfigError(
                f"there is no image {name!r}{nearest(name, known)}", hint=f"the images here are {', '.join(known)}"
            )
        chosen |= found
    return frozenset(chosen)


def by_tag(members: Sequence[Image], tag: str) -> Image | None:
    """The variant that a tag names: `cuda12`, `latest-cuda12` and `1.4-cuda12` are one; None where it names none."""
    names = {ending: member for member in members for ending in member.endings if ending}
    return names.get(ending_of(f"-{tag}", names))


def named_alone(members: Sequence[Image], tag: str) -> bool:
    """Whether a tag says nothing but which variant is meant: `cuda12` or `latest-cuda12`."""
    word = f"-{tag.removeprefix('latest-')}"
    return any(word in member.endings for member in members)


def ending_of(tag: str, suffixes: Iterable[str]) -> str:
    """The longest of these suffixes that a tag ends in; "" where there is none."""
    return max((suffix for suffix in suffixes if tag.endswith(suffix)), key=len, default="")


def own_tags(tags: Iterable[str], member: Image, members: Iterable[Image]) -> tuple[str, ...]:
    """Those of the tags of a whole release that are this member's."""
    suffixes = [each.suffix for each in members]
    return tuple(tag for tag in tags if ending_of(tag, suffixes) == member.suffix)


def alike(members: Sequence[Image], user: Image, *, where: str) -> Image:
    """The variant that another image stands on when it names none: like it by the axes that both have.

    Of an axis that the other one lacks it has the default. `where` is the place that names the image.
    Raises ConfigError where there is no such variant.
    """
    default = members[0]
    wanted = {axis: user.variant.get(axis, value) for axis, value in default.variant.items()}
    for axis, value in wanted.items():
        known = list(dict.fromkeys(member.variant[axis] for member in members))
        if value not in known:
            raise ConfigError(
                f"{where}: {user.name} has {axis} {value}, and {default.declared} has no such variant"
                f" ({axis}: {', '.join(known)})",
                hint=f"give {default.declared} that value, or name the variant that is meant:"
                f" {default.declared}:{members[-1].endings[-1][1:]}",
            )
    found = next((member for member in members if member.variant == wanted), None)
    if found is None:
        shown = ", ".join(f"{axis} {value}" for axis, value in wanted.items())
        raise ConfigError(
            f"{where}: {user.name} needs the variant of {default.declared} with {shown}, which is excluded",
            hint=f"exclude it from {user.declared} too, or name the variant that is meant:"
            f" {default.declared}:{members[-1].endings[-1][1:]}",
        )
    return found


def says_something_else(members: Sequence[Image], tag: str | None) -> bool:
    """Whether a tag that names no variant may have been meant to: it is no version, and not `latest`."""
    return len(members) > 1 and tag not in (None, "latest") and not like_a_version(tag or "")


def check_distinct(family: Family, source_keys: Mapping[TargetId, str]) -> None:
    """Raises ConfigError for two variants that are one image: what they differ by is used nowhere."""
    for members in family.variants.values():
        known: dict[tuple[str, str], Image] = {}
        for member in members if len(members) > 1 else ():
            for target in member.targets:
                other = known.setdefault((str(target.platform), source_keys[target]), member)
                if other is not member and not family.nodes[target].problem:
                    args = [axis.upper() for axis, value in member.variant.items() if value != other.variant[axis]]
                    raise ConfigError(
                        f"{member.dockerfile}: the variants {other.name} and {member.name} are built alike:"
                        f" nothing in it depends on {', '.join(args)}",
                        hint=f"declare `ARG {args[0]}` in the stage that uses it, or give one of them another"
                        f" target, dockerfile or args under images.{member.declared}.variants.overrides",
                    )
