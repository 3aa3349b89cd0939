"""`dsci.lock`: the bases of a family, pinned in a file that is reviewed like any other.

One line per base and platform, sorted, and nothing else, so that a moved base is a diff of one line. What the file pins
wins over what the last release was built on (rule 2 of the semantics). What is to be pinned is `pipeline.locking`'s to
say.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dsci.errors import ConfigError
from dsci.model.oci import Digest, OciError, Platform
from dsci.model.reference import Reference

FILE_NAME = "dsci.lock"

Bases = Mapping[tuple[str, Platform], Digest]


class _Base(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    platform: str
    digest: str


class _Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    schema: int
    bases: tuple[_Base, ...] = ()


def parse(text: str) -> Bases:
    """Read the file. Raises ConfigError with the line of what cannot be meant."""
    # Imported where there is such a file: it brings the whole of PyYAML.
    from dsci.model import yamlfile

    lock, location = yamlfile.load(text, _Lock, file=FILE_NAME, hint="take the file as `dsci lock` wrote it from Git")
    if lock.schema != 1:
        raise ConfigError(f"{location.at('schema')}: schema {lock.schema} is not known", hint="update dsci")
    found: dict[tuple[str, Platform], Digest] = {}
    for n, base in enumerate(lock.bases):
        try:
            key = (str(Reference.parse(base.name)), Platform.parse(base.platform))
            found[key] = Digest.parse(base.digest)
        except (ConfigError, OciError) as error:
            raise ConfigError(f"{location.at('bases', str(n))}: {error.message}", hint=error.hint) from None
    return found


def render(bases: Bases) -> str:
    """The file for these bases; the same bases give the same bytes."""
    rows = [
        f"  - {{name: {name}, platform: {platform}, digest: {digest}}}\n"
        for (name, platform), digest in sorted(bases.items())
    ]
    return f"schema: 1\nbases:{'' if rows else ' []'}\n" + "".join(rows)
