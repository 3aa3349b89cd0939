"""Suites that run beside the image's own containers: modules on this machine, and services of a compose file."""

from __future__ import annotations

from tests.model.builders import tree

from dsci.model import suitefiles
from dsci.model.limits import DEFAULT

ROOT = "images/x/suites"


def found(*names: str) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    files = dict.fromkeys((f"{ROOT}/{name}" for name in names), "")
    suites = suitefiles.below("x", ROOT, tree(files), ("host-tests",), DEFAULT)
    assert all(suite.allow == ("host-tests",) for suite in suites)
    return {suite.name: (suite.kind, suite.path, suite.files) for suite in suites}


def test_modules_below_host_run_here_with_all_that_lies_there() -> None:
    files = ("host/conftest.py", "host/data/x", "host/deeper/test_b.py")
    assert found(*files, "test_a.py") == {
        "x/pytest": ("pytest", ROOT, (f"{ROOT}/test_a.py",)),
        "x/host": ("host", f"{ROOT}/host", tuple(f"{ROOT}/{name}" for name in files)),
    }
    assert found("host/conftest.py", "hosts/x") == {}


def test_a_folder_with_a_compose_file_is_a_suite_of_services() -> None:
    pair = ("pair/checks.yaml", "pair/compose.yaml", "pair/conf/x.yml", "pair/test_a.py")
    assert found(*pair, "other/docker-compose.yml", "decompose.yaml", "sub/compose.yaml.bak") == {
        "x/decompose": ("structure", f"{ROOT}/decompose.yaml", (f"{ROOT}/decompose.yaml",)),
        "x/other": ("service", f"{ROOT}/other", (f"{ROOT}/other/docker-compose.yml",)),
        "x/pair": ("service", f"{ROOT}/pair", tuple(f"{ROOT}/{name}" for name in pair)),
    }


def test_what_is_a_module_and_what_a_compose_file() -> None:
    assert all(map(suitefiles.is_module, ("test_a.py", "x/a_test.py")))
    assert not any(map(suitefiles.is_module, ("a.py", "test_a.sh", "testa.py")))
    assert all(
        map(suitefiles.is_compose, ("compose.yaml", "x/compose.yml", "docker-compose.yml", "docker-compose.yaml"))
    )
    assert not any(map(suitefiles.is_compose, ("compose.json", "xcompose.yaml", "compose.override.yaml")))


def test_which_files_of_a_suite_are_tests_themselves() -> None:
    names = tuple(f"{ROOT}/{name}" for name in ("conftest.py", "test_a.py", "x/b_test.py"))
    (suite,) = suitefiles.below("x", ROOT, tree(dict.fromkeys(names, "")), (), DEFAULT)
    assert (suite.files, suitefiles.tests(suite)) == (names, names[1:])
