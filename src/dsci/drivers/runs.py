"""Runs of dsci on this machine: an id, a scratch folder and a lock that lives as long as the process.

Whatever a run creates outside itself carries its id. A later run that finds such a thing takes the lock of that id: if
it can, the run is dead (also after kill -9) and what it left may go. Runs on other machines are never judged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

#: The label that containers, volumes and images of a run carry; its value is the run's id.
LABEL = "dev.dsci.run"

_ID = re.compile(r"\A(?P<host>[a-z0-9-]{1,40})\.[0-9a-f]{16}\Z")


def state(environment: Mapping[str, str]) -> Path:
    """dsci's folder in the user's state folder (XDG Base Directory specification)."""
    home = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "dsci"


class Run:
    """This process's run. The lock is let go when the process ends, however it ends."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "runs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower())[:40] or "host"
        while True:
            # The time comes first: what carries a run's nonce says when it was written (`upkeep`).
            self.id = f"{self._host}.{int(time.time()):08x}{secrets.token_hex(4)}"
            self._lock = os.open(self._folder / f"{self.id}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if os.fstat(self._lock).st_nlink:
                break
            os.close(self._lock)  # Another run's sweep was quicker than our lock.
        #: Held while an image is loaded, used for a new container, or removed. The containerd image store may collect
        #: a snapshot between an image's import and its use while another image with the same layers is removed.
        self.images = threading.Lock()
        #: Set when something that carries the run's id could not be taken out of the engine.
        self.left_behind = False
        self.scratch = self._folder / self.id
        self.scratch.mkdir(mode=0o700)

    @property
    def nonce(self) -> str:
        """The part of the id that goes into names; `is_dead_nonce` reads it back."""
        return self.id.rpartition(".")[2]

    def is_dead_nonce(self, nonce: str) -> bool:
        """Whether a run of this machine with this nonce is dead."""
        return self.is_dead(f"{self._host}.{nonce}")

    def is_dead(self, run_id: str) -> bool:
        """Whether this is the id of a run of this machine that no process holds any more."""
        with self._seized(run_id) as dead:
            return dead

    @contextlib.contextmanager
    def _seized(self, run_id: str) -> Iterator[bool]:
        """Hold the lock of a run that is dead; a run that is just beginning waits for it, and sees it gone."""
        match = _ID.match(run_id)
        if match is None or match["host"] != self._host or run_id == self.id:
            yield False
            return
        try:
            lock = os.open(self._folder / f"{run_id}.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Another state folder, or swept already: its own lock cannot be asked, so leave it alone.
            yield False
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            dead = True
        except BlockingIOError:
            dead = False
        try:
            yield dead
        finally:
            os.close(lock)

    def sweep(self) -> None:
        """Remove the scratch folders of dead runs. Their locks stay until the engine was swept too."""
        for lock in sorted(self._folder.glob("*.lock")):
            with self._seized(lock.stem) as dead:
                if dead:
                    shutil.rmtree(self._folder / lock.stem, ignore_errors=True)

    def any_dead(self) -> bool:
        """Whether there are dead runs whose things may still be somewhere."""
        return any(self.is_dead(lock.stem) for lock in self._folder.glob("*.lock"))

    def forget_dead(self) -> None:
        """Drop the locks of dead runs, once nothing of theirs is left anywhere."""
        for lock in sorted(self._folder.glob("*.lock")):
            with self._seized(lock.stem) as dead:
                if dead:
                    lock.unlink(missing_ok=True)

    def close(self) -> None:
        """End the run: its scratch folder and its lock go; the lock's file stays for a sweep if anything is left."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self.left_behind:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / f"{self.id}.lock").unlink()
        os.close(self._lock)
