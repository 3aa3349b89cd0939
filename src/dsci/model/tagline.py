"""docker/metadata-action's way to write a tag rule: `type=semver,pattern={{version}}`.

A line is a record of comma-separated fields. Its types, attributes and expressions are those of that action's manual;
what it would pass over in silence (an unknown attribute, a pattern that is none) is an error that names the line. Where
a push of a Git tag is meant there, a release is meant here.

Source: https://github.com/docker/metadata-action#tags-input
"""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

import msgspec
import semver
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import tagexpression as expression
from dsci.model import tagparts, tagrecord
from dsci.model.foreign import IllegalPattern
from dsci.model.tagparts import NUMBERS, OF_RUN, WHOLE, Field, Match, Part, Scheme
from dsci.model.tagrule import Flavor, Guard, TagRule
from dsci.model.text import nearest

T = TypeVar("T")

_COMMON = ("enable", "priority", "prefix", "suffix")
#: The types: their priorities, and the attributes that they have of their own.
_TYPES: dict[str, tuple[int, tuple[str, ...]]] = {
    "schedule": (1000, ("pattern",)),
    "semver": (900, ("pattern", "value", "match")),
    "pep440": (900, ("pattern", "value", "match")),
    "match": (800, ("pattern", "group", "value")),
    "edge": (700, ("branch",)),
    "ref": (600, ("event",)),
    "raw": (200, ("value",)),
    "sha": (100, ("format",)),
}
_NEEDED = {"semver": "pattern", "pep440": "pattern", "match": "pattern", "ref": "event", "raw": "value"}
_ENABLE = {"is_default_branch": True, "is_not_default_branch": False}
_LENGTHS = {"short": 7, "long": 64}
_REFS = {"branch": Field.BRANCH, "tag": Field.TAG, "pr": Field.PR}
_SCHEMES = {"semver": Scheme.SEMVER, "pep440": Scheme.PEP440}


def parse(text: str, flavor: Flavor) -> TagRule:
    """Read a line. Raises ConfigError that quotes it for everything that means nothing."""
    line = _Line(text, flavor, _attributes(text))
    return line.rule().checked()


