"""A family of three tiny images behind a gate: every write of a release can be held, or be the last of its run."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import Ended, Project, make_project
from tests.gate import Gate, Kept, claimed
from tests.realregistry import RealRegistry

IMAGES = ("base", "python", "ml")
FILES = {
    "dsci.yaml": 'versioning:\n  initial: "1.0.0"\n',
    "images/base/Dockerfile": "FROM scratch\nCOPY note /etc/note\n",
    "images/base/note": "old\n",
    "images/base/suites/structure.yaml": """\
        schemaVersion: "2.0.0"
        fileExistenceTests: [{name: note, path: /etc/note}]
        """,
    "images/python/Dockerfile": "FROM base\nCOPY requirements.txt /opt/requirements.txt\n",
    "images/python/requirements.txt": "numpy==1\n",
    "images/ml/Dockerfile": "FROM python\nCOPY model.txt /opt/model.txt\n",
    "images/ml/model.txt": "v1\n",
}
#: A change that all three images are released for.
CHANGE = {"images/base/note": "new\n"}


@dataclass
class Gated(Project):
    """Such a family's repository; what dsci writes goes through the gate, and what tests ask does not."""

    gate: Gate = field(kw_only=True)
    patience: float = 60
    mirrors: tuple[str, ...] = ()
    """Further places that images are published to."""

    def argv(self, *arguments: str) -> list[str]:
        places = (f"{self.gate.address}/{self.prefix}", *self.mirrors)
        return [*super().argv(*arguments)[:-2], *(word for each in places for word in ("--registry", each))]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command as a run that the gate knows: a process group of its own."""
        begun = subprocess.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.gate.runs.add(begun.pid)
        return begun

    def end(self, begun: subprocess.Popen[str]) -> Ended:
        """What came of it, whatever that is."""
        try:
            stdout, stderr = begun.communicate(timeout=self.patience)
        finally:
            begun.kill()  # nothing, where it has ended
            self.gate.runs.discard(begun.pid)
        ended = Ended(begun.returncode, stdout, stderr, list(map(str, begun.args)))  # type: ignore[arg-type]
        assert "Traceback" not in ended.stderr, str(ended)
        return ended

    def public(self) -> dict[str, str | None]:
        """All public tags and what they name."""
        return {f"{name}:{tag}": self.digest(name, tag) for name in IMAGES for tag in sorted(self.images(name))}

    def claims(self) -> dict[str, str]:
        """The digest that every version tag of the remote claims, by `image:version`."""
        refs = ("for-each-ref", "--format=%(refname:short)%00%(contents)%01", "refs/tags")
        out = subprocess.run(
            ["git", f"--git-dir={self.remote}", *refs], capture_output=True, text=True, check=True
        ).stdout
        pairs = (each.strip().split("\0") for each in out.split("\1") if each.strip())
        return {tag.replace("-v", ":"): claimed(message)[0] for tag, message in pairs}

    def recorded(self) -> set[str]:
        """The releases that the remote's ledger records, as `image:version`."""
        out = subprocess.run(
            ["git", f"--git-dir={self.remote}", "ls-tree", "-r", "--name-only", "dsci-ledger"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        names = (Path(line) for line in out.split() if line.startswith("releases/"))
        return {f"{path.parent.name}:{path.stem}" for path in names}

    def check_finished(self) -> None:
        """All that is claimed stands, as it is claimed, and floating tags are the newest versions'."""
        names, claims = self.public(), self.claims()
        assert {name: names.get(name) for name in claims} == claims, json.dumps([names, claims], indent=1)
        assert self.recorded() == claims.keys()
        for image in IMAGES:
            versions = [name.partition(":")[2] for name in claims if name.startswith(f"{image}:")]
            order = sorted(versions, key=lambda text: tuple(map(int, text.split("."))))
            for number, version in enumerate(order):
                for depth in (0, 1, 2):
                    prefix = version.split(".")[:depth]
                    if any(each.split(".")[:depth] == prefix for each in order[number + 1 :]):
                        continue
                    name = f"{image}:{'.'.join(prefix) or 'latest'}"
                    assert names.get(name) == claims[f"{image}:{version}"], f"{name} is not {version}"


@contextlib.contextmanager
def gated(place: Path, name: str, files: dict[str, str] = FILES) -> Iterator[Gated]:
    """A family behind a gate, committed and pushed, with a registry of its own."""
    registry = RealRegistry(place / "registry")
    try:
        made = make_project(place, registry, name)
        with Gate(registry.address, made.remote, place).serving() as gate:
            project = Gated(
                folder=made.folder,
                state=made.state,
                registry=registry,
                remote=made.remote,
                prefix=made.prefix,
                gate=gate,
            )
            project.push("feat: three images", files)
            yield project
    finally:
        registry.stop()


class Moment:
    """A project, its registry and its remote as they are now, to go back to."""

    def __init__(self, project: Gated, place: Path) -> None:
        assert project.registry is not None and project.remote is not None
        self._project = project
        self._kept = Kept(place, project.registry.storage, project.remote, project.folder, project.state)

    def restore(self) -> None:
        """Go back to it."""
        registry = self._project.registry
        assert registry is not None
        registry.stop()
        self._kept.restore()
        registry.start()
        self._project.gate.open()
