"""OCI layouts on disk: valid whenever a process dies, unchanged when the disk is full, never losing a tag; and tars."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from images import OCI_INDEX, MemoryImage, index_of, write_tar
from msgspec.structs import replace

from dsci.drivers.files import sweep
from dsci.drivers.layout import LayoutRegistry
from dsci.drivers.ocitar import OciTar
from dsci.errors import AuthError, BuilderError, ConfigError, RegistryError
from dsci.model.oci import OCI_EMPTY, Descriptor, Digest, Manifest, Platform
from dsci.model.reference import Repository

APP = Repository.parse("dsci.local/acme/app")
HERE = Path(__file__).parent


def assert_valid(root: Path) -> set[str]:
    """Check every layout below root against the specification, blob by blob; gives the tags."""
    tags: set[str] = set()
    for marker in root.rglob("oci-layout"):
        folder = marker.parent
        assert json.loads(marker.read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        for blob in folder.glob("blobs/*/*"):
            with contextlib.suppress(FileNotFoundError):  # it was swept
                assert hashlib.new(blob.parent.name, blob.read_bytes()).hexdigest() == blob.name
        index = json.loads((folder / "index.json").read_bytes())
        assert index["schemaVersion"] == 2
        for item in index["manifests"]:
            tag = item.get("annotations", {}).get("org.opencontainers.image.ref.name")
            if tag:
                assert item["annotations"]["io.containerd.image.name"].endswith(f":{tag}")
                tags.add(tag)
            assert_reachable(folder, item)
    return tags


def assert_reachable(folder: Path, item: dict[str, object]) -> None:
    algorithm, _, name = str(item["digest"]).partition(":")
    blob = folder / "blobs" / algorithm / name
    assert blob.stat().st_size == item["size"]
    if str(item["mediaType"]).endswith(("index.v1+json", "manifest.v1+json")):
        value = json.loads(blob.read_bytes())
        for child in [*value.get("manifests", []), *value.get("layers", []), *filter(None, [value.get("config")])]:
            assert_reachable(folder, child)


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob(".dsci-partial-*"))


class TestLayout:
    def test_the_folder_is_an_oci_layout_that_names_its_tags(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        images = MemoryImage(b"amd"), MemoryImage(b"arm", platform="linux/arm64")
        for image in images:
            registry.push_image(image, APP)
        for tag in ("1.0", "latest"):
            registry.push_manifest(APP, index_of(*images), OCI_INDEX, tag)
        assert assert_valid(tmp_path) == {"1.0", "latest"}
        folder = tmp_path / "acme" / "app"
        assert {path.name for path in folder.iterdir()} == {"oci-layout", "index.json", "blobs", ".lock", ".partial"}
        items = json.loads((folder / "index.json").read_bytes())["manifests"]
        names = [item.get("annotations", {}).get("io.containerd.image.name") for item in items]
        assert names == [None, None, "dsci.local/acme/app:1.0", "dsci.local/acme/app:latest"]

    def test_names_of_other_registries_do_not_meet_ours(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        other = Repository("ghcr.io", "acme/app")
        registry.push_image(MemoryImage(b"theirs"), other, "1")
        assert registry.tags(APP) == () and registry.tags(other) == ("1",)
        assert assert_valid(tmp_path) == {"1"}

    def test_a_repository_below_another_is_kept_apart(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        below = Repository(APP.registry, "acme/app/test")
        registry.push_image(MemoryImage(b"1"), APP, "1")
        registry.push_image(MemoryImage(b"2"), below, "2")
        assert (registry.tags(APP), registry.tags(below)) == (("1",), ("2",))
        for name in ("blobs", "index.json", "oci-layout"):
            with pytest.raises(ConfigError, match=name):
                registry.push_image(MemoryImage(b"3"), Repository(APP.registry, f"acme/app/{name}"), "3")
        assert assert_valid(tmp_path) == {"1", "2"}

    def test_a_mounted_blob_is_the_same_file(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        image = MemoryImage(b"shared")
        registry.push_image(image, APP, "1")
        child = Repository(APP.registry, "acme/child")
        assert registry.mount(APP, image.layers[0], child)
        files = list(tmp_path.rglob(image.layers[0].digest.hex))
        assert len(files) == 2 and len({path.stat().st_ino for path in files}) == 1

    def test_a_blob_cut_short_on_disk_is_found_out_and_mended(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        image = MemoryImage(b"a layer")
        registry.push_image(image, APP, "1")
        (path,) = tmp_path.rglob(image.layers[0].digest.hex)
        path.write_bytes(b"a lay")
        with pytest.raises(RegistryError, match="ended after 5 of the 7 bytes"):
            registry.blob(APP, image.layers[0])
        path.write_bytes(b"A LAYER")
        with pytest.raises(RegistryError, match="other bytes"):
            registry.blob(APP, image.layers[0])
        path.write_bytes(b"a lay")
        registry.push_image(image, APP, "2")
        assert registry.blob(APP, image.layers[0]) == b"a layer"

    @pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"manifests":[{"digest":"sha256:../../x"}]}', b"\xff"])
    def test_a_damaged_index_is_named_and_not_overwritten(self, tmp_path: Path, text: bytes) -> None:
        registry = LayoutRegistry(tmp_path)
        registry.push_image(MemoryImage(b"1"), APP, "1")
        path = tmp_path / "acme/app/index.json"
        path.write_bytes(text)
        for act in (lambda: registry.tags(APP), lambda: registry.push_image(MemoryImage(b"2"), APP, "2")):
            with pytest.raises(RegistryError, match=r"index\.json"):
                act()
        assert path.read_bytes() == text

    @pytest.mark.parametrize("mode", [0o755, 0o700], ids=["written", "entered"])
    def test_a_folder_that_may_not_be_used_is_named(self, tmp_path: Path, mode: int) -> None:
        """As root every folder may be written, so a child without that privilege tries it."""
        (tmp_path / "acme").mkdir(mode=mode)
        script = (
            "import os, sys; from pathlib import Path; from dsci.drivers.layout import LayoutRegistry\n"
            "from dsci.errors import AuthError; from dsci.model.reference import Repository\n"
            "os.setuid(65534) if os.getuid() == 0 else os.chmod(sys.argv[1] + '/acme', int(sys.argv[2], 8) & 0o555)\n"
            "registry, here = LayoutRegistry(Path(sys.argv[1])), Repository('dsci.local', 'acme/app')\n"
            "for act in (lambda: registry.check_push(here), lambda: registry.push_blob(here, b'x', 'a/b')):\n"
            "    try: act()\n"
            "    except AuthError as error: print('refused', error.message, error.hint)\n"
        )
        for folder in (tmp_path, *list(tmp_path.parents)[:3]):
            folder.chmod(folder.stat().st_mode | 0o555)
        argv = [sys.executable, "-c", script, str(tmp_path), f"{mode:o}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
        assert done.stdout.count("refused") == 2 and str(tmp_path) in done.stdout, done.stderr


class TestCrashes:
    def test_kill_9_at_any_moment_leaves_a_valid_layout(self, tmp_path: Path) -> None:
        """Pushing processes are killed at twelve different moments; what is there must always be whole."""
        seen: set[str] = set()
        for turn in range(12):
            worker = subprocess.Popen(
                [sys.executable, str(HERE / "push_loop.py"), str(tmp_path), str(turn)], stdout=subprocess.PIPE
            )
            assert worker.stdout is not None and worker.stdout.readline() == b"pushing\n"
            time.sleep(0.02 + 0.013 * turn)
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            assert worker.returncode == -signal.SIGKILL
            tags = assert_valid(tmp_path)
            assert seen <= tags, "a tag was lost"
            seen = tags
        assert len(seen) > 12, "the loop pushed too little to mean anything"
        registry = LayoutRegistry(tmp_path)
        registry.push_image(MemoryImage(b"afterwards"), Repository("dsci.local", "acme/loop"), "afterwards")
        assert assert_valid(tmp_path) == seen | {"afterwards"}
        assert leftovers(tmp_path) == []

    def test_unfinished_files_of_the_living_are_not_swept(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        image = MemoryImage(b"one", b"two")
        swept = []

        class Slow(MemoryImage):
            def open(self, blob: Descriptor):  # type: ignore[no-untyped-def]
                stream = super().open(blob)
                read = stream.read

                def reading(size: int = -1) -> bytes:
                    folder = tmp_path / "acme/app/.partial"
                    before = leftovers(folder)
                    sweep(folder)
                    swept.append((len(before), len(leftovers(folder))))
                    return read(size)

                stream.read = reading  # type: ignore[method-assign]
                return stream

        registry.push_image(Slow(b"one", b"two"), APP, "1")
        assert (1, 1) in swept and (1, 0) not in swept
        assert registry.blob(APP, image.layers[0]) == b"one"

    @pytest.mark.parametrize("limit", [0, 40, 1000, 100_000])
    def test_a_full_disk_is_named_and_leaves_nothing_half_written(self, tmp_path: Path, limit: int) -> None:
        registry = LayoutRegistry(tmp_path)
        registry.push_image(MemoryImage(b"before"), APP, "before")
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(RegistryError) as caught:
                LayoutRegistry(tmp_path).push_image(MemoryImage(os.urandom(300_000)), APP, "after")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert "there is no room" in caught.value.message and str(tmp_path / "acme/app") in caught.value.message
        assert "free some space" in caught.value.hint
        assert assert_valid(tmp_path) == {"before"}
        assert leftovers(tmp_path) == []
        assert all(path.read_bytes() == content for path, content in before.items())
        registry.push_image(MemoryImage(b"after"), APP, "after")
        assert assert_valid(tmp_path) == {"before", "after"}

    def test_four_processes_tagging_at_once_lose_no_tag(self, tmp_path: Path) -> None:
        LayoutRegistry(tmp_path).push_image(MemoryImage(b"x"), APP)
        workers = [
            multiprocessing.get_context("spawn").Process(target=tag_many, args=(tmp_path, number))
            for number in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
        assert assert_valid(tmp_path) == {f"t{number}-{turn}" for number in range(4) for turn in range(40)}


def tag_many(root: Path, number: int) -> None:
    registry = LayoutRegistry(root)
    for turn in range(40):
        registry.push_image(MemoryImage(b"x"), APP, f"t{number}-{turn}")


class TestOciTar:
    def test_it_is_an_image_to_push(self, tmp_path: Path) -> None:
        image = MemoryImage(b"one", b"two" * 50_000)
        source = OciTar(image.tar(tmp_path / "image.tar"))
        assert (source.descriptor, source.manifest) == (image.descriptor, image.manifest)
        registry = LayoutRegistry(tmp_path / "root")
        registry.push_image(source, APP, "1")
        assert registry.blob(APP, image.layers[1]) == image.blobs[image.layers[1].digest]
        assert assert_valid(tmp_path) == {"1"}

    def test_the_platform_comes_from_the_config_when_the_index_has_none(self, tmp_path: Path) -> None:
        image = MemoryImage(b"one", platform="linux/arm64")
        image.descriptor = replace(image.descriptor, platform=None)
        assert OciTar(image.tar(tmp_path / "image.tar")).descriptor.platform == Platform.parse("linux/arm64")

    def test_an_index_with_attestations_has_one_image(self, tmp_path: Path) -> None:
        image, attestation = MemoryImage(b"one"), MemoryImage(b"provenance")
        index = json.loads(index_of(image, attestation))
        index["manifests"][1]["platform"] = {"os": "unknown", "architecture": "unknown"}
        index["manifests"][1]["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
        assert OciTar(nested(tmp_path, json.dumps(index).encode(), image, attestation)).descriptor == image.descriptor

    def test_of_several_platforms_one_must_be_named(self, tmp_path: Path) -> None:
        images = MemoryImage(b"amd"), MemoryImage(b"arm", platform="linux/arm64")
        path = nested(tmp_path, index_of(*images), *images)
        with pytest.raises(BuilderError, match="linux/amd64, linux/arm64"):
            OciTar(path)
        assert OciTar(path, Platform.parse("linux/arm64")).descriptor == images[1].descriptor
        with pytest.raises(BuilderError, match="none"):
            OciTar(path, Platform.parse("linux/s390x"))

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
    def test_links_and_devices_are_refused(self, tmp_path: Path, kind: bytes) -> None:
        evil = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
        evil.type, evil.linkname = kind, "/etc/passwd"
        with pytest.raises(BuilderError, match="no plain file"):
            OciTar(MemoryImage(b"x").tar(tmp_path / "image.tar", extra=(evil,)))

    @pytest.mark.parametrize("name", ["/etc/passwd", "../x", "blobs/../../x", "index.json", "./index.json"])
    def test_odd_and_doubled_names_are_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(BuilderError, match="no name for a file"):
            OciTar(MemoryImage(b"x").tar(tmp_path / "image.tar", extra=(tarfile.TarInfo(name),)))

    def test_large_headers_and_large_json_are_refused(self, tmp_path: Path) -> None:
        path = MemoryImage(b"x").tar(tmp_path / "image.tar")
        big = tarfile.TarInfo("x")
        big.pax_headers = {"comment": "y" * 2_000_000}
        with pytest.raises(BuilderError, match="damaged"):
            OciTar(MemoryImage(b"x").tar(path, extra=(big,)))
        write_tar(path, {"oci-layout": b"{}", "index.json": b" " * (4 * 1024 * 1024 + 1)})
        with pytest.raises(BuilderError, match=r"no index\.json of a legal size"):
            OciTar(path)

    @pytest.mark.parametrize("keep", [0, 100, 2000, 5000, -11_000])
    def test_a_tar_cut_short_is_refused_or_whole(self, tmp_path: Path, keep: int) -> None:
        image = MemoryImage(b"x" * 20_000)
        path = image.tar(tmp_path / "image.tar")
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(BuilderError, match=r"image\.tar"):
            source = OciTar(path)
            source.open(image.layers[0])

    def test_what_is_missing_or_altered_is_refused(self, tmp_path: Path) -> None:
        image = MemoryImage(b"layer")
        with pytest.raises(BuilderError, match="no index"):
            OciTar(image.tar(tmp_path / "a.tar", omit="index.json"))
        with pytest.raises(BuilderError, match=image.descriptor.digest.hex):
            OciTar(image.tar(tmp_path / "b.tar", omit=f"blobs/sha256/{image.descriptor.digest.hex}"))
        layer = image.layers[0]
        with pytest.raises(BuilderError, match=layer.digest.hex):
            OciTar(image.tar(tmp_path / "c.tar", omit=f"blobs/sha256/{layer.digest.hex}")).open(layer)
        image.blobs[layer.digest] = b"longer"
        with pytest.raises(BuilderError, match="has 6 bytes for"):
            OciTar(image.tar(tmp_path / "e.tar")).open(layer)
        image.blobs[layer.digest] = b"LAYER"
        with pytest.raises(RegistryError, match="other bytes"):
            LayoutRegistry(tmp_path / "root").push_image(OciTar(image.tar(tmp_path / "d.tar")), APP, "1")
        with pytest.raises(BuilderError, match="No such file"):
            OciTar(tmp_path / "absent.tar")


def nested(folder: Path, index: bytes, *images: MemoryImage) -> Path:
    """A tar whose index.json names an index, as buildx writes for several platforms or with attestations."""
    blobs = {str(Digest.of(index).hex): index}
    for image in images:
        blobs |= {image.descriptor.digest.hex: image.manifest, **{d.hex: text for d, text in image.blobs.items()}}
    top = json.dumps({"schemaVersion": 2, "manifests": [Descriptor.of(OCI_INDEX, index).to_json()]}).encode()
    files = {"oci-layout": b"{}", "index.json": top, **{f"blobs/sha256/{name}": text for name, text in blobs.items()}}
    write_tar(folder / "nested.tar", files)
    return folder / "nested.tar"


class TestExport:
    def test_a_tag_becomes_a_tar_that_is_read_back_byte_for_byte(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path / "root")
        images = MemoryImage(b"amd", b"shared"), MemoryImage(b"arm", b"shared", platform="linux/arm64")
        for image in images:
            registry.push_image(image, APP)
        index = registry.push_manifest(APP, index_of(*images), OCI_INDEX, "1.0")
        path = tmp_path / "out.tar"
        assert registry.export(APP.tag("1.0"), path).digest == index.digest
        again = tmp_path / "again.tar"
        registry.export(APP.tag("1.0"), again)
        assert path.read_bytes() == again.read_bytes()
        for image in images:
            source = OciTar(path, image.platform)
            assert source.manifest == image.manifest
            with source.open(image.layers[0]) as stream:
                assert stream.read() == image.blobs[image.layers[0].digest]
        with tarfile.open(path) as tar:
            (item,) = json.load(tar.extractfile("index.json"))["manifests"]  # type: ignore[arg-type]
            (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
            names = tar.getnames()
        assert item["annotations"] == {
            "io.containerd.image.name": "dsci.local/acme/app:1.0",
            "org.opencontainers.image.ref.name": "1.0",
        }
        assert entry["RepoTags"] == ["dsci.local/acme/app:1.0"] and {entry["Config"], *entry["Layers"]} <= set(names)
        here = next(
            (image for image in images if image.platform == Platform.parse(f"linux/{os.uname().machine}")), images[0]
        )
        assert entry["Config"].endswith(Manifest.from_bytes(here.manifest).config.digest.hex)
        assert len(names) == len(set(names)) == 3 + 1 + 2 + 2 + 3

    def test_what_is_absent_or_damaged_is_not_exported(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path / "root")
        with pytest.raises(RegistryError, match="does not exist"):
            registry.export(APP.tag("1"), tmp_path / "out.tar")
        image = MemoryImage(b"layer")
        registry.push_image(image, APP, "1")
        (path,) = tmp_path.rglob(image.layers[0].digest.hex)
        path.write_bytes(b"LAYER")
        with pytest.raises(RegistryError, match="other bytes"):
            registry.export(APP.tag("1"), tmp_path / "out.tar")
        assert not (tmp_path / "out.tar").exists() and leftovers(tmp_path) == []
        with pytest.raises(RegistryError, match="cannot write"):
            registry.export(APP.tag("1"), tmp_path / "absent" / "out.tar")


def test_empty_blobs_and_auth_errors_are_what_callers_expect(tmp_path: Path) -> None:
    registry = LayoutRegistry(tmp_path)
    blob = registry.push_blob(APP, b"", OCI_EMPTY)
    assert registry.blob(APP, blob) == b"" and issubclass(AuthError, RegistryError)


def age(root: Path) -> None:
    """Make every blob look as if nothing had touched it for a day."""
    for blob in root.rglob("blobs/*/*"):
        os.utime(blob, (time.time() - 86400,) * 2)


def blobs(root: Path) -> set[str]:
    return {blob.name for blob in root.rglob("blobs/*/*")}


class TestSweeping:
    def test_what_nothing_names_goes_once_it_is_old(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        image, other = MemoryImage(b"shared", b"own" * 99), MemoryImage(b"shared")
        registry.push_image(image, APP, "1")
        registry.push_image(other, APP, "2")
        assert registry.delete(APP, image.descriptor.digest)
        assert registry.sweep(APP) == 0 and image.layers[1].digest.hex in blobs(tmp_path), "a push may count on it"
        age(tmp_path)
        assert registry.sweep(APP) == len(image.manifest) + image.layers[1].size
        assert blobs(tmp_path) == {other.descriptor.digest.hex, other.config.digest.hex, other.layers[0].digest.hex}
        assert assert_valid(tmp_path) == {"2"}

    def test_room_that_another_repository_still_needs_is_not_counted(self, tmp_path: Path) -> None:
        registry, other = LayoutRegistry(tmp_path), Repository.parse("dsci.local/acme/other")
        image = MemoryImage(b"shared" * 99)
        registry.push_image(image, APP, "1")
        for blob in (image.config, *image.layers):
            registry.mount(APP, blob, other)
        registry.push_image(image, other, "1")
        registry.delete(APP, image.descriptor.digest)
        age(tmp_path)
        assert registry.sweep(APP) == len(image.manifest)
        assert assert_valid(tmp_path) == {"1"}

    def test_a_push_touches_what_it_finds(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        image, other = MemoryImage(b"layer"), MemoryImage(b"layer", b"more")
        registry.push_image(image, APP, "1")
        registry.delete(APP, image.descriptor.digest)
        age(tmp_path)
        registry.push_blob(APP, b"layer", OCI_EMPTY)
        registry.sweep(APP)
        assert blobs(tmp_path) == {image.layers[0].digest.hex}
        registry.push_image(other, APP, "2")
        assert assert_valid(tmp_path) == {"2"}

    def test_a_sweep_in_the_middle_of_a_push_is_made_good(self, tmp_path: Path) -> None:
        """What the push found there is gone before its manifest is named: it is sent again, and nothing half stands."""
        registry, sweeper = LayoutRegistry(tmp_path), LayoutRegistry(tmp_path)
        old, new = MemoryImage(b"layer"), MemoryImage(b"layer", b"more")
        registry.push_image(old, APP, "1")
        registry.delete(APP, old.descriptor.digest)

        def sweep_now(*_: object) -> None:
            registry._name = name  # type: ignore[method-assign]
            age(tmp_path)
            assert sweeper.sweep(APP) > 0
            name(*_)  # type: ignore[arg-type]

        name = registry._name
        registry._name = sweep_now  # type: ignore[method-assign]
        registry.push_image(new, APP, "2")
        assert assert_valid(tmp_path) == {"2"}
        # A manifest alone cannot bring its blobs back: it is refused, and says so.
        registry.delete(APP, new.descriptor.digest)
        registry._name = sweep_now  # type: ignore[method-assign]
        with pytest.raises(RegistryError, match="swept while it was pushed"):
            registry.push_manifest(APP, new.manifest, new.descriptor.media_type, "3")
        assert assert_valid(tmp_path) == set()

    def test_pushing_and_sweeping_at_once_leaves_whole_images(self, tmp_path: Path) -> None:
        stop = multiprocessing.get_context("spawn").Event()
        sweeper = multiprocessing.get_context("spawn").Process(target=sweep_all_the_time, args=(tmp_path, stop))
        sweeper.start()
        registry = LayoutRegistry(tmp_path)
        stands: set[str] = set()
        try:
            for number in range(60):
                image = MemoryImage(b"common" * 500, b"turn" * number)
                for _ in range(50):
                    with contextlib.suppress(RegistryError):
                        registry.push_image(image, APP, f"t{number}")
                        stands.add(f"t{number}")
                        break
                assert_valid(tmp_path)
                if number % 2:
                    registry.delete(APP, image.descriptor.digest)
                    stands.discard(f"t{number}")
        finally:
            stop.set()
            sweeper.join(30)
        assert sweeper.exitcode == 0
        # A sweep that never waits may win against one push or another; what was pushed stands.
        assert assert_valid(tmp_path) == stands and len(stands) > 10

    def test_a_layout_that_is_damaged_is_not_swept(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        registry.push_image(MemoryImage(b"layer"), APP, "1")
        (index,) = tmp_path.rglob("index.json")
        index.write_text("{")
        age(tmp_path)
        before = blobs(tmp_path)
        with pytest.raises(RegistryError, match="no index"):
            registry.sweep(APP)
        assert blobs(tmp_path) == before

    def test_when_something_was_written(self, tmp_path: Path) -> None:
        registry = LayoutRegistry(tmp_path)
        registry.push_image(MemoryImage(b"layer"), APP, "1")
        found = registry.written(APP.tag("1"))
        assert found is not None and abs(found - time.time()) < 60
        age(tmp_path)
        found = registry.written(APP.tag("1"))
        assert found is not None and abs(found - time.time() + 86400) < 60


def sweep_all_the_time(root: Path, stop: object) -> None:
    """As if an hour passed at every moment: the lock and the look under it are all that protects a push."""
    from dsci.drivers import layout

    layout._GRACE = -1
    while not stop.is_set():  # type: ignore[attr-defined]
        LayoutRegistry(root).sweep(APP)
