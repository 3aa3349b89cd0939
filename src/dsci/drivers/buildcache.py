"""Build caches as buildx takes them: flags, and folders that hold one cache each and never a half-written one.

A local cache is a folder with a layout in it, and a link `now` that names the layout to read. A build writes a layout
of its own beside it; only a whole one gets the link, in one step, and then what the link named before goes. So a run
that is killed loses nothing, and nothing grows. What another run of this machine is writing is let alone.

BuildKit ignores attributes that it does not know (tried: 0.13), so the ones that only newer or older versions need are
always given. Source: https://github.com/moby/buildkit/blob/v0.13.1/README.md#export-cache
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dsci.drivers.runs import Run
from dsci.errors import BuilderError
from dsci.model.caches import Cache

#: What BuildKit calls its own steps about caches.
STEPS = ("importing cache manifest", "exporting cache", "exporting to GitHub Actions Cache")
#: A step of the Dockerfile that ran and failed: no cache has a part in that.
STEP_FAILED = re.compile(r"did not complete successfully: exit code: ")
#: How the steps of a Dockerfile are called: `[2/3] RUN …`, `[stage 1/2] COPY …`.
STEP = re.compile(r"\[(?:\S+ )?[0-9]+/[0-9]+\] ")

_NOW = "now"
_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True)
class Opened:
    """A cache during one build."""

    flags: Sequence[str]
    keep: Callable[[], None] = lambda: None
    """To be called when it was built: what was written takes effect."""


@contextlib.contextmanager
def opened(cache: Cache, run: Run) -> Iterator[Opened]:
    """A cache for one build. Raises BuilderError for a folder that cannot be used."""
    lasting = f"mode={'max' if cache.every else 'min'},ignore-error=true"
    match cache.type:
        case "registry":
            read = [f"--cache-from=type=registry,ref={cache.place}"] if cache.read else []
            written = f"--cache-to=type=registry,ref={cache.place},{lasting},image-manifest=true,oci-mediatypes=true"
            yield Opened([*read, *([written] if cache.write else ())])
        case "gha":
            # The service's address and token are taken from the environment by buildx itself.
            read = [f"--cache-from=type=gha,scope={cache.place}"] if cache.read else []
            written = f"--cache-to=type=gha,scope={cache.place},{lasting}"
            yield Opened([*read, *([written] if cache.write else ())])
        case "local":
            with _folder(cache, run, lasting) as folder:
                yield folder


@contextlib.contextmanager
def _folder(cache: Cache, run: Run, lasting: str) -> Iterator[Opened]:
    """A local cache: the layout to read, if there is one, and a folder for the one to write."""
    place = Path(cache.place)
    old = (place / _NOW).resolve()
    there = cache.read and (old / "index.json").is_file()
    flags = [f"--cache-from=type=local,{field(f'src={old}')}"] if there else []
    if not cache.write:
        yield Opened(flags)
        return
    token = f"{run.nonce}-{os.urandom(4).hex()}"
    partial = place / f"{_PARTIAL}{token}"

    def keep() -> None:
        if not (partial / "index.json").is_file():
            return  # BuildKit could not write it all, and ignored that as it was told to
        link = place / f"{_PARTIAL}{token}.link"
        try:
            partial.rename(place / token)
            link.symlink_to(token)
            link.replace(place / _NOW)
            _clear(place, run, keep=token)
        except OSError as error:
            _fail(place, error)

    try:
        partial.mkdir(parents=True)
    except OSError as error:
        _fail(place, error)
    try:
        yield Opened([*flags, f"--cache-to=type=local,{field(f'dest={partial}')},{lasting}"], keep)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fail(place: Path, error: OSError) -> NoReturn:
    raise BuilderError(
        f"the build cache in {place} cannot be used: {error.strerror}",
        hint="make room there, or name another folder with DSCI_CACHE_DIR",
    ) from None


def _clear(place: Path, run: Run, *, keep: str) -> None:
    """Remove every layout but one, and what dead runs were writing."""
    for entry in place.iterdir():
        if entry.name in (_NOW, keep):
            continue
        nonce = entry.name.removeprefix(_PARTIAL).partition("-")[0]
        if entry.name.startswith(_PARTIAL) and not run.is_dead_nonce(nonce):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A local cache as it lies there."""

    path: Path
    size: int
    """Bytes."""
    written: int
    """Seconds."""

    @property
    def name(self) -> str:
        """The target's."""
        return self.path.name

    def remove(self) -> None:
        """Remove it. A build that reads it at the same time does without."""
        shutil.rmtree(self.path, ignore_errors=True)


def folders(root: Path) -> tuple[Folder, ...]:
    """The local caches in a folder, by name."""
    found: list[Folder] = []
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        files = [about for file in path.rglob("*") if stat.S_ISREG((about := file.lstat()).st_mode)]
        written = max((int(about.st_mtime) for about in files), default=int(path.lstat().st_mtime))
        found.append(Folder(path=path, size=sum(about.st_size for about in files), written=written))
    return tuple(found)


def field(text: str) -> str:
    """A field of the comma-separated lists that buildx takes."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text
