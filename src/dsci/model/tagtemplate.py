"""dsci's own way to write a tag rule: a template such as `{major}.{minor}`, `latest` or `{branch}-{sha}`.

A template that names the whole version, or a commit, gives an immutable tag; one that names the run (a branch, a
request, a date) follows it; every other one floats with the versions.
"""

from __future__ import annotations

import re

from dsci.errors import ConfigError
from dsci.model import tagexpression
from dsci.model.reference import check_tag
from dsci.model.tagparts import NUMBERS, OF_RUN, WHOLE, Field, Part
from dsci.model.tagrule import Flavor, Guard, TagRule
from dsci.model.text import nearest

PRIORITY = 900
_FIELD = re.compile(r"\{([^{}]*)\}")
_PLAIN = {name: Part(Field(name)) for name in ("version", "major", "minor", "patch", "sha", "tag", "branch", "pr")}
_DATES = {"date": Field.DATE, "commit_date": Field.COMMIT_DATE}
_LATER = "package"


def parse(text: str, flavor: Flavor) -> TagRule:
    """Check a template. Raises ConfigError for unknown fields and for tags that could never be legal."""
    hint = "docker/metadata-action's lines begin with type=: type=raw,value=…"
    if "{{" in text:
        raise ConfigError(f"a lone brace in tag rule {text!r}", hint=hint)
    parts: list[Part] = []
    end = 0
    for match in _FIELD.finditer(text):
        parts += [Part(Field.TEXT, text[end : match.start()]), _field(match[1], text)]
        end = match.end()
    parts.append(Part(Field.TEXT, text[end:]))
    own = tuple(part for part in parts if part.field is not Field.TEXT or part.text)
    sample = "".join(part.text if part.field is Field.TEXT else "1" for part in own)
    if "{" in sample or "}" in sample:
        raise ConfigError(f"a lone brace in tag rule {text!r}")
    try:
        check_tag(sample)
    except ConfigError as error:
        raise ConfigError(f"tag rule {text!r}: {error.message}", hint=hint if "=" in text else error.hint) from None
    return _rule(text, own, flavor).checked()


def _field(name: str, text: str) -> Part:
    kind, colon, rest = name.partition(":")
    if name in _PLAIN:
        return _PLAIN[name]
    if colon and kind == _LATER:
        raise ConfigError(
            f"{{{name}}} in tag rule {text!r}: versions of packages come with inventories, which dsci does not keep"
        )
    if kind in _DATES:
        try:
            from dsci.model import momentformat

            momentformat.check(rest, "UTC")
        except ConfigError as error:
            raise ConfigError(f"{{{name}}} in tag rule {text!r}: {error.message}", hint=error.hint) from None
        return Part(_DATES[kind], rest)
    known = [*_PLAIN, *_DATES]
    raise ConfigError(
        f"unknown field {{{name}}} in tag rule {text!r}{nearest(kind, known)}",
        hint="known fields: " + ", ".join([*_PLAIN, *(f"{name}:FORMAT" for name in _DATES)]),
    )


def _rule(text: str, own: tuple[Part, ...], flavor: Flavor) -> TagRule:
    latest = text == "latest"
    prefix = flavor.prefix if flavor.prefix_latest or not latest else ""
    suffix = flavor.suffix if flavor.suffix_latest or not latest else ""
    named = {part.field for part in own}
    of_run = bool(named & OF_RUN)
    flavored = (
        *tagexpression.parse(prefix, tagexpression.of(run=of_run), text),
        *own,
        *tagexpression.parse(suffix, tagexpression.of(run=of_run), text),
    )
    named |= {part.field for part in flavored}
    told = bool(named & (WHOLE | {Field.SHA}))
    exact = told or named.issuperset(NUMBERS)
    return TagRule(
        source=text,
        guard=Guard.REF if of_run else Guard.EXACT if exact else Guard.VERSION,
        priority=PRIORITY,
        parts=flavored,
        # Three numbers alone are kept for the release that a prerelease is on the way to.
        prerelease=flavored if told else (),
    )
