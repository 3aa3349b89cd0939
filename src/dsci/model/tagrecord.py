"""The records that docker/metadata-action's lines are: fields between commas, quotes around those that hold one.

Source: https://csv.js.org/parse/, which that action reads them with.
"""

from __future__ import annotations

import re

from dsci.errors import ConfigError

_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)')


def fields(text: str) -> list[str]:
    """The fields of a record, as csv-parse reads one. Raises ConfigError for a quote that is out of place."""
    found: list[str] = []
    place = 0
    while place <= len(text):
        quoted = _QUOTED.match(text, place)
        if quoted:
            found.append(quoted[1].replace('""', '"'))
            place = quoted.end() + 1
            continue
        end = text.find(",", place)
        end = len(text) if end < 0 else end
        if '"' in text[place:end]:
            raise ConfigError(
                f"tag rule {text!r}: a quote that is not around a whole field, or has no other half",
                hint='quotes go around key and value: "value=a,b"',
            )
        found.append(text[place:end])
        place = end + 1
    return found


def is_line(text: str) -> bool:
    """Whether a rule is written in this way: whether one of its fields is `type=…`."""
    return re.search(r'(?:\A|,)\s*"?\s*type\s*=', text, re.IGNORECASE) is not None
