"""What scanners are told and see, and what becomes of what they answer.

Neither trivy nor grype can be installed where these tests run, and their databases cannot be reached: programs in their
place answer what they document, and look at what they were given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from images import MemoryImage

from dsci.drivers.scanner import Scanner
from dsci.errors import ConfigError
from dsci.model.settings import ScanSettings

IMAGE = MemoryImage(b"one layer", b"another")
CLEAN = {
    "trivy": '{"SchemaVersion":2,"Results":[{"Target":"x"}]}',
    "grype": '{"matches":[],"distro":{"name":"debian"}}',
}
#: F36: what they say without a database.
OFFLINE = {
    "trivy": "FATAL	Fatal error	run error: init error: DB error: failed to download vulnerability DB: TOOMANYREQUESTS: "
    "retry-after: 1ms, allowed: 44000/minute",
    "grype": "failed to load vulnerability db: unable to update db: dial tcp: lookup grype.anchore.io: no such host",
}


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Scanner]:
    """A scanner of programs that answer so; what each was told and saw is left in `seen`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "scratch").mkdir()

    def make(settings: ScanSettings, programs: dict[str, str], **environment: str) -> Scanner:
        for name, body in programs.items():
            program = tmp_path / "bin" / name
            program.write_text(
                f'#!/bin/sh\n{{ echo "$@"; pwd; env; }} > {tmp_path}/seen\n'
                f"for word; do place=${{word#--input=}}; place=${{place#oci-dir:}}; "
                f'[ -d "$place" ] && cp -r "$place" {tmp_path}/given; done\n{body}\n'
            )
            program.chmod(0o755)
        given = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": "/root", **environment}
        return Scanner(settings, given, root=str(tmp_path), scratch=tmp_path / "scratch")

    return make


@pytest.mark.parametrize("tool", ["trivy", "grype"])
def test_the_image_lies_before_it_and_no_secret_does(place: Callable[..., Scanner], tmp_path: Path, tool: str) -> None:
    scanner = place(
        ScanSettings(tool=tool),  # type: ignore[arg-type]
        {tool: f"echo '{CLEAN[tool]}'"},
        GITHUB_TOKEN="CANARY",
        DOCKER_CONFIG="/CANARY",
        TRIVY_PASSWORD="CANARY",
        TRIVY_CACHE_DIR="/cache",
        HTTPS_PROXY="http://proxy",
    )
    scanner.check()
    found = scanner.scan(IMAGE)
    assert (found.tool, found.found, found.problem) == (tool, (), "")
    seen = (tmp_path / "seen").read_text()
    assert "CANARY" not in seen
    assert "TRIVY_CACHE_DIR=/cache" in seen and "HTTPS_PROXY=http://proxy" in seen
    assert seen.splitlines()[1] == str(tmp_path), "it finds what it is to ignore in the repository"
    given = tmp_path / "given"
    assert json.loads((given / "index.json").read_bytes())["manifests"][0]["digest"] == str(IMAGE.descriptor.digest)
    for digest, content in {**IMAGE.blobs, IMAGE.descriptor.digest: IMAGE.manifest}.items():
        assert (given / "blobs" / "sha256" / digest.hex).read_bytes() == content
    assert (given / "oci-layout").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("tool", ["trivy", "grype"])
def test_without_a_database_it_could_not_tell(place: Callable[..., Scanner], tool: str) -> None:
    """F36."""
    program = f"echo '{OFFLINE[tool]}' >&2; exit 1"
    found = place(ScanSettings(), {tool: program}).scan(IMAGE)
    assert found.found == () and found.problem.startswith(f"{tool} ended with 1: {OFFLINE[tool][:20]}")


def test_a_program_that_was_told_elsewhere_to_fail_for_what_it_found(place: Callable[..., Scanner]) -> None:
    match = {"vulnerability": {"id": "CVE-1", "severity": "High"}, "artifact": {"name": "x"}}
    found = place(ScanSettings(), {"grype": f"echo '{json.dumps({'matches': [match]})}'; exit 2"}).scan(IMAGE)
    assert [each.id for each in found.found] == ["CVE-1"] and not found.problem


def test_trivy_comes_first_and_none_at_all_is_said(place: Callable[..., Scanner]) -> None:
    both = {tool: f"echo '{report}'" for tool, report in CLEAN.items()}
    none = place(ScanSettings(), {})
    assert "trivy or grype is not on PATH" in none.scan(IMAGE).problem
    with pytest.raises(ConfigError, match="trivy or grype is not on PATH"):
        none.check()
    assert place(ScanSettings(), both).scan(IMAGE).tool == "trivy"
    assert place(ScanSettings(tool="grype"), both).scan(IMAGE).tool == "grype"


def test_what_cannot_be_run_could_not_tell(place: Callable[..., Scanner], tmp_path: Path) -> None:
    scanner = place(ScanSettings(), {"trivy": "exit 0"})
    (tmp_path / "bin" / "trivy").write_bytes(b"\x7fELF and then nothing")
    assert "cannot run trivy" in scanner.scan(IMAGE).problem
    assert os.listdir(tmp_path / "scratch") == []  # noqa: PTH208
