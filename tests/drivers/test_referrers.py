"""What is attached to images: listed by the registry or by its clients, and never lost by two who write at once (F35).

Asked of the real docker-registry, which has no referrers API, of OCI layouts on disk, and of a scripted registry that
has one.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from images import MemoryImage, index_of
from scripted import Answer, FastClock, ScriptedRegistry, error

from dsci.drivers.layout import LayoutRegistry
from dsci.drivers.registry import HttpRegistry
from dsci.errors import AuthError, ConflictError, RegistryError
from dsci.model.artifact import Artifact, artifact, as_referrer, referrers_tag, with_referrer
from dsci.model.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, OciError
from dsci.model.reference import EMBEDDED, Repository
from dsci.pipeline.transfer import copy_attached, copy_image
from dsci.ports import Registry

KIND = "application/vnd.example.note"
_numbers = itertools.count()


def note(subject: Descriptor, text: str) -> Artifact:
    return artifact(subject, KIND, text.encode(), annotations={"text": text})


def attach(registry: Registry, repository: Repository, made: Artifact) -> Digest:
    for media_type, content in made.blobs:
        registry.push_blob(repository, content, media_type)
    return registry.attach(repository, made.manifest).digest


def texts(registry: Registry, repository: Repository, subject: Digest) -> set[str]:
    found = registry.referrers(repository, subject)
    assert all(item.artifact_type == KIND for item in found)
    return {item.annotations["text"] for item in found}


@pytest.fixture(params=["docker-registry", "layout", "api"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "layout":
        yield LayoutRegistry(tmp_path / "layouts")
        return
    registry = HttpRegistry()
    yield registry
    registry.close()


@pytest.fixture
def new_repository(request: pytest.FixtureRequest) -> Iterator[Callable[[], Repository]]:
    kind = request.node.callspec.params["registry"]
    with ScriptedRegistry(referrers=True) as scripted:
        host = {"layout": EMBEDDED, "api": scripted.host}.get(kind) or request.getfixturevalue("docker_registry")
        yield lambda: Repository(host, f"acme/{os.getpid()}/a{next(_numbers)}")


def test_what_is_attached_is_listed(registry: Registry, new_repository: Callable[[], Repository]) -> None:
    repository, image = new_repository(), MemoryImage(b"image")
    registry.push_image(image, repository, "1")
    assert registry.referrers(repository, image.descriptor.digest) == ()
    made = [note(image.descriptor, f"note {n}") for n in range(5)]
    digests = {attach(registry, repository, each) for each in made}
    found = registry.referrers(repository, image.descriptor.digest)
    assert {item.digest for item in found} == digests == {Digest.of(each.manifest) for each in made}
    assert {item.annotations["text"] for item in found} == {f"note {n}" for n in range(5)}
    assert {(item.media_type, item.artifact_type) for item in found} == {(OCI_MANIFEST, KIND)}
    assert registry.referrers(repository, Digest.of(b"another image")) == ()
    read = registry.manifest(repository.at(found[0].digest))
    assert read is not None and len(read[1]) == found[0].size


def test_attaching_again_writes_nothing(registry: Registry, new_repository: Callable[[], Repository]) -> None:
    assert isinstance(registry, HttpRegistry | LayoutRegistry)
    repository, image = new_repository(), MemoryImage(b"image")
    registry.push_image(image, repository, "1")
    attach(registry, repository, note(image.descriptor, "once"))
    again = HttpRegistry() if isinstance(registry, HttpRegistry) else LayoutRegistry(registry.root)
    attach(again, repository, note(image.descriptor, "once"))
    assert again.writes == 0
    assert texts(again, repository, image.descriptor.digest) == {"once"}


def test_an_artifact_about_nothing_is_refused(registry: Registry, new_repository: Callable[[], Repository]) -> None:
    image = MemoryImage(b"image")
    with pytest.raises(OciError, match="about no image"):
        registry.attach(new_repository(), image.manifest)


def test_a_copy_takes_along_what_is_attached(registry: Registry, new_repository: Callable[[], Repository]) -> None:
    origin, place = new_repository(), new_repository()
    images = MemoryImage(b"amd"), MemoryImage(b"arm", platform="linux/arm64")
    for image in images:
        registry.push_image(image, origin)
    index = registry.push_manifest(origin, index_of(*images), OCI_INDEX, "1")
    about_index = attach(registry, origin, note(index, "of the index"))
    attach(registry, origin, note(images[1].descriptor, "of arm64"))
    about_note = registry.resolve(origin.at(about_index))
    assert about_note is not None
    attach(registry, origin, note(about_note, "of the note"))
    signature = MemoryImage(b"as cosign keeps it")
    registry.push_image(signature, origin, f"{referrers_tag(index.digest)}.sig")

    copy_image(registry, origin.tag("1"), registry, place, "1")
    assert len(copy_attached(registry, origin, index.digest, registry, place)) == 4
    assert texts(registry, place, index.digest) == {"of the index"}
    assert texts(registry, place, images[0].descriptor.digest) == set()
    assert texts(registry, place, images[1].descriptor.digest) == {"of arm64"}
    assert texts(registry, place, about_index) == {"of the note"}
    copied = registry.resolve(place.tag(f"{referrers_tag(index.digest)}.sig"))
    assert copied is not None and copied.digest == signature.descriptor.digest
    assert copy_attached(registry, origin, index.digest, registry, place) == ()


def test_from_a_registry_with_the_api_to_one_without(docker_registry: str) -> None:
    with ScriptedRegistry(referrers=True) as scripted:
        registry, image = HttpRegistry(), MemoryImage(b"image")
        origin, place = Repository(scripted.host, "a"), Repository(docker_registry, f"acme/{os.getpid()}/crossed")
        registry.push_image(image, origin)
        attach(registry, origin, note(image.descriptor, "crossed"))
        copy_image(registry, origin.at(image.descriptor.digest), registry, place)
        copy_attached(registry, origin, image.descriptor.digest, registry, place)
        assert texts(registry, place, image.descriptor.digest) == {"crossed"}
        assert not any(tag.startswith("sha256-") for tag in registry.tags(origin))
        assert referrers_tag(image.descriptor.digest) in registry.tags(place)


# ------------------------------------------------------------------------------------------- two who write at once, F35


def _write(address: str, path: str, subject: Descriptor, name: str, count: int) -> None:
    registry = HttpRegistry()
    for n in range(count):
        attach(registry, Repository(address, path), note(subject, f"{name} {n}"))
    registry.close()


@pytest.mark.parametrize("round_", range(2))
def test_two_processes_lose_nothing_of_each_other(docker_registry: str, round_: int) -> None:
    registry, image = HttpRegistry(), MemoryImage(b"image")
    repository = Repository(docker_registry, f"acme/{os.getpid()}/raced{round_}")
    registry.push_image(image, repository, "1")
    several = multiprocessing.get_context("fork")
    writers = [
        several.Process(target=_write, args=(docker_registry, repository.path, image.descriptor, name, 4))
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    wanted = {f"{name} {n}" for name in ("one", "two", "three") for n in range(4)}
    assert texts(registry, repository, image.descriptor.digest) == wanted


def test_threads_of_one_process_take_turns(docker_registry: str) -> None:
    registry, image = HttpRegistry(), MemoryImage(b"image")
    repository = Repository(docker_registry, f"acme/{os.getpid()}/threads")
    registry.push_image(image, repository, "1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: attach(registry, repository, note(image.descriptor, f"{n}")), range(8)))
    assert texts(registry, repository, image.descriptor.digest) == {f"{n}" for n in range(8)}


def test_what_another_writer_wrote_over_is_written_again() -> None:
    """The other had read the list before we wrote ours, and writes its own right after we have looked."""
    with ScriptedRegistry() as scripted:
        registry, repository, image = HttpRegistry(clock=FastClock()), Repository(scripted.host, "a"), MemoryImage(b"i")
        registry.push_image(image, repository)
        theirs = as_referrer(note(image.descriptor, "theirs").manifest)
        alone = with_referrer(None, theirs)
        assert alone is not None
        tag = referrers_tag(image.descriptor.digest)
        overwritten = []

        def overwrite(seen: object) -> Answer | None:
            kind, content = scripted.manifests["a", tag]
            scripted.manifests["a", tag] = (OCI_INDEX, alone)
            overwritten.append(content)
            return Answer(200, {"Content-Type": kind, "Docker-Content-Digest": str(Digest.of(content))}, content)

        # Its own write has come before the second look that finds ours in place: that look still shows ours.
        scripted.rule("GET", f"/manifests/{tag}", overwrite, first=2, last=2)
        attach(registry, repository, note(image.descriptor, "ours"))
        assert overwritten
        assert texts(registry, repository, image.descriptor.digest) == {"ours", "theirs"}


# ----------------------------------------------------------------------------------- what a registry may answer, F34


def test_the_registry_that_lists_is_not_kept_a_list_for() -> None:
    with ScriptedRegistry(referrers=True) as scripted:
        registry, repository, image = HttpRegistry(), Repository(scripted.host, "a"), MemoryImage(b"image")
        registry.push_image(image, repository)
        attach(registry, repository, note(image.descriptor, "listed"))
        assert registry.tags(repository) == ()
        assert len(scripted.requests("PUT", "/manifests/")) == 2
        assert not scripted.requests("GET", "/manifests/sha256-")


def test_a_registry_without_the_api_is_asked_for_it_once() -> None:
    with ScriptedRegistry() as scripted:
        registry, repository, image = HttpRegistry(), Repository(scripted.host, "a"), MemoryImage(b"image")
        registry.push_image(image, repository)
        for _ in range(3):
            registry.referrers(repository, image.descriptor.digest)
        assert len(scripted.requests("GET", "/referrers/")) == 1


@pytest.mark.parametrize(
    "answer",
    [error(404, "NAME_UNKNOWN"), Answer(405), Answer(200, {"Content-Type": "text/html"}, b"<html>sign in</html>")],
)
def test_an_answer_that_is_no_list_leads_to_the_tag(answer: Answer) -> None:
    with ScriptedRegistry() as scripted:
        registry, repository, image = HttpRegistry(), Repository(scripted.host, "a"), MemoryImage(b"image")
        registry.push_image(image, repository)
        attach(registry, repository, note(image.descriptor, "kept"))
        scripted.rule("GET", "/referrers/", answer, last=9)
        assert texts(HttpRegistry(), repository, image.descriptor.digest) == {"kept"}


@pytest.mark.parametrize("referrers", [True, False])
def test_throttled_is_never_taken_for_nothing_attached(referrers: bool) -> None:
    with ScriptedRegistry(referrers=referrers) as scripted:
        clock = FastClock()
        repository, image = Repository(scripted.host, "a"), MemoryImage(b"image")
        HttpRegistry().push_image(image, repository)
        attach(HttpRegistry(), repository, note(image.descriptor, "there"))
        path = "/referrers/" if referrers else "/manifests/sha256-"
        busy = Answer(429, {"Retry-After": "2", "Content-Type": "application/json"}, error(429, "TOOMANYREQUESTS").body)
        scripted.rule("GET", path, busy, last=2)
        assert texts(HttpRegistry(clock=clock), repository, image.descriptor.digest) == {"there"}
        assert sum(clock.slept) >= 4
        scripted.rules.clear()
        scripted.rule("GET", path, busy, last=99)
        with pytest.raises(RegistryError, match="429") as raised:
            HttpRegistry(clock=clock).referrers(repository, image.descriptor.digest)
        assert raised.value.temporary


def test_a_refusal_is_none_only_for_who_may_push() -> None:
    with ScriptedRegistry() as scripted:
        repository, image = Repository(scripted.host, "a"), MemoryImage(b"image")
        scripted.rule("GET", "/referrers/", error(403, "DENIED"), last=99)
        with pytest.raises(AuthError):
            HttpRegistry().referrers(repository, image.descriptor.digest)
        registry = HttpRegistry()
        registry.push_image(image, repository)
        assert registry.referrers(repository, image.descriptor.digest) == ()


def test_a_registry_that_takes_an_artifact_and_does_not_list_it() -> None:
    with ScriptedRegistry() as scripted:
        registry, repository, image = HttpRegistry(), Repository(scripted.host, "a"), MemoryImage(b"image")
        registry.push_image(image, repository)
        empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
        scripted.rule("GET", "/referrers/", Answer(200, {"Content-Type": OCI_INDEX}, empty), last=99)
        with pytest.raises(RegistryError, match="does not list it"):
            attach(registry, repository, note(image.descriptor, "lost"))


@pytest.mark.parametrize("content", [b"no json", b'{"schemaVersion":2}', b'{"schemaVersion":2,"manifests":[{}]}'])
def test_a_list_that_cannot_be_read_is_an_error(content: bytes) -> None:
    with ScriptedRegistry() as scripted:
        repository = Repository(scripted.host, "a")
        scripted.rule("GET", "/referrers/", Answer(200, {"Content-Type": OCI_INDEX}, content))
        with pytest.raises(RegistryError, match="no list of referrers"):
            HttpRegistry().referrers(repository, Digest.of(b"x"))


def test_pages_that_lead_elsewhere_or_nowhere() -> None:
    with ScriptedRegistry() as scripted:
        repository = Repository(scripted.host, "a")
        empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
        path = f"/v2/a/referrers/{Digest.of(b'x')}"
        for link in (f'<{path}>; rel="next"', '<https://elsewhere.example/v2/>; rel="next"'):
            answer = Answer(200, {"Content-Type": OCI_INDEX, "Link": link}, empty)
            scripted.rules.clear()
            scripted.rule("GET", "/referrers/", answer, last=9)
            with pytest.raises(RegistryError, match=r"does not end|on another host"):
                HttpRegistry().referrers(repository, Digest.of(b"x"))


def test_somebody_elses_tag_is_not_written_over(docker_registry: str) -> None:
    registry, image = HttpRegistry(), MemoryImage(b"image")
    repository = Repository(docker_registry, f"acme/{os.getpid()}/theirs")
    tag = referrers_tag(image.descriptor.digest)
    registry.push_image(image, repository, tag)
    with pytest.raises(ConflictError, match="is something else"):
        attach(registry, repository, note(image.descriptor, "not here"))
    found = registry.resolve(repository.tag(tag))
    assert found is not None and found.digest == image.descriptor.digest
    with pytest.raises(RegistryError, match="no list of referrers"):
        registry.referrers(repository, image.descriptor.digest)
