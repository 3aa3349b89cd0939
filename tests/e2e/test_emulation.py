"""Two platforms on one machine: native and with QEMU. The machine is lent an emulator for the time of the test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, outcomes, released
from tests.emulation import arm_runs, unpacked
from tests.realengine import docker

pytestmark = pytest.mark.engine

PLATFORMS = ["linux/amd64", "linux/arm/v7"]
MACHINES = {"amd64": "x86_64", "arm": "armv7l"}
SUITE = """\
    schemaVersion: "2.0.0"
    commandTests:
      - {name: built there, command: grep, args: [-c, ., /built-on], expectedOutput: ["^1\\n$"]}
      - {name: runs there, command: uname, args: [-m], expectedOutput: ["^(x86_64|armv7l)\\n$"]}
      - {name: and on no other, command: grep, args: [-f, /built-on, /ml-or-base], expectedOutput: ["x86_64|armv7l"]}
    """
FAMILY = {
    "dsci.yaml": f"platforms: [{', '.join(PLATFORMS)}]\n",
    "images/base/Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /bin/busybox\n"
    'RUN ["/bin/busybox", "--install", "-s", "/bin"]\nRUN uname -m > /built-on && uname -m > /ml-or-base\n',
    "images/base/suites/base.yaml": SUITE,
    "images/ml/Dockerfile": "FROM base\nRUN uname -m > /ml-or-base\n",
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QEMU's program for 32-bit ARM."""
    files = unpacked("qemu-user-static", "amd64", tmp_path_factory.mktemp("qemu"))
    return files / "usr/bin/qemu-arm-static"


@pytest.fixture
def family(empty: Project, tmp_path: Path) -> Project:
    """Two images for two platforms, on nothing but one program."""
    for platform, architecture in (("amd64", "amd64"), ("arm", "armhf")):
        files = unpacked("busybox-static", architecture, tmp_path / "programs")
        (empty.folder / "images/base").mkdir(parents=True, exist_ok=True)
        shutil.copy(files / "bin/busybox", empty.folder / "images/base" / platform)
    empty.push("feat: two platforms", FAMILY)
    return empty


def test_a_family_for_two_platforms_is_built_and_tested_on_both(family: Project, emulator: Path) -> None:
    assert family.registry is not None
    before = family.registry.writes()
    if "linux/arm/v7" not in docker("buildx", "inspect", "default"):
        refused = family.dsci("release", code=4)
        assert "base@linux/arm/v7, ml@linux/arm/v7: the Dockerfile runs steps on linux/arm/v7" in refused.stderr
        assert "binfmt --install arm" in refused.stderr and family.registry.writes() == before
    with arm_runs(emulator):
        ended = family.release()
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"}
    status = {f"{item['subject']} {item['stage']}": item["status"] for item in ended.json["outcomes"]}
    assert set(status.values()) == {"ok"} and len(status) == 8
    for name in ("base", "ml"):
        index = family.registry.manifest(f"{family.prefix}/{name}", "0.1.0")
        found = {item["platform"]["architecture"]: item["digest"] for item in index["manifests"]}
        assert found.keys() == MACHINES.keys()
        built = {item["digest"] for item in ended.json["outcomes"] if item["subject"].startswith(f"{name}@")} - {
            None,
            "",
        }
        assert set(found.values()) == built, "what was tested is what is in the index"
    # The emulator is gone; all that is wanted is there, and nobody is asked to run anything.
    assert outcomes(family.release()) == {}
