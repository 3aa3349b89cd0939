"""docker/metadata-action's `{{…}}` expressions, as far as its manual lists them.

What stands between them is text. Anything else that Handlebars would take is an error that names the rule: there it
would become nothing, silently.

Source: https://github.com/docker/metadata-action#global-expressions
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dsci.errors import ConfigError
from dsci.model.tagparts import Field, Part
from dsci.model.text import nearest

_EXPRESSION = re.compile(r"\{\{([^{}]*)\}\}")
_DATE = re.compile(
    r"(?P<name>date|commit_date)\s+(?P<format>'[^']*'|\"[^\"]*\")(?:\s+tz\s*=\s*(?P<zone>'[^']*'|\"[^\"]*\"))?"
)
_SHORT = 7
#: What a release's tags may depend on: the same whichever run writes them.
RELEASE = {"tag": Part(Field.TAG), "sha": Part(Field.SHA, length=_SHORT)}
DATES = {"date": Part(Field.DATE), "commit_date": Part(Field.COMMIT_DATE)}
RUN = {
    "branch": Part(Field.BRANCH),
    "tag": Part(Field.PUSHED_TAG),
    "sha": Part(Field.SHA, length=_SHORT),
    "base_ref": Part(Field.BASE_REF),
    "is_default_branch": Part(Field.IS_DEFAULT_BRANCH),
    "is_not_default_branch": Part(Field.IS_NOT_DEFAULT_BRANCH),
    **DATES,
}
NUMBERS = {name: Part(Field(name)) for name in ("version", "raw", "major", "minor", "patch")}


def of(*, run: bool) -> Mapping[str, Part]:
    """The expressions that a rule about runs, or one about releases, may hold anywhere."""
    return RUN if run else RELEASE


def parse(text: str, known: Mapping[str, Part], rule: str) -> tuple[Part, ...]:
    """A text with expressions as parts. Raises ConfigError for an expression that is not among the known ones."""
    if "${{" in text:
        raise ConfigError(
            f"tag rule {rule!r}: GitHub's ${{{{ }}}} means nothing in dsci.yaml",
            hint="docker/metadata-action's own {{…}} expressions do: {{branch}}, enable={{is_default_branch}}",
        )
    parts: list[Part] = []
    end = 0
    for match in _EXPRESSION.finditer(text):
        parts += [Part(Field.TEXT, text[end : match.start()]), _expression(match[1].strip(), known, rule)]
        end = match.end()
    parts.append(Part(Field.TEXT, text[end:]))
    if any(brace in part.text for part in parts if part.field is Field.TEXT for brace in "{}"):
        raise ConfigError(f"tag rule {rule!r}: a brace that belongs to no {{{{expression}}}}")
    return tuple(part for part in parts if part.field is not Field.TEXT or part.text)


def _expression(said: str, known: Mapping[str, Part], rule: str) -> Part:
    name = said.partition(" ")[0]
    if name not in known:
        why = " depends on the run, and a release's tags do not" if name in RUN else " is not known"
        raise ConfigError(
            f"tag rule {rule!r}: {{{{{said}}}}}{why} here{nearest(name, list(known))}",
            hint="known here: " + ", ".join(known) if known else "no expression can stand here",
        )
    if name not in DATES:
        if said != name:
            raise ConfigError(f"tag rule {rule!r}: {{{{{said}}}}}: {name} takes nothing")
        return known[name]
    match = _DATE.fullmatch(said)
    if match is None:
        raise ConfigError(
            f"tag rule {rule!r}: {{{{{said}}}}} is no date", hint=f"write {{{{{name} 'YYYYMMDD' tz='Europe/Berlin'}}}}"
        )
    pattern, zone = match["format"][1:-1], (match["zone"] or "'UTC'")[1:-1]
    try:
        from dsci.model import momentformat

        momentformat.check(pattern, zone)
    except ConfigError as error:
        raise ConfigError(f"tag rule {rule!r}: {error.message}", hint=error.hint) from None
    return Part(known[name].field, pattern, zone)
