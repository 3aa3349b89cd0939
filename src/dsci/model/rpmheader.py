"""A package as rpm keeps it in its database: a header of numbered fields, read within bounds.

The header is 4 bytes each for the number of entries and of bytes of data, then entries of 16 bytes (tag, type, offset,
count), then the data. It may be anybody's: what lies outside of it, or is of another type, counts as not there. Where
headers are kept is said in `rpmdatabase`.

Source: https://rpm-software-management.github.io/rpm/manual/format_header.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dsci.model.inventory import Package
from dsci.model.packagefiles import package

#: Sources: https://rpm-software-management.github.io/rpm/manual/tags.html
_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_VENDOR, _LICENSE, _ARCH, _SOURCE = 1011, 1014, 1022, 1044
_WANTED = frozenset({_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _LICENSE, _ARCH, _SOURCE})
_INT32, _TEXTS = 4, frozenset({6, 8, 9})
_PREFIX, _ENTRY = struct.Struct(">II"), struct.Struct(">IIII")
#: The most entries that a header may have, as rpm itself has it, and bytes of one field that are looked at.
_ENTRIES, _FIELD = 0xFFFF, 4096


def packages(header: bytes) -> Iterator[Package]:
    """The package that a header describes; keys that signatures are checked by are kept as packages, and are none."""
    fields = _fields(header)
    name, version, release = (fields.get(tag, "") for tag in (_NAME, _VERSION, _RELEASE))
    if name == "gpg-pubkey" or not (version and release):
        return
    epoch = fields.get(_EPOCH, "0")
    source = fields.get(_SOURCE, "")
    yield from package(
        "rpm",
        name,
        f"{epoch}:{version}-{release}" if epoch != "0" else f"{version}-{release}",
        architecture=fields.get(_ARCH, ""),
        source="" if source == "(none)" else source,
        license=fields.get(_LICENSE, ""),
        supplier=fields.get(_VENDOR, ""),
    )


def _fields(header: bytes) -> dict[int, str]:
    """What the tags that are wanted say; the first of each counts."""
    if len(header) < _PREFIX.size:
        return {}
    count, size = _PREFIX.unpack_from(header)
    begin = _PREFIX.size + count * _ENTRY.size
    if count > _ENTRIES or begin + size > len(header):
        return {}
    fields: dict[int, str] = {}
    for n in range(count):
        tag, kind, offset, values = _ENTRY.unpack_from(header, _PREFIX.size + n * _ENTRY.size)
        if tag not in _WANTED or tag in fields or not values or offset >= size:
            continue
        at = begin + offset
        if kind in _TEXTS:
            fields[tag] = header[at : min(at + _FIELD, begin + size)].partition(b"\0")[0].decode(errors="replace")
        elif kind == _INT32 and offset + 4 <= size:
            fields[tag] = str(int.from_bytes(header[at : at + 4], "big"))
    return fields
