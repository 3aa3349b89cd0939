"""Languages, CUDA, Jupyter's kernels and extensions: what files say of them, and nothing that they do not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model import languagefiles
from dsci.model.inventory import Extension, Fact, Kernel, Language, Layer, Package
from dsci.model.inventoryfiles import source
from dsci.model.layering import combined


def said(path: str, text: str) -> tuple[Fact, ...]:
    read = source(path)
    assert read is not None and not read.of_packages
    found = read.read(path, text.encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("path", "text", "name", "version"),
    [
        ("opt/venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n", "python", "3.11.2"),
        ("v/pyvenv.cfg", "home = /usr/bin\nversion_info = 3.12.4.final.0\n", "python", "3.12.4"),
        (
            "v/pyvenv.cfg",
            "home = /usr/bin\nuv = 0.5\nversion_info = 3.13.1\n",
            "python",
            "3.13.1",
        ),
        ("usr/local/lib/python3.12/os.py", "", "python", "3.12"),
        ("usr/local/include/python3.13/patchlevel.h", '#define PY_VERSION      \t"3.13.0rc2"\n', "python", "3.13.0rc2"),
        ("opt/p/include/python3.13t/patchlevel.h", '#define PY_VERSION "3.13.1+"\n', "python", "3.13.1"),
        (
            "opt/julia/include/julia/julia_version.h",
            '#define JULIA_VERSION_STRING "1.10.0"\n',
            "julia",
            "1.10.0",
        ),
        (
            "usr/local/include/node/node_version.h",
            "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 11\n#define NODE_PATCH_VERSION 1\n",
            "node",
            "20.11.1",
        ),
        (
            "usr/include/x86_64-linux-gnu/cudnn_version.h",
            "#define CUDNN_MAJOR 9\n # define CUDNN_MINOR 1\n#define CUDNN_PATCHLEVEL 0\n",
            "cudnn",
            "9.1.0",
        ),
        ("usr/lib/jvm/java-17/release", 'IMPLEMENTOR="Debian"\nJAVA_VERSION="17.0.9"\n', "java", "17.0.9"),
        ("opt/java/openjdk/release", 'JAVA_VERSION="1.8.0_392"\n', "java", "1.8.0_392"),
        ("usr/local/cuda-12.4/version.json", '{"cuda": {"name": "CUDA SDK", "version": "12.4.1"}}', "cuda", "12.4.1"),
        ("usr/local/cuda-10.2/version.txt", "CUDA Version 10.2.89\n", "cuda", "10.2.89"),
    ],
)
def test_what_files_say(path: str, text: str, name: str, version: str) -> None:
    assert said(path, text) == (Language(name=name, version=version),)
    (found,) = combined([Layer(facts={path: said(path, text)})]).languages
    assert found == Language(name=name, version=version, paths=(f"/{path}",))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("v/pyvenv.cfg", "home = /usr/bin\n"),
        ("usr/local/include/python3.13/patchlevel.h", "#define PY_MAJOR_VERSION 3\n"),
        ("usr/local/include/node/node_version.h", "#define NODE_MAJOR_VERSION 20\n"),
        ("usr/lib/jvm/x/release", "NAME=x\n"),
        ("etc/release", f'JAVA_VERSION="{"x" * 40}"\n'),
        ("usr/local/cuda/version.json", '{"cuda": 12}'),
        ("usr/local/cuda/version.json", "[]"),
        ("usr/local/cuda/version.txt", "CUDA is here"),
        ("x/share/jupyter/kernels/a/kernel.json", "[]"),
        ("x/share/jupyter/labextensions/a/package.json", "{}"),
        ("x/share/jupyter/labextensions/a/package.json", '{"name": 1}'),
    ],
)
def test_what_says_nothing(path: str, text: str) -> None:
    assert said(path, text) == ()


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/python3.11/os.py",
        "usr/include/python3.11/patchlevel.h",
        "usr/include/node/node_version.h",
        "opt/x/python3.11/os.py",
        "home/x/version.json",
        "srv/node_modules/x/package.json",
        "srv/x/julia_version.h",
    ],
)
def test_which_files_tell_nothing(path: str) -> None:
    assert source(path) is None


def package(kind: str, name: str, version: str, license: str = "") -> Package:
    return Package(kind=kind, name=name, version=version, license=license, paths=("/p",))


@pytest.mark.parametrize(
    ("kind", "name", "version", "language", "known"),
    [
        ("deb", "python3.11-minimal", "3.11.2-6+deb12u3", "python", "3.11.2"),
        ("deb", "python3.14-minimal", "3.14.0~rc2-1", "python", "3.14.0rc2"),
        ("deb", "nodejs", "18.19.0+dfsg-6~deb12u2", "node", "18.19.0"),
        ("deb", "nodejs", "1:20.1.0-1nodesource1", "node", "20.1.0"),
        ("deb", "cuda-cudart-12-4", "12.4.127-1", "cuda", "12.4.127"),
        ("deb", "libcudnn9-cuda-12", "9.1.0.70-1", "cudnn", "9.1.0.70"),
        ("rpm", "python3.12", "3.12.1-4.el9", "python", "3.12.1"),
        ("rpm", "nodejs", "1:16.20.2-8.el9", "node", "16.20.2"),
        ("apk", "python3", "3.12.3-r1", "python", "3.12.3"),
        ("conda", "python", "3.12.4", "python", "3.12.4"),
        ("conda", "r-base", "4.4.1", "r", "4.4.1"),
        ("pypi", "nvidia-cudnn-cu12", "9.1.0.70", "cudnn", "9.1.0.70"),
        ("pypi", "nvidia_cuda_runtime_cu12", "12.4.127", "cuda", "12.4.127"),
    ],
)
def test_what_packages_bring(kind: str, name: str, version: str, language: str, known: str) -> None:
    (found,) = languagefiles.of_packages([package(kind, name, version)])
    assert found == Language(name=language, version=known, paths=("/p",))


def test_r_is_known_by_its_own_package() -> None:
    base = package("cran", "base", "4.2.2", "Part of R 4.2.2")
    others = [
        package("cran", "stats", "4.2.2", "Part of R 4.2.2"),
        package("cran", "base", "1", "MIT"),
        package("deb", "python3", "3.11.2-1"),
        package("deb", "libpython3.11-minimal", "3.11.2-6"),
        package("deb", "nodejs", "none"),
        package("pypi", "python", "1"),
    ]
    assert list(languagefiles.of_packages([base, *others])) == [Language(name="r", version="4.2.2", paths=("/p",))]


def test_a_language_is_told_once_and_as_exactly_as_it_is_known() -> None:
    told = [("python", "3.12", "/a"), ("python", "3.12.4", "/b"), ("python", "3.12.4", "/c"), ("python", "3.1", "/d")]
    told.append(("cuda", "3.1.2", "/e"))
    found = languagefiles.settled(Language(name=name, version=version, paths=(path,)) for name, version, path in told)
    assert [(each.name, each.version, each.paths) for each in found] == [
        ("cuda", "3.1.2", ("/e",)),
        ("python", "3.1", ("/d",)),
        ("python", "3.12.4", ("/b", "/c")),
    ]


def test_jupyter() -> None:
    kernels = "opt/conda/share/jupyter/kernels"
    spec = {"argv": ["python"], "display_name": "Python 3\n(ipykernel)", "language": "python"}
    labs = "usr/local/share/jupyter/labextensions"
    layer = Layer(
        facts={
            f"{kernels}/Python3/kernel.json": said(f"{kernels}/Python3/kernel.json", json.dumps(spec)),
            f"{kernels}/ir/kernel.json": said(f"{kernels}/ir/kernel.json", '{"argv": []}'),
            f"{labs}/a/package.json": said(f"{labs}/a/package.json", '{"name": "a", "version": "1.0"}'),
            f"{labs}/@j/b/package.json": said(f"{labs}/@j/b/package.json", '{"name": "@j/b"}'),
        }
    )
    found = combined([layer])
    assert found.kernels == (
        Kernel(name="ir", paths=(f"/{kernels}/ir/kernel.json",)),
        Kernel(name="python3", display_name="Python 3", language="python", paths=(f"/{kernels}/Python3/kernel.json",)),
    )
    assert found.extensions == (
        Extension(name="@j/b", paths=(f"/{labs}/@j/b/package.json",)),
        Extension(name="a", version="1.0", paths=(f"/{labs}/a/package.json",)),
    )


PATHS = (
    "v/pyvenv.cfg",
    "usr/local/include/python3.13/patchlevel.h",
    "usr/local/include/node/node_version.h",
    "x/release",
    "cuda/version.json",
    "cuda/version.txt",
    "share/jupyter/kernels/a/kernel.json",
    "share/jupyter/labextensions/a/package.json",
)


@hypothesis(max_examples=examples(60))
@given(st.sampled_from(PATHS), st.text(max_size=200), st.binary(max_size=100))
def test_no_content_makes_a_reader_fail(path: str, text: str, junk: bytes) -> None:
    read = source(path)
    assert read is not None
    for content in (
        text.encode(errors="replace"),
        junk,
        json.dumps({"name": text, "cuda": {"version": text}}).encode(),
    ):
        for found in read.read(path, content) or ():
            str(found).encode()
