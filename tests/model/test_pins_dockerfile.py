"""Pins in Dockerfiles: base images by their tags, and what RUN installs by version."""

from __future__ import annotations

import pytest

from dsci.model.oci import Platform
from dsci.model.pinfiles_read import Target, read
from dsci.model.pins import Pins


def pins(text: str, **target: object) -> Pins:
    return read({"app/Dockerfile": text}, dockerfile="app/Dockerfile", target=Target(**target))  # type: ignore[arg-type]


def told(text: str, **target: object) -> dict[str, str]:
    """Versions by `ecosystem:name`; those that are only mentioned left out."""
    found = pins(text, **target)
    assert found.problems == ()
    return {f"{pin.ecosystem}:{pin.name}": pin.version for pin in found.pins.values() if not pin.loose}


def mentioned(text: str) -> set[str]:
    return {f"{pin.ecosystem}:{pin.name}" for pin in pins(text).pins.values() if pin.loose}


def run(command: str, **target: object) -> dict[str, str]:
    return told(f"FROM scratch\nRUN {command}\n", **target)


@pytest.mark.parametrize(
    ("image", "name", "version"),
    [
        ("debian:12", "base:debian", "12"),
        ("debian:12.5-slim", "base:debian", "12.5"),
        ("ubuntu:24.04", "base:ubuntu", "24.04"),
        ("python:3.12-slim-bookworm", "python:python", "3.12"),
        ("python:3.13.0rc2-slim", "python:python", "3.13.0rc2"),
        ("docker.io/library/python:3.12.4", "python:python", "3.12.4"),
        ("rocker/r-ver:4.4.1", "r:r", "4.4.1"),
        ("rocker/tidyverse:4.4", "r:r", "4.4"),
        ("r-base:4.4.1", "r:r", "4.4.1"),
        ("nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04", "base:cuda", "12.4.1"),
        ("pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime", "base:pytorch", "2.5.1"),
        ("ghcr.io/acme/tool:v1.2.3", "base:tool", "1.2.3"),
        ("localhost:5000/x/tool:1.2_3", "base:tool", "1.2"),
        ("alpine:3.20-alpha", "base:alpine", "3.20-alpha"),
        ("node:22-alpine3.20", "base:node", "22"),
        ("quay.io/jupyter/base-notebook:2024-10-07", "base:base-notebook", "2024-10-07"),
        (f"debian:12@sha256:{'0' * 64}", "base:debian", "12"),
    ],
)
def test_base_images(image: str, name: str, version: str) -> None:
    assert told(f"FROM {image}\n") == {name: version}


@pytest.mark.parametrize(
    "image",
    ["debian", "debian:bookworm", f"debian@sha256:{'0' * 64}", "debian:9e63909e0317", "debian:latest", "debian:1x"],
)
def test_base_images_without_a_number_are_only_mentioned(image: str) -> None:
    assert told(f"FROM {image}\n") == {}
    assert mentioned(f"FROM {image}\n") == {"base:debian"}


def test_scratch_and_siblings_are_none() -> None:
    assert pins("FROM scratch\n").pins == {}
    assert pins("FROM acme/python:1.2\n", siblings={"acme/python:1.2"}).pins == {}


def test_arguments_and_variants() -> None:
    text = """
ARG PYTHON=3.11
ARG VARIANT=slim
FROM python:${PYTHON}-${VARIANT}
ARG PYTHON
ARG PANDAS=2.2.0 EMPTY
ARG NUMPY=${PANDAS%.*}.9
ENV TORCH=2.5.1 LATER=$UNKNOWN
ENV PANDAS_SPEC=pandas==$PANDAS
RUN pip install "$PANDAS_SPEC" numpy==$NUMPY 'torch==${TORCH}' lib==$LATER other==${EMPTY:-1.0}
"""
    assert told(text) == {
        "python:numpy": "2.2.9",
        "python:pandas": "2.2.0",
        "python:python": "3.11",
    }
    given = told(text, args={"PYTHON": "3.12", "PANDAS": "2.3.1"})
    assert (given["python:python"], given["python:pandas"], given["python:numpy"]) == ("3.12", "2.3.1", "2.3.9")
    assert mentioned(text) == {"python:lib", "python:other"}


def test_a_global_argument_in_a_stage() -> None:
    text = "ARG V=1.0\nFROM scratch\nRUN pip install early==$V\nARG V\nENV W=$V\nRUN pip install late==$W\n"
    text += "ENV W=$X\nRUN pip install no==$W\n"
    assert told(text) == {"python:late": "1.0"}
    assert mentioned(text) == {"python:early", "python:no"}


