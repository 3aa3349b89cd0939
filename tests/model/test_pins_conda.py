"""Pins of conda: specs, environments, and the locks and lists that tell what became of them."""

from __future__ import annotations

import pytest

from dsci.model.pinfiles_conda import spec
from dsci.model.pinfiles_read import read
from dsci.model.pins import Pins


def told(pins: Pins) -> dict[str, str]:
    """Versions by name, the ecosystem before those that conda does not install."""
    assert pins.problems == ()
    return {
        name if ecosystem == "conda" else f"{ecosystem}:{name}": pin.version
        for (ecosystem, name), pin in pins.pins.items()
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("numpy", ("numpy", "")),
        ("numpy=1.26", ("numpy", "1.26")),
        ("numpy==1.26.4", ("numpy", "1.26.4")),
        ("numpy=1.26.4=py312h_0", ("numpy", "1.26.4")),
        ("numpy=1.26.*", ("numpy", "1.26")),
        ("numpy=*=*_cuda", ("numpy", "")),
        ("numpy 1.26.*", ("numpy", "1.26")),
        ("numpy 1.26.4 py312h_0", ("numpy", "1.26.4")),
        ("numpy = 1.26", ("numpy", "1.26")),
        ("numpy>=1.26,<2", ("numpy", ">=1.26,<2")),
        ("numpy >=1.26, <2", ("numpy", ">=1.26,<2")),
        ("numpy~=1.26", ("numpy", "~=1.26")),
        ("numpy!=1.26.0", ("numpy", "!=1.26.0")),
        ("python=3.11|3.12", ("python", "3.11|3.12")),
        ("conda-forge::numpy=1.26", ("numpy", "1.26")),
        ("conda-forge/linux-64::numpy", ("numpy", "")),
        ("conda-forge::numpy[version='>=1.26.4,<2.0.0']", ("numpy", ">=1.26.4,<2.0.0")),
        ('pytorch[version="2.5.*",build=cuda*]', ("pytorch", "2.5")),
        ("pytorch=2.5[build=cuda*]", ("pytorch", "2.5")),
        ("pytorch[version=2.5, build=x]", ("pytorch", "2.5")),
        (
            "https://conda.anaconda.org/conda-forge/linux-64/py-xgboost-cpu-1.7.6-py310_0.conda",
            ("py-xgboost-cpu", "1.7.6"),
        ),
        ("https://conda.anaconda.org/conda-forge/noarch/pip-24.0-pyhd8ed1ab_0.tar.bz2#0f0f", ("pip", "24.0")),
        ("", None),
        ("=1.2", None),
        ("{{ name }}", None),
    ],
)
def test_one_spec(text: str, found: tuple[str, str] | None) -> None:
    assert spec(text) == found


ENVIRONMENT = """\
name: ml  # ours
channels: [conda-forge, nodefaults]
dependencies:
  - python=3.10
  - conda-forge::numpy=1.26.4=py310h_0
  - pandas>=2,<3
  - r-base 4.3.*
  - r-ggplot2
  - cudatoolkit=11.8  # [linux64]
  - pip
  - pip:
      - torch==2.5.1
      - -r requirements.txt
      - "dask[complete] >= 2024.8  # for us"
      - [odd]
  - sel(win): pywin32
platforms: [linux-64]
"""


def test_an_environment() -> None:
    assert told(read({"environment.yml": ENVIRONMENT})) == {
        "cudatoolkit": "11.8",
        "numpy": "1.26.4",
        "pandas": ">=2,<3",
        "pip": "",
        "python:dask": ">=2024.8",
        "python:python": "3.10",
        "python:torch": "2.5.1",
        "r-ggplot2": "",
        "r:r": "4.3",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b\n",
        "x: 1\n",
        "dependencies: {a: 1}\n",
        "dependencies:\n",
        "~",
        "dependencies: [[a], {pip: a}, {pip: [{a: b}]}]",
    ],
)
def test_a_file_of_that_name_that_is_no_environment(text: str) -> None:
    assert told(read({"env.yml": text})) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "not valid YAML: while parsing a flow node"),
        ("a: &x [b]\nc: *x\n", "YAML aliases are not followed here"),
        ("? [a]\n: b\n", "nested too deeply, or a key that is no plain word"),
        ("a: " + "[" * 30 + "]" * 30, "nested too deeply, or a key that is no plain word"),
        ("[" * 100_000, "not"),
        ("a: \x00", "not valid YAML: "),
        ("a: \ud800", "not valid YAML: "),
        ("dependencies: [a]\n---\n]", "not valid YAML: "),
    ],
)
def test_files_that_cannot_be_read(text: str, why: str) -> None:
    for path in ("environment.yml", "conda-lock.yml"):
        pins = read({path: text})
        assert pins.pins == {}
        ((problem),) = pins.problems
        assert problem.path == path
        assert problem.why.startswith(why)


