"""The pytest that suites inside images are lent: what PyPI has, whole for every Python from 3.8 on, and pure."""

from __future__ import annotations

import ast
import hashlib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from dsci.suites import pytestkit

WHEELS = sorted(pytestkit.WHEELS.glob("*.whl"))
SUMS = dict(line.split()[::-1] for line in (pytestkit.WHEELS / "SHA256SUMS").read_text().splitlines())


def described(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


METADATA = {str(each["Name"]): each for each in map(described, WHEELS)}


def test_the_wheels_are_those_that_were_chosen() -> None:
    assert {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in WHEELS} == SUMS
    assert "pytest" in METADATA and len(METADATA) == len(WHEELS)


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_each_is_pure_and_brings_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.name.endswith("-none-any.whl")
    assert any("LICENSE" in name.upper() for name in names)


@pytest.mark.parametrize("minor", range(8, 16))
def test_it_is_whole_for_this_python(minor: int) -> None:
    version = f"3.{minor}"
    environment = {"extra": "", "sys_platform": "linux", "python_version": version, "python_full_version": version}
    wanted = {"pytest"}
    for name, metadata in METADATA.items():
        assert f"{version}.0" in SpecifierSet(str(metadata["Requires-Python"] or "")), name
        for requirement in map(Requirement, metadata.get_all("Requires-Dist") or ()):
            if requirement.marker is None or requirement.marker.evaluate(environment):
                wanted.add(requirement.name)
                assert str(METADATA[requirement.name]["Version"]) in requirement.specifier
    assert wanted <= set(METADATA)


def test_python_3_8_can_read_every_file() -> None:
    scripts = {path.name: path.read_bytes() for path in (pytestkit.WHEELS.parent / "scripts").glob("*.py")}
    files = {name: text for name, text in pytestkit.files().items() if name.endswith(".py")} | scripts
    assert {"_pytest/main.py", "run_pytest.py"} <= set(files)
    for name, text in files.items():
        ast.parse(text, name, feature_version=(3, 8))
