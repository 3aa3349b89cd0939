"""Build caches on a real engine that forgets everything between two builds: what is found, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.actionscache import ActionsCache
from tests.drivers.test_buildx import Built
from tests.faultyproxy import FaultyProxy
from tests.realengine import NATIVE, context
from tests.realregistry import RealRegistry
from tests.secondengine import Endpoint, second_engine

from dsci.drivers.buildcache import opened
from dsci.drivers.buildx import Buildx
from dsci.drivers.runs import Run
from dsci.errors import BuilderError
from dsci.model.caches import Cache
from dsci.model.reference import Reference
from dsci.ports import BuildFailure, BuildOrder

#: A step whose outcome is never the same twice: two equal ones are one.
DOCKERFILE = """\
FROM debian:bookworm-slim
RUN head -c 16 /dev/urandom | od -An -tx1 > /opt/random
COPY note /opt/note
"""
STAGES = """\
FROM debian:bookworm-slim AS tools
RUN head -c 16 /dev/urandom | od -An -tx1 > /random
FROM debian:bookworm-slim
COPY note /opt/note
COPY --from=tools /random /opt/random
"""
STEP = "CACHED [2/3] RUN"


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Endpoint]:
    """An engine with the containerd image store that nobody else uses."""
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    registry = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture
def proxy(forgetful: Endpoint, storage: RealRegistry) -> Iterator[FaultyProxy]:
    """The registry as the engine reaches it, and may be made to fail."""
    with FaultyProxy(forgetful.gateway, storage.address).serving() as proxy:
        yield proxy


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / 'state, with "odd" name')
    yield run
    run.close()


class Machine:
    """One that has never built anything, again and again."""

    def __init__(self, endpoint: Endpoint, run: Run, **environment: str) -> None:
        self.environment = {**os.environ, "DOCKER_HOST": str(endpoint), **environment}
        self.run = run
        self.warnings: list[str] = []
        self.builder = Buildx(self.environment, run, warn=self.warnings.append)

    def forget(self) -> None:
        """Everything but the base image, which every machine may have."""
        for words in (("image", "rm", "--force", "dsci.local/app:dsci-x"), ("builder", "prune", "--all", "--force")):
            subprocess.run(["docker", *words], check=False, capture_output=True, env=self.environment)

    def build(
        self, cache: Cache | None, dockerfile: str = DOCKERFILE, note: str = "1", **given: Any
    ) -> tuple[str, list[str]]:
        """Build on a machine that knows nothing; gives the random text in the image and what was told."""
        self.forget()
        told: list[str] = []
        with self.builder.build(self.order(cache, **given), context(dockerfile, {"note": note}), told.append) as result:
            assert not isinstance(result, BuildFailure), result
            return self._random(result), told

    def order(self, cache: Cache | None, **given: Any) -> BuildOrder:
        usual: dict[str, Any] = {
            "subject": "app@linux/amd64",
            "dockerfile": "Dockerfile",
            "dockerfile_shown": "images/app/Dockerfile",
            "stage": None,
            "platform": NATIVE,
            "local_name": Reference.parse("dsci.local/app:dsci-x"),
            "epoch": 1_700_000_000,
            "cache": cache,
        }
        return BuildOrder(**(usual | given))

    @staticmethod
    def _random(result: Any) -> str:
        from msgspec.structs import replace

        from dsci.model.oci import Manifest

        layers = Manifest.from_bytes(result.manifest).layers
        for layer in layers[1:]:
            one = Manifest(config=Manifest.from_bytes(result.manifest).config, layers=(layer,))
            built = Built(_Only(result, replace(one).to_bytes()))
            names = [name for name in ("opt/random",) if _has(built, name)]
            if names:
                return built.content(names[0])
        raise AssertionError("no layer has it")


class _Only:
    """An image source that shows one of its layers."""

    def __init__(self, source: Any, manifest: bytes) -> None:
        self.descriptor, self.manifest, self.open = source.descriptor, manifest, source.open


def _has(built: Built, name: str) -> bool:
    try:
        return built.file(name) is not None
    except KeyError:
        return False


def at(place: str, *, kind: str = "registry", read: bool = True, write: bool = True, every: bool = False) -> Cache:
    return Cache(type=kind, place=place, read=read, write=write, every=every)  # type: ignore[arg-type]


pytestmark = pytest.mark.engine


def test_without_a_cache_every_machine_runs_the_step(forgetful: Endpoint, run: Run) -> None:
    machine = Machine(forgetful, run)
    (one, _), (two, told) = machine.build(None), machine.build(None)
    assert one != two and not any(text.startswith("CACHED") for text in told)


def test_a_registry_brings_steps_to_another_machine(
    forgetful: Endpoint, run: Run, proxy: FaultyProxy, storage: RealRegistry
) -> None:
    machine, cache = Machine(forgetful, run), at(f"{proxy.host}/acme/app:dsci-cache-app-linux-amd64")
    first, told = machine.build(cache)
    assert not any(text.startswith("CACHED") for text in told)
    manifest = storage.manifest("acme/app", "dsci-cache-app-linux-amd64")
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json", "no index that clean-ups tear apart"
    second, told = machine.build(cache, note="another")
    assert second == first and any(text.startswith(STEP) for text in told), told
    assert machine.warnings == []


@pytest.mark.slow
def test_what_takes_nothing_from_a_cache_leaves_its_steps_there(forgetful: Endpoint, run: Run, tmp_path: Path) -> None:
    machine, place = Machine(forgetful, run), str(tmp_path / "cache")
    first, _ = machine.build(at(place, kind="local"))
    second, told = machine.build(at(place, kind="local", read=False), fresh=True)
    assert second != first and not any(text.startswith(STEP) for text in told), told
    third, told = machine.build(at(place, kind="local", write=False), note="another")
    assert third == second and any(text.startswith(STEP) for text in told), told


@pytest.mark.slow
def test_the_classic_store_reads_what_another_machine_wrote(
    forgetful: Endpoint, run: Run, proxy: FaultyProxy, storage: RealRegistry
) -> None:
    first, _ = Machine(forgetful, run).build(at(f"{proxy.host}/acme/classic:c"))
    with (
        second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=False) as classic,
        FaultyProxy(classic.gateway, storage.address).serving() as there,
    ):
        machine = Machine(classic, run)
        cache = at(f"{there.host}/acme/classic:c", write=False)
        second, told = machine.build(cache, note="another", classic=True)
        assert second == first and any(text.startswith(STEP) for text in told), told
        assert machine.warnings == []
        # Told to write all the same, it does without a cache: the engine's word is not needed to find that out.
        machine.build(at(f"{there.host}/acme/classic:c"), note="third", classic=True)
        assert len(machine.warnings) == 1 and "Cache export is not supported" in machine.warnings[0]


@pytest.mark.slow
def test_all_stages_are_kept_where_that_pays(forgetful: Endpoint, run: Run, proxy: FaultyProxy) -> None:
    machine = Machine(forgetful, run)
    some, every = at(f"{proxy.host}/acme/stages:min"), at(f"{proxy.host}/acme/stages:max", every=True)
    few, _ = machine.build(some, STAGES)
    assert machine.build(some, STAGES, note="another")[0] != few, "the other stage's steps are in no layer"
    first, _ = machine.build(every, STAGES)
    second, told = machine.build(every, STAGES, note="another")
    assert second == first and any(text.startswith("CACHED [tools 2/2] RUN") for text in told), told


@pytest.mark.slow
def test_what_may_not_write_reads(forgetful: Endpoint, run: Run, proxy: FaultyProxy, storage: RealRegistry) -> None:
    machine, place = Machine(forgetful, run), f"{proxy.host}/acme/request:c"
    machine.build(at(place, write=False))
    assert storage.digest("acme/request", "c") is None
    first, _ = machine.build(at(place))
    before = storage.digest("acme/request", "c")
    evil = DOCKERFILE.replace("COPY", "RUN echo evil > /opt/evil\nCOPY")
    second, _ = machine.build(at(place, write=False), evil)
    assert second == first and storage.digest("acme/request", "c") == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/manifests/", 500),
        ("POST", "/blobs/uploads/", 401),
        ("HEAD", "/manifests/", 401),
        ("GET", "/blobs/sha256:", 500),
        pytest.param("PUT", "/blobs/uploads/", 500, marks=pytest.mark.slow),
        pytest.param("HEAD", "/manifests/", 500, marks=pytest.mark.slow),
        pytest.param("GET", "/manifests/", 500, marks=pytest.mark.slow),
        pytest.param("GET", "/blobs/sha256:", 401, marks=pytest.mark.slow),
        pytest.param("GET", "/blobs/sha256:", 404, marks=pytest.mark.slow),
    ],
)
def test_a_registry_that_fails_in_the_middle_fails_no_build(
    forgetful: Endpoint, run: Run, proxy: FaultyProxy, method: str, path: str, status: int
) -> None:
    machine = Machine(forgetful, run)
    cache = at(f"{proxy.host}/acme/faults:{method.lower()}-{status}-{len(path)}")
    if method in ("HEAD", "GET"):
        machine.build(cache)
    proxy.fail(method, path, status)
    machine.build(cache, note="another")
    assert proxy.faults, "nothing failed"
    assert len(machine.warnings) == 1 and "goes on without it" in machine.warnings[0], machine.warnings


def test_a_blob_that_cannot_be_had_when_it_is_needed(forgetful: Endpoint, run: Run, proxy: FaultyProxy) -> None:
    """BuildKit takes a step from the cache by its manifest, and fetches its layer when the next step wants it."""
    machine = Machine(forgetful, run)
    cache = at(f"{proxy.host}/acme/late:c")
    first, _ = machine.build(cache)
    layers = [layer["digest"] for layer in _manifest(proxy, "acme/late", "c")["layers"]]
    proxy.fail("GET", f"/blobs/({'|'.join(layers)})", 500)
    second, told = machine.build(cache, note="another")
    assert proxy.faults and second != first, "it was run again"
    assert any(text.startswith("CACHED") for text in told), "the cache was believed at first"
    assert len(machine.warnings) == 1, machine.warnings


def _manifest(proxy: FaultyProxy, repository: str, tag: str) -> dict[str, Any]:
    seen = RealRegistry.__new__(RealRegistry)
    seen.address = proxy.target
    return seen.manifest(repository, tag)


@pytest.mark.slow
def test_a_run_whose_cache_is_out_of_order_leaves_it_alone(forgetful: Endpoint, run: Run, proxy: FaultyProxy) -> None:
    machine = Machine(forgetful, run)
    proxy.fail("HEAD", "/manifests/", 500)
    for number in range(5):
        machine.build(at(f"{proxy.host}/acme/down:c{number}", write=False))
    assert len(machine.warnings) == 3 and "from here on" in machine.warnings[-1]
    asked = {fault.rpartition(":")[2] for fault in proxy.faults}
    assert len(asked) <= 3, asked


def test_a_step_that_fails_is_not_run_twice(forgetful: Endpoint, run: Run, proxy: FaultyProxy) -> None:
    machine = Machine(forgetful, run)
    told: list[str] = []
    broken = "FROM debian:bookworm-slim\nRUN exit 3\n"
    with machine.builder.build(machine.order(at(f"{proxy.host}/acme/x:c")), context(broken), told.append) as result:
        assert isinstance(result, BuildFailure) and "exit code: 3" in result.message
        assert result.line == 2 and result.step.endswith("RUN exit 3")
    assert [text for text in told if "RUN exit 3" in text] == ["[2/2] RUN exit 3"] and machine.warnings == []


def test_a_dockerfile_that_is_wrong_says_so_and_nothing_of_the_cache(
    forgetful: Endpoint, run: Run, proxy: FaultyProxy
) -> None:
    machine = Machine(forgetful, run)
    wrong = "FROM debian:bookworm-slim\nCOPY absent /opt/\n"
    with machine.builder.build(machine.order(at(f"{proxy.host}/acme/x:c")), context(wrong), lambda _: None) as result:
        assert isinstance(result, BuildFailure) and "absent" in result.message and result.line == 2
    assert machine.warnings == []


@pytest.mark.slow
def test_a_folder_keeps_one_cache_and_never_half_of_one(forgetful: Endpoint, run: Run, tmp_path: Path) -> None:
    machine, place = Machine(forgetful, run), tmp_path / 'caches, "odd"' / "app-linux-amd64"
    cache = at(str(place), kind="local")
    first, _ = machine.build(cache)
    kept = (place / "now").resolve()
    second, told = machine.build(cache, note="another")
    assert second == first and any(text.startswith(STEP) for text in told), told
    now = (place / "now").resolve()
    assert now != kept and sorted(place.iterdir()) == sorted([place / "now", now]), "what was before is gone"
    broken = DOCKERFILE + "RUN exit 1\n"
    with machine.builder.build(machine.order(cache), context(broken, {"note": "x"}), lambda _: None) as result:
        assert isinstance(result, BuildFailure)
    assert (place / "now").resolve() == now and sorted(place.iterdir()) == sorted([place / "now", now])
    third, _ = machine.build(at(str(place), kind="local", write=False), note="third")
    assert third == first and (place / "now").resolve() == now


@pytest.mark.slow
def test_a_local_cache_that_is_damaged_fails_no_build(forgetful: Endpoint, run: Run, tmp_path: Path) -> None:
    machine, place = Machine(forgetful, run), tmp_path / "app"
    cache = at(str(place), kind="local")
    first, _ = machine.build(cache)
    for blob in (place / "now" / "blobs" / "sha256").iterdir():
        blob.write_bytes(b"{}")
    second, _ = machine.build(cache, note="another")
    assert second != first, "nothing in it can be read"
    third, _ = machine.build(cache, note="third")
    # The damaged one was replaced if the build could write beside it, and is replaced by the next one otherwise.
    assert third in (second, machine.build(cache, note="fourth")[0])


@pytest.mark.slow
def test_githubs_cache_service_brings_steps_to_another_machine(forgetful: Endpoint, run: Run) -> None:
    with ActionsCache(forgetful.gateway).serving() as service:
        machine = Machine(forgetful, run, **service.environment)
        cache = at("app-linux-amd64", kind="gha")
        first, _ = machine.build(cache)
        assert any(key.startswith("index-app-linux-amd64") for key in service.keys), (
            machine.warnings,
            service.requests,
        )
        second, told = machine.build(cache, note="another")
        assert second == first and any(text.startswith(STEP) for text in told), told
        other, _ = machine.build(at("other-linux-amd64", kind="gha"))
        assert other != first, "a scope of its own"
        before = dict(service.entries)
        machine.build(at("app-linux-amd64", kind="gha", write=False), note="request")
        assert service.entries == before and service.refused == 0
    assert machine.warnings == []


@pytest.mark.parametrize("broken", ["gone", "token"])
def test_a_cache_service_that_does_not_work_fails_no_build(forgetful: Endpoint, run: Run, broken: str) -> None:
    with ActionsCache(forgetful.gateway).serving() as service:
        environment = service.environment | ({"ACTIONS_RUNTIME_TOKEN": "nonsense"} if broken == "token" else {})
    machine = Machine(forgetful, run, **environment)
    machine.build(at("app-linux-amd64", kind="gha"))
    assert len(machine.warnings) == 1 and environment["ACTIONS_RUNTIME_TOKEN"] not in machine.warnings[0]


def test_no_token_is_in_a_command_line(run: Run) -> None:
    with opened(at("app-linux-amd64", kind="gha"), run) as cache:
        assert cache.flags == [
            "--cache-from=type=gha,scope=app-linux-amd64",
            "--cache-to=type=gha,scope=app-linux-amd64,mode=min,ignore-error=true",
        ]


def test_a_folder_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuilderError, match="build cache"), opened(at(str(tmp_path / "file" / "x"), kind="local"), run):
        raise AssertionError("it was opened")


def test_what_a_dead_run_was_writing_goes_and_what_a_live_one_writes_stays(run: Run, tmp_path: Path) -> None:
    dead = Run(tmp_path / 'state, with "odd" name')
    live = Run(tmp_path / 'state, with "odd" name')
    place = tmp_path / "app"
    for other in (dead, live):
        (place / f".partial-{other.nonce}-00").mkdir(parents=True)
    dead.left_behind = True
    dead.close()
    write: Callable[[Path], None] = lambda folder: (folder / "index.json").write_text("{}")  # noqa: E731
    with opened(at(str(place), kind="local"), run) as cache:
        (partial,) = [folder for folder in place.iterdir() if run.nonce in folder.name]
        write(partial)
        cache.keep()
    assert sorted(entry.name for entry in place.iterdir()) == sorted(
        [f".partial-{live.nonce}-00", "now", partial.name.removeprefix(".partial-")]
    )
    live.close()
