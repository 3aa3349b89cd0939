"""`dsci test --driver tar`: an image from its layers, with no engine, and nothing that is kept."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.layers import layer, member, save

TESTS = """
schemaVersion: "2.0.0"
commandTests: [{name: runs, command: echo}]
fileContentTests: [{name: greets, path: /link, expectedContents: ["^hello$"]}]
fileExistenceTests: [{name: is there, path: /a/x, permissions: "-rw-r-----"}, {name: is owned, path: /a/x, uid: 0}]
licenseTests: [{debian: false, files: [/a/x]}]
metadataTest: {workdir: /a, exposedPorts: ["80"]}
containerRunOptions: {privileged: true}
"""
VERDICTS = {
    "runs": False,
    "File Content Test: greets": True,
    "File Existence Test: is there": True,
    "File Existence Test: is owned": False,
    "License Test": True,
    "Metadata Test": True,
}
LAYER = layer(member("a/x", what="hello", mode=0o640), member("link", "link", "/a/x"))
CONFIG = {"WorkingDir": "/a", "ExposedPorts": {"80/tcp": {}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(TESTS)
    save(tmp_path / "image.tar", [gzip.compress(LAYER)], CONFIG)
    (tmp_path / "no-folder").touch()
    return tmp_path


def dsci(folder: Path, *arguments: str, state: str = "state") -> subprocess.CompletedProcess[str]:
    """There is no engine, nor a repository."""
    nowhere = {"DOCKER_HOST": f"unix://{folder}/none.sock", "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    return subprocess.run(
        [sys.executable, "-m", "dsci", "test", "--driver", "tar", *arguments],
        cwd=folder,
        env={**os.environ, **nowhere, "XDG_STATE_HOME": str(folder / state)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tar_needs_nothing_else(folder: Path) -> None:
    before = set(folder.rglob("*"))
    ended = dsci(folder, "-i", "image.tar", "-c", "s.yaml", "--json", state="no-folder")
    assert ended.returncode == 1 and ended.stderr == ""
    found = json.loads(ended.stdout)["Results"]
    assert {each["Name"]: each["Pass"] for each in found} == VERDICTS
    said = {each["Name"]: each["Errors"] for each in found if not each["Pass"]}
    assert "use --driver docker" in said["runs"][0] and "owners" in said["File Existence Test: is owned"][0]
    assert set(folder.rglob("*")) == before


def test_an_oci_layout_in_a_folder(folder: Path) -> None:
    from dsci.drivers.dockertar import image_in
    from dsci.drivers.layout import LayoutRegistry
    from dsci.drivers.ocitar import write_oci_tar
    from dsci.model.oci import Platform
    from dsci.model.reference import Repository

    registry, repository = LayoutRegistry(folder / "registry"), Repository.parse("x.test/image")
    registry.push_image(image_in(folder / "image.tar", Platform.parse("linux/amd64")), repository, "1")
    write_oci_tar(registry, repository.tag("1"), folder / "oci.tar")
    with tarfile.open(folder / "oci.tar") as archive:
        archive.extractall(folder / "layout", filter="data")
    for image in (("-i", "oci.tar"), ("--image-from-oci-layout", "layout")):
        ended = dsci(folder, *image, "-c", "s.yaml", "-o", "json", state="no-folder")
        assert {each["Name"]: each["Pass"] for each in json.loads(ended.stdout)["Results"]} == VERDICTS


def test_metadata_alone_reads_no_layer(folder: Path) -> None:
    save(folder / "image.tar", [b"no layer at all"], CONFIG)
    (folder / "m.yaml").write_text('schemaVersion: "2.0.0"\nmetadataTest: {workdir: /a}\n')
    assert dsci(folder, "-i", "image.tar", "-c", "m.yaml").returncode == 0
    ended = dsci(folder, "-i", "image.tar", "-c", "s.yaml")
    assert ended.returncode == 5 and "layer 1 of 1: a layer that ends too early" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-i", "none.tar"), 4, "cannot read the image in none.tar: No such file or directory"),
        (("-i", "s.tar"), 4, "cannot read the image in s.tar: it is damaged or no tar"),
        (("-i", "image.tar", "--pull"), 2, "--pull is for the engine"),
        (("-i", "localhost:1/x:y"), 5, "none.sock"),
        (("-i", "localhost:1/x:y"), 5, "localhost:1"),
        (("-i", "UPPER"), 2, "UPPER"),
    ],
)
def test_an_image_that_is_not_to_be_had(folder: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    (folder / "s.tar").write_text(TESTS)
    ended = dsci(folder, *arguments, "-c", "s.yaml")
    assert (ended.returncode, ended.stdout) == (code, "") and says in ended.stderr
    assert "Traceback" not in ended.stderr
