"""dsci beside `docker buildx bake --push` on the same Dockerfiles: a run with nothing to do, and a cold build.

    python benchmarks/builds.py --registry HOST:PORT [--rounds N] [--images N] [--family N]

Both push to the same registry on loopback. A cold round builds contents that were never built before, for both; the
base is in the engine. With suites, dsci also runs a structure suite in every image, which bake does not. Steps that do
nothing show what each costs by itself; steps that work for half a second are still short ones.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from measure import Series, environment, rounds, run, show

#: What an image's own step does: next to nothing, or about half a second's work of one core.
_IDLE, _BUSY = "cat /note-* > /copy-%s", "seq 200000 | sort -R | gzip > /sorted-%s"
_BASE = "FROM debian:bookworm-slim\n"
_SUITE = "schemaVersion: 2.0.0\nfileExistenceTests:\n  - {name: note, path: /note-%s, shouldExist: true}\n"


class Family:
    """A repository of images that stand on each other in twos, and the bake file that says the same."""

    def __init__(self, folder: Path, registry: str, count: int, *, suites: bool = False, step: str = _IDLE) -> None:
        self.folder = folder
        self.prefix = f"{registry}/bench-{uuid.uuid4().hex[:8]}"
        self.names = [f"image-{n:02}" for n in range(count)]
        self.env = environment(XDG_STATE_HOME=str(folder.parent / f"state-{folder.name}"), **_IDENTITY)
        folder.mkdir()
        origin = folder.parent / f"{folder.name}.git"
        self.git("init", "-q", "--bare", str(origin))
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(origin))
        files = {}
        for n, name in enumerate(self.names):
            above = self.names[(n - 1) // 2] if n else ""
            head = f"FROM {self.prefix}/{above}\n" if n else _BASE
            files[f"images/{name}/Dockerfile"] = f"{head}COPY note /note-{name}\nRUN {step % name}\n"
            if suites:
                files[f"images/{name}/suites/structure.yaml"] = _SUITE % name
        files["dsci.yaml"] = f"registries: [{self.prefix}]\nbuilder: {{jobs: 2}}\n"
        files["bake.hcl"] = "\n".join(self._targets())
        self.write(files)
        self.anew()

    def _targets(self) -> list[str]:
        listed = ", ".join(f'"{name}"' for name in self.names)
        targets = [f'group "default" {{ targets = [{listed}] }}']
        for n, name in enumerate(self.names):
            above = self.names[(n - 1) // 2] if n else ""
            contexts = f'contexts = {{ "{self.prefix}/{above}" = "target:{above}" }}' if n else ""
            targets.append(
                f'target "{name}" {{\n context = "images/{name}"\n'
                f' tags = ["{self.prefix}/{name}:bake"]\n {contexts}\n}}'
            )
        return targets

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, env=self.env, check=True, capture_output=True)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def anew(self) -> None:
        """Give every image a content that was never built, and commit it."""
        self.write({f"images/{name}/note": f"{uuid.uuid4()}\n" for name in self.names})
        self.git("add", "-A")
        self.git("commit", "-qm", "feat: anew")
        self.git("push", "-q", "origin", "main")

    @property
    def bake(self) -> list[str]:
        return ["docker", "buildx", "bake", "--push", "--provenance=false", "--file", "bake.hcl"]


_IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}
_RELEASE = [sys.executable, "-m", "dsci", "release"]


def nothing_to_do(scratch: Path, registry: str, images: int, count: int) -> None:
    """A second run of both, over images that stand already."""
    family = Family(scratch / "noop", registry, images)
    run(_RELEASE, family.folder, env=family.env)
    run(family.bake, family.folder, env=family.env)
    found = rounds(
        {"dsci release": (_RELEASE, family.folder), "docker buildx bake --push": (family.bake, family.folder)},
        count,
        env=family.env,
        slow=float("inf"),
    )
    print(f"Nothing to do, {images} images; medians of {count}\n")
    show(found)
    ours, theirs = (series.median for series in found.values())
    print(f"  dsci takes 1/{theirs / ours:.0f} of the time\n", flush=True)


def cold(scratch: Path, registry: str, images: int, count: int) -> None:
    """Contents that were never built, by each; what dsci's own processes work for it, beside the docker client's."""
    print(f"Cold build and push, {images} images; medians of {count}\n")
    kinds = [
        (f"{steps}, {suite}", step, suites)
        for steps, step in (("idle steps", _IDLE), ("busy steps", _BUSY))
        for suite, suites in (("no suites", False), ("suites", True))
    ]
    for n, (title, step, suites) in enumerate(kinds):
        family = Family(scratch / f"cold-{n}", registry, images, suites=suites, step=step)
        found = {f"dsci release, {title}": Series(), "docker buildx bake --push": Series()}
        for _ in range(count):
            for argv, series in zip((_RELEASE, family.bake), found.values(), strict=True):
                family.anew()
                took = run(argv, family.folder, env=family.env)
                if took is None:
                    raise RuntimeError(f"{argv[0]} did not come to an end")
                series.wall.append(took[0])
                series.cpu.append(took[1])
        show(found)
        ours, theirs = found.values()
        ratio, more = ours.median / theirs.median, (ours.work - theirs.work) / images
        print(f"  {ratio:.2f} × bake; {more:+.3f} CPU-s an image beside bake's client\n", flush=True)


def main() -> None:
    """Measure, print tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--family", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        nothing_to_do(Path(name), options.registry, options.images, options.rounds)
        cold(Path(name), options.registry, options.family, options.rounds)


if __name__ == "__main__":
    main()
