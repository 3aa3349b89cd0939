"""What a container-structure-test file may say, as Go reads it: scalars, merged keys, JSON, both schemas.

Every row was seen to be so in the real program (tests/oracle compares them again).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.realengine import NATIVE

from dsci.errors import ConfigError
from dsci.suites import structurefile
from dsci.suites.structurefile import FileExistenceTest
from dsci.suites.subject import Still, Subject

HEAD = 'schemaVersion: "2.0.0"\n'


def one(fields: str, head: str = HEAD) -> FileExistenceTest:
    tests, _ = structurefile.read(f"{head}fileExistenceTests:\n- {{{fields}}}\n", file="s.yaml")
    return tests.file_existence_tests[0]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(
            ("0xc", 12),
            ("0XC", 12),
            ("014", 12),
            ("0o14", 12),
            ("0b1100", 12),
            ("12.0", 12),
            ("12.7", 12),
            ("1.2e1", 12),
        ),
        *(("1_2", 12), ("+12", 12), ("-1", -1), ("~", 0), ("", 0), ("null", 0), ('!!int "12"', 12)),
    ],
)
def test_numbers(text: str, number: int) -> None:
    assert one(f"name: a, path: /t, uid: {text}").uid == number


@pytest.mark.parametrize("text", ['"12"', "x", "0:12", "99999999999999999999", ".inf", "[1]", "{a: 1}", "1e400"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ConfigError, match=r"s.yaml:3: fileExistenceTests.0.uid: expected a whole number"):
        one(f"name: a, path: /t, uid: {text}")


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("yes", True),
        ("on", True),
        ("y", True),
        ("TRUE", True),
        ("no", False),
        ("n", False),
        ("Off", False),
        ("", False),
    ],
)
def test_truth(text: str, truth: bool) -> None:
    assert one(f"name: a, path: /t, shouldExist: {text}").should_exist is truth


@pytest.mark.parametrize("text", ['"no"', "0", "maybe", "tRUE", "[]"])
def test_what_is_no_truth(text: str) -> None:
    with pytest.raises(ConfigError, match="expected true or false"):
        one(f"name: a, path: /t, shouldExist: {text}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(("1.10", "1.10"), ("2024-01-02", "2024-01-02"), ("yes", "yes"), ("0x1", "0x1"), ("~", ""), ("null", "")),
        *(('"null"', "null"), ("!!binary aGk=", "hi"), ("!!str 1", "1"), ("!foo x", "x"), ("!!binary '*'", "*")),
    ],
)
def test_texts_stay_as_they_are_written(text: str, name: str) -> None:
    assert one(f"name: {text}, path: /t").name == name


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("- &a {name: a, path: /a}\n- {<<: *a, name: b}\n", [("a", "/a"), ("b", "/a")]),
        ("- &a {name: a, path: /a}\n- {name: b, <<: *a}\n", [("a", "/a"), ("a", "/a")]),
        ("- &a {name: a, path: /a}\n- &b {name: b}\n- {<<: [*b, *a]}\n", [("a", "/a"), ("b", ""), ("b", "/a")]),
        ("- &a {name: a, path: /a}\n- {<<: {<<: *a, path: /b}}\n", [("a", "/a"), ("a", "/b")]),
        ('- {"<<": x}\n', None),
        ("- {<<: x}\n", None),
        ("- {<<: [x]}\n", None),
        ("- {name: a, name: b}\n", None),
    ],
)
def test_what_is_merged(rows: str, found: list[tuple[str, str]] | None) -> None:
    text = f"{HEAD}fileExistenceTests:\n{rows}"
    if found is None:
        with pytest.raises(ConfigError):
            structurefile.read(text, file="s.yaml")
        return
    tests, _ = structurefile.read(text, file="s.yaml")
    assert [(test.name, test.path) for test in tests.file_existence_tests] == found


def test_the_first_document_counts() -> None:
    assert one("name: a, path: /t}\n---\n{x: 1").name == "a"


def test_lists_of_nothing() -> None:
    tests, _ = structurefile.read(
        f"{HEAD}commandTests:\nfileContentTests:\n- {{expectedContents: , excludedContents: [~]}}\n- \n", file="s.yaml"
    )
    first, second = tests.file_content_tests
    assert (tests.command_tests, first.expected_contents, first.excluded_contents, second.name) == ((), (), ("",), "")


def test_the_older_schema() -> None:
    rows = "commandTests: [{name: a, command: [ls, -l, /]}, {name: b}]\nfileExistenceTests: [{name: c, path: /}]\n"
    tests = structurefile.read(f'schemaVersion: "1.0.0"\n{rows}', file="s.yaml")[0]
    assert [(test.command, test.args) for test in tests.command_tests] == [("ls", ("-l", "/")), ("", ())]
    assert tests.file_existence_tests == (FileExistenceTest(name="c", path="/"),)
    with pytest.raises(ConfigError, match="unknown key 'uid'"):
        one("name: a, path: /t, uid: 1", 'schemaVersion: "1.0.0"\n')


def _json(value: object) -> structurefile.StructureFile:
    return structurefile.read(json.dumps(value), file="s.json")[0]


def test_json_has_no_defaults_and_any_case() -> None:
    test = {"NAME": "a", "Path": "/t", "unknown": {"x": 1}}
    found = _json({"SchemaVersion": "2.0.0", "FILEEXISTENCETESTS": [test], "zz": None}).file_existence_tests
    assert found == (FileExistenceTest(name="a", path="/t", should_exist=False, uid=0, gid=0),)
    assert _json({"schemaVersion": "2.0.0", "fileExistenceTests": [None]}).file_existence_tests[0].name == ""
    old = _json({"schemaVersion": "1.0.0", "fileExistenceTests": [{"path": "/t"}]}).file_existence_tests[0]
    assert (old.should_exist, old.uid) == (False, -1)
    metadata = _json({"schemaVersion": "2.0.0", "metadataTest": {"entrypoint": [], "cmd": None}}).metadata_test
    assert metadata is not None and (metadata.entrypoint, metadata.cmd) == ((), None)


@pytest.mark.parametrize(
    "value",
    [
        *([], 7, None, {}, {"schemaVersion": 2}, {"schemaVersion": "3"}),
        {"schemaVersion": "2.0.0", "fileExistenceTests": [7]},
        {"schemaVersion": "2.0.0", "fileExistenceTests": [{"name": 1}]},
        {"schemaVersion": "2.0.0", "fileExistenceTests": {"name": "a"}},
        {"schemaVersion": "2.0.0", "commandTests": [{"exitCode": 1.5}]},
    ],
)
def test_json_of_another_form(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^s\.json: "):
        _json(value)


def test_what_is_no_json() -> None:
    for text in ("", "{", '{"schemaVersion": "2.0.0"} x', "[" * 100_000):
        with pytest.raises(ConfigError, match="not valid JSON"):
            structurefile.read(text, file="s.json")


@pytest.fixture
def variables(tmp_path: Path) -> Callable[[str], Any]:
    engine: Any = SimpleNamespace(config=print, container=print)  # It is not asked.

    def read(text: str) -> Any:
        (tmp_path / "env").write_text(text)
        subject = Subject(
            engine=engine,
            image="x",
            platform=NATIVE,
            still=Still(engine, "x", NATIVE),
            read=lambda path: (tmp_path / path).read_bytes(),
            executable=lambda _: False,
        )
        return subject.variables("env")

    return read


def test_files_of_variables(variables: Callable[[str], Any]) -> None:
    """As godotenv reads them; what is empty is not there."""
    text = "A=1\nexport B = two words # comment\nC: colon\nD=\"quoted $A\"\nE='raw $A'\nF=$A-${B}\n# G=1\nH=\n\nI=x=y\n"
    assert variables(text) == {
        "A": "1",
        "B": "two words",
        "C": "colon",
        "D": "quoted 1",
        "E": "raw $A",
        "F": "1-two words",
        "I": "x=y",
    }
