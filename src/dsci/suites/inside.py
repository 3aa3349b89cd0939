"""Tests that run in the image, with nothing installed into it: a volume with their files and with what runs them.

The volume is filled through the engine, never mounted from here, so an engine elsewhere serves as well. Which files are
tests, what runs them, and what became of each is the kinds' own to say.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec.structs import replace

from dsci.model import suitefiles
from dsci.model.bundle import Launch
from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.model.tree import below
from dsci.ports import Container, Ran, Special
from dsci.suites import bundles
from dsci.suites.subject import Subject
from dsci.tars import TarWriter

#: Where the volume is mounted in the container under test.
MOUNT = "/dsci"
#: The suite's own files in it, and a folder that anybody may write to.
SUITE, OUT = f"{MOUNT}/suite", f"{MOUNT}/out"
OUTPUT_LIMIT = 1024 * 1024

#: Test files of a suite that run at once, each in a container of its own.
_AT_ONCE = 2
#: How the engine says that a program is not in the image, by its name and by its path.
_ABSENT = re.compile(r'exec: "[^"]*": (?:executable file not found|stat [^:]*: no such file)')
#: What runs in images, and is never imported here.
_SCRIPTS = Path(__file__).parent / "scripts"


def volume(subject: Subject, suite: Suite, more: Mapping[str, bytes], *, writable: bool = False) -> bytes:
    """The tar for the volume: the suite's files, `OUT`, and `more`, programs by their paths below `MOUNT`.

    With `writable` whoever the image's user is may change the suite's files: a fresh copy of them, in every container.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        files = TarWriter(archive)
        for path, data in sorted(more.items()):
            files.file(path, data, 0o755)
        files = TarWriter(archive, folders=0o777 if writable else 0o755)
        for path in suite.files:
            mode = 0o755 if subject.executable(path) else 0o644
            files.file(f"suite/{inner(suite, path)}", subject.read(path), mode | 0o222 if writable else mode)
        out = tarfile.TarInfo("out")
        out.type, out.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(out)
    return content.getvalue()


def inner(suite: Suite, path: str) -> str:
    """A file's path below `SUITE`."""
    return below(suite.path, path) or path


def script(name: str) -> bytes:
    """A program of dsci's that runs in the image."""
    return (_SCRIPTS / name).read_bytes()


def run(
    subject: Subject,
    filled: bytes,
    commands: Iterable[Sequence[str]],
    told: Callable[[Container, Ran], Sequence[Check]],
    *,
    going: Callable[[Container], Ran] | None = None,
    folder: str = "",
    several: bool = False,
) -> list[Check]:
    """Run the first of these commands that the image has, in a fresh container with a volume of this content.

    Gives the checks that are `told` of the container and how it went, those that failed with all that is needed to look
    into it; none where the image has none of the programs. `folder` is its working directory, by default the image's
    own. `going` runs it; by default it has the time of one check and, where it is `several`, that of the suite.
    """
    special = Special(folder=folder)
    for program, *words in commands:
        with subject.container(
            entrypoint=[program],
            command=words,
            volume=(MOUNT, filled),
            special=special,
            several=several,
        ) as container:
            seconds = subject.rest if several else subject.timeout
            ran = going(container) if going else container.run(seconds, OUTPUT_LIMIT)
            if ran.exit_code is None and _ABSENT.search(ran.reason):
                continue
            launch = Launch(entrypoint=(program,), command=tuple(words), special=bundles.unusual(special), volume=True)
            seen = None if ran.exit_code == 0 else container.seen()
            # What it printed is told with the checks, so the bundle is not to tell it again.
            bundle = bundles.of(launch, replace(ran, seen=seen), alone=False)
            return [
                replace(check, bundle=bundle) if check.verdict is Verdict.FAILED else check
                for check in told(container, ran)
            ]
    return []


def each(subject: Subject, suite: Suite, one: Callable[[str], Sequence[Check]]) -> Iterator[Check]:
    """What `one` finds of every test file of a suite, by its path below `SUITE`; some at once, told in their order.

    A file for which no time is left has failed.
    """
    files = [inner(suite, path) for path in suitefiles.tests(suite)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for found in pool.map(lambda path: [failed(path, why)] if (why := subject.over) else one(path), files):
                yield from found
        except (KeyboardInterrupt, SystemExit):
            # Only the main thread meets these: nobody else is there to end what goes on.
            subject.cancel()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def folder_of(path: str) -> str:
    """The folder of a test file by its path below `SUITE`, as it is in the container."""
    return f"{SUITE}/{path}".rpartition("/")[0]


def output(ran: Ran) -> str:
    """What it printed, harmless to show."""
    return clean((ran.stdout + ran.stderr).decode(errors="replace"))


def failed(name: str, why: str, ran: Ran | None = None) -> Check:
    """A failed check: why, what else is to be known of how it went, and what was printed."""
    if ran is None:
        return Check(name=name, verdict=Verdict.FAILED, detail=why)
    detail = "\n".join(filter(None, (clean(why), clean(ran.reason), output(ran))))
    return Check(name=name, verdict=Verdict.FAILED, seconds=ran.seconds, detail=detail.rstrip())


def unfinished(ran: Ran) -> str:
    """What is said of a program that has not succeeded; nothing where it was ended, since that is told anyway."""
    return "" if ran.exit_code is None else f"it ended with exit code {ran.exit_code}"


def accounted(name: str, ran: Ran, checks: Sequence[Check], *, empty: Mapping[int, str]) -> list[Check]:
    """Checks that a program told of, and whatever else its end says: that it was killed, or failed, or tested nothing.

    `empty` are exit codes that mean so, with what they mean.
    """
    if ran.exit_code is None:
        return [*checks, failed(name, "", ran)]
    if ran.exit_code != 0 and not any(check.verdict is Verdict.FAILED for check in checks):
        return [*checks, failed(name, empty.get(ran.exit_code, unfinished(ran)), ran)]
    if ran.exit_code == 0 and not checks:
        return [failed(name, "it left no record of its tests", ran)]
    return list(checks)
