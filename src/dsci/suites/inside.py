"""Tests that run in the image, with nothing installed into it: a volume with their files and with what runs them.

The volume is filled through the engine, never mounted from here, so an engine elsewhere serves as well. Which files are
tests, and what became of each, is the kinds' own to say.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from dsci.model.family import Suite
from dsci.model.tree import below
from dsci.suites.subject import Subject
from dsci.tars import TarWriter

#: Where the volume is mounted in the container under test.
MOUNT = "/dsci"
#: The suite's own files in it, and a folder that anybody may write to.
SUITE, OUT = f"{MOUNT}/suite", f"{MOUNT}/out"
OUTPUT_LIMIT = 1024 * 1024


def volume(subject: Subject, suite: Suite, more: Mapping[str, bytes]) -> bytes:
    """The tar for the volume: the suite's files, `more` by their paths below `MOUNT`, and `OUT`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        files = TarWriter(archive)
        for path, data in sorted(more.items()):
            files.file(path, data)
        for path in suite.files:
            mode = 0o755 if subject.executable(path) else 0o644
            files.file(f"suite/{inner(suite, path)}", subject.read(path), mode)
        out = tarfile.TarInfo("out")
        out.type, out.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(out)
    return content.getvalue()


def inner(suite: Suite, path: str) -> str:
    """A file's path below `SUITE`."""
    return below(suite.path, path) or path
