"""`dsci inventory` of any image in a real registry: what it shows, of which platform, and how it says no."""

from __future__ import annotations

import gzip
import json
import platform as machine
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from tests.drivers.images import MemoryImage, index_of
from tests.layers import layer, member
from tests.realregistry import RealRegistry

from dsci.cli import cli
from dsci.drivers.registry import HttpRegistry
from dsci.errors import DsciError
from dsci.model.oci import OCI_INDEX, OCI_MANIFEST, Manifest
from dsci.model.reference import Repository

RPM = gzip.decompress((Path(__file__).parents[1] / "model" / "rpm" / "rpmdb.sqlite.gz").read_bytes())
NATIVE = "linux/arm64" if machine.machine() == "aarch64" else "linux/amd64"
OTHER = "linux/riscv64"
BASE = layer(
    member("etc/os-release", what='ID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora 40"\n'),
    member("usr/lib/sysimage/rpm/rpmdb.sqlite", what=RPM),
)
UPPER = layer(
    member("opt/venv/pyvenv.cfg", what="version = 3.12.4\n"),
    member("opt/venv/lib/python3.12/site-packages/mine-1.dist-info/METADATA", what="Name: mine\nVersion: 1.0\n"),
    member("opt/venv/share/jupyter/kernels/ir/kernel.json", what='{"display_name": "R\\u001b[31m"}'),
)
HISTORY = [{"created_by": "ADD x /"}, {"created_by": "RUN python3 -m venv /opt/venv"}]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    registry = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture
def pushed(registry: RealRegistry) -> str:
    """An index of two platforms, one image alone, one whose layer is no tar, and an artifact: where they are."""
    http = HttpRegistry()
    repository = Repository.parse(f"{registry.address}/acme/lab")
    mine = MemoryImage(gzip.compress(BASE), zstandard.compress(UPPER), platform=NATIVE, history=HISTORY)
    other = MemoryImage(gzip.compress(BASE), platform=OTHER)
    for image in (mine, other):
        http.push_image(image, repository)
    http.push_manifest(repository, index_of(mine, other), OCI_INDEX, "latest")
    http.push_image(other, repository, "alone")
    http.push_image(MemoryImage(b"no tar", platform=NATIVE), repository, "junk")
    config = http.push_blob(repository, b"{}", "application/vnd.example.config")
    http.push_manifest(repository, Manifest(config=config, layers=()).to_bytes(), OCI_MANIFEST, "artifact")
    http.close()
    return str(repository)


def ask(*arguments: str, code: int = 0) -> str:
    ended = CliRunner().invoke(cli, ["inventory", *arguments], prog_name="dsci")
    assert ended.exit_code == code and not isinstance(ended.exception, DsciError), ended.output
    return ended.stdout


def refused(*arguments: str) -> DsciError:
    ended = CliRunner().invoke(cli, ["inventory", *arguments], prog_name="dsci")
    assert isinstance(ended.exception, DsciError), ended.output
    assert ended.stdout == ""
    return ended.exception


def as_json(*arguments: str) -> Any:
    return json.loads(ask(*arguments, "--json"))


@pytest.fixture(autouse=True)
def no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any image can be asked about from anywhere."""
    monkeypatch.chdir(tmp_path)


def test_what_is_in_it_is_shown(pushed: str) -> None:
    shown = ask("--image", pushed)
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0].startswith(f"{pushed}:latest is sha256:")
    assert f"It is there for {OTHER}, too: see --platform." in lines
    assert "system Fedora 40" in lines
    assert "python 3.12.4 /opt/venv/pyvenv.cfg" in lines
    assert "kernel ir R[31m" in lines and "\x1b" not in shown
    assert "packages 5: 1 pypi, 4 rpm" in lines
    assert any(line.endswith("RUN python3 -m venv /opt/venv") for line in lines)
    assert "rpm one 2:1.4.0-3.el9" in lines
    assert "pypi mine 1.0 /opt/venv/lib/python3.12/site-packages" in lines


def test_the_document(pushed: str) -> None:
    value = as_json("--image", f"{pushed}:latest", "--platform", "all")
    assert (value["schema"], value["reference"], value["git_tag"]) == (1, f"{pushed}:latest", None)
    assert sorted(each["platform"] for each in value["platforms"]) == sorted((NATIVE, OTHER))
    assert {each["platform"]: len(each["packages"]) for each in value["platforms"]} == {NATIVE: 5, OTHER: 4}
    (mine,) = as_json("--image", f"{pushed}@{value['digest']}")["platforms"]
    assert [each["step"] for each in mine["layers"]] == ["ADD x /", "RUN python3 -m venv /opt/venv"]
    assert mine["size"]["compressed"] == sum(each["compressed"] for each in mine["layers"])


def test_packages_are_chosen_and_none_is_exit_code_1(pushed: str) -> None:
    shown = ask("--image", pushed, "glibc*")
    assert shown.count("glibc-minimal") >= 2 and "mine" not in shown and "Layers" not in shown
    assert "mine" in ask("--image", pushed, "--kind", "pypi")
    assert "no such package" in ask("--image", pushed, "numpy", code=1)
    assert (
        as_json("--image", pushed, "--kind", "rpm", "one")["platforms"][0]["packages"][0]["version"] == "2:1.4.0-3.el9"
    )


def test_the_platform_is_this_machines_or_the_only_one(pushed: str) -> None:
    assert as_json("--image", f"{pushed}:alone")["platforms"][0]["platform"] == OTHER
    assert as_json("--image", pushed, "--platform", "riscv64")["platforms"][0]["platform"] == OTHER
    error = refused("--image", pushed, "--platform", "linux/s390x")
    assert "linux/s390x" in error.message and NATIVE in error.hint and OTHER in error.hint


def test_how_it_says_no(pushed: str, registry: RealRegistry) -> None:
    assert "no image" in refused("--image", f"{pushed}:1.0").message
    assert "no image: its config names no platform" in refused("--image", f"{pushed}:artifact").message
    junk = refused("--image", f"{pushed}:junk")
    assert junk.exit_code == 5 and f"{pushed}:junk ({NATIVE})" in junk.message and "layer" in junk.message
    assert refused("--image", "UPPER").exit_code == 2
    registry.stop()
    try:
        down = refused("--image", pushed)
        assert down.exit_code == 5 and registry.address in down.message
    finally:
        registry.start()
    ended = CliRunner().invoke(cli, ["inventory"])
    assert ended.exit_code == 2 and "name an image" in ended.stderr
