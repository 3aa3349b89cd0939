"""Which files are inputs, which enter the context, and what a COPY may take."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from builders import FILE, look, target, tree

from dsci.model.inputs import ContextFile, Watch, ignore_file_of, may_copy
from dsci.model.tree import EXECUTABLE, SUBMODULE, SYMLINK, Tree, TreeEntry


def context(files: Mapping[str, str], name: str = "ml") -> list[str]:
    return [file.path for file in look(files).files[target(name)]]


ML = {
    "images/ml/Dockerfile": "FROM debian\nCOPY app /app\n",
    "images/ml/app/main.py": "",
    "images/ml/notes.md": "",
    "images/ml/suites/test_ml.py": "",
    "images/ml/suites/data.csv": "",
    "images/mlx/other": "",
    "README.md": "",
}


def test_the_context_is_the_folder_without_its_suites() -> None:
    assert context(ML) == ["Dockerfile", "app/main.py", "notes.md"]


def test_a_context_file_tells_where_it_comes_from() -> None:
    shot = look({"images/ml/Dockerfile": "FROM debian\n", "images/ml/run!": "x"})
    assert shot.files[target("ml")][1] == ContextFile(
        path="run", source="images/ml/run", entry=tree({"run!": "x"})["run"]
    )
    assert [file.entry.mode for file in shot.files[target("ml")]] == [FILE, EXECUTABLE]


def test_links_and_submodules_are_entries_like_any_other() -> None:
    shot = look({"images/ml/Dockerfile": "FROM debian\n"})
    more = {"images/ml/link": TreeEntry(SYMLINK, "a"), "images/ml/sub": TreeEntry(SUBMODULE, "b")}
    given = Tree({**shot.tree, **more})
    files = shot.inputs[target("ml")].files(given)
    assert [(file.path, file.entry.mode) for file in files[1:]] == [("link", SYMLINK), ("sub", SUBMODULE)]


@pytest.mark.parametrize(
    ("copy", "entering"),
    [
        pytest.param("COPY app /app", [], id="something else"),
        pytest.param("COPY . /app", ["suites/data.csv", "suites/test_ml.py"], id="everything"),
        pytest.param("COPY suites /s", ["suites/data.csv", "suites/test_ml.py"], id="the folder"),
        pytest.param("COPY suites/data.csv /s", ["suites/data.csv"], id="one file"),
        pytest.param("COPY *.csv /s", ["suites/data.csv", "suites/test_ml.py"], id="a wildcard at the start"),
        pytest.param("COPY suites/d*.csv /s", ["suites/data.csv"], id="a wildcard behind a letter"),
        pytest.param("COPY --from=debian / /s", [], id="another image"),
        pytest.param("RUN --mount=target=/s true", ["suites/data.csv", "suites/test_ml.py"], id="a mount"),
    ],
)
def test_suites_enter_the_context_where_they_are_copied(copy: str, entering: list[str]) -> None:
    files = {**ML, "images/ml/Dockerfile": f"FROM debian\n{copy}\n"}
    assert [path for path in context(files) if path.startswith("suites/")] == entering


def test_suites_elsewhere_are_in_no_context() -> None:
    files = {"images/ml/Dockerfile": "FROM debian\n", "suites/ml/test_a.py": ""}
    files["dsci.yaml"] = "images: {ml: {context: .}}"
    assert context(files, "ml") == ["images/ml/Dockerfile"]


def test_dscis_own_files_are_in_no_context() -> None:
    files = {"Dockerfile": "FROM debian\nCOPY . /\n", "dsci.yaml": "gate: lineage", "x": ""}
    files["dsci.lock"] = "schema: 1"
    assert context(files, "stack") == ["Dockerfile", "x"]


@pytest.mark.parametrize(
    ("path", "touches"),
    [
        ("images/ml/Dockerfile", True),
        ("images/ml/app/main.py", True),
        ("images/ml/app/new.py", True),
        ("images/ml/notes.md", False),
        ("images/ml/.dockerignore", True),
        ("images/ml/suites/test_ml.py", False),
        ("images/ml", False),
        ("images/mlx/other", False),
        ("README.md", False),
    ],
)
def test_what_touches_an_image(path: str, touches: bool) -> None:
    filters = look({**ML, "images/ml/.dockerignore": "*.md\n.dockerignore\nDockerfile\n"}).inputs[target("ml")]
    assert filters.touches(path) is touches


def test_dockerfile_and_ignore_file_count_wherever_they_lie() -> None:
    files = {
        "docker/ml.Dockerfile": "FROM debian\n",
        "docker/ml.Dockerfile.dockerignore": "*\n!src\n",
        "src/a.py": "",
        "src/.dockerignore": "",
        "dsci.yaml": "images: {ml: {dockerfile: docker/ml.Dockerfile, context: src}}",
    }
    filters = look(files).inputs[target("ml")]
    assert filters.ignore_file == "docker/ml.Dockerfile.dockerignore"
    assert [path for path in files if filters.touches(path)] == [
        "docker/ml.Dockerfile",
        "docker/ml.Dockerfile.dockerignore",
    ]
    assert filters.in_context("src/a.py") is None


@pytest.mark.parametrize(
    ("paths", "context_folder", "chosen"),
    [
        (["images/ml/.dockerignore"], "images/ml", "images/ml/.dockerignore"),
        (
            ["images/ml/.dockerignore", "images/ml/Dockerfile.dockerignore"],
            "images/ml",
            "images/ml/Dockerfile.dockerignore",
        ),
        ([".dockerignore"], "images/ml", None),
        ([".dockerignore"], ".", ".dockerignore"),
        ([], "images/ml", None),
    ],
)
def test_which_ignore_file_counts(paths: list[str], context_folder: str, chosen: str | None) -> None:
    files = {
        "images/ml/Dockerfile": "FROM debian\n",
        "dsci.yaml": f"images: {{ml: {{context: '{context_folder}'}}}}",
        **dict.fromkeys(paths, ""),
    }
    shot = look(files)
    assert ignore_file_of(shot.family.images["ml"], shot.tree) == chosen


@pytest.mark.parametrize(
    ("pattern", "path", "may"),
    [
        (".", "a/b", True),
        ("", "a/b", True),
        ("./", "a/b", True),
        ("a", "a", True),
        ("a", "a/b", True),
        ("a/", "a/b", True),
        ("./a/./b", "a/b", True),
        ("a//b", "a/b/c", True),
        ("a", "ab", False),
        ("a/b", "a", False),
        ("a/b", "a/c", False),
        ("../a", "b", True),
        ("a*", "ab/c", True),
        ("a*", "b", False),
        ("*.py", "x/y", True),
        ("a/[bc]", "a/d", True),
        ("a/?", "b/c", False),
        ("a\\*", "a*", True),
        ("b\\*", "a*", False),
    ],
)
def test_what_a_copy_may_take(pattern: str, path: str, may: bool) -> None:
    assert may_copy(pattern, path) is may


_FAMILY = {
    "Dockerfile": "FROM debian:12\nCOPY . /\n",
    ".dockerignore": "*.md\n",
    "images/ml/Dockerfile": "FROM debian:12\nCOPY . /\n",
    "images/ml/x": "1",
    "images/ml-gpu/Dockerfile": "FROM debian:12\nCOPY . /\n",
    "docker/r.Dockerfile": "FROM debian:12\nCOPY . /\n",
    "r/x": "1",
    "dsci.yaml": "images: {root: {dockerfile: Dockerfile}, r: {context: r, dockerfile: docker/r.Dockerfile}}",
}


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("images/ml/x", "ml root"),
        ("images/ml/deep/er", "ml root"),
        ("images/ml-gpu/x", "ml-gpu root"),
        ("images/ml", "root"),
        ("r/x", "r root"),
        ("docker/r.Dockerfile", "r root"),
        ("README.md", ""),
        ("r/README.md", "r root"),
        (".dockerignore", "root"),
        ("dsci.yaml", ""),
        ("Dockerfile", "root"),
    ],
)
def test_a_watch_says_what_every_filter_says(path: str, owners: str) -> None:
    shot = look(_FAMILY)
    watch = Watch((str(name.image), given) for name, given in shot.inputs.items())
    asked = {str(name.image) for name, given in shot.inputs.items() if given.touches(path)}
    assert watch.touched(path) == asked == set(owners.split())
    assert watch.touched(path) == asked, "also when it is asked again"
    assert watch.touched_by([path]) == watch.touched_by([path, path]) == asked and not watch.touched_by([])
