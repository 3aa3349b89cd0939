"""Scripted Git repositories, made with the real git: nothing of the user's own settings enters, dates stand still."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

#: What keeps the user's settings out and makes equal scripts give equal object ids.
CLEAN = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00+0000",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00+0000",
}


class Repo:
    """A repository to play with. Paths are text or bytes: Git allows more than UTF-8."""

    def __init__(self, folder: Path, *, bare: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *(["--bare"] if bare else []))

    @classmethod
    def clone(cls, source: Repo, folder: Path, *flags: str) -> Repo:
        """A clone over file://, so that depth and the like count."""
        run(folder.parent, "clone", "--quiet", *flags, f"file://{source.folder}", str(folder))
        return cls.at(folder)

    @classmethod
    def at(cls, folder: Path) -> Repo:
        """A repository that is there already."""
        found = cls.__new__(cls)
        found.folder = folder
        return found

    def git(self, *arguments: str | bytes, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Run git here; gives what it printed. A failing git fails the test."""
        return run(self.folder, *arguments, stdin=stdin, env=env)

    def path(self, name: str | bytes) -> Path:
        """A path of the work tree."""
        return self.folder / os.fsdecode(name)

    def write(self, files: Mapping[str, str | bytes] | Mapping[bytes, str | bytes]) -> None:
        """Write files, without telling Git."""
        for name, content in files.items():
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(
        self, message: str = "a commit", files: Mapping[str, str | bytes] | None = None, *, when: int | None = None
    ) -> str:
        """Commit these files and whatever else changed; gives the commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        date = {"GIT_AUTHOR_DATE": f"@{when} +0000", "GIT_COMMITTER_DATE": f"@{when} +0000"} if when is not None else {}
        self.git(
            "commit", "--quiet", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-F", "-",
            stdin=message.encode(errors="surrogateescape"), env=date,
        )  # fmt: skip
        return self.git("rev-parse", "HEAD")

    def refs(self, prefix: str = "refs/tags/") -> dict[str, str]:
        """Names and object ids, unpeeled."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", prefix).split("\n")
        return {name.removeprefix(prefix): oid for name, oid in (line.split(" ") for line in lines if line)}

    def config(self, **settings: str) -> None:
        """Settings of this repository; `a__b` stands for `a.b`."""
        for name, value in settings.items():
            self.git("config", name.replace("__", "."), value)

    def hook(self, name: str, script: str) -> None:
        """A hook, in sh."""
        folder = self.folder / ("hooks" if (self.folder / "HEAD").exists() else ".git/hooks")
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def run(folder: Path, *arguments: str | bytes, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    """Run git in a folder, free of the user's settings."""
    ended = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **CLEAN, **(env or {})},
    )
    assert ended.returncode == 0, f"git {arguments}: {ended.stderr.decode(errors='replace')}"
    return ended.stdout.decode(errors="surrogateescape").removesuffix("\n")
