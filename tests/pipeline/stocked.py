"""Repositories as runs of dsci leave them, on a real registry and in layouts, for tests that remove things."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.images import MemoryImage
from tests.drivers.repository import Repo
from tests.realregistry import RealRegistry

from dsci.drivers.git import GitRepository
from dsci.drivers.layout import LayoutRegistry
from dsci.drivers.registry import HttpRegistry
from dsci.model import keys, upkeep
from dsci.model.family import Image
from dsci.model.followed import Names
from dsci.model.oci import OCI_INDEX, OCI_MANIFEST, Digest, Index, Platform
from dsci.model.receipt import Receipt, to_artifact
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.retention import Ages, RetentionSettings
from dsci.model.upkeep import Owners, Verdict
from dsci.pipeline.snapshot import Source
from dsci.pipeline.upkeep import Pruned, prune, spare_attached, survey
from dsci.pipeline.world import World
from dsci.ports import Registry

NOW = int(time.time())
DAY = 86400
KEY = "ab" * 32
WEEK = Ages.of(RetentionSettings(), 7 * DAY)


@pytest.fixture(params=["docker-registry", "layout"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Repository]]:
    if request.param == "layout":
        yield LayoutRegistry(tmp_path / "layout"), Repository(EMBEDDED, "acme/ml")
        return
    server = RealRegistry(tmp_path / "registry")
    client = HttpRegistry()
    yield client, Repository(server.address, "acme/ml")
    client.close()
    server.stop()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[tuple[Repo, World]]:
    """A clone with one image, pushed to a remote."""
    remote = Repo(tmp_path / "remote", bare=True)
    repo = Repo.clone(remote, tmp_path / "clone")
    repo.git("checkout", "--quiet", "-B", "main")
    repo.commit("feat: one", {"images/ml/Dockerfile": "FROM debian:12\nCOPY f /\n", "images/ml/f": "1"})
    repo.git("push", "--quiet", "origin", "main")
    git = GitRepository(repo.folder)
    yield repo, world_of(git)
    git.close()


def world_of(git: GitRepository) -> World:
    source = Source(git=git, project="p", platform=Platform("linux", "amd64"), registries=("ghcr.io/acme",))
    return World(source=source, registry=None, resolve=None, lenient=False)


class Stock:
    """Keyed images as runs leave them."""

    def __init__(self, registry: Registry, repository: Repository) -> None:
        self.registry, self.repository = registry, repository

    def push(self, text: str, key: str = KEY, *, age: int = 30 * DAY, source_key: str = "cd" * 32) -> MemoryImage:
        image = MemoryImage(text.encode() * 50)
        for tag in (f"{keys.key_tag(key)}-{NOW - age:08x}00000000", keys.key_tag(key)):
            self.registry.push_image(image, self.repository, tag)
        record = Receipt(target="ml@linux/amd64", key=key, source_key=source_key, image=str(image.descriptor.digest))
        artifact = to_artifact(record, image.descriptor)
        for kind, content in artifact.blobs:
            self.registry.push_blob(self.repository, content, kind)
        self.registry.push_manifest(self.repository, artifact.manifest, OCI_MANIFEST, keys.receipt_tag(key, ""))
        return image

    def has(self, digest: Digest) -> bool:
        return self.registry.resolve(self.repository.at(digest)) is not None

    def followed(self, *tags: str, of: Iterable[MemoryImage], age: int = 60 * DAY, number: str = "") -> Digest:
        """An index as a run leaves it that releases nothing: under its unique tag, its dated one, and these names."""
        content = Index(manifests=tuple(image.descriptor for image in of), annotations={"number": number}).to_bytes()
        digest = Digest.of(content)
        for tag in (keys.index_tag(digest), keys.dated_index_tag(digest, f"{NOW - age:08x}00000000"), *tags):
            self.registry.push_manifest(self.repository, content, OCI_INDEX, tag)
        return digest

    def judged(self, names: Owners | None = None, follow: Names = Names(), ages: Ages = WEEK) -> tuple[Verdict, ...]:  # noqa: B008
        """What is to become of everything that is there."""
        shelf = survey(self.registry, self.repository, NOW)
        assert shelf.problem is None
        found = upkeep.judge(shelf.items, names or Owners(), ages=ages, now=NOW, names=follow)
        shelf, judged = spare_attached(self.registry, shelf, found)
        assert shelf.problem is None
        return judged

    def prune(self, world: World, names: Owners | None = None, through: Registry | None = None, **how: Any) -> Pruned:
        found = self.judged(names, **how)
        return prune(world, through or self.registry, self.repository, found, now=NOW)

    def tags(self) -> Mapping[str, Digest]:
        """What every tag names now."""
        found = {tag: self.registry.resolve(self.repository.tag(tag)) for tag in self.registry.tags(self.repository)}
        return {tag: item.digest for tag, item in found.items() if item is not None}

    def index(self, *images: MemoryImage) -> Index:
        return Index(manifests=tuple(image.descriptor for image in images), annotations={"a": "b"})

    @property
    def image(self) -> Image:
        return Image(
            name="ml",
            group="ml",
            context="",
            dockerfile="Dockerfile",
            platforms=(Platform("linux", "amd64"),),
            repositories=(self.repository,),
            tag_rules=(),
        )


class Meddling:
    """A registry at which something happens right before or right after one kind of call, once."""

    def __init__(
        self, registry: Any, call: str, *, before: Callable[[], None] | None = None, after: Any = None
    ) -> None:
        self._registry, self._call, self._before, self._after = registry, call, before, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._registry, name)
        if name != self._call:
            return method

        def meddled(*arguments: Any, **named: Any) -> Any:
            before, self._before = self._before, None
            if before:
                before()
            result = method(*arguments, **named)
            after, self._after = self._after, None
            if after:
                after()
            return result

        return meddled