LOCK = """\
version: 1
metadata:
  content_hash: {linux-64: 00, osx-arm64: 11}
  channels: [{url: conda-forge, used_env_vars: []}]
  platforms: [linux-64, osx-arm64]
  sources: [environment.yml]
package:
- {name: numpy, version: 1.26.5, manager: conda, platform: linux-aarch64, dependencies: {}, category: main}
- {name: numpy, version: 1.26.4, manager: conda, platform: linux-64, dependencies: {python: '>=3.10', __glibc: ''}}
- {name: python, version: 3.10.14, manager: conda, platform: linux-64, dependencies: {libzlib: ''}}
- {name: pandas, version: 2.2.3, manager: conda, platform: linux-64, dependencies: {numpy: '', python: ''}}
- {name: libzlib, version: 1.3.1, manager: conda, platform: linux-64, dependencies: {}}
- {name: appnope, version: 0.1.4, manager: conda, platform: osx-arm64, dependencies: {}}
- {name: Torch, version: 2.5.1, manager: pip, platform: linux-64, dependencies: {filelock: ''}}
- {name: filelock, version: 3.16.1, manager: pip, platform: linux-64, dependencies: {}}
"""


def test_conda_lock() -> None:
    assert told(read({"ml/conda-lock.yml": LOCK})) == {
        "appnope": "0.1.4",
        "pandas": "2.2.3",
        "python:python": "3.10.14",
        "python:torch": "2.5.1",
    }


@pytest.mark.parametrize("environment", ["ml/environment.yml", "ml/environment-gpu.yaml"])
def test_conda_lock_beside_its_environment(environment: str) -> None:
    pins = read(
        {"ml/conda-lock.yml": LOCK, environment: ENVIRONMENT, "other/environment.yml": "dependencies: [libzlib=1]"}
    )
    assert told(pins) == {
        "cudatoolkit": "11.8",
        "libzlib": "1",
        "numpy": "1.26.4",
        "pandas": "2.2.3",
        "pip": "",
        "python:dask": ">=2024.8",
        "python:python": "3.10.14",
        "python:torch": "2.5.1",
        "r-ggplot2": "",
        "r:r": "4.3",
    }
    assert pins.pins["conda", "numpy"].source == "ml/conda-lock.yml"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("package: [1]", "not valid: Expected `object`, got `str`"),
        ("package:\n- {name: a}\n", "not valid: Object missing required field `version`"),
        ("", "not valid: Expected `object`, got `null`"),
    ],
)
def test_no_conda_lock(text: str, why: str) -> None:
    ((problem),) = read({"conda-lock.yml": text}).problems
    assert problem.why.startswith(why)


EXPLICIT = """\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
@EXPLICIT
https://conda.anaconda.org/conda-forge/linux-64/_libgcc_mutex-0.1-conda_forge.tar.bz2#d7c89558ba9fa0495403155b64376d81
https://conda.anaconda.org/conda-forge/linux-64/python-3.10.14-hd12c33a_0_cpython.conda#2b4ba962994e8bd4be9ff5b64b75aff2
https://conda.anaconda.org/conda-forge/linux-64/py-xgboost-cpu-1.7.6-py310_6.conda
https://conda.anaconda.org/conda-forge/noarch/tzdata-2024a-h0c530f3_0.conda#161081fc7cec0bfda0d86d7cb595f8d8
# a comment
not a package
"""


@pytest.mark.parametrize(
    "path", ["explicit.txt", "spec-file.txt", "conda-linux-64.lock", "cpu.env.out", "requirements.txt"]
)
def test_an_explicit_list(path: str) -> None:
    assert told(read({path: EXPLICIT})) == {
        "_libgcc_mutex": "0.1",
        "py-xgboost-cpu": "1.7.6",
        "python:python": "3.10.14",
        "tzdata": "2024a",
    }


def test_an_explicit_list_beside_its_specs() -> None:
    specs = "# Generated.\nconda-forge::Python[version='>=3.10.14,<3.11.0']\nconda-forge::py-xgboost-cpu\n"
    files = {"v1/cpu.env.out": EXPLICIT, "v1/cpu.env.in": specs, "v1/gpu.env.in": "pytorch=2.5"}
    assert told(read(files)) == {"py-xgboost-cpu": "1.7.6", "python:python": "3.10.14", "pytorch": "2.5"}
    assert len(told(read({"v1/cpu.env.out": EXPLICIT, "v1/cpu.env.in": "# nothing\n"}))) == 4
    assert told(
        read({"a/conda-linux-64.lock": EXPLICIT, "a/environment.yml": "dependencies: [tzdata, python=3.10]"})
    ) == {
        "python:python": "3.10.14",
        "tzdata": "2024a",
    }


def test_an_exported_list() -> None:
    text = """\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
numpy=1.26.4=py312h_0
torch=2.5.1=pypi_0
"""
    assert told(read({"requirements.txt": text})) == {"numpy": "1.26.4", "python:torch": "2.5.1"}