def test_platforms() -> None:
    text = "ARG TARGETARCH\nFROM acme/$TARGETARCH:1.0\n"
    assert told(text) == {"base:amd64": "1.0"}
    assert told(text, platform=Platform("linux", "arm64")) == {"base:arm64": "1.0"}


STAGES = """
FROM golang:1.22 AS tool
RUN apt-get install gcc=4:12.2.0-3 && pip install unused==1.0
FROM python:3.12 AS build
RUN apt-get install gcc=4:12.2.0-3 && pip install --prefix=/opt numpy==2.1.3
FROM debian:12 AS base
ENV V=1.0
RUN apt-get install -y curl=7.88.1-10
FROM base AS app
COPY --from=build /opt /opt
COPY --from=ghcr.io/astral-sh/uv:0.5.1 /uv /bin/uv
RUN pip install pandas==$V
FROM base AS other
COPY --from=acme/x:9 / /
"""


def test_stages() -> None:
    assert told(STAGES, stage="app") == {
        "apt:curl": "7.88.1-10",
        "base:debian": "12",
        "base:uv": "0.5.1",
        "python:numpy": "2.1.3",
        "python:pandas": "1.0",
    }
    assert told(STAGES) == {"apt:curl": "7.88.1-10", "base:debian": "12", "base:x": "9"}
    assert told(STAGES, stage="tool") == {"apt:gcc": "4:12.2.0-3", "base:golang": "1.22", "python:unused": "1.0"}


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (
            "apt-get update && apt-get install -y --no-install-recommends curl=7.88.1-10+deb12u7 git",
            {"apt:curl": "7.88.1-10+deb12u7"},
        ),
        ("DEBIAN_FRONTEND=noninteractive apt-get -y install git=1:2.39.2-1.1", {"apt:git": "1:2.39.2-1.1"}),
        (
            "sudo /usr/bin/apt install libc6:amd64=2.36-9 g++=4:12.2.0-3 curl/bookworm",
            {"apt:libc6": "2.36-9", "apt:g++": "4:12.2.0-3"},
        ),
        (
            "apt-get install python3=3.11.2-1+b1 r-base=4.4.1-1.2204.0",
            {"python:python": "3.11.2-1+b1", "r:r": "4.4.1-1.2204.0"},
        ),
        (
            "apk add --no-cache curl=8.5.0-r0 git~2.43 jq~=1.7 'tar>1.34' make",
            {"apk:curl": "8.5.0-r0", "apk:git": "2.43", "apk:jq": "1.7", "apk:tar": ">1.34"},
        ),
        ("apk --no-cache add python3=3.12.3-r1", {"python:python": "3.12.3-r1"}),
        (
            "pip install --no-cache-dir pandas==2.2.0 'numpy>=1.26,<2' -r requirements.txt",
            {"python:pandas": "2.2.0", "python:numpy": ">=1.26,<2"},
        ),
        (
            "pip3.12 install \\\n  pandas==2.2.0 \\\n  # a comment\n  numpy==2.1.3",
            {"python:pandas": "2.2.0", "python:numpy": "2.1.3"},
        ),
        ("python -m pip install pandas[excel]==2.2.0; echo x==1.0", {"python:pandas": "2.2.0"}),
        ("uv pip install --system pandas==2.2.0", {"python:pandas": "2.2.0"}),
        (
            "uv add pandas==2.2.0 | tee log && (uv tool install ruff==0.6.9)",
            {"python:pandas": "2.2.0", "python:ruff": "0.6.9"},
        ),
        (
            "pip install numpy >=1.26 pandas==2.2.0 >log 2>&1 dask==2024.8.0",
            {"python:pandas": "2.2.0", "python:dask": "2024.8.0"},
        ),
        ("pip uninstall -y pandas==2.2.0 && pip check", {}),
        ("pip install git+https://github.com/x/y@v1.0#egg=y", {"python:y": "v1.0"}),
        (
            "conda install -y -c conda-forge numpy=1.26 'pandas>=2,<3' conda-forge::scipy=1.14=py312_0",
            {"conda:numpy": "1.26", "conda:pandas": ">=2,<3", "conda:scipy": "1.14"},
        ),
        (
            "mamba create -n ml python=3.12 && conda run -n ml pip install torch==2.5.1",
            {"python:python": "3.12", "python:torch": "2.5.1"},
        ),
        ('micromamba install --yes "jupyterlab=4.2"', {"conda:jupyterlab": "4.2"}),
        ('["pip", "install", "pandas==2.2.0", "x==$V"]', {"python:pandas": "2.2.0"}),
        ('["/bin/bash", "-o", "pipefail", "-c", "pip install pandas==2.2.0"]', {"python:pandas": "2.2.0"}),
        ("bash -lc 'set -e; pip install pandas==2.2.0'", {"python:pandas": "2.2.0"}),
        ('sh -c "sh -c \'sh -c \\"sh -c pip\\"\'" && pip install a==1', {"python:a": "1"}),
        ("if [ -f x ]; then pip install a==1; fi # pip install b==1", {"python:a": "1"}),
        ("x=$(pip install a==1) && y=`pip install b==2`", {"python:a": "1", "python:b": "2"}),
        ("pip install 'a==1", {}),
        ("pip install a==${B^^} c==1", {"python:c": "1"}),
        ("--mount=type=cache,target=/root/.cache pip install a==1", {"python:a": "1"}),
        ("R -e \"remotes::install_version('dplyr', '1.1.4')\"", {"r:dplyr": "1.1.4"}),
        (
            'Rscript -e \'devtools::install_version("data.table", version = "1.15.0", repos = "x")\'',
            {"r:data.table": "1.15.0"},
        ),
        ('R -e "install_version(\\"MASS\\",\\"7.3-60\\")"', {"r:MASS": "7.3-60"}),
        (
            "R -e \"install_version('a', '$A')\" -e \"install_version('b','1')\" -e \"install_version('c','${')\"",
            {"r:b": "1"},
        ),
        ("echo pip install-a==1", {}),
        ("--security=insecure pip install a==1", {"python:a": "1"}),
    ],
)
def test_what_is_installed(command: str, found: dict[str, str]) -> None:
    assert run(command) == found


