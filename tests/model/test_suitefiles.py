"""Which files of a folder make which suite, and which of them are tests."""

from __future__ import annotations

import pytest
from tests.model.builders import tree

from dsci.model import suitefiles
from dsci.model.limits import DEFAULT

ROOT = "images/x/suites"
TESTS = {
    "pytest": ("test_a.py", "sub/a_test.py"),
    "notebooks": ("tour.ipynb", "sub/tour.ipynb"),
    "r": ("test-a.R", "test_a.r", "sub/test.a.R", "a-test.R"),
    "shell": ("test_a.sh", "test-a.sh", "a_test.sh", "any name.bats", "sub/a.bats"),
}
OTHERS = (
    *(
        "conftest.py",
        "mytest_.py",
        "data.csv",
        "helper.R",
        "testthat.R",
        "setup-a.R",
        "lib.sh",
        "latest.sh",
        "x.bats.bak",
    ),
    *(".ipynb_checkpoints/tour-checkpoint.ipynb", "sub/.venv/test_a.py", ".x/test_a.sh", ".ipynb"),
)


@pytest.mark.parametrize("kind", TESTS)
def test_files_of_one_kind_are_one_suite_with_all_that_lies_there(kind: str) -> None:
    files = sorted(f"{ROOT}/{name}" for name in (*TESTS[kind], *OTHERS))
    (suite,) = suitefiles.below("x", ROOT, tree(dict.fromkeys(files, "")), (), DEFAULT)
    assert (suite.name, suite.kind, suite.path, suite.files) == (f"x/{kind}", kind, ROOT, tuple(files))
    assert suitefiles.tests(suite) == tuple(sorted(f"{ROOT}/{name}" for name in TESTS[kind]))


def test_several_kinds_in_one_folder() -> None:
    files = {f"{ROOT}/{names[0]}": "" for names in TESTS.values()} | {f"{ROOT}/checks.yaml": ""}
    found = suitefiles.below("x", ROOT, tree(files), (), DEFAULT)
    assert [suite.kind for suite in found] == ["structure", "pytest", "notebooks", "r", "shell"]
    assert all(f"{ROOT}/checks.yaml" not in suite.files for suite in found[1:])


@pytest.mark.parametrize("path", ["checks/test_a.sh", "test_a.sh", ".ci/test_a.sh"])
def test_a_file_that_is_named_itself_stands_alone(path: str) -> None:
    files = {path: "", "checks/test_b.sh": "", ".ci/test_b.sh": ""}
    (suite,) = suitefiles.below("x", path, tree(files), (), DEFAULT)
    assert suite.files == (path,) == suitefiles.tests(suite)
    assert suite.path == path.rpartition("/")[0]


def test_where_nothing_is_a_test_there_is_no_suite() -> None:
    assert suitefiles.below("x", ROOT, tree({f"{ROOT}/{name}": "" for name in OTHERS}), (), DEFAULT) == []
