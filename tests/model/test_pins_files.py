"""The files of an image together: which are read, which of them is believed, and that no text breaks or slows it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import examples

from dsci.model.pinfiles import is_pin_file
from dsci.model.pinfiles_read import read
from dsci.model.pinfiles_shelf import SIZE_LIMIT, bounds
from dsci.model.pins import Pin, compare
from dsci.model.text import plain

NAMES = (
    *("requirements.txt", "requirements.in", "requirements/dev.txt", "constraints.txt", "pyproject.toml", "uv.lock"),
    *("poetry.lock", "pylock.toml", "pylock.cpu.toml", "Pipfile", "Pipfile.lock", ".python-version", "environment.yml"),
    *("conda-lock.yml", "conda-linux-64.lock", "cpu.env.in", "cpu.env.out", "explicit.txt", "renv.lock", "DESCRIPTION"),
    "Dockerfile",
)


@pytest.mark.parametrize("path", [*NAMES[:-1], "a/b/requirements-gpu.txt", "dev-requirements.in", "a/Requirements.txt"])
def test_files_worth_reading(path: str) -> None:
    assert is_pin_file(path)
    assert is_pin_file(f"deep/er/{path}")


@pytest.mark.parametrize(
    "path",
    [
        *("README.md", "src/requirements.py", "a.txt", "requirements/README.md", "requirements", "", "a/", "lock"),
        *("package.json", "docker-compose.yml", "uv.lock/x", "pyproject.toml.bak", "Dockerfile"),
    ],
)
def test_files_not_worth_reading(path: str) -> None:
    assert not is_pin_file(path)


def test_constraints_in_a_folder_of_requirements_install_nothing() -> None:
    assert read({"requirements/constraints.txt": "a==1"}).pins == {}


def test_which_of_several_files_is_believed() -> None:
    def python(**files: str) -> tuple[str, str]:
        found = read({path.replace("_", "."): text for path, text in files.items()}, dockerfile="Dockerfile")
        pin = found.pins["python", "python"]
        return pin.version, pin.source

    bound = {"pyproject_toml": '[project]\nrequires-python = ">=3.11"\n'}
    base = bound | {"Dockerfile": "FROM python:3.12-slim\n"}
    wish = base | {"environment_yml": "dependencies: [python=3.13]\n"}
    lock = wish | {"explicit_txt": "https://host/linux-64/python-3.13.1-0.conda\n"}
    assert python(**bound) == (">=3.11", "pyproject.toml")
    assert python(**base) == ("3.12", "Dockerfile")
    assert python(**wish) == ("3.13", "environment.yml")
    assert python(**lock) == ("3.13.1", "explicit.txt")
    assert python(**(bound | {"Dockerfile": "FROM python:slim\n"})) == (">=3.11", "pyproject.toml")


def test_equals_that_differ_are_joined_by_size() -> None:
    found = read(
        {
            "a/requirements.txt": "x==1.10\ny\nz==1",
            "b/requirements.txt": "X==1.9\ny==2\nz==1",
            "c/requirements.txt": "x",
        }
    )
    assert found.pins["python", "x"] == Pin(
        name="x", ecosystem="python", version="1.9 | 1.10", source="a/requirements.txt"
    )
    assert found.pins["python", "y"] == Pin(name="y", ecosystem="python", version="2", source="b/requirements.txt")
    assert found.pins["python", "z"].version == "1"


def test_what_one_file_only_mentions_another_may_ask_for() -> None:
    files = {"Dockerfile": "FROM scratch\nRUN pip install dask torch\n", "requirements.txt": "dask\n"}
    found = read(files, dockerfile="Dockerfile").pins
    assert not found["python", "dask"].loose
    assert found["python", "torch"].loose


def test_a_dockerfile_of_any_name() -> None:
    assert read({"x/requirements.txt": "FROM debian:12\n"}, dockerfile="x/requirements.txt").pins.keys() == {
        ("base", "debian")
    }
    assert read({"Dockerfile": "FROM debian:12\n"}).pins == {}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("==2.2.0", "2.2.0"),
        (" 2.2.0 ", "2.2.0"),
        ("*", ""),
        ("", ""),
        ("==*", ""),
        ("<3, >=2", ">=2,<3"),
        ("( >= 2 )", ">=2"),
        ("!=2.5,~=2.1", "~=2.1,!=2.5"),
        ("==1.*,!=1.5", "==1.*,!=1.5"),
        ("2.*", "2"),
        ("^1.2", "^1.2"),
        (">=1||>=2", ">=1||>=2"),
    ],
)
def test_versions_have_one_spelling(text: str, version: str) -> None:
    assert bounds(text) == version


@pytest.mark.parametrize(
    ("name", "version", "kept"),
    [
        ("a" * 200, "1", "1"),
        ("a" * 201, "1", None),
        ("a", "1" * 200, "1" * 200),
        ("a", "1" * 201, None),
        ("", "1", None),
        ("a b", "1", None),
        ("\x1b[31ma", "1", None),
        ("a", "1\x1b[31m.2\n  b", "1.2 b"),
    ],
)
def test_names_and_versions_are_bounded_and_plain(name: str, version: str, kept: str | None) -> None:
    lock = json.dumps({"default": {name: {"ref": "x", "version": version}}})
    found = [pin.version for pin in read({"Pipfile.lock": lock}).pins.values()]
    assert found == ([kept.replace(" ", "")] if kept else [])


def test_large_files_are_not_read() -> None:
    for path in NAMES:
        found = read({path: " " * (SIZE_LIMIT + 1)}, dockerfile="Dockerfile")
        assert found.pins == {}
        assert [(problem.path, problem.why) for problem in found.problems if path != "constraints.txt"] == (
            [(path, f"more than {SIZE_LIMIT} characters")] if path != "constraints.txt" else []
        )


N = 5_000
MANY: dict[str, str] = {
    "requirements.txt": "".join(f"p{n}==1.{n}\n    # via -r x.in, p{n + 1}\n" for n in range(N // 2)),
    "requirements.in": "a\\\n" * N,
    "uv.lock": "".join(f'[[package]]\nname = "p{n}"\nversion = "1"\n' for n in range(N // 3)),
    "poetry.lock": "".join(f'[[package]]\nname = "p{n}"\nversion = "1"\n' for n in range(N // 3)),
    "pyproject.toml": "[project]\ndependencies = [\n" + "'a',\n" * N + "]\n",
    "Pipfile": "[packages]\n" + "".join(f'p{n} = "1"\n' for n in range(N)),
    "Pipfile.lock": '{"default": {' + ",\n".join(f'"p{n}": {{"version": "==1"}}' for n in range(N)) + "}}",
    "environment.yml": "dependencies:\n" + "".join(f"- p{n}=1\n" for n in range(N)),
    "conda-lock.yml": "package:\n" + "".join(f"- name: p{n}\n  version: 1\n" for n in range(N // 2)),
    "cpu.env.out": "".join(f"https://h/p{n}-1-0.conda\n" for n in range(N)),
    "cpu.env.in": "".join(f"c::p{n}[version='>=1']\n" for n in range(N)),
    "renv.lock": '{"Packages": {' + ",\n".join(f'"p{n}": {{"Version": "1"}}' for n in range(N)) + "}}",
    "DESCRIPTION": "Imports:\n" + "".join(f"  p{n},\n" for n in range(N)),
    "Dockerfile": "FROM scratch\n" + "RUN pip\n" * N,
}
HOSTILE: dict[str, str] = {
    "requirements.txt": "a" + " " * 20_000 + "b\n" + "#" * 20_000 + "\n" + "a[" * 20_000 + "\n-r" + " " * 20_000,
    "uv.lock": "a" * 20_000 + '\n"' + "b" * 20_000,
    "pyproject.toml": "'" * 20_001,
    "environment.yml": "dependencies:\n- '"
    + "a::" * 40_000
    + "'\n- 'a"
    + " " * 40_000
    + "['\n- 'a["
    + "version" * 50_000
    + "'",
    "cpu.env.out": "/a-" * 30_000 + "\n/" + "a-" * 40_000 + "\n/" + "a." * 40_000,
    "DESCRIPTION": "Imports: " + "a" * 40_000 + "\n " + "(" * 40_000 + "\n b" + " " * 40_000 + "x",
    "Dockerfile": "FROM scratch\n"
    + "".join(
        f"RUN {text[:20_000]}\n"
        for text in (
            "pip " * 20_000,
            "'\"" * 30_000,
            '"\\' * 30_000,
            "pip install " + "a" * 20_000,
            "sh -c " * 10_000,
            "install_version(" * 4000,
            "<" * 20_000,
            "#" * 20_000,
            " #'\"" * 15_000,
        )
    ),
}


@pytest.mark.parametrize(("path", "text"), [*MANY.items(), *HOSTILE.items()])
def test_large_and_hostile_files_cost_seconds(path: str, text: str) -> None:
    started = time.process_time()
    found = read({path: text}, dockerfile="Dockerfile")
    assert compare(found, found) == ()
    assert time.process_time() - started < 8


WORDS = st.sampled_from(
    (
        *(
            "[",
            "]",
            "{",
            "}",
            '"',
            "'",
            "=",
            "==",
            ">=1,<2",
            "\n",
            "\n    # via ",
            "-r ",
            "-e ",
            "a",
            "b==1",
            ":",
            "- ",
            "#",
        ),
        *("[[package]]\n", "name = 'a'\n", "version = '1'\n", "dependencies", "package", "pip", " install ", "FROM "),
        *(
            "RUN ",
            "$A",
            "\\",
            "<<X",
            "https://h/a-1-0.conda",
            "Imports: ",
            "[project]\n",
            "[tool.poetry.dependencies]\n",
        ),
        *("\x00", "\ud800", "٣", "1" * 50, '{"Packages": {"a": {}}}', '{"default": {"a": 1}}', "\t", "{'x': 1}", "&a"),
        *("*a", "!!python/object", "@EXPLICIT\n"),
    )
)


@settings(max_examples=examples(300))
@given(
    st.dictionaries(st.sampled_from(NAMES), st.one_of(st.text(), st.lists(WORDS, max_size=30).map("".join)), max_size=4)
)
def test_no_text_raises(files: dict[str, str]) -> None:
    found = read(files, dockerfile="Dockerfile")
    assert found == read(dict(reversed(files.items())), dockerfile="Dockerfile")
    assert {problem.path for problem in found.problems} <= files.keys()
    for key, pin in found.pins.items():
        assert pin.key == key
        assert pin.source in files
        assert pin.version == plain(pin.version)
    assert compare(found, found) == ()


@given(st.sampled_from(NAMES), st.text())
def test_no_text_raises_under_any_name(path: str, text: str) -> None:
    found = read({path: text}, dockerfile="Dockerfile")
    assert len(found.problems) <= 1