def test_what_has_no_version_is_only_mentioned() -> None:
    assert mentioned(
        "FROM scratch\nRUN apt-get install -y curl && pip install pandas numpy==$V ==$V && conda install x\n"
    ) == {
        "apt:curl",
        "conda:x",
        "python:numpy",
        "python:pandas",
    }


def test_here_documents() -> None:
    text = """
FROM scratch
RUN <<EOF bash
set -e
# pip install no==1
pip install a==1.0
apt-get install curl=7.88-1
EOF
RUN cat <<-X > /x && pip install b==2.0
\tpip install c==3.0
\tX
RUN pip install d==4.0 <in
COPY x y
"""
    assert told(text) == {
        "apt:curl": "7.88-1",
        "python:a": "1.0",
        "python:b": "2.0",
        "python:c": "3.0",
        "python:d": "4.0",
    }


#: Stages that inherit thousands of variables from each other.
CHAIN = "FROM scratch AS s0\n" + "".join(
    "ENV " + " ".join(f"V{line}x{n}=1" for n in range(5000)) + "\n" for line in range(4)
)
CHAIN += "".join(f"FROM s{n - 1} AS s{n}\n" for n in range(1, 250))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no FROM in this Dockerfile"),
        ("FROM scratch\nFOO x\n", "2: unknown instruction 'FOO'"),
        ("FROM $X\n", "1: FROM $X is ''"),
        ("FROM scratch\nENV A=${A^^}\n", "2: ${A^^}: an unsupported modifier"),
        ("FROM scratch\nENV A=x\n" + "ENV A=$A$A\n" * 40, "23: $A$A: its variables expand to more than"),
        (CHAIN, "its variables expand to more than"),
    ],
)
def test_dockerfiles_that_cannot_be_read(text: str, why: str) -> None:
    found = pins(text)
    assert found.pins == {}
    ((problem),) = found.problems
    assert problem.path == "app/Dockerfile"
    assert problem.why.strip().startswith(why)


def test_a_stage_that_is_not_there() -> None:
    ((problem),) = pins("FROM scratch\n", stage="app").problems
    assert problem.why.strip().startswith("there is no stage named 'app'")


def test_hostile_words_end_the_reading_of_words_and_nothing_else() -> None:
    text = (
        "FROM debian:12\nENV A=" + "x" * 60_000 + "\nRUN pip install " + "a==$A " * 100 + "b==1\nRUN pip install c==1\n"
    )
    assert told(text) == {"base:debian": "12", "python:c": "1"}
