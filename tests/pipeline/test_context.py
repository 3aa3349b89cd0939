"""The build context as it is sent: from Git objects, the same bytes whatever machine and umask it is made on."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsci.drivers.git import GitRepository
from dsci.errors import ConfigError
from dsci.model.family import TargetId
from dsci.model.oci import Platform
from dsci.pipeline.context import write_context
from dsci.pipeline.snapshot import Source, snapshot

AMD64 = Platform("linux", "amd64")
EPOCH = 1_700_000_000


class Repository:
    """A repository on disk with one image, `ml`, whose context is written to a tar."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("images/ml/Dockerfile", "FROM debian\nCOPY . /opt/\n")

    def git(self, *arguments: str) -> str:
        """Run git with a fixed identity."""
        who = {f"GIT_{role}_{field}": "a@b" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
        environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
        ended = subprocess.run(["git", *arguments], cwd=self.folder, env=environment, capture_output=True, check=True)
        return ended.stdout.decode().strip()

    def write(self, path: str, text: str) -> Path:
        """Write a file."""
        full = self.folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
        return full

    def tar(self, *, dirty: bool = False, dockerfile: str = "Dockerfile") -> bytes:
        """Commit what is there (unless it is to be dirty) and write the context of `ml`."""
        if not dirty:
            self.git("add", "--all")
            self.git("commit", "--quiet", "--allow-empty", "--message", "c")
        repository = GitRepository(self.folder)
        try:
            overlay = repository.dirty() if dirty else None
            source = Source(git=repository, project="p", platform=AMD64)
            now = snapshot(source, repository.head().commit, overlay=overlay)
            target = TargetId("ml", AMD64)
            shop: Any = SimpleNamespace(now=now, epochs={target: EPOCH}, git=repository)
            stream = io.BytesIO()
            write_context(shop, target, dockerfile, stream)
            return stream.getvalue()
        finally:
            repository.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A fresh one."""
    return Repository(tmp_path / "r")


def members(tar: bytes) -> Mapping[str, tarfile.TarInfo]:
    """What is in a tar, by path."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: member for member in archive}


def content(tar: bytes, path: str) -> bytes:
    """A file of a tar."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        stream = archive.extractfile(path)
        assert stream is not None
        return stream.read()


def test_modes_owners_and_times_are_fixed(repository: Repository) -> None:
    repository.write("images/ml/bin/run", "#!/bin/sh\n").chmod(0o777)
    repository.write("images/ml/data/x", "x").chmod(0o600)
    (repository.folder / "images/ml/link").symlink_to("data/x")
    found = members(repository.tar())
    assert {name: oct(member.mode) for name, member in found.items()} == {
        "Dockerfile": "0o644",
        "bin": "0o755",
        "bin/run": "0o755",
        "data": "0o755",
        "data/x": "0o644",
        "link": "0o777",
    }
    assert found["link"].issym() and found["link"].linkname == "data/x"
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, EPOCH)}


def test_the_same_commit_gives_the_same_bytes_under_any_umask(repository: Repository, tmp_path: Path) -> None:
    repository.write("images/ml/a/b/c.txt", "c")
    first = repository.tar()
    before = os.umask(0o077)
    try:
        repository.git("clone", "--quiet", str(repository.folder), str(tmp_path / "clone"))
        clone = object.__new__(Repository)
        clone.folder = tmp_path / "clone"
        again = clone.tar(dirty=True)
    finally:
        os.umask(before)
    assert hashlib.sha256(first).digest() == hashlib.sha256(again).digest()


def test_what_lies_about_in_the_work_tree_is_not_sent(repository: Repository) -> None:
    path = repository.write("images/ml/x", "committed")
    repository.write(".gitignore", "*.tmp\n")
    repository.tar()
    stat = path.stat()
    path.write_text("meddled !")  # same size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    repository.write("images/ml/junk.tmp", "ignored by Git")
    git = GitRepository(repository.folder)
    source = Source(git=git, project="p", platform=AMD64)
    now = snapshot(source, git.head().commit)
    stream = io.BytesIO()
    target = TargetId("ml", AMD64)
    write_context(SimpleNamespace(now=now, epochs={target: 0}, git=git), target, "Dockerfile", stream)  # type: ignore[arg-type]
    git.close()
    assert content(stream.getvalue(), "x") == b"committed"
    assert "junk.tmp" not in members(stream.getvalue())


def test_a_dirty_tree_is_sent_as_it_is(repository: Repository) -> None:
    repository.write("images/ml/x", "old")
    repository.write("images/ml/gone", "gone")
    repository.tar()
    repository.write("images/ml/x", "new")
    repository.write("images/ml/untracked", "u")
    (repository.folder / "images/ml/gone").unlink()
    tar = repository.tar(dirty=True)
    assert content(tar, "x") == b"new" and content(tar, "untracked") == b"u"
    assert "gone" not in members(tar)


def test_ignored_files_and_suites_stay_out_and_a_hidden_dockerfile_gets_in(repository: Repository) -> None:
    repository.write("images/ml/.dockerignore", "Dockerfile\nnotes\n")
    repository.write("images/ml/Dockerfile", "FROM debian\nCOPY x /x\n")
    repository.write("images/ml/notes", "n")
    repository.write("images/ml/x", "x")
    repository.write("images/ml/suites/test_x.py", "def test_x(): pass\n")
    tar = repository.tar(dockerfile=".dsci.Dockerfile")
    assert set(members(tar)) == {".dockerignore", ".dsci.Dockerfile", "x"}
    assert content(tar, ".dsci.Dockerfile").startswith(b"FROM debian")


def test_suites_that_the_dockerfile_copies_are_sent(repository: Repository) -> None:
    repository.write("images/ml/suites/test_x.py", "def test_x(): pass\n")
    assert "suites/test_x.py" in members(repository.tar())


def test_submodules_and_lfs_pointers_are_refused_by_name(repository: Repository, tmp_path: Path) -> None:
    repository.write("images/ml/model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n")
    with pytest.raises(ConfigError, match=r"images/ml/model\.bin is a Git LFS pointer"):
        repository.tar()
    (repository.folder / "images/ml/model.bin").unlink()
    other = Repository(tmp_path / "other")
    other.git("add", "--all")
    other.git("commit", "--quiet", "--message", "o")
    allow = ["-c", "protocol.file.allow=always"]
    repository.git(*allow, "submodule", "--quiet", "add", str(other.folder), "images/ml/vendor")
    with pytest.raises(ConfigError, match="images/ml/vendor is a submodule"):
        repository.tar()
