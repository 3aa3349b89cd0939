"""`dsci lint` as people call it, in repositories of their own and outside any; no engine and no registry answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.repository import CLEAN, Repo

GOOD = 'schemaVersion: "2.0.0"\nfileExistenceTests:\n- {name: there, path: /x}\n'
NOTED = 'schemaVersion: "2.0.0"\nmetadataTest:\n  user: x\n  exposedPorts: [53/udp]\n'
WRONG = 'schemaVersion: "2.0.0"\nfileContentTests:\n- {name: a, path: /x, expectedContents: ["("]}\n'
FILES = {
    "images/base/Dockerfile": "FROM debian:bookworm-slim\nCOPY x /x\n",
    "images/base/x": "0",
    "images/base/suites/base.yaml": NOTED,
    "images/ml/Dockerfile": "FROM base\nRUN true\n",
    "suites/ml/ml.yml": GOOD,
    "images/ml/suites/test_it.py": "def test_it(): pass\n",
    "images/r/Dockerfile": "FROM scratch\nCOPY x /x\n",
    "images/r/x": "0",
    "images/r/suites/r.yaml": GOOD,
}

Ended = subprocess.CompletedProcess[str]
Lint = Callable[..., Ended]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "repo")
    made.commit("feat: a family", FILES)
    return made


@pytest.fixture
def lint(tmp_path: Path) -> Lint:
    def run(folder: Path, *words: str) -> Ended:
        nobody = {"DOCKER_HOST": "tcp://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
        return subprocess.run(
            [sys.executable, "-m", "dsci", "lint", *words],
            cwd=folder,
            env={**os.environ, **CLEAN, **nobody, "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def _first(ended: Ended) -> list[str]:
    """The lines of the notes."""
    return ended.stdout.partition("\n\n")[0].splitlines()


def test_every_structure_suite_of_the_family_is_looked_at(lint: Lint, repo: Repo) -> None:
    ended = lint(repo.folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert _first(ended) == ["images/base/suites/base.yaml:4: note: protocol: 53/udp in exposedPorts"]
    assert ended.stdout.endswith("\n3 files: 0 wrong, 1 to note\n")
    assert "container-structure-test never finds" in ended.stdout and "dsci compares the protocol" in ended.stdout


def test_a_note_fails_only_where_that_is_asked_for(lint: Lint, repo: Repo) -> None:
    strict = lint(repo.folder, "--strict")
    assert (strict.returncode, strict.stdout) == (2, lint(repo.folder).stdout)
    assert lint(repo.folder, "r", "--strict").returncode == 0


def test_images_are_looked_at_with_what_they_inherit(lint: Lint, repo: Repo) -> None:
    looked = {
        name: [each["file"] for each in json.loads(lint(repo.folder, name, "--json").stdout)] for name in ("ml", "r")
    }
    assert looked == {"ml": ["images/base/suites/base.yaml", "suites/ml/ml.yml"], "r": ["images/r/suites/r.yaml"]}
    unknown = lint(repo.folder, "mll")
    assert unknown.returncode == 2 and "did you mean 'ml'?" in unknown.stderr


def test_the_work_tree_is_what_counts(lint: Lint, repo: Repo) -> None:
    """What `dsci test` would run: changed, added and removed files, committed or not."""
    repo.write({"suites/ml/ml.yml": WRONG, "images/r/suites/new.yaml": "a: 1\n"})
    repo.path("images/base/suites/base.yaml").unlink()
    ended = lint(repo.folder)
    assert ended.returncode == 2
    assert _first(ended) == [
        "images/r/suites/new.yaml: wrong: unreadable: schemaVersion is missing",
        "suites/ml/ml.yml:3: wrong: pattern: '(' is no regular expression: missing ): (",
    ]
    assert ended.stdout.endswith("\n3 files: 2 wrong, 0 to note\n")


def test_suites_of_our_own_are_read_as_they_would_be(lint: Lint, repo: Repo) -> None:
    own = "checks:\n- run: echo\n  stdot: x\n- http: /\n"
    repo.write({"images/r/suites/own.yaml": own, "images/r/suites/right.yaml": "checks: [{run: echo}]\n"})
    ended = lint(repo.folder, "r")
    assert ended.returncode == 2
    assert _first(ended) == [
        "images/r/suites/own.yaml:3: wrong: unreadable: checks.0: unknown key 'stdot' (did you mean 'stdout'?)"
    ]
    repo.write({"images/r/suites/own.yaml": own.replace("stdot", "stdout")})
    said = "checks.1: http looks at the image while it runs: say how it is started, if only by `start: {}`"
    assert _first(lint(repo.folder, "r")) == [f"images/r/suites/own.yaml:4: wrong: unreadable: {said}"]


def test_a_link_in_place_of_a_file_is_told_and_the_others_are_looked_at(lint: Lint, repo: Repo) -> None:
    repo.path("images/r/suites/there.yaml").symlink_to("r.yaml")
    ended = lint(repo.folder, "r")
    assert ended.returncode == 2
    (told,) = _first(ended)
    assert told.startswith("images/r/suites/there.yaml: wrong: link: ")
    assert ended.stdout.endswith("\n2 files: 1 wrong, 0 to note\n")


def test_json_says_it_all_at_once(lint: Lint, repo: Repo) -> None:
    ended = lint(repo.folder, "base", "--json")
    assert json.loads(ended.stdout) == [
        {
            "file": "images/base/suites/base.yaml",
            "notes": [
                {
                    "place": "images/base/suites/base.yaml:4",
                    "kind": "protocol",
                    "wrong": False,
                    "says": "53/udp in exposedPorts",
                    "container_structure_test": "never finds a port that is written with its protocol: fails where it "
                    "must be exposed, passes where it must not be",
                    "dsci": "compares the protocol",
                    "instead": "write the port alone, if any protocol will do",
                }
            ],
        }
    ]


def test_files_anywhere_in_no_repository(lint: Lint, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "noted.json").write_text(
        '{"schemaVersion": "2.0.0",\n "fileExistenceTests": [\n  {"name": "a", "path": "/x"}]}'
    )
    good = lint(tmp_path, "--config", "good.yaml")
    assert (good.returncode, good.stdout) == (0, "1 file: 0 wrong, 0 to note\n")
    noted = lint(tmp_path, "-c", "noted.json")
    assert noted.returncode == 0
    assert _first(noted) == ["noted.json:3: note: json-absent: fileExistenceTests.0 does not say shouldExist"]
    all_of_them = lint(
        tmp_path, *(word for name in ("good.yaml", "no.yaml", "wrong.yaml", "x.txt") for word in ("-c", name))
    )
    assert all_of_them.returncode == 2
    assert _first(all_of_them) == [
        "no.yaml: wrong: unreadable: No such file or directory",
        "wrong.yaml:3: wrong: pattern: '(' is no regular expression: missing ): (",
        "x.txt: wrong: unreadable: neither YAML nor JSON by its name",
    ]


def test_without_a_repository_a_file_has_to_be_named(lint: Lint, tmp_path: Path) -> None:
    assert lint(tmp_path).returncode == 3
    both = lint(tmp_path, "ml", "--config", "x.yaml")
    assert both.returncode == 2 and "exclude each other" in both.stderr


def test_what_files_say_is_harmless_to_show(lint: Lint, tmp_path: Path) -> None:
    """No escape sequence, no line of its own, no command to a CI runner."""
    (tmp_path / "bad.yaml").write_text(
        'schemaVersion: "2.0.0"\nfileContentTests: [{name: a, path: "${\\e[31m\\n::stop-commands::x}"}]\n'
    )
    ended = lint(tmp_path, "-c", "bad.yaml")
    assert _first(ended) == ["bad.yaml:2: note: unexpanded-path: ${ ::stop-commands::x} in path"]
    assert "\x1b" not in ended.stdout


def test_compose_files_and_the_checks_beside_them(repo: Repo, lint: Lint) -> None:
    folder = "images/ml/suites/pair"
    repo.commit(
        "test: services",
        {
            f"{folder}/compose.yaml": "services:\n  a: {image: x, env_file: /etc/x}\n  b: {image: x}\n",
            f"{folder}/checks.yaml": "checks:\n- {run: x, service: a}\n- {run: x, service: c}\n",
            f"{folder}/settings.yaml": "theirs: 1\n",
            f"{folder}/deeper/checks.yaml": "checks: []\n",
        },
    )
    ended = lint(repo.folder, "ml", "--json")
    assert ended.returncode == 2
    found = {
        each["file"]: [f"{note['place']}: {note['says']}" for note in each["notes"]]
        for each in json.loads(ended.stdout)
    }
    assert {file: notes for file, notes in found.items() if file.startswith(folder)} == {
        f"{folder}/checks.yaml": [f"{folder}/checks.yaml:3: checks.1.service: name one of a, b"],
        f"{folder}/compose.yaml": [
            f"{folder}/compose.yaml:2: services.a.env_file: the file /etc/x is not taken in a suite"
        ],
    }
