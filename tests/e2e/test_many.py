"""Many images with a bounded number of hands: none is lost, and a second run does nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.e2e.conftest import make_project
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine

SUITE = """\
    schemaVersion: "2.0.0"
    fileExistenceTests:
      - {name: it is there, path: /mid-0}
    """


def family(count: int) -> dict[str, str]:
    """A root, a tenth of the images on it, and the rest on those. Nothing is run in them: they are quick to build."""
    mids = count // 10
    files = {"images/root/Dockerfile": "FROM scratch\nCOPY it /it\n", "images/root/it": "root\n"}
    for n in range(count - 1):
        name, parent = (f"mid-{n}", "root") if n < mids else (f"leaf-{n}", f"mid-{n % mids}")
        files[f"images/{name}/Dockerfile"] = f"FROM {parent}\nCOPY it /{name}\n"
        files[f"images/{name}/it"] = f"{name}\n"
    # A tenth of them is tested, so that some are built on speculation.
    files["images/mid-0/suites/there.yaml"] = SUITE
    return files


@pytest.mark.parametrize(
    ("count", "registry"),
    [
        (40, "loopback"),
        pytest.param(300, "loopback", marks=pytest.mark.slow),
        pytest.param(300, "embedded", marks=pytest.mark.slow),
    ],
)
def test_many_images_and_four_hands(tmp_path: Path, real_registry: RealRegistry, count: int, registry: str) -> None:
    project = make_project(tmp_path, real_registry, f"many-{count}-{registry}")
    if registry == "embedded":
        project.registry = None
    project.push("feat: many images", family(count))
    project.patience = 3600
    began = time.monotonic()
    ended = project.dsci("release", "--json", "--jobs", "4")
    first = time.monotonic() - began
    told = ended.json["outcomes"]
    assert {item["status"] for item in told} == {"ok"}
    assert len([item for item in told if item["stage"] == "build"]) == count
    tested = [name for name, text in family(count).items() if text.startswith("FROM mid-0\n")]
    assert len([item for item in told if item["stage"] == "test"]) == 1 + len(tested) > 1, "its suite is inherited"
    assert len(ended.json["released"]) == count == len(project.tags())
    began = time.monotonic()
    again = project.dsci("release", "--json", "--jobs", "4")
    print(f"{count} images, {registry}: {first:.1f} s, and then {time.monotonic() - began:.2f} s")
    assert again.json["outcomes"] == [] and again.json["released"] == [] and again.json["publications"] == []
