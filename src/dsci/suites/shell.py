"""Shell scripts and bats files, each in a container of its own, by what the image has to run them.

A script is run by what its first line names, else by `sh`, and is one check: passed with exit code 0, skipped with 77,
as in automake, if its last line says why. A bats file is a check for each of its tests. It is run by the image's bats;
where there is none, this machine's is copied beside the suite, since it is nothing but bash scripts, and the image's
bash runs it. A file runs in its own folder, which it may write to.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.ports import Ran
from dsci.suites import inside, junit, tap
from dsci.suites.inside import MOUNT, SUITE
from dsci.suites.subject import Subject

_NO_BASH = "the image has neither bats nor bash, which this machine's bats needs"
_NO_BATS = (
    "neither the image nor this machine has bats: install it in one of them, as in apt-get install bats or npm install"
    " --global bats"
)
#: As Linux reads it: a program, and the rest of the line as one word. Source: execve(2)
_SHEBANG = re.compile(r"#![ \t]*(\S+)[ \t]*([^\n]*)")
#: What bats consists of, below the folder it was installed to; the same in Debian, npm and its own installer.
_BATS_PARTS = ("bin/bats", "libexec/bats-core/*", "lib*/bats-core/*")


def volume(subject: Subject, suite: Suite) -> bytes:
    """The tar of the suite and, where it has bats files, of this machine's bats, if there is one."""
    bats = _bats() if any(path.endswith(".bats") for path in suite.files) else {}
    return inside.volume(subject, suite, bats, writable=True)


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Run the scripts and bats files of a suite. A file has the time of a check."""
    filled = volume(subject, suite)
    texts = {inside.inner(suite, path): subject.read(path) for path in suite.files}

    def one(path: str) -> Sequence[Check]:
        if path.endswith(".bats"):
            return _bats_file(subject, filled, path)
        program = _program(texts[path])
        found = inside.run(
            subject,
            filled,
            ((*program, f"{SUITE}/{path}"),),
            lambda _, ran: [_script(path, ran)],
            folder=inside.folder_of(path),
        )
        return found or [inside.failed(path, f"the image has no {program[0]}, which is to run it")]

    return inside.each(subject, suite, one)


def _program(text: bytes) -> tuple[str, ...]:
    """What runs a script."""
    found = _SHEBANG.match(text.partition(b"\n")[0].decode(errors="replace"))
    return tuple(word for word in (found[1], found[2].strip()) if word) if found else ("sh",)


def _script(path: str, ran: Ran) -> Check:
    match ran.exit_code:
        case 0:
            return Check(name=path, verdict=Verdict.PASSED, seconds=ran.seconds)
        case 77:  # https://www.gnu.org/software/automake/manual/html_node/Scripts_002dbased-Testsuites.html
            lines = inside.output(ran).strip().split("\n")
            return junit.skip(path, lines[-1], ran.seconds)
        case _:
            return inside.failed(path, inside.unfinished(ran), ran)


def _bats_file(subject: Subject, filled: bytes, path: str) -> Sequence[Check]:
    """Run a bats file by the image's bats, or by the one that it is lent."""
    lent = bool(_bats())
    words = ("--tap", "--timing", f"{SUITE}/{path}")
    found = inside.run(
        subject,
        filled,
        [("bats", *words), *([("bash", f"{MOUNT}/bats/bin/bats", *words)] if lent else [])],
        lambda _, ran: _bats_tests(path, ran),
        folder=inside.folder_of(path),
    )
    return found or [inside.failed(path, _NO_BASH if lent else _NO_BATS)]


def _bats_tests(path: str, ran: Ran) -> list[Check]:
    tests, whole = tap.checks(ran.stdout)
    if ran.exit_code == 0 and not (tests and whole):
        return [inside.failed(path, "it does not tell of every test" if tests else "no test ran", ran)]
    return inside.accounted(path, ran, [replace(check, name=f"{path}::{check.name}") for check in tests], empty={})


def _bats() -> dict[str, bytes]:
    """The files of this machine's bats, by their paths below `MOUNT`; none where it has none."""
    program = shutil.which("bats")
    if program is None:
        return {}
    place = Path(program).resolve().parents[1]
    files = (file for part in _BATS_PARTS for file in place.glob(part) if file.is_file())
    return {f"bats/{file.relative_to(place).as_posix()}": file.read_bytes() for file in files}