def _attributes(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in tagrecord.fields(text):
        key, equals, value = part.partition("=")
        key, value = (key.strip().lower(), value.strip()) if equals else ("value", key.strip())
        if not key or (not equals and not value):
            raise ConfigError(f"tag rule {text!r}: an empty field")
        if key in given:
            raise ConfigError(f"tag rule {text!r}: {key} is given twice")
        given[key] = value
    return given


class _Line(msgspec.Struct, frozen=True):
    """A line with its attributes, on the way to a rule."""

    text: str
    flavor: Flavor
    given: dict[str, str]

    def fail(self, what: str, hint: str = "") -> NoReturn:
        """Raise ConfigError that quotes the line."""
        raise ConfigError(f"tag rule {self.text!r}: {what}", hint=hint)

    def rule(self) -> TagRule:
        """The rule that the line means."""
        kind = self.given.get("type", "")
        if kind not in _TYPES:
            self.fail(f"unknown type {kind!r}{nearest(kind, _TYPES)}", "types are " + ", ".join(_TYPES))
        known = (*_TYPES[kind][1], *_COMMON)
        for key in self.given:
            if key != "type" and key not in known:
                where = f"{kind} has no attribute {key!r}{nearest(key, list(known))}"
                self.fail(where, f"type={kind} takes {', '.join(known)}")
        needed = _NEEDED.get(kind)
        if needed and not self.given.get(needed):
            self.fail(f"{kind} needs {needed}=")
        return {
            "schedule": self._schedule,
            "semver": self._version,
            "pep440": self._version,
            "match": self._match,
            "edge": self._edge,
            "ref": self._ref,
            "raw": self._raw,
            "sha": self._sha,
        }[kind]()

    # ------------------------------------------------------------------------------------ one method a type

    def _schedule(self) -> TagRule:
        pattern = self.given.get("pattern", "nightly")
        if not pattern:
            self.fail("an empty pattern")
        return self._of_run(expression.parse(pattern, expression.DATES, self.text), scheduled=True)

    def _edge(self) -> TagRule:
        return self._of_run((Part(Field.TEXT, "edge"),), edge=self.given.get("branch", ""))

    def _raw(self) -> TagRule:
        return self._of_either(expression.parse(self.given["value"], expression.RUN, self.text))

    def _sha(self) -> TagRule:
        length = self._choice("format", _LENGTHS, "short")
        return self._of_either((Part(Field.SHA, length=length),), prefix="sha-")

    def _ref(self) -> TagRule:
        field = self._choice("event", _REFS, "")
        if field is Field.TAG:
            return self._of_release((Part(field),), (Part(field),))
        return self._of_run((Part(field),), prefix="pr-" if field is Field.PR else None)

    def _version(self) -> TagRule:
        scheme = _SCHEMES[self.given["type"]]
        pattern = expression.parse(self.given["pattern"], expression.NUMBERS, self.text)
        raw = [part.field for part in pattern] == [Field.RAW]
        whole = (Part(Field.RAW if raw else Field.VERSION),)
        match = self._regex("match", group=1) if self.given.get("match") else None
        if not self.given.get("value"):
            return self._of_release(pattern, whole, scheme=scheme, match=match)
        said = self.given["value"]
        text = (match.find(said) or said if match else said).replace("/", "-")
        version = tagparts.pep440(text) if scheme is Scheme.PEP440 else _semver(text)
        if version is None:
            self.fail(
                f"value={said} is no version of type {self.given['type']}",
                "leave value= out: the version is that of the release",
            )
        if isinstance(version, semver.Version):
            early, numbers = bool(version.prerelease), (version.major, version.minor, version.patch)
        else:
            early = version.is_prerelease or version.is_postrelease
            numbers = (version.major, version.minor, version.micro)
        values = {Field.VERSION: str(version), Field.RAW: text, **dict(zip(NUMBERS, map(str, numbers), strict=True))}
        fixed = "".join(values.get(part.field, part.text) for part in (whole if early else pattern))
        return self._of_release((Part(Field.TEXT, fixed.replace("+", "_")),), ())

    def _match(self) -> TagRule:
        group = self.given.get("group", "0")
        if not re.fullmatch("[0-9]{1,3}", group):
            self.fail(f"group={group} is no number")
        match = self._regex("pattern", group=int(group))
        if not self.given.get("value"):
            part = (Part(Field.MATCH),)
            return self._of_release(part, part, match=match)
        found = match.find(self.given["value"])
        if not found:
            self.fail("its pattern matches nothing of its value")
        return self._of_release((Part(Field.TEXT, found),), ())

    # --------------------------------------------------------------------------------- what all types share

    def _of_either(self, parts: tuple[Part, ...], *, prefix: str | None = None) -> TagRule:
        """A rule about releases where `{{tag}}` is all it knows of the run: the tag pushed is that of a release."""
        rule = self._of_run(parts, prefix=prefix)
        if rule.fields & OF_RUN != {Field.PUSHED_TAG}:
            return rule
        of_tag = tuple(replace(part, field=Field.TAG) if part.field is Field.PUSHED_TAG else part for part in parts)
        return replace(self._of_release(of_tag, of_tag, prefix=prefix), implies_latest=False)

    def _of_run(
        self, parts: tuple[Part, ...], *, prefix: str | None = None, scheduled: bool = False, edge: str | None = None
    ) -> TagRule:
        """A rule about what set the run off."""
        enabled, on_default = self._enabled(run=True)
        return TagRule(
            source=self.text,
            guard=Guard.REF,
            priority=self._priority(),
            parts=self._flavored(parts, expression.RUN, prefix),
            enabled=enabled,
            on_default_branch=on_default,
            scheduled=scheduled,
            edge=edge,
        )

    def _of_release(
        self,
        parts: tuple[Part, ...],
        prerelease: tuple[Part, ...],
        *,
        scheme: Scheme = Scheme.OWN,
        match: Match | None = None,
        prefix: str | None = None,
    ) -> TagRule:
        """A rule about releases."""
        enabled, _ = self._enabled(run=False)
        parts = self._flavored(parts, expression.RELEASE, prefix)
        named = {part.field for part in parts}
        exact = named & (WHOLE | {Field.SHA}) or named.issuperset(NUMBERS)
        return TagRule(
            source=self.text,
            guard=Guard.EXACT if exact else Guard.VERSION,
            priority=self._priority(),
            parts=parts,
            prerelease=self._flavored(prerelease, expression.RELEASE, prefix) if prerelease else (),
            scheme=scheme,
            match=match,
            implies_latest=True,
            enabled=enabled,
        )

    def _flavored(self, parts: tuple[Part, ...], known: dict[str, Part], prefix: str | None) -> tuple[Part, ...]:
        before = self.given.get("prefix", self.flavor.prefix if prefix is None else prefix)
        behind = self.given.get("suffix", self.flavor.suffix)
        return (*expression.parse(before, known, self.text), *parts, *expression.parse(behind, known, self.text))

    def _enabled(self, *, run: bool) -> tuple[bool, bool | None]:
        """Whether the line counts at all, and on which side of the default branch."""
        text = self.given.get("enable", "true")
        parts = expression.parse(text, expression.of(run=run), self.text)
        if len(parts) == 1 and parts[0].field.value in _ENABLE:
            return True, _ENABLE[parts[0].field.value]
        if text not in ("true", "false"):
            self.fail(
                f"enable={text} is neither true nor false",
                "write true, false, {{is_default_branch}} or {{is_not_default_branch}}",
            )
        return text == "true", None

    def _priority(self) -> int:
        text = self.given.get("priority", str(_TYPES[self.given["type"]][0]))
        if not re.fullmatch("-?[0-9]{1,9}", text):
            self.fail(f"priority={text} is no whole number")
        return int(text)

    def _choice(self, key: str, choices: dict[str, T], usual: str) -> T:
        text = self.given.get(key, usual)
        if text not in choices:
            self.fail(f"{key}={text} is none of {', '.join(choices)}{nearest(text, choices)}")
        return choices[text]

    def _regex(self, key: str, *, group: int) -> Match:
        pattern, every = self.given[key], False
        literal = re.fullmatch("/(.+)/(.*)", pattern)
        if literal and key == "pattern":
            flags = literal[2]
            if not set(flags) <= set("iugsm") or len(set(flags)) < len(flags):
                self.fail(f"the flags {flags!r} of its regular expression are not known", "known are i, u, g, s and m")
            every = "g" in flags
            kept = "".join(sorted(set(flags) & set("ism")))
            pattern = f"(?{kept}){literal[1]}" if kept else literal[1]
        try:
            groups = tagparts.compiled(pattern).groups
        except IllegalPattern as error:
            self.fail(
                f"{key}={self.given[key]} is no regular expression: {error}",
                "the language is RE2's: https://github.com/google/re2/wiki/Syntax",
            )
        if not every and group > groups:
            self.fail(f"the regular expression {pattern!r} has no group {group}", "put ( ) around what counts")
        return Match(pattern, group, every)


def _semver(text: str) -> semver.Version | None:
    try:
        return semver.Version.parse(text.strip().lstrip("=v"))
    except ValueError:
        return None
