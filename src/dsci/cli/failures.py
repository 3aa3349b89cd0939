"""What is kept on disk of checks that failed in containers: a folder each, and the command that runs it again.

A folder has `bundle.json` (what was run, how it ended, how its container was made), `stdout.txt` and `stderr.txt`
(their ends), and `inspect.json` (what the engine says of the container).
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError, DsciError
from dsci.model.bundle import Bundle
from dsci.model.report import Check, Report

_BUNDLE = "bundle.json"
#: Nothing that dsci writes is larger.
_LIMIT = 16 << 20
#: How much of a check's name is in that of its folder.
_NAME = 40


def write(place: Path, report: Report, command: Sequence[str]) -> Report:
    """Write a folder for each check that has a bundle, in place of those of an earlier run; gives the report with the
    commands that run them again. `command` is that command, but for the folder. Raises DsciError.
    """
    count = 0

    def kept(check: Check) -> Check:
        nonlocal count
        if check.bundle is None:
            return check
        count += 1
        folder = place / f"{count}-{re.sub('[^a-z0-9]+', '-', check.name.lower()).strip('-')[:_NAME]}".rstrip("-")
        again = [*command, str(folder)]
        if check.bundle.launch is None:  # one container of several that need each other
            again = ["dsci", "test", check.bundle.target.partition("@")[0]]
        bundle = replace(check.bundle, replay=shlex.join(again))
        _write(folder, bundle)
        return replace(check, bundle=bundle)

    try:
        _clear(place)
        suites = tuple(replace(suite, checks=tuple(map(kept, suite.checks))) for suite in report.suites)
    except OSError as error:
        raise DsciError(
            f"what failed could not be written to {place}: {error.strerror}", hint="name another place with --report"
        ) from None
    return replace(report, suites=suites)


def read(folder: Path) -> Bundle:
    """The bundle in a folder. Raises ConfigError where there is none."""
    path = folder / _BUNDLE
    hint = "name a folder below `failures` of a report, as `dsci test` printed it"
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT)
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}", hint=hint) from None
    try:
        return msgspec.json.decode(content, type=Bundle)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is no bundle of a check: {error}", hint=hint) from None


def _write(folder: Path, bundle: Bundle) -> None:
    folder.mkdir(parents=True)
    inspected = bundle.seen.inspect if bundle.seen is not None else {}
    seen = replace(bundle.seen, inspect={}) if bundle.seen is not None else None
    rest = replace(bundle, stdout="", stderr="", seen=seen)
    for name, content in (
        (_BUNDLE, msgspec.json.format(msgspec.json.encode(rest), indent=2)),
        ("stdout.txt", bundle.stdout.encode()),
        ("stderr.txt", bundle.stderr.encode()),
        ("inspect.json", msgspec.json.format(msgspec.json.encode(inspected), indent=2)),
    ):
        (folder / name).write_bytes(content)


def _clear(place: Path) -> None:
    """Remove what an earlier run wrote here, and nothing else."""
    for folder in place.iterdir() if place.is_dir() else ():
        if (folder / _BUNDLE).is_file() and not folder.is_symlink():
            shutil.rmtree(folder)
