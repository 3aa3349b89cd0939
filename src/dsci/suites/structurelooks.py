"""Tests that look at an image without running anything: contents, existence, licences, metadata.

How a file says them is `structurefile`'s to know, and where the files come from nobody's here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from dsci.ports import FileEntry, Files
from dsci.suites.expansion import expand
from dsci.suites.finding import Finding, matched
from dsci.suites.structurefile import (
    EXECUTABLE_BY,
    FileContentTest,
    FileExistenceTest,
    LicenseTest,
    MetadataTest,
    mistakes,
)

#: How much of a file is looked at, in bytes; its own reading takes nearly everything.
_CONTENT_LIMIT, _EXACT_LIMIT = 16 * 1024 * 1024, 1024 * 1024 * 1024
_LINKS = 16


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How the tests of a file are read."""

    environment: Mapping[str, str]
    """The image's variables and the file's global ones."""
    exact: bool
    """Whether as container-structure-test reads them."""
    layers: bool
    """Whether the image is looked at through its layers, as by container-structure-test's tar driver."""
    old: bool
    """Whether the schema is the older one, which expands nothing in paths."""


def told(wrong: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Mistakes in a test, as problems."""
    return tuple(f"{key} {text}" for key, text in wrong)


# ----------------------------------------------------------------------------------------------------------- files


def content(reading: Reading, files: Files, test: FileContentTest) -> Finding:
    if wrong := mistakes(test):
        return Finding(name=test.name, problems=told(wrong))
    found = _read(reading, files, test.path)
    name = f"File Content Test: {test.name}"
    if found is None:
        return Finding(name=name, problems=(f"{test.path} is not there, or is no file",))
    if len(found) > (limit := _limit(exact=reading.exact)):
        said = f"{test.path} is larger than the {limit} bytes that are looked at"
        return Finding(name=name, problems=(said,))
    text = found.decode(errors="replace")
    return Finding(name=name, problems=tuple(matched(test.path, text, test.expected_contents, test.excluded_contents)))


def _read(reading: Reading, files: Files, path: str) -> bytes | None:
    """A file's content. container-structure-test's docker driver looks for what a relative link says at the root."""
    for _ in range(_LINKS if reading.exact and not reading.layers else 0):
        entry = files.stat(path)
        if entry is None or entry.kind != "symlink":
            break
        path = str(PurePosixPath("/", entry.link))
    return files.read(path, _limit(exact=reading.exact) + 1)


def _limit(*, exact: bool) -> int:
    return _EXACT_LIMIT if exact else _CONTENT_LIMIT


def existing(reading: Reading, files: Files, test: FileExistenceTest) -> Finding:
    if (wrong := mistakes(test)) and not (reading.exact and reading.old):
        return Finding(name=test.name, problems=told(wrong))
    path = test.path if reading.exact and reading.old else expand(test.path, reading.environment)
    entry = files.stat(path)
    if reading.exact and entry is not None and entry.kind == "other":
        entry = None  # It sees files, folders and links.
    return Finding(name=f"File Existence Test: {test.name}", problems=tuple(_existence(reading, test, entry)))


def _existence(reading: Reading, test: FileExistenceTest, entry: FileEntry | None) -> list[str]:
    if entry is None:
        return [f"{test.path} is not there"] if test.should_exist else []
    problems: list[str] = []
    if not test.should_exist:
        problems.append(f"{test.path} is there, and should not be")
    if test.permissions and test.permissions != (mode := go_mode(entry)):
        problems.append(f"{test.path} has permissions {mode}, expected {test.permissions}")
    # The tar driver has unpacked the image as whoever runs it, and knows no owners any more.
    lost = reading.exact and reading.layers
    if lost and (test.uid, test.gid) != (-1, -1):
        problems.append(f"{test.path}: owners are looked at by the docker driver alone")
    for name, wanted, found in (("user", test.uid, entry.uid), ("group", test.gid, entry.gid)):
        if not lost and wanted not in (-1, found):
            problems.append(f"{test.path} belongs to {name} {found}, expected {wanted}")
    bits = dict(zip(EXECUTABLE_BY, (0o100, 0o010, 0o001, 0o111), strict=True))
    if test.is_executable_by and not entry.mode & bits.get(test.is_executable_by, 0):
        problems.append(f"{test.path} is not executable by {test.is_executable_by}")
    return problems


#: What container-structure-test looks for in licences, where Debian keeps them, and whose it does not look at.
_UNWANTED = ("AGPL", "WTFPL")
_DOCUMENTS, _NOT_ASKED = "/usr/share/doc", ("libgnutls30",)


def licences(reading: Reading, files: Files, test: LicenseTest) -> Finding:
    paths: list[str] = []
    problems: list[str] = []
    if test.debian:
        folders = files.folders(_DOCUMENTS)
        if folders is None:
            problems.append(f"{_DOCUMENTS} is not there")
        paths += [f"{_DOCUMENTS}/{name}/copyright" for name in folders or () if name not in _NOT_ASKED]
    if not problems:
        paths += test.files
    for path in paths:
        text = _read(reading, files, path)
        if text is None:
            problems.append(f"{path} is not there, or is no file")
            continue
        problems += [f"{path} speaks of {word}" for word in _UNWANTED if word in text.decode(errors="replace").upper()]
    return Finding(name="License Test", problems=tuple(problems))


# -------------------------------------------------------------------------------------------------------- metadata


def is_empty(test: MetadataTest, *, exact: bool) -> bool:
    """Whether nothing is asked; to container-structure-test an empty text is nothing."""
    if exact:
        test = msgspec.structs.replace(test, workdir=test.workdir or None, user=test.user or None)
    return test == MetadataTest()


def metadata(test: MetadataTest, config: Mapping[str, Any], *, exact: bool) -> list[str]:
    environment = dict(str(item).split("=", 1) for item in config.get("Env") or () if "=" in str(item))
    labels: Mapping[str, str] = config.get("Labels") or {}
    problems: list[str] = []
    for kind, wanted, found in (("variable", test.env_vars, environment), ("label", test.labels, labels)):
        for item in wanted:
            value = found.get(item.key)
            if value is None:
                problems.append(f"{kind} {item.key} is not set")
            elif item.is_regex:
                problems += matched(f"{kind} {item.key}", value, [item.value], ())
            elif item.value != value:
                problems.append(f"{kind} {item.key} is {value!r}, expected {item.value!r}")
    problems += [f"variable {item.key} is set" for item in test.unbound_env_vars if item.key in environment]
    for field, wanted_list in (("Entrypoint", test.entrypoint), ("Cmd", test.cmd)):
        value_list = tuple(config.get(field) or ())
        if wanted_list is not None and wanted_list != value_list:
            problems.append(f"{field.lower()} is {list(value_list)}, expected {list(wanted_list)}")
    exposed = {str(port) for port in config.get("ExposedPorts") or ()}
    # The protocol is no part of what container-structure-test compares.
    ports = {port.partition("/")[0] for port in exposed} | (set() if exact else exposed)
    volumes = set(config.get("Volumes") or ())
    problems += [f"port {port} is not exposed" for port in test.exposed_ports if port not in ports]
    problems += [f"port {port} is exposed" for port in test.unexposed_ports if port in ports]
    problems += [f"volume {path} is not declared" for path in test.volumes if path not in volumes]
    problems += [f"volume {path} is declared" for path in test.unmounted_volumes if path in volumes]
    for field, wanted_text in (("WorkingDir", test.workdir), ("User", test.user)):
        if wanted_text is None or (exact and not wanted_text):
            continue
        if wanted_text != (config.get(field) or ""):
            problems.append(f"{field.lower()} is {config.get(field) or ''!r}, expected {wanted_text!r}")
    return problems


def go_mode(entry: FileEntry) -> str:
    """Permissions as Go's FileMode.String writes them. Source: https://pkg.go.dev/io/fs#FileMode.String"""
    kind = {"directory": "d", "symlink": "L"}.get(entry.kind, "")
    special = "".join(letter for bit, letter in ((0o4000, "u"), (0o2000, "g"), (0o1000, "t")) if entry.mode & bit)
    letters = "".join(letter if entry.mode & (1 << (8 - n)) else "-" for n, letter in enumerate("rwxrwxrwx"))
    return (kind + special or "-") + letters
