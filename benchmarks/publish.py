"""Publishing beside `docker push` and `skopeo copy`: names for what is there, a large image, a child of what is there.

    python benchmarks/publish.py --registry HOST:PORT [--rounds N] [--images N] [--tags N] [--megabytes N]

All push to the same registry on loopback, in turns. Names: images are built and stand in the registry; a release gives
each of them its tags, `docker push` sends one tag after the other. A large image: fresh bytes in each round that
compress no further, five layers; dsci's client reads them from an OCI tar as BuildKit exports it, skopeo from an OCI
layout, docker from its own store. A child: its parent stands in the registry, and every byte that goes there is counted
on the way.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from builds import _IDENTITY
from measure import Series, environment, run, show

_RELEASE = [sys.executable, "-m", "dsci", "release"]
#: dsci's own client, in a process of its own: it sends what no engine does (what builders elsewhere export).
_CLIENT = """
import sys
from pathlib import Path
from dsci.drivers.ocitar import OciTar
from dsci.drivers.registry import HttpRegistry
from dsci.model.reference import Reference
from dsci.pipeline.transfer import share
image, name, registry = OciTar(Path(sys.argv[1])), Reference.parse(sys.argv[2]), HttpRegistry()
for parent in sys.argv[3:]:
    share(registry, Reference.parse(parent), image.manifest, name.repository)
