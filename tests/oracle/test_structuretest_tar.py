"""`dsci test --driver tar` beside container-structure-test's tar driver: names, verdicts and exit codes are the same.

Files come from a seed (`structures`), images from layers that are made by hand: out of a tar, out of the engine, out of
a registry. Where the two differ on purpose is written down as a test of its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests import realengine
from tests.layers import layer, member, save
from tests.oracle.structures import Maker, document
from tests.oracle.test_structuretest import ORACLE, Result, results
from tests.realregistry import RealRegistry
from tests.secondengine import second_engine

from dsci.drivers.dockertar import image_in
from dsci.drivers.keychain import Keychain
from dsci.drivers.registry import HttpRegistry
from dsci.drivers.routes import Network
from dsci.model.reference import Repository

pytestmark = pytest.mark.engine

CONFIG = {
    "Env": ["GREETING=hello world", "EMPTY=", "NUM=1.10", "HOMEDIR=/t/c", "EQ=a=b=c"],
    "Labels": {"version": "1.10", "multi": "a b"},
    "WorkingDir": "/t",
    "User": "root",
    "Volumes": {"/data": {}},
    "Entrypoint": ["/entry.sh", "entry"],
    "Cmd": ["cmd", "x y"],
}
#: The engine does not tell container-structure-test's tar driver about ports.
PORTS = {"ExposedPorts": {"8080/tcp": {}, "53/udp": {}, "443": {}}}
LOWER = layer(
    member("./", "folder"),
    member("etc", "folder"),
    member("etc/hostname", what="image\n"),
    member("t", "folder"),
    member("t/a", "folder"),
    member("t/a/deep", "link", "../c/d"),
    member("t/a/chain", "link", "deep/up"),
    member("t/c", "folder"),
    member("t/c/x", what="hello\n"),
    member("t/c/rel", "link", "x"),
    member("t/c/d", "folder"),
    member("t/c/d/up", "link", "../x"),
    member("t/abs", "link", "c/x"),
    member("t/self", "link", "self"),
    member("t/dangling", "link", "no/where"),
    member("t/folder-link", "link", "c"),
    member("t/setuid", what="x", mode=0o4755),
    member("t/sticky", "folder", mode=0o1777),
    member("t/owned", what="a\nb\nlast", mode=0o2750, uid=12, gid=34),
    member("t/empty", mode=0),
    member("t/lines", what="old"),
    member("t/pipe", "pipe"),
    member("none", what="AGPL"),
    member("usr/share/doc/a/copyright", what="fine"),
    member("usr/share/doc/b", "folder"),
    member("usr/share/doc/b/copyright", "link", "../a/copyright"),
    member("usr/share/doc/c", "link", "a"),
)
UPPER = layer(
    member(".wh.none"),
    member("t", "folder"),
    member("t/lines", what="a\nb\nlast"),
    member("t/latin", what=b"caf\xe9\n"),
    member("t/$HOMEDIR", what="dollar\n"),
    member("t/hard", what="AGPL a.b"),
    member("t/hard-link", "hard", "t/hard"),
)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("image") / "image.tar", [LOWER, UPPER], {**CONFIG, **PORTS})


@contextlib.contextmanager
def loaded(folder: Path, **environment: str) -> Iterator[str]:
    """The name of the same image in an engine, without ports."""
    name = f"dsci-test.local/{secrets.token_hex(6)}:x"
    path = save(folder / "loaded.tar", [LOWER, UPPER], CONFIG, name=name)
    realengine.docker("load", "--quiet", "--input", str(path), environment=environment)
    try:
        yield name
    finally:
        realengine.docker("image", "rm", "--force", name, environment=environment)


def both(image: str, folder: Path, *files: Path, **environment: str) -> tuple[Result, Result]:
    """What container-structure-test comes to, and what dsci does."""
    asked = ["test", "--driver", "tar", "--image", image, "--output", "json"]
    asked += [word for file in files for word in ("--config", str(file))]
    theirs = results([str(ORACLE), *asked], folder, **environment)
    return theirs, results([sys.executable, "-m", "dsci", *asked], folder, **environment)


def written(folder: Path, tests: Mapping[str, Any] | str, name: str = "s.yaml") -> Path:
    path = folder / name
    path.write_text(tests if isinstance(tests, str) else document(dict(tests)))
    return path


@pytest.mark.parametrize("seed", range(12))
def test_generated_files_on_a_tar(seed: int, saved: Path, tmp_path: Path) -> None:
    made = Maker(seed)
    files = [
        written(tmp_path, made.file(2, 12, old=number == 2), f"{number}.{form}")
        for number, form in enumerate(("yaml", "json", "yaml"))
    ]
    theirs, ours = both(str(saved), tmp_path, *files)
    assert ours == theirs
    assert len(theirs[1]) > 60 and {passed for _, passed in theirs[1]} == {True, False}


@pytest.mark.parametrize("seed", range(100, 103))
def test_generated_files_on_an_image_of_the_engine(seed: int, tmp_path: Path) -> None:
    _on_the_engine(Maker(seed).file(2, 12), tmp_path)


def test_generated_files_on_an_image_of_the_classic_store(tmp_path: Path) -> None:
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=False) as endpoint:
        _on_the_engine(Maker(103).file(2, 12), tmp_path, DOCKER_HOST=endpoint)


def _on_the_engine(tests: Mapping[str, Any], folder: Path, **environment: str) -> None:
    """By its name, and as the tar that this engine saves."""
    file, path = written(folder, tests), folder / "saved.tar"
    with loaded(folder, **environment) as name:
        theirs, ours = both(name, folder, file, **environment)
        realengine.docker("save", "--output", str(path), name, environment=environment)
    assert ours == theirs and {passed for _, passed in theirs[1]} == {True, False}
    assert both(str(path), folder, file) == (theirs, theirs)


def test_generated_files_on_an_image_of_a_registry(saved: Path, tmp_path: Path) -> None:
    """There is no engine at all."""
    registry = RealRegistry(tmp_path / "registry")
    try:
        repository = Repository.parse(f"{registry.address}/x/y")
        http = HttpRegistry(keychain=Keychain.from_environment({}, tmp_path), network=Network.from_environment({}))
        http.push_image(image_in(saved, realengine.NATIVE), repository, "1")
        http.close()
        nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "XDG_STATE_HOME": str(tmp_path / "state")}
        file = written(tmp_path, Maker(200).file(2, 12))
        theirs, ours = both(f"{registry.address}/x/y:1", tmp_path, file, **nowhere)
        assert ours == theirs and True in {passed for _, passed in ours[1]}
        left = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and path.stat().st_size]
        assert (tmp_path / "state").exists() and left == [], "what was fetched is gone"
    finally:
        registry.stop()


ODD = """
schemaVersion: "2.0.0"
fileContentTests:
- {name: an absolute link leads to the root of the machine, path: /absolute, expectedContents: [image]}
fileExistenceTests:
- {name: a path leads out of the image, path: /../../../../../../../../etc/passwd}
- {name: the root is a folder that it has made itself, path: /, permissions: drwxr-xr-x}
- {name: what a layer makes opaque is there still, path: /opaque/old}
- {name: a layer writes through a link, path: /real/new}
"""


def test_what_differs_on_purpose(tmp_path: Path) -> None:
    """container-structure-test unpacks an image to a folder, upper layers first, and follows links on the machine."""
    lower = layer(
        member("only/in/the/image", what="image"),
        member("absolute", "link", "/only/in/the/image"),
        member("opaque/old"),
        member("real", "folder"),
        member("way", "link", "real"),
    )
    upper = layer(member("opaque/.wh..wh..opq"), member("way/new"))
    path = save(tmp_path / "image.tar", [lower, upper], {})
    theirs, ours = both(str(path), tmp_path, written(tmp_path, ODD))
    assert [passed for _, passed in theirs[1]] == [False, True, False, True, False]
    assert [passed for _, passed in ours[1]] == [True, False, True, False, True]


def test_ports_of_an_image_of_the_engine_differ_on_purpose(tmp_path: Path) -> None:
    """container-structure-test's tar driver loses them on the way."""
    with realengine.image("FROM scratch\nEXPOSE 8080\nCOPY a /a\n", {"a": "1"}) as name:
        theirs, ours = both(
            str(name),
            tmp_path,
            written(tmp_path, {"schemaVersion": "2.0.0", "metadataTest": {"exposedPorts": ["8080"]}}),
        )
    assert (theirs, ours) == ((1, [("Metadata Test", False)]), (0, [("Metadata Test", True)]))
