"""`variants:` of an image: axes and their values become members of one image (rule 7 of the semantics).

Every combination of values that is not excluded is a variant: it has the values as build arguments, and a suffix that
tells its tags from those of the default one. The types below are the grammar; what Dockerfiles mean by a variant is
`members`' to know.

The words are those of a GitHub matrix (axes of values, `exclude` by some of them) and of `docker buildx bake`:
https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations,
https://docs.docker.com/build/bake/matrices/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from math import prod

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model.location import Location
from dsci.model.tagname import legal
from dsci.model.text import nearest

#: The most variants that one image may have: the jobs that a CI system makes of one matrix.
MOST = 256
_AXIS = re.compile(r"[a-z][a-z0-9_]*\Z")
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
#: What `-r` and a date end in is a rebuild (rule 16).
_SUFFIX = re.compile(r"-(?!r[0-9]{8}\b)[a-z0-9][a-z0-9._-]{0,62}\Z")


class OverrideSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What some variants have otherwise than the image; of two overrides for one variant the later one counts."""

    when: dict[str, str] = {}
    """Values of axes: the variants that have all of them are meant."""
    args: dict[str, str] = {}
    """Further build arguments; `{axis}` stands for the variant's value."""
    dockerfile: str | None = None
    target: str | None = None
    platforms: tuple[str, ...] | None = None
    suites: tuple[str, ...] = ()
    """Files or folders of suites that these variants have beside those of the image."""
    suffix: str | None = None
    """What their tags end in, such as `-gpu`, in place of what their values make."""


class VariantSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The variants of an image: all combinations of the axes' values, but for those that are excluded."""

    axes: dict[str, tuple[str, ...]] = {}
    """What variants differ by, and the values of each: `{python: ["3.11", "3.12"]}`. A value is the build argument of
    the axis's name in capitals (`PYTHON`)."""
    default: dict[str, str] = {}
    """The variant that has the tags without a suffix; of an axis that is not named here, the first value."""
    suffix: str | None = None
    """What stands behind tags, such as `-py{python}-{accelerator}`. A field that has its default value is left out,
    with the text before it."""
    args: dict[str, str] = {}
    """Build arguments made of values: `{PYTHON_VERSION: "{python}"}`."""
    exclude: tuple[dict[str, str], ...] = ()
    """Combinations that are not made, by the values of some axes or of all."""
    overrides: tuple[OverrideSettings, ...] = ()


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One combination of values, and what the settings make of it."""

    values: Mapping[str, str]
    """The value of every axis, in the order in which the axes are written."""
    suffix: str = ""
    """What its tags end in; nothing for the default one."""
    names: tuple[str, ...]
    """What a tag may end in that means it: the suffix, that with some default values written out, and last with all."""
    args: Mapping[str, str]
    dockerfile: str | None = None
    stage: str | None = None
    platforms: tuple[str, ...] | None = None
    suites: tuple[str, ...] = ()


def expand(given: VariantSettings, location: Location, path: tuple[str, ...]) -> tuple[Variant, ...]:
    """The variants of an image, the default one first, the others as they are written.

    `path` is where the settings stand in the file. Raises ConfigError with file and line: a word that is no axis or no
    value, a default that is excluded, suffixes that are not legal or not different.
    """
    return _Reader(given, location, path).read()


class _Reader(msgspec.Struct, frozen=True):
    given: VariantSettings
    location: Location
    path: tuple[str, ...]

    def read(self) -> tuple[Variant, ...]:
        axes = self.given.axes
        self._check_axes()
        self._check_values(self.given.default, "default")
        default = {axis: self.given.default.get(axis, values[0]) for axis, values in axes.items()}
        for n, excluded in enumerate(self.given.exclude):
            self._check_values(excluded, "exclude", str(n))
            if not excluded:
                raise self._error("names no value: nothing would be left", "exclude", str(n))
            if _has(default, excluded):
                raise self._error("this is the default variant, which has to be", "exclude", str(n))
        combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        kept = [each for each in combinations if not any(_has(each, excluded) for excluded in self.given.exclude)]
        kept.sort(key=lambda values: values != default)
        pieces = self._pieces()
        found = [self._variant(values, default, pieces) for values in kept]
        for n, override in enumerate(self.given.overrides):
            found = list(self._overridden(found, default, override, n))
        owners = self._owners(found)
        shared = Counter(name for variant in found for name in set(variant.names) if name not in owners)
        return tuple(
            replace(
                variant, names=tuple(name for name in variant.names if owners.get(name) is variant or shared[name] == 1)
            )
            for variant in found
        )

    def _check_axes(self) -> None:
        axes = self.given.axes
        if not axes:
            raise self._error("names no axes", hint="such as axes: {accelerator: [cpu, cuda12]}")
        for axis, values in axes.items():
            if not _AXIS.match(axis):
                raise self._error(f"{axis!r} cannot name an axis", "axes", axis, hint="lower-case letters, digits, _")
            if not values:
                raise self._error(f"{axis} has no values", "axes", axis)
            if twice := next((value for n, value in enumerate(values) if value in values[:n]), None):
                raise self._error(f"{axis} has {twice!r} twice", "axes", axis)
        if (count := prod(map(len, axes.values()))) > MOST:
            raise self._error(f"these are {count} variants, and {MOST} are the most", "axes")

    def _check_values(self, chosen: Mapping[str, str], *where: str) -> None:
        """Every word must be an axis, and its value one of the axis's."""
        for axis, value in chosen.items():
            known = list(self.given.axes)
            if axis not in known:
                raise self._error(f"there is no axis {axis!r}{nearest(axis, known)}", *where, axis)
            values = self.given.axes[axis]
            if value not in values:
                raise self._error(f"{axis} has no value {value!r}: it has {', '.join(values)}", *where, axis)

    def _pieces(self) -> Mapping[str, tuple[str, str]]:
        """What stands before and behind each axis's value in a suffix, in the order they have there."""
        template = self.given.suffix
        if template is None:
            return dict.fromkeys(self.given.axes, ("-", ""))
        texts = _FIELD.split(template)
        named, between = texts[1::2], texts[0::2]
        if sorted(named) != sorted(self.given.axes):
            fields = ", ".join(f"{{{axis}}}" for axis in self.given.axes)
            raise self._error(f"{template!r} must have each of {fields} once", "suffix")
        return {axis: (between[n], between[-1] if n == len(named) - 1 else "") for n, axis in enumerate(named)}

    def _variant(
        self, values: Mapping[str, str], default: Mapping[str, str], pieces: Mapping[str, tuple[str, str]]
    ) -> Variant:
        words = {axis: f"{before}{self._word(axis, values[axis])}{behind}" for axis, (before, behind) in pieces.items()}
        choices = [(word,) if values[axis] != default[axis] else ("", word) for axis, word in words.items()]
        names = tuple(dict.fromkeys(_joined(chosen) for chosen in product(*choices)))
        return Variant(
            values=values,
            suffix=names[0],
            names=names,
            args={
                **{axis.upper(): value for axis, value in values.items()},
                **self._filled(self.given.args, values, "args"),
            },
        )

    def _word(self, axis: str, value: str) -> str:
        """A value as it stands in tags: `cuda12`; with the axis's name where it would read as a version by itself."""
        word = legal(value).strip("._-").lower()
        if not word:
            raise self._error(f"nothing of {value!r} is legal in a tag", "axes", axis)
        return f"{axis.replace('_', '-')}{word}" if self.given.suffix is None and word[0].isdigit() else word

    def _filled(self, args: Mapping[str, str], values: Mapping[str, str], *where: str) -> dict[str, str]:
        """Build arguments with the values in place of their axes' names."""
        for name, text in args.items():
            for field in _FIELD.findall(text):
                if field not in values:
                    raise self._error(f"there is no axis {field!r}{nearest(field, list(values))}", *where, name)
        return {name: _FIELD.sub(lambda field: values[field[1]], text) for name, text in args.items()}

    def _overridden(
        self, variants: Iterable[Variant], default: Mapping[str, str], override: OverrideSettings, n: int
    ) -> Iterable[Variant]:
        where = ("overrides", str(n))
        self._check_values(override.when, *where, "when")
        if not override.when:
            raise self._error(
                "names no value of an axis", *where, hint="what all variants have is a setting of the image"
            )
        for variant in variants:
            if not _has(variant.values, override.when):
                yield variant
                continue
            if override.suffix is not None and variant.values == default:
                raise self._error("the default variant has the tags without a suffix", *where, "suffix")
            yield replace(
                variant,
                suffix=variant.suffix if override.suffix is None else override.suffix,
                names=tuple(dict.fromkeys((override.suffix or variant.suffix, *variant.names))),
                args={**variant.args, **self._filled(override.args, variant.values, *where, "args")},
                dockerfile=override.dockerfile or variant.dockerfile,
                stage=override.target or variant.stage,
                platforms=variant.platforms if override.platforms is None else override.platforms,
                suites=(*variant.suites, *override.suites),
            )

    def _owners(self, variants: Iterable[Variant]) -> Mapping[str, Variant]:
        """Whose each suffix is, and each name with all values. They must be legal, and nobody else's."""
        owners: dict[str, Variant] = {}
        for variant in variants:
            for suffix in dict.fromkeys((variant.suffix, variant.names[-1])):
                shown = ", ".join(f"{axis} {value}" for axis, value in variant.values.items())
                if suffix and not _SUFFIX.match(suffix):
                    raise self._error(
                        f"{suffix!r} cannot be the suffix of {shown}",
                        "suffix",
                        hint="a hyphen, then at most 63 lower-case letters, digits and . _ - (and no -rYYYYMMDD)",
                    )
                if suffix in owners:
                    other = ", ".join(f"{axis} {value}" for axis, value in owners[suffix].values.items())
                    raise self._error(f"{other} and {shown} would both be called {suffix!r}", "suffix")
                owners[suffix] = variant
        return owners

    def _error(self, text: str, *where: str, hint: str = "") -> ConfigError:
        path = (*self.path, *where)
        return ConfigError(f"{self.location.at(*path)}: {'.'.join(path)}: {text}", hint=hint)


def _has(values: Mapping[str, str], some: Mapping[str, str]) -> bool:
    """Whether a combination has these values."""
    return all(values[axis] == value for axis, value in some.items())


def _joined(words: Iterable[str]) -> str:
    """A suffix of these words; it begins with a hyphen, whichever of them is the first."""
    text = "".join(words).lstrip("._-")
    return f"-{text}" if text else ""
