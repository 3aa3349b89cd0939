"""Variables in a text, replaced as Go's os.Expand does. Source: https://pkg.go.dev/os#Expand"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

#: As Go's os.Expand has it: `${}` and a `${` that is never closed are eaten, `$` before anything else stays.
_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>[^}]+)\}|(?P<bad>\{\}?)|(?P<special>[*#$@!?\-0-9])|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` replaced from the image's environment, as Go's os.Expand does; unset is empty."""
    return _VARIABLE.sub(
        lambda match: (
            "" if match["bad"] else environment.get(match["braced"] or match["special"] or match["plain"], "")
        ),
        text,
    )


def variables(text: str) -> Iterator[tuple[int, str, str]]:
    """What `expand` replaces: where it begins, as it is written, and the variable's name; no name where there is none,
    as of `$1`, `$$` and `${`, and of `${NAME:-more}`, all of which is taken for one."""
    for match in _VARIABLE.finditer(text):
        name = match["braced"] or match["plain"] or ""
        yield match.start(), match[0], name if _NAME.fullmatch(name) else ""
