"""What every `Registry` does, asked of the real docker-registry and of OCI layouts on disk alike."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from images import OCI_INDEX, MemoryImage, index_of
from msgspec.structs import replace
from tests.realregistry import RealRegistry

from dsci.drivers.layout import LayoutRegistry
from dsci.drivers.registry import HttpRegistry
from dsci.errors import RegistryError, UnsupportedError
from dsci.model.oci import MANIFEST_LIMIT, OCI_EMPTY, OCI_MANIFEST, Descriptor, Digest, canonical_json
from dsci.model.reference import EMBEDDED, Repository
from dsci.pipeline.transfer import RegistrySource, copy_image, share
from dsci.ports import ImageSource, Registry

AnyRegistry = HttpRegistry | LayoutRegistry
_numbers = itertools.count()


def make(kind: str, place: str) -> AnyRegistry:
    return HttpRegistry() if kind == "docker-registry" else LayoutRegistry(Path(place))


@pytest.fixture(params=["docker-registry", "layout"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("docker_registry") if kind == "docker-registry" else tmp_path)


@pytest.fixture
def registry(kind: str, place: str) -> Iterator[AnyRegistry]:
    registry = make(kind, place)
    yield registry
    if isinstance(registry, HttpRegistry):
        registry.close()


@pytest.fixture
def new_repository(kind: str, place: str) -> Callable[[], Repository]:
    """Repositories that no other test uses."""
    host = place if kind == "docker-registry" else EMBEDDED
    return lambda: Repository(host, f"acme/{os.getpid()}/r{next(_numbers)}")


@pytest.fixture
def repository(new_repository: Callable[[], Repository]) -> Repository:
    return new_repository()


def big(seed: int, size: int = 300_000) -> bytes:
    """Content over several chunks."""
    return bytes((index * seed + (index >> 8)) % 251 for index in range(size))


class TestContract:
    def test_a_pushed_image_is_there_under_its_tag_and_its_digest(
        self, registry: Registry, repository: Repository
    ) -> None:
        image = MemoryImage(b"layer one", big(3))
        pushed = registry.push_image(image, repository, "1.0")
        assert (pushed.digest, pushed.size) == (image.descriptor.digest, len(image.manifest))
        for reference in (repository.tag("1.0"), repository.at(pushed.digest)):
            found = registry.resolve(reference)
            assert found is not None
            assert (found.digest, found.size, found.media_type) == (pushed.digest, pushed.size, OCI_MANIFEST)
            read = registry.manifest(reference)
            assert read is not None
            assert (read[0].digest, read[1]) == (pushed.digest, image.manifest)
        for blob in (image.config, *image.layers):
            assert registry.blob(repository, blob) == image.blobs[blob.digest]
            with registry.open_blob(repository, blob) as pieces:
                assert b"".join(pieces) == image.blobs[blob.digest]
        assert registry.tags(repository) == ("1.0",)

    def test_what_is_absent_is_none_and_no_error(
        self, registry: Registry, new_repository: Callable[[], Repository]
    ) -> None:
        empty, used = new_repository(), new_repository()
        registry.push_image(MemoryImage(b"x"), used, "here")
        for repository in (empty, used):
            assert registry.resolve(repository.tag("absent")) is None
            assert registry.manifest(repository.tag("absent")) is None
            assert registry.resolve(repository.at(Digest.of(b"absent"))) is None
            assert registry.manifest(repository.at(Digest.of(b"absent"))) is None
        assert registry.tags(empty) == ()
        absent = Descriptor.of(OCI_EMPTY, b"absent")
        with pytest.raises(RegistryError, match=absent.digest.hex):
            registry.blob(used, absent)
        with pytest.raises(RegistryError, match=absent.digest.hex), registry.open_blob(empty, absent):
            pass

    def test_pushing_again_writes_nothing(
        self, kind: str, place: str, registry: AnyRegistry, repository: Repository
    ) -> None:
        image = MemoryImage(b"a", b"b")
        index = index_of(image)
        registry.push_image(image, repository, "one")
        registry.push_manifest(repository, index, OCI_INDEX, "release")
        registry.push_blob(repository, b"{}", OCI_EMPTY)
        assert registry.writes > 0
        again = make(kind, place)
        image.opened.clear()
        again.push_image(image, repository, "one")
        again.push_image(image, repository)
        again.push_manifest(repository, index, OCI_INDEX, "release")
        again.push_blob(repository, b"{}", OCI_EMPTY)
        assert again.mount(repository, image.layers[0], repository)
        assert (again.writes, image.opened) == (0, [])

    def test_another_tag_of_the_same_image_sends_no_blob(
        self, kind: str, place: str, registry: AnyRegistry, repository: Repository
    ) -> None:
        image = MemoryImage(b"a", b"b")
        registry.push_image(image, repository, "one")
        image.opened.clear()
        again = make(kind, place)
        again.push_image(image, repository, "two")
        assert (image.opened, again.writes) == ([], 1)
        assert registry.tags(repository) == ("one", "two")

    def test_a_tag_moves_and_the_old_digest_stays(self, registry: Registry, repository: Repository) -> None:
        old, new = MemoryImage(b"old"), MemoryImage(b"new")
        registry.push_image(old, repository, "latest")
        registry.push_image(new, repository, "latest")
        found = registry.resolve(repository.tag("latest"))
        assert found is not None and found.digest == new.descriptor.digest
        assert registry.resolve(repository.at(old.descriptor.digest)) is not None
        assert registry.tags(repository) == ("latest",)

    def test_an_image_without_a_tag_is_found_by_its_digest(self, registry: Registry, repository: Repository) -> None:
        image = MemoryImage(b"nameless")
        registry.push_image(image, repository)
        assert registry.resolve(repository.at(image.descriptor.digest)) is not None
        assert registry.tags(repository) == ()

    def test_an_index_of_two_platforms(self, registry: Registry, repository: Repository) -> None:
        images = MemoryImage(b"amd"), MemoryImage(b"arm", platform="linux/arm64")
        for image in images:
            registry.push_image(image, repository)
        content = index_of(*images, created="then")
        pushed = registry.push_manifest(repository, content, OCI_INDEX, "2.0")
        found = registry.manifest(repository.tag("2.0"))
        assert found is not None
        assert (found[0].digest, found[0].media_type, found[1]) == (pushed.digest, OCI_INDEX, content)

    def test_an_index_is_refused_while_a_child_is_missing(self, registry: Registry, repository: Repository) -> None:
        there, missing = MemoryImage(b"amd"), MemoryImage(b"arm", platform="linux/arm64")
        registry.push_image(there, repository)
        with pytest.raises(RegistryError):
            registry.push_manifest(repository, index_of(there, missing), OCI_INDEX, "2.0")
        assert registry.resolve(repository.tag("2.0")) is None

    def test_a_manifest_is_refused_while_a_blob_is_missing(self, registry: Registry, repository: Repository) -> None:
        image = MemoryImage(b"never sent")
        with pytest.raises(RegistryError):
            registry.push_manifest(repository, image.manifest, OCI_MANIFEST, "bad")
        assert registry.resolve(repository.tag("bad")) is None
        assert registry.resolve(repository.at(image.descriptor.digest)) is None

    def test_an_artifact_with_a_subject(self, registry: Registry, repository: Repository) -> None:
        image = MemoryImage(b"subject")
        registry.push_image(image, repository, "1")
        receipt = registry.push_blob(repository, b'{"passed":true}', "application/vnd.dsci.receipt+json")
        empty = registry.push_blob(repository, b"{}", OCI_EMPTY)
        content = canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": "application/vnd.dsci.receipt",
                "config": empty.to_json(),
                "layers": [receipt.to_json()],
                "subject": replace(image.descriptor, platform=None).to_json(),
            }
        )
        registry.push_manifest(repository, content, OCI_MANIFEST, "dsci-receipt")
        found = registry.manifest(repository.tag("dsci-receipt"))
        assert found is not None and found[1] == content
        assert json.loads(registry.blob(repository, receipt)) == {"passed": True}

    def test_mounting_takes_a_blob_without_sending_it(
        self, registry: Registry, new_repository: Callable[[], Repository]
    ) -> None:
        source, target = new_repository(), new_repository()
        image = MemoryImage(b"shared", big(5))
        registry.push_image(image, source, "1")
        for blob in (image.config, *image.layers):
            assert registry.mount(source, blob, target)
        assert registry.blob(target, image.layers[1]) == image.blobs[image.layers[1].digest]
        image.opened.clear()
        registry.push_image(image, target, "1")
        assert image.opened == []

    def test_mounting_what_the_source_has_not_is_false(
        self, registry: Registry, new_repository: Callable[[], Repository]
    ) -> None:
        blob = Descriptor.of(OCI_EMPTY, b"nowhere at all")
        source, target = new_repository(), new_repository()
        assert registry.mount(source, blob, target) is False
        with pytest.raises(RegistryError):
            registry.blob(target, blob)

    def test_a_blob_that_is_not_what_it_says_is_refused(self, registry: Registry, repository: Repository) -> None:
        for lie in (b"LAYER", b"lay", b"layer and more"):
            image = MemoryImage(b"layer")
            image.blobs[image.layers[0].digest] = lie
            with pytest.raises(RegistryError):
                registry.push_image(image, repository, "lie")
            with pytest.raises(RegistryError):
                registry.blob(repository, image.layers[0])
        assert registry.resolve(repository.tag("lie")) is None

    def test_a_manifest_that_is_not_its_digest_is_refused(self, registry: Registry, repository: Repository) -> None:
        image = MemoryImage(b"layer")
        image.descriptor = replace(image.descriptor, digest=Digest.of(b"another"))
        with pytest.raises(RegistryError, match="not what its digest says"):
            registry.push_image(image, repository, "lie")
        assert registry.tags(repository) == ()

    def test_reading_a_blob_with_a_wrong_size_gives_no_last_chunk(
        self, registry: Registry, repository: Repository
    ) -> None:
        blob = registry.push_blob(repository, big(7), OCI_EMPTY)
        for size in (blob.size - 1, blob.size + 1):
            got = b""
            with pytest.raises(RegistryError), registry.open_blob(repository, replace(blob, size=size)) as pieces:
                for piece in pieces:
                    got += piece
            assert len(got) < blob.size - 1

    @pytest.mark.parametrize(
        "content",
        [
            b"{}",
            b"not json",
            canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": []}),
            b" " * (MANIFEST_LIMIT + 1),
        ],
    )
    def test_bad_manifests_are_refused(self, registry: AnyRegistry, repository: Repository, content: bytes) -> None:
        with pytest.raises(RegistryError):
            registry.push_manifest(repository, content, OCI_INDEX, "bad")
        assert registry.writes == 0

    def test_a_large_blob_is_not_read_into_memory(self, registry: Registry, repository: Repository) -> None:
        blob = replace(Descriptor.of(OCI_EMPTY, b""), size=9 * 1024 * 1024)
        with pytest.raises(RegistryError, match="over the limit"):
            registry.blob(repository, blob)

    def test_an_empty_blob_is_a_blob(self, registry: Registry, repository: Repository) -> None:
        assert registry.blob(repository, registry.push_blob(repository, b"", OCI_EMPTY)) == b""

    def test_a_blob_that_is_lost_is_lacking_though_its_manifest_is_there(
        self, kind: str, place: str, registry: AnyRegistry, repository: Repository
    ) -> None:
        image = MemoryImage(b"layer", big(17))
        pushed = registry.push_image(image, repository, "1.0")
        other = make(kind, place)  # one that has not seen them itself
        blobs = (image.config, *image.layers)
        assert [other.lacks(repository, blob) for blob in blobs] == [False, False, False]
        never = Descriptor.of(OCI_EMPTY, b"never pushed")
        assert other.lacks(repository, never) and other.resolve(repository.at(pushed.digest)) is not None
        if isinstance(other, LayoutRegistry):
            (blob,) = Path(place).rglob(image.layers[1].digest.hex)
            blob.write_bytes(blob.read_bytes()[:-1])
            assert other.lacks(repository, image.layers[1]), "a part of a blob is none"
        else:
            other.close()

    def test_a_deleted_manifest_is_gone_under_every_name(self, registry: Registry, repository: Repository) -> None:
        image, other = MemoryImage(b"shared", b"own"), MemoryImage(b"shared")
        for tag in ("one", "two"):
            registry.push_image(image, repository, tag)
        registry.push_image(other, repository, "other")
        assert registry.delete(repository, image.descriptor.digest) is True
        assert registry.tags(repository) == ("other",)
        for reference in (repository.tag("one"), repository.tag("two"), repository.at(image.descriptor.digest)):
            assert registry.resolve(reference) is None and registry.manifest(reference) is None
        assert registry.delete(repository, image.descriptor.digest) is False
        assert registry.resolve(repository.tag("other")) is not None

    def test_a_tag_goes_alone_or_not_at_all(self, registry: Registry, repository: Repository) -> None:
        """What docker-registry 2.8 does not do (it answers 400) it does not do by halves."""
        image = MemoryImage(b"two names")
        for tag in ("one", "two"):
            registry.push_image(image, repository, tag)
        left = ("two",)
        try:
            assert registry.untag(repository, "one") is True and registry.untag(repository, "one") is False
        except UnsupportedError as error:
            assert not isinstance(registry, LayoutRegistry)
            assert "deletes no tags alone" in error.message and "retention: keep:" in error.hint
            left = ("one", "two")
        assert registry.tags(repository) == left
        for reference in (repository.tag("two"), repository.at(image.descriptor.digest)):
            found = registry.manifest(reference)
            assert found is not None and found[1] == image.manifest

    def test_deleting_where_there_is_nothing(self, registry: Registry, repository: Repository) -> None:
        assert registry.delete(repository, Digest.of(b"absent")) is False
        if isinstance(registry, LayoutRegistry):
            assert registry.untag(repository, "absent") is False
        assert registry.sweep(repository) == 0
        assert registry.written(repository.tag("absent")) is None

    def test_what_was_deleted_can_be_put_back(self, registry: Registry, repository: Repository) -> None:
        image = MemoryImage(b"taken up", big(17))
        registry.push_image(image, repository, "one")
        assert registry.delete(repository, image.descriptor.digest)
        registry.push_manifest(repository, image.manifest, OCI_MANIFEST, "one")
        found = registry.manifest(repository.tag("one"))
        assert found is not None and found[1] == image.manifest
        assert registry.blob(repository, image.layers[1]) == image.blobs[image.layers[1].digest]

    def test_an_image_of_an_index_can_be_told_from_one_that_is_gone(
        self, registry: Registry, repository: Repository
    ) -> None:
        """Registries delete what an index names without a word: dsci has to look for itself."""
        image = MemoryImage(b"child")
        registry.push_image(image, repository, "child")
        registry.push_manifest(repository, index_of(image), OCI_INDEX, "1.0")
        assert registry.delete(repository, image.descriptor.digest)
        assert registry.resolve(repository.tag("1.0")) is not None
        assert registry.resolve(repository.at(image.descriptor.digest)) is None

    def test_sweeping_takes_nothing_that_is_named(
        self, registry: Registry, new_repository: Callable[[], Repository]
    ) -> None:
        repository, elsewhere = new_repository(), new_repository()
        image = MemoryImage(b"kept", big(19))
        registry.push_image(image, repository)
        registry.push_manifest(repository, index_of(image), OCI_INDEX, "1.0")
        assert registry.mount(repository, image.layers[1], elsewhere)
        registry.sweep(repository)
        for blob in (image.config, *image.layers):
            assert registry.blob(repository, blob) == image.blobs[blob.digest]

    def test_check_push_leaves_nothing(self, registry: Registry, repository: Repository) -> None:
        registry.check_push(repository)
        assert registry.tags(repository) == ()
        assert registry.resolve(repository.tag("latest")) is None

    def test_eight_threads_push_images_that_share_a_layer(
        self, registry: Registry, new_repository: Callable[[], Repository]
    ) -> None:
        repositories = [new_repository() for _ in range(3)]
        shared = big(11)
        images = [MemoryImage(shared, f"own {number}".encode()) for number in range(24)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: registry.push_image(images[n], repositories[n % 3], f"t{n}"), range(24)))
        for number, image in enumerate(images):
            found = registry.resolve(repositories[number % 3].tag(f"t{number}"))
            assert found is not None and found.digest == image.descriptor.digest
        assert sum(image.opened.count(images[0].layers[0].digest) for image in images) <= 3
        assert [len(registry.tags(repository)) for repository in repositories] == [8, 8, 8]

    def test_four_processes_push_to_one_repository(
        self, kind: str, place: str, registry: Registry, repository: Repository
    ) -> None:
        workers = [
            multiprocessing.get_context("spawn").Process(target=push_some, args=(kind, place, repository, number))
            for number in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
        expected = sorted([f"w{number}-{turn}" for number in range(4) for turn in range(8)] + ["common"])
        assert list(registry.tags(repository)) == expected

    def test_a_child_takes_its_parents_layers_from_where_they_are(
        self, kind: str, place: str, registry: Registry, new_repository: Callable[[], Repository]
    ) -> None:
        above, below = new_repository(), new_repository()
        parent, child = MemoryImage(big(23), b"parent"), MemoryImage(big(23), b"parent", b"own")
        registry.push_image(parent, above, "1")
        other = make(kind, place)  # of a later run
        for name in (above.at(parent.descriptor.digest), above.tag("absent")):
            share(other, name, child.manifest, below)
        other.push_image(child, below, "1")
        assert set(child.opened) == {child.layers[-1].digest, child.config.digest}, "only what is its own is read"
        found = other.manifest(below.tag("1"))
        assert found is not None and found[1] == child.manifest
        assert other.blob(below, child.layers[0]) == child.blobs[child.layers[0].digest]
        share(other, above.tag("1"), child.manifest, Repository("ghcr.io", "acme/elsewhere"))  # nothing to be had so
        if isinstance(other, HttpRegistry):
            other.close()

    def test_copying_an_index_between_repositories_keeps_every_byte(
        self, registry: AnyRegistry, new_repository: Callable[[], Repository], tmp_path: Path
    ) -> None:
        source = new_repository()
        images = MemoryImage(b"amd", big(13)), MemoryImage(b"arm", platform="linux/arm64")
        for image in images:
            registry.push_image(image, source)
        index = registry.push_manifest(source, index_of(*images), OCI_INDEX, "1.0")
        elsewhere = LayoutRegistry(tmp_path / "elsewhere")
        for target, repository in ((registry, new_repository()), (elsewhere, Repository("ghcr.io", "acme/copy"))):
            assert copy_image(registry, source.tag("1.0"), target, repository, "1.0").digest == index.digest
            before = target.writes
            copy_image(registry, source.tag("1.0"), target, repository, "1.0")
            assert target.writes == before
            for image in images:
                copy = RegistrySource(target, repository, image.descriptor.digest)
                assert copy.manifest == image.manifest
                for blob in (image.config, *image.layers):
                    with copy.open(blob) as stream:
                        assert stream.read() == image.blobs[blob.digest]


def test_a_registry_that_deletes_nothing_says_what_to_do(tmp_path: Path) -> None:
    server = RealRegistry(tmp_path, delete=False)
    registry = HttpRegistry()
    try:
        repository, image = Repository(server.address, "acme/kept"), MemoryImage(b"kept")
        registry.push_image(image, repository, "1")
        with pytest.raises(UnsupportedError, match="deletes no manifests") as error:
            registry.delete(repository, image.descriptor.digest)
        assert "405" in error.value.message and "storage.delete.enabled" in error.value.hint
        assert registry.resolve(repository.tag("1")) is not None
    finally:
        registry.close()
        server.stop()


def push_some(kind: str, place: str, repository: Repository, number: int) -> None:
    registry = make(kind, place)
    for turn in range(8):
        registry.push_image(MemoryImage(b"common", f"{number}-{turn}".encode()), repository, f"w{number}-{turn}")
    registry.push_image(MemoryImage(b"common"), repository, "common")


def test_both_are_registries_to_the_type_checker(tmp_path: Path) -> None:
    both: list[Registry] = [HttpRegistry(), LayoutRegistry(tmp_path)]
    source: ImageSource = MemoryImage(b"")
    assert all(callable(registry.push_image) for registry in both) and source.descriptor.size