registry.push_image(image, name.repository, name.tag)
"""


class Family:
    """A repository of images that stand side by side, each with a note of its own, and as many tags as are wanted."""

    def __init__(self, folder: Path, registry: str, images: Mapping[str, str], tags: int = 1) -> None:
        self.folder, self.prefix = folder, f"{registry}/bench-{uuid.uuid4().hex[:8]}"
        self.env = environment(XDG_STATE_HOME=str(folder.parent / f"state-{folder.name}"), **_IDENTITY)
        folder.mkdir()
        origin = folder.parent / f"{folder.name}.git"
        self.git("init", "-q", "--bare", str(origin))
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(origin))
        rules = ["{version}", "{major}.{minor}", "{major}", "latest"]
        rules += [f"{{version}}-{number}" for number in range(tags - len(rules))]
        settings = f"registries: [{self.prefix}]\ntags: {json.dumps(rules[:tags])}\n"
        self.commit("feat: images", {"dsci.yaml": settings} | self.files(images))

    def files(self, images: Mapping[str, str]) -> dict[str, str]:
        return {f"images/{name}/Dockerfile": text.format(prefix=self.prefix) for name, text in images.items()} | {
            f"images/{name}/note": f"{uuid.uuid4()}\n" for name in images
        }

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, env=self.env, check=True, capture_output=True)

    def commit(self, message: str, files: Mapping[str, str] | None = None) -> None:
        for name, text in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "origin", "main")

    def release(self) -> tuple[float, float]:
        return _took(_RELEASE, self.folder, self.env)


def _took(argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """What a command takes. Raises RuntimeError where it does not come to an end."""
    took = run(argv, folder, env=env, patience=5.0)
    if took is None:
        raise RuntimeError(f"{argv[0]} did not come to an end")
    return took


def names(scratch: Path, registry: str, images: int, tags: int, rounds: int) -> None:
    """The tags of a release whose images stand already, beside as many `docker push` of one tag each."""
    text = "FROM debian:bookworm-slim\nCOPY note /note\n"
    family = Family(scratch / "names", registry, {f"image-{n:02}": text for n in range(images)}, tags)
    family.release()
    found = {title: Series() for title in ("dsci release", "dsci release again, nothing to do", "docker push")}
    for number in range(rounds):
        version = f"{number + 1}.0.0"
        footers = "\n".join(f"Release-As: image-{n:02}@{version}" for n in range(images))
        family.commit(f"chore: release\n\n{footers}")
        _note(found["dsci release"], family.release())
        _note(found["dsci release again, nothing to do"], family.release())
        kept = [f"{family.prefix}/image-{n:02}:{version}" for n in range(images)]
        there = {f"{name.rpartition(':')[0]}:push-{number}-{tag}": name for name in kept for tag in range(tags)}
        _docker(*(f"pull -q {name}" for name in kept), *(f"tag {name} {tag}" for tag, name in there.items()))
        pushes = "\n".join(f"docker push -q {name}" for name in there)
        _note(found["docker push"], _took(["sh", "-ec", pushes], scratch))
        _docker(f"rmi -f {' '.join([*kept, *there])}")
    print(f"{tags} tags × {images} images whose blobs are there; medians of {rounds}\n")
    show(found)
    ours, idle, theirs = (series.median for series in found.values())
    print(f"  dsci takes 1/{theirs / ours:.1f} of the time, with plan, claim and reading back")
    print(f"  what it takes beyond a run with nothing to do: 1/{theirs / (ours - idle):.1f}\n", flush=True)


def _docker(*commands: str) -> None:
    """Run commands of docker, one after the other, in one shell."""
    script = "\n".join(f"docker {words}" for words in commands)
    subprocess.run(["sh", "-ec", script], check=True, capture_output=True)


# ---------------------------------------------------------------------------------------------------- large images


def layout_of(folder: Path, layers: Sequence[bytes]) -> Path:
    """An OCI layout with an image of these layers (whole tars); beside it stands the same as a tar."""
    place = folder / "large"
    blobs = place / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    # Compressed, so that nobody compresses them on the way; random bytes become no smaller.
    stack = [put(gzip.compress(content, 1, mtime=0), "layer.v1.tar+gzip") for content in layers]
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in layers]}
    config = {"architecture": _machine(), "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": stack,
    }
    top = put(json.dumps(manifest).encode(), "manifest.v1+json") | {
        "annotations": {
            "org.opencontainers.image.ref.name": "image",
            "io.containerd.image.name": "dsci-bench.local/large:image",
        }
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [top]}
    (place / "index.json").write_text(json.dumps(index))
    (place / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    with tarfile.open(place.with_suffix(".tar"), "w") as tar:
        for path in sorted(place.rglob("*")):
            tar.add(path, path.relative_to(place), recursive=False)
    return place


def _machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def random_layer(megabytes: int) -> bytes:
    """A layer with one file of random bytes."""
    content, name = io.BytesIO(), uuid.uuid4().hex
    with tarfile.open(fileobj=content, mode="w") as tar:
        about = tarfile.TarInfo(f"data/{name}")
        about.size = megabytes * 10**6
        tar.addfile(about, io.BytesIO(os.urandom(about.size)))
    return content.getvalue()


@contextlib.contextmanager
def loaded(layout: Path) -> Iterator[str]:
    """The image of a layout in the engine, by a name."""
    name = "dsci-bench.local/large:image"
    subprocess.run(["docker", "load", "-q", "-i", str(layout.with_suffix(".tar"))], check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], check=True, capture_output=True)


def pushers(layout: Path, loaded_as: str, registry: str) -> dict[str, tuple[list[str], str]]:
    """How each of them sends the image of a layout, and the repository that it goes to."""
    where = {title: f"{registry}/fresh-{uuid.uuid4().hex[:8]}" for title in ("dsci", "docker", "skopeo")}
    subprocess.run(["docker", "tag", loaded_as, f"{where['docker']}:1"], check=True, capture_output=True)
    copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:image", f"docker://{where['skopeo']}:1"]
    client = [sys.executable, "-c", _CLIENT, str(layout.with_suffix(".tar")), f"{where['dsci']}:1"]
    return {
        "dsci's client": (client, where["dsci"]),
        "skopeo copy": (copy, where["skopeo"]),
        "docker push": (["docker", "push", "-q", f"{where['docker']}:1"], where["docker"]),
    }


def large(scratch: Path, registry: str, megabytes: int, rounds: int) -> None:
    """An image of fresh bytes; who begins takes turns, since the registry's disk is warm for whoever comes later."""
    found: dict[str, Series] = {}
    for number in range(rounds):
        folder = scratch / f"large-{number}"
        layout = layout_of(folder, [random_layer(megabytes // 5) for _ in range(5)])
        with loaded(layout) as name:
            ways = list(pushers(layout, name, registry).items())
            turn = number % len(ways)
            for title, (argv, where) in ways[turn:] + ways[:turn]:
                _note(found.setdefault(title, Series()), _took(argv, scratch))
                if title == "docker push":
                    subprocess.run(["docker", "rmi", f"{where}:1"], check=True, capture_output=True)
        shutil.rmtree(folder)
    print(f"A fresh image of {megabytes} MB in 5 layers; medians of {rounds}\n")
    titles = ("dsci's client", "skopeo copy", "docker push")
    show({title: found[title] for title in titles})
    ours = found["dsci's client"].median
    told = ", ".join(f"{found[title].median / ours:.2f} × {title}" for title in titles[1:])
    print(f"  dsci's speed is {told}\n", flush=True)


# ------------------------------------------------------------------------------------------------------- a child


class Counting:
    """A way to the registry on which what goes there is counted, in bytes."""

    def __init__(self, target: str) -> None:
        self.sent = 0
        host, _, port = target.rpartition(":")
        counting = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection((host, int(port))) as there:
                    back = threading.Thread(target=_pour, args=(there, self.request, None), daemon=True)
                    back.start()
                    _pour(self.request, there, counting)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Counting:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pour(source: socket.socket, target: socket.socket, counting: Counting | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 18):
            if counting is not None:
                counting.sent += len(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def child(scratch: Path, registry: str, megabytes: int, rounds: int) -> None:
    """A child of an image that stands in another repository of the registry: what is sent of it."""
    base = [random_layer(megabytes // 5) for _ in range(5)]
    parent = layout_of(scratch / "parent", base)
    sent: dict[str, list[int]] = {}
    found: dict[str, Series] = {}
    with Counting(registry) as way:
        above = f"{way.address}/parent-{uuid.uuid4().hex[:8]}:1"
        _took([sys.executable, "-c", _CLIENT, str(parent.with_suffix(".tar")), above], scratch)
        for number in range(rounds):
            folder = scratch / f"child-{number}"
            layout = layout_of(folder, [*base, random_layer(1)])
            where = f"{way.address}/child-{uuid.uuid4().hex[:8]}:1"
            argv = [sys.executable, "-c", _CLIENT, str(layout.with_suffix(".tar")), where, above]
            before = way.sent
            _note(found.setdefault("dsci's client", Series()), _took(argv, scratch))
            sent.setdefault("dsci's client", []).append(way.sent - before)
            shutil.rmtree(folder)
        text = "FROM debian:bookworm-slim\nRUN head -c 20000000 /dev/urandom > /data\nCOPY note /note\n"
        own = "FROM {prefix}/parent\nCOPY note /note\nRUN head -c 1000000 /dev/urandom > /own\n"
        family = Family(scratch / "family", way.address, {"parent": text, "child": own})
        family.release()
        for _ in range(rounds):
            family.commit("fix(child): another note", {"images/child/note": f"{uuid.uuid4()}\n"})
            before = way.sent
            _note(found.setdefault("dsci release", Series()), family.release())
            sent.setdefault("dsci release", []).append(way.sent - before)
    print(f"A child with a layer of 1 MB whose parent is there; bytes to the registry, the most of {rounds}\n")
    for title, parent in (("dsci's client", f"{megabytes} MB"), ("dsci release", "20 MB and Debian")):
        median = found[title].median
        print(f"  {f'{title}, parent of {parent}':42} {max(sent[title]) / 1e6:7.2f} MB  {median:6.2f} s")
    print(flush=True)


def _note(series: Series, took: tuple[float, float]) -> None:
    series.wall.append(took[0])
    series.cpu.append(took[1])


def main() -> None:
    """Measure, print tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--tags", type=int, default=8)
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        names(Path(name), options.registry, options.images, options.tags, options.rounds)
        large(Path(name), options.registry, options.megabytes, options.rounds)
        child(Path(name), options.registry, options.megabytes, options.rounds)


if __name__ == "__main__":
    main()
