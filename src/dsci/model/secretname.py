"""Names of variables and arguments of builds that say that they are secrets, and values that look like one.

Source of the prefixes that services give their tokens: https://github.com/gitleaks/gitleaks
"""

from __future__ import annotations

import re

_SECRET = re.compile(r"(?i)(\A|_)(secret|token|password|passwd|credentials?|api_?key|access_key|private_key)(_|\Z)")
#: Switches: `NO_PASSWORD=true` lets nobody in.
_SWITCH = re.compile(r"(?i)true|false|yes|no|on|off|0|1|")

_VALUE = re.compile(
    r"://[^/\s@]+@"  # user and password in an address
    r"|(?i:[?&](?:token|sig|signature|key|password|secret|x-amz-[a-z-]+)=)"
    r"|-----BEGIN|\b(?:ghp|gho|ghs|ghu|github_pat|glpat|glrt|xox[abp]|sk|pypi|npm|hf|dckr_pat)[_-][A-Za-z0-9_-]{8}"
    r"|\bAKIA[0-9A-Z]{12}|\beyJ[A-Za-z0-9_-]{10,}\."
)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of this name most likely holds a secret."""
    return _SECRET.search(name) is not None and _SWITCH.fullmatch(value) is None


def looks_secret(name: str, value: str) -> bool:
    """The same, or whether the value is like a secret whatever it is called: a guess, to be on the safe side."""
    return is_secret(name, value) or _VALUE.search(value) is not None
