"""What a build is given, and what its key says of it: one is made from the other, and nothing else enters either.

The numbers are the pitfalls of build keys that other tools fell into; each has a test here or in `test_context`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from tests import realengine
from tests.drivers.repository import CLEAN, Repo
from tests.realengine import NATIVE

from dsci.drivers.buildx import Buildx
from dsci.drivers.engine import DockerEngine
from dsci.drivers.git import GitRepository
from dsci.drivers.runs import Run
from dsci.errors import ConfigError, DsciError
from dsci.model import keys
from dsci.model.family import TargetId
from dsci.model.oci import Digest, Platform
from dsci.model.reference import Reference
from dsci.pipeline import build as building
from dsci.pipeline.snapshot import Snapshot, Source, snapshot
from dsci.pipeline.workshop import Workshop
from dsci.ports import BuildFailure, BuildOrder

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
EPOCH = 1_700_000_000
FAMILY: Mapping[str, str] = {
    "images/base/Dockerfile": "FROM debian:12\nCOPY tool /usr/bin/tool\n",
    "images/base/tool": "#!/bin/sh\n",
    "images/ml/Dockerfile": "FROM base\nARG VERSION=1\nCOPY . /opt/\n",
    "images/ml/.dockerignore": "*.md\nnotes\n",
    "images/ml/README.md": "# ml\n",
    "images/ml/notes/todo": "x\n",
    "images/ml/model.txt": "weights\n",
    "images/ml/deep/er/file": "f\n",
    "docs/index.md": "# docs\n",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)


class Capturing:
    """A builder that keeps what it is given and builds nothing."""

    def __init__(self) -> None:
        self.order: BuildOrder | None = None
        self.tar = b""

    @contextlib.contextmanager
    def build(
        self, order: BuildOrder, context: Callable[[BinaryIO], None], progress: Callable[[str], None]
    ) -> Iterator[BuildFailure]:
        stream = io.BytesIO()
        context(stream)
        self.order, self.tar = order, stream.getvalue()
        yield BuildFailure(message="nothing is built here")

    def cancel(self, subject: str | None = None) -> None: ...


@dataclass
class Given:
    """What one build was given."""

    order: BuildOrder
    tar: bytes
    key: str | None
    source_key: str
    now: Snapshot

    def members(self) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as archive:
            return {member.name: member for member in archive}

    def content(self, path: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as archive:
            stream = archive.extractfile(path)
            assert stream is not None
            return stream.read()


def pins_of(now: Snapshot) -> keys.Pins:
    """Every base pinned to a digest made from its name."""
    pins: dict[TargetId, dict[tuple[str, Platform], Digest]] = {}
    for target, node in now.family.nodes.items():
        wanted = [base.key for base in node.bases]
        wanted += [(str(node.syntax), target.platform)] if node.syntax else []
        pins[target] = {key: Digest.of(f"{key[0]} {key[1]}".encode()) for key in wanted}
    return pins


def given(
    repo: Repo,
    name: str = "ml",
    *,
    platform: Platform = AMD64,
    dirty: bool = False,
    folder: Path | None = None,
    epoch: int = EPOCH,
) -> Given:
    """What the builder is given for an image of a repository, as it stands at HEAD or as it lies there."""
    repository = GitRepository(folder or repo.folder)
    try:
        source = Source(git=repository, project="p", platform=AMD64)
        overlay = repository.dirty() if dirty else None
        now = snapshot(source, repository.head().commit, overlay=overlay)
        pins = pins_of(now)
        found = keys.keys(now.family, now.sources, pins, generated=now.generated)
        target = TargetId(name, platform)
        builder = Capturing()
        shop: Any = Workshop(
            now=now,
            pins=pins,
            keys=found,
            unpinned={},
            suites={},
            git=repository,
            engine=SimpleNamespace(mode="containerd"),  # type: ignore[arg-type]
            builder=builder,  # type: ignore[arg-type]
            handed=SimpleNamespace(),  # type: ignore[arg-type]
            known=SimpleNamespace(),  # type: ignore[arg-type]
            registry=SimpleNamespace(),  # type: ignore[arg-type]
            console=SimpleNamespace(step=lambda *_: None),  # type: ignore[arg-type]
            epochs=dict.fromkeys(now.family.nodes, epoch),
            nonce="0123456789abcdef",
        )
        digests = {need: Digest.of(f"built {need}".encode()) for need in now.family.nodes}
        assert isinstance(building.build(shop, target, digests), BuildFailure)
        assert builder.order is not None
        return Given(builder.order, builder.tar, found[target], now.sources.full[target], now)
    finally:
        repository.close()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo(tmp_path / "repo")
    repo.commit("feat: a family", FAMILY)
    return repo


# ----------------------------------------------------------------------- 1: nothing of a commit enters key or build


def test_a_commit_without_content_changes_nothing_that_is_built(repo: Repo) -> None:
    first = given(repo)
    repo.commit("docs: words", {"docs/index.md": "# more\n"}, when=1_900_000_000)
    repo.git("commit", "--quiet", "--amend", "--no-edit", "--author=Grace <grace@example.org>", "--date=@5 +0300")
    repo.git("checkout", "--quiet", "-b", "another/branch")
    repo.git("tag", "v9")
    second = given(repo)
    assert (second.key, second.source_key) == (first.key, first.source_key)
    assert second.order == first.order and second.tar == first.tar


def test_the_same_content_in_another_repository_has_the_same_key(repo: Repo, tmp_path: Path) -> None:
    first = given(repo)
    other = Repo(tmp_path / "elsewhere" / "of another name")
    other.commit("a first commit of other files", {"images/ml/zz": "gone again\n"}, when=1)
    other.path("images/ml/zz").unlink()
    other.write(FAMILY)
    for name in sorted(FAMILY):
        os.utime(other.path(name), (5, 5))
    other.commit("everything else", when=2)
    second = given(other)
    assert (second.key, second.source_key, second.tar) == (first.key, first.source_key, first.tar)


def test_golden_tar_of_a_family(repo: Repo) -> None:
    """These very bytes, for ever: who builds with another version of dsci sends the same. (Keys: `tests/model`.)"""
    wanted = "0184367b89c2e83dbbe3c9502cff939eec6b532abee4d0fb4150123fa4a45c43"
    assert hashlib.sha256(given(repo).tar).hexdigest() == wanted


def test_labels_tell_content_and_nothing_of_the_commit(repo: Repo) -> None:
    found = given(repo)
    assert set(found.order.labels) == {
        "org.opencontainers.image.base.name",
        "org.opencontainers.image.base.digest",
    }
    assert found.order.labels["org.opencontainers.image.base.digest"] == str(Digest.of(b"built base@linux/amd64"))
    sha = repo.git("rev-parse", "HEAD")
    assert sha[:7] not in repr(found.order) and sha[:7].encode() not in found.tar


def test_the_epoch_is_part_of_the_build_and_of_no_key(repo: Repo) -> None:
    first, second = given(repo, epoch=5), given(repo, epoch=6)
    assert first.key == second.key and first.order.epoch == 5
    assert {member.mtime for member in second.members().values()} == {6}


# -------------------------------------------------------------------------------- 2: what is an input and what is not


@pytest.mark.parametrize(
    "path", ["images/ml/README.md", "images/ml/notes/todo", "images/ml/notes/new", "docs/index.md", "new.txt"]
)
def test_what_is_ignored_or_lies_outside_changes_no_key(repo: Repo, path: str) -> None:
    first = given(repo)
    repo.commit("change", {path: "changed\n"})
    second = given(repo)
    assert second.key == first.key and second.tar == first.tar


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("images/ml/model.txt", "other\n"),
        ("images/ml/deep/er/new", "n\n"),
        ("images/ml/Dockerfile", "FROM base\nARG VERSION=2\nCOPY . /opt/\n"),
        ("images/base/tool", "#!/bin/bash\n"),
        ("images/base/Dockerfile", "FROM debian:12-slim\nCOPY tool /usr/bin/tool\n"),
    ],
)
def test_what_is_an_input_changes_the_key(repo: Repo, path: str, text: str) -> None:
    first = given(repo)
    repo.commit("change", {path: text})
    assert given(repo).key != first.key


def test_a_mode_changes_the_key(repo: Repo) -> None:
    first = given(repo)
    repo.path("images/ml/model.txt").chmod(0o755)
    repo.commit("mode")
    second = given(repo)
    assert second.key != first.key
    assert (first.members()["model.txt"].mode, second.members()["model.txt"].mode) == (0o644, 0o755)


def test_a_move_changes_the_key(repo: Repo) -> None:
    first = given(repo)
    repo.git("mv", "images/ml/model.txt", "images/ml/model.bin")
    repo.commit("move")
    assert given(repo).key != first.key


def test_a_link_is_its_text_and_what_it_leads_to_is_not_taken_along(repo: Repo) -> None:
    repo.path("images/ml/out").symlink_to("../../docs/index.md")
    repo.path("images/ml/secret").symlink_to("/etc/passwd")
    repo.commit("links")
    first = given(repo)
    members = first.members()
    assert members["out"].issym() and members["out"].linkname == "../../docs/index.md"
    assert members["secret"].issym() and members["secret"].linkname == "/etc/passwd"
    repo.commit("what it leads to", {"docs/index.md": "changed\n"})
    assert given(repo).key == first.key, "the image holds the link only"
    repo.path("images/ml/out").unlink()
    repo.path("images/ml/out").symlink_to("../../docs/other.md")
    repo.commit("another way")
    assert given(repo).key != first.key


def test_a_dockerfile_outside_the_context_is_an_input_and_is_sent(repo: Repo) -> None:
    settings = "images:\n  ml:\n    context: images/ml\n    dockerfile: docker/ml.Dockerfile\n"
    repo.commit("settings", {"dsci.yaml": settings, "docker/ml.Dockerfile": "FROM base\nCOPY . /opt/\n"})
    first = given(repo)
    assert first.order.dockerfile == ".dsci.Dockerfile" and first.order.dockerfile_shown == "docker/ml.Dockerfile"
    assert first.content(".dsci.Dockerfile") == b"FROM base\nCOPY . /opt/\n"
    repo.commit("change", {"docker/ml.Dockerfile": "FROM base\nCOPY . /srv/\n"})
    second = given(repo)
    assert second.key != first.key and second.content(".dsci.Dockerfile").endswith(b"/srv/\n")


def test_a_change_of_the_ignore_file_that_ignores_nothing_else_counts_once(repo: Repo) -> None:
    first = given(repo)
    repo.commit("comment", {"images/ml/.dockerignore": "# words\n*.md\nnotes\n"})
    second = given(repo)
    assert set(second.members()) == set(first.members())
    assert second.key != first.key, "the ignore file itself is in the context"
    repo.commit("hidden", {"images/ml/.dockerignore": "*.md\nnotes\n.dockerignore\n"})
    third = given(repo)
    repo.commit("comment", {"images/ml/.dockerignore": "# words\n*.md\nnotes\n.dockerignore\n"})
    assert given(repo).key == third.key


# ------------------------------------------------------------------------------------------- 3: what lies about


def test_head_is_built_whatever_lies_about(repo: Repo) -> None:
    clean = given(repo)
    repo.write({"images/ml/model.txt": "meddled\n", "images/ml/untracked": "u\n", ".gitignore": "*.tmp\n"})
    repo.write({"images/ml/junk.tmp": "ignored by Git, not by Docker\n"})
    repo.git("add", "images/ml/model.txt")
    repo.path("images/ml/deep/er/file").unlink()
    found = given(repo)
    assert (found.key, found.tar, found.order) == (clean.key, clean.tar, clean.order)


def test_a_dirty_build_takes_what_lies_there_under_another_key(repo: Repo) -> None:
    clean = given(repo)
    repo.write({"images/ml/model.txt": "meddled\n", "images/ml/new/untracked": "u\n", "images/ml/x.md": "ignored\n"})
    repo.path("images/ml/deep/er/file").unlink()
    repo.path("images/ml/deep/er/file").symlink_to("../../model.txt")
    repo.path("images/base/tool").chmod(0o755)
    found = given(repo, dirty=True)
    assert found.key != clean.key
    assert found.content("model.txt") == b"meddled\n" and found.content("new/untracked") == b"u\n"
    assert found.members()["deep/er/file"].linkname == "../../model.txt"
    assert "x.md" not in found.members()
    assert given(repo, "base", dirty=True).members()["tool"].mode == 0o755
    # The same meddling once more is the same build.
    assert given(repo, dirty=True).key == found.key


def test_a_folder_that_became_a_link_is_sent_as_a_link(repo: Repo) -> None:
    repo.path("images/ml/deep/er/file").unlink()
    repo.path("images/ml/deep/er").rmdir()
    repo.write({"images/ml/shallow/file": "s\n"})
    repo.path("images/ml/deep/er").symlink_to("../shallow")
    members = given(repo, dirty=True).members()
    assert members["deep/er"].issym() and not any(name.startswith("deep/er/") for name in members)


def test_generated_files_enter_context_and_key_by_their_content(repo: Repo) -> None:
    settings = "images:\n  ml:\n    inputs:\n    - {path: dist/, as: wheels}\n"
    repo.commit("settings", {"dsci.yaml": settings, ".gitignore": "dist/\n"})
    repo.write({"dist/a.whl": "one", "dist/sub/b": "b"})
    first = given(repo)
    assert first.content("wheels/a.whl") == b"one" and first.content("wheels/sub/b") == b"b"
    os.utime(repo.path("dist/a.whl"), (5, 5))
    assert given(repo).key == first.key
    repo.write({"dist/a.whl": "two"})
    second = given(repo)
    assert second.key != first.key and second.source_key == first.source_key, "Git knows nothing of it"
    assert second.content("wheels/a.whl") == b"two"


def test_a_generated_file_that_git_knows_too_is_sent_as_it_was_generated(repo: Repo) -> None:
    settings = "images:\n  ml:\n    inputs:\n    - {path: gen, as: gen}\n"
    repo.commit("settings", {"dsci.yaml": settings, "gen/version.txt": "placeholder\n"})
    repo.write({"gen/version.txt": "generated\n"})
    assert given(repo).content("gen/version.txt") == b"generated\n"


# -------------------------------------------------------------------------------------- 4, 5, 6: the tar itself


def test_tar_and_key_are_the_same_under_any_umask_and_in_any_clone(repo: Repo, tmp_path: Path) -> None:
    tars, found_keys = set(), set()
    for mask in (0o000, 0o022, 0o077):
        before = os.umask(mask)
        try:
            clone = Repo.clone(repo, tmp_path / f"clone-{mask}")
            for path in clone.folder.rglob("images/**/*"):
                os.utime(path, (mask, mask))
            found = given(clone)
            tars.add(found.tar)
            found_keys.add(found.key)
        finally:
            os.umask(before)
    bare = Repo.clone(repo, tmp_path / "bare.git", "--bare")
    shallow = Repo.clone(repo, tmp_path / "shallow", "--depth=1")
    for found in (given(bare), given(shallow), given(repo, folder=repo.folder / "images" / "ml")):
        tars.add(found.tar)
        found_keys.add(found.key)
    assert len(tars) == 1 and len(found_keys) == 1


def test_folders_come_before_what_is_in_them_and_once(repo: Repo) -> None:
    found = given(repo)
    with tarfile.open(fileobj=io.BytesIO(found.tar)) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert names.index("deep") < names.index("deep/er") < names.index("deep/er/file")
    members = found.members()
    assert members["deep"].isdir() and members["deep"].mode == 0o755
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {(0, 0, "", "", EPOCH)}


def test_no_filter_of_a_checkout_touches_the_content(repo: Repo) -> None:
    """A checkout would turn line ends, fill in `$Id$` and drop what is marked export-ignore."""
    attributes = "*.txt text eol=crlf\n*.id ident\nhidden export-ignore\n*.sub export-subst\n"
    texts = {"a.txt": "1\n2\n", "b.id": "$Id$\n", "hidden": "h\n", "c.sub": "$Format:%H$\n"}
    repo.commit("filters", {"images/ml/.gitattributes": attributes, **{f"images/ml/{n}": t for n, t in texts.items()}})
    repo.config(core__autocrlf="true")
    found = given(repo)
    assert {name: found.content(name).decode() for name in texts} == texts


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "größe/日本語",
        "-rf",
        "new\nline",
        "a" * 90 + "/" + "b" * 200,
        "x" * 250,
        "e\u0301",
        "\\back",
        "*?[x]",
    ],
)
def test_any_name_goes_into_the_tar(repo: Repo, name: str) -> None:
    repo.commit("odd", {f"images/ml/{name}": "odd\n"})
    assert given(repo).content(name) == b"odd\n"


def test_a_name_that_is_no_text_is_refused_by_name(repo: Repo) -> None:
    path = repo.path(b"images/ml/caf\xe9")
    path.write_text("x")
    repo.commit("latin")
    with pytest.raises(ConfigError, match=r"images/ml/caf\\xe9.*not UTF-8"):
        given(repo)


def test_a_large_file(repo: Repo) -> None:
    content = os.urandom(20_000_000)
    repo.write({"images/ml/large": content})
    repo.commit("large")
    assert given(repo).content("large") == content


@pytest.mark.parametrize("where", ["images/ml/model.txt", "images/ml/Dockerfile"])
def test_a_lost_object_stops_the_build_by_name(repo: Repo, where: str) -> None:
    oid = repo.git("rev-parse", f"HEAD:{where}")
    (repo.folder / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(DsciError, match=oid):
        given(repo)


def test_an_lfs_pointer_is_refused_and_its_file_is_taken(repo: Repo) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n"
    repo.commit("lfs", {"images/ml/model.bin": pointer})
    with pytest.raises(ConfigError, match=r"images/ml/model\.bin is a Git LFS pointer"):
        given(repo)
    # What only looks like one is none.
    repo.commit("text", {"images/ml/model.bin": f"# {pointer}"})
    assert given(repo).content("model.bin").startswith(b"# version")
    # In a dirty tree the file itself may lie there.
    repo.commit("lfs", {"images/ml/model.bin": pointer})
    repo.write({"images/ml/model.bin": "abc"})
    assert given(repo, dirty=True).content("model.bin") == b"abc"


def test_an_ignored_lfs_pointer_or_submodule_is_nobodys_concern(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    inner = other.commit("inner", {"x": "1"})
    repo.commit("lfs", {"images/ml/notes/big": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{inner},images/ml/notes/vendor")
    repo.git("commit", "--quiet", "--message", "submodule")
    assert "model.txt" in given(repo).members()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{inner},images/ml/vendor")
    repo.git("commit", "--quiet", "--message", "submodule")
    with pytest.raises(ConfigError, match="images/ml/vendor is a submodule"):
        given(repo)


# ----------------------------------------------------------------------------------- 9, 10, 11, 15: pins and arguments


def test_every_floating_name_is_pinned_by_what_the_key_was_made_of(repo: Repo) -> None:
    lines = (
        "# syntax=docker/dockerfile:1",
        "FROM debian:12 AS build",
        "FROM base",
        "COPY --from=ghcr.io/acme/tools /t /t",
        "RUN --mount=type=bind,from=busybox,target=/b true",
        "COPY --from=build /x /x",
    )
    dockerfile = "\n".join(lines) + "\n"
    repo.commit("pins", {"images/ml/Dockerfile": dockerfile})
    found = given(repo)
    target = TargetId("ml", AMD64)
    pinned = {pin.name: pin.source for pin in found.order.pins}
    digests = {name: str(digest) for (name, _), digest in pins_of(found.now)[target].items()}
    assert pinned == {
        "debian:12": f"docker-image://docker.io/library/debian@{digests['docker.io/library/debian:12']}",
        "busybox": f"docker-image://docker.io/library/busybox@{digests['docker.io/library/busybox:latest']}",
        "ghcr.io/acme/tools": f"docker-image://ghcr.io/acme/tools@{digests['ghcr.io/acme/tools:latest']}",
        "base": pinned["base"],
    }
    assert pinned["base"].startswith("docker-image://dsci.local/p/base:dsci-")
    syntax = digests["docker.io/docker/dockerfile:1"]
    assert found.order.args["BUILDKIT_SYNTAX"] == f"docker.io/docker/dockerfile@{syntax}"


def test_what_names_its_digest_is_left_alone(repo: Repo) -> None:
    digest = "sha256:" + "a" * 64
    repo.commit("pinned", {"images/base/Dockerfile": f"FROM debian:12@{digest}\n"})
    found = given(repo, "base")
    assert found.order.pins == () and found.order.labels["org.opencontainers.image.base.name"].endswith(digest)


def test_a_moved_base_changes_the_key_but_not_the_source_key(repo: Repo) -> None:
    found = given(repo)
    target = TargetId("ml", AMD64)
    pins = {name: dict(own) for name, own in pins_of(found.now).items()}
    base = TargetId("base", AMD64)
    pins[base] = dict.fromkeys(pins[base], Digest.of(b"moved"))
    moved = keys.keys(found.now.family, found.now.sources, pins, generated=found.now.generated)
    assert moved[target] != found.key and moved[base] != given(repo, "base").key


def test_a_platform_has_one_spelling_and_a_key_of_its_own(repo: Repo) -> None:
    every = set()
    for text in ("[linux/amd64, linux/arm64]", "[linux/x86_64, linux/aarch64]", "[linux/arm64/v8, linux/amd64/v1]"):
        repo.commit("platforms", {"dsci.yaml": f"platforms: {text}\n"})
        every.add((given(repo, platform=AMD64).key, given(repo, platform=ARM64).key))
    ((amd, arm),) = every
    assert amd != arm
    order = given(repo, platform=ARM64).order
    assert str(order.platform) == "linux/arm64" and order.subject == "ml@linux/arm64"


@pytest.mark.parametrize(
    ("args", "changes"),
    [
        ("{VERSION: 2}", True),
        ("{UNUSED: 2}", False),
        ("{HTTP_PROXY: 'http://proxy:3128'}", False),
        ("{TARGETARCH: riscv64}", False),
    ],
)
def test_only_arguments_that_are_declared_count(repo: Repo, args: str, changes: bool) -> None:
    first = given(repo)
    repo.commit("args", {"dsci.yaml": f"images:\n  ml:\n    args: {args}\n"})
    second = given(repo)
    assert (second.key != first.key) is changes
    assert second.order.args != first.order.args, "BuildKit gets what was written all the same"


def test_a_global_default_that_names_the_base_moves_the_edge(repo: Repo) -> None:
    repo.commit("args", {"images/ml/Dockerfile": "ARG FROM_IMAGE=base\nFROM ${FROM_IMAGE}\nCOPY . /opt/\n"})
    first = given(repo)
    assert [pin.name for pin in first.order.pins] == ["base"]
    repo.commit("other", {"dsci.yaml": "images:\n  ml:\n    args: {FROM_IMAGE: 'debian:12'}\n"})
    second = given(repo)
    assert [pin.name for pin in second.order.pins] == ["debian:12"] and second.key != first.key


def test_a_secret_is_named_in_the_key_and_its_value_is_nowhere(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit("secrets", {"dsci.yaml": "images:\n  ml:\n    secrets:\n    - {id: tok, env: MY_TOKEN}\n"})
    seen = []
    for value in ("canary-one", "canary-two"):
        monkeypatch.setenv("MY_TOKEN", value)
        found = given(repo)
        assert value not in repr(found.order) and value.encode() not in found.tar
        seen.append((found.key, found.order, found.tar))
    assert seen[0] == seen[1], "a rotated secret rebuilds nothing"
    repo.commit("another", {"dsci.yaml": "images:\n  ml:\n    secrets:\n    - {id: other, env: MY_TOKEN}\n"})
    assert given(repo).key != seen[0][0]


# --------------------------------------------------------------------------------------------- with the real engine


@pytest.mark.engine
def test_an_old_file_of_the_same_size_and_date_is_never_taken(repo: Repo, tmp_path: Path) -> None:
    """Pitfall 5: BuildKit skips files that look unchanged. A tar on stdin is always read."""
    repo.commit("one", {"images/base/Dockerfile": "FROM debian:bookworm-slim\nCOPY tool /opt/tool\n"})
    run = Run(tmp_path / "state")
    engine = DockerEngine(os.environ, run)
    name = Reference.parse(f"dsci.local/test/stale:dsci-x-{run.nonce}")
    try:
        for text in ("content one\n", "content two\n"):
            repo.write({"images/base/tool": text})
            os.utime(repo.path("images/base/tool"), (1_600_000_000, 1_600_000_000))
            repo.git("rm", "--quiet", "--cached", "--ignore-unmatch", "images/base/tool")  # Git's index is fooled too
            repo.commit("same size, same date")
            found = given(repo, "base")
            assert text.encode() in found.tar
            order = BuildOrder(
                subject="base",
                dockerfile=found.order.dockerfile,
                dockerfile_shown="Dockerfile",
                stage=None,
                platform=NATIVE,
                local_name=name,
                epoch=EPOCH,
                classic=engine.mode == "classic",
            )
            with Buildx(os.environ, run).build(order, lambda stream, f=found: _write(stream, f.tar), _quiet) as result:
                assert not isinstance(result, BuildFailure), result
                with engine.container(name, platform=NATIVE, command=["x"]) as container:
                    assert container.read("/opt/tool", 100) == text.encode()
    finally:
        engine.collect(wait=True)
        engine.remove_image(name)
        run.close()


@pytest.mark.engine
def test_what_git_holds_is_what_the_image_holds(repo: Repo, tmp_path: Path) -> None:
    """Modes, links, odd names, folders: through the tar, BuildKit and the engine, and back."""
    names = ("with space", "größe/日本語", "-rf", "new\nline", "deep/er/and/deeper", "x" * 200)
    repo.commit("odd", {f"images/base/{name}": f"in {name}" for name in names})
    repo.path("images/base/run").write_text("#!/bin/sh\n")
    repo.path("images/base/run").chmod(0o755)
    repo.path("images/base/link").symlink_to("deep/er/and/deeper")
    repo.commit("COPY", {"images/base/Dockerfile": "FROM debian:bookworm-slim\nCOPY . /opt/\n"})
    found = given(repo, "base")
    run = Run(tmp_path / "state")
    engine = DockerEngine(os.environ, run)
    name = Reference.parse(f"dsci.local/test/whole:dsci-x-{run.nonce}")
    order = BuildOrder(
        subject="base",
        dockerfile=found.order.dockerfile,
        dockerfile_shown="Dockerfile",
        stage=None,
        platform=NATIVE,
        local_name=name,
        epoch=EPOCH,
        classic=engine.mode == "classic",
    )
    try:
        with Buildx(os.environ, run).build(order, lambda stream: _write(stream, found.tar), _quiet) as result:
            assert not isinstance(result, BuildFailure), result
            with engine.container(name, platform=NATIVE, command=["x"]) as container:
                for path in names:
                    assert container.read(f"/opt/{path}", 1000) == f"in {path}".encode()
                assert container.read("/opt/link", 1000) == b"in deep/er/and/deeper"
                modes = {path: container.stat(f"/opt/{path}") for path in ("run", "tool", "deep", "link")}
        assert {path: oct(entry.mode) for path, entry in modes.items() if entry} == {
            "run": "0o755",
            "tool": "0o644",
            "deep": "0o755",
            "link": "0o777",
        }
        assert {(entry.uid, entry.gid) for entry in modes.values() if entry} == {(0, 0)}
    finally:
        engine.collect(wait=True)
        engine.remove_image(name)
        run.close()
    assert realengine.processes(run.id) == []


def _write(stream: BinaryIO, content: bytes) -> None:
    stream.write(content)


def _quiet(_: str) -> None: ...
