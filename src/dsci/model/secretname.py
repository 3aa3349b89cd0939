"""Names that say that what they name is a secret: of variables, and of arguments of builds."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(?i)(\A|_)(secret|token|password|passwd|credentials?|api_?key|access_key|private_key)(_|\Z)")
#: Switches: `NO_PASSWORD=true` lets nobody in.
_SWITCH = re.compile(r"(?i)true|false|yes|no|on|off|0|1|")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of this name most likely holds a secret."""
    return _SECRET.search(name) is not None and _SWITCH.fullmatch(value) is None
