"""What `dsci lint` says of container-structure-test files: each kind of note where it belongs, and nowhere else."""

from __future__ import annotations

import re
import time
from pathlib import Path
from textwrap import dedent

import pytest

from dsci.suites import structurefile
from dsci.suites.structurekinds import KINDS
from dsci.suites.structurelint import Note, lint, unreadable

OLD = 'schemaVersion: "1.0.0"\n'
NEW = 'schemaVersion: "2.0.0"\n'
JSON = '{"schemaVersion": "2.0.0",\n'


def _command(*rest: str) -> str:
    return NEW + "commandTests:\n- name: a\n  command: sh\n" + "".join(f"  {line}\n" for line in rest)


#: By kind: files that show it, with its line in each and what is said, and files almost like them that do not.
SHOWN: dict[str, list[tuple[str, int, str]]] = {
    "unreadable": [
        (NEW + "commandTest: []\n", 2, "unknown key 'commandTest' (did you mean 'commandTests'?)"),
        (NEW + "commandTests: [\n", 3, "not valid YAML"),
        ('schemaVersion: "3.0.0"\n', 0, "schemaVersion '3.0.0' is not known"),
    ],
    "driver": [(_command() + "driverargs: {image: x}\n", 5, "unknown key 'driverargs'")],
    "no-tests": [
        (NEW, 1, "no test"),
        (NEW + "commandTests: []\nmetadataTest: {}\n", 1, "no test"),
    ],
    "invalid-test": [
        (NEW + 'commandTests:\n- {name: a, command: "true"}\n- {name: b}\n', 4, "commandTests.1.command is empty"),
        (NEW + "fileExistenceTests:\n- {path: /x}\n", 3, "fileExistenceTests.0.name is empty"),
        (NEW + "\nmetadataTest: {volumes: ['']}\n", 3, "metadataTest.volumes has an empty one"),
    ],
    "skipped-test": [
        (OLD + "commandTests:\n- {name: a, command: []}\n", 3, "commandTests.0.command is empty"),
        (OLD + "fileContentTests:\n- {name: a}\n", 3, "fileContentTests.0.path is empty"),
        (OLD + "fileExistenceTests:\n- {path: /x}\n", 3, "fileExistenceTests.0.name is empty"),
    ],
    "empty-path": [(OLD + "fileExistenceTests:\n- {name: a}\n", 3, "fileExistenceTests.0.path is empty")],
    "executable-by": [
        (NEW + "fileExistenceTests:\n- name: a\n  path: /x\n  isExecutableBy: me\n", 5, "owner, group, other, any"),
    ],
    "pattern": [
        (_command("expectedOutput:", "- fine", "- (a"), 7, "'(a' is no regular expression"),
        (_command("excludedError: ['(?<=a)b']"), 5, "'(?<=a)b' is no regular expression"),
        (
            NEW + "fileContentTests:\n- name: a\n  path: /x\n  excludedContents:\n  - '['\n",
            6,
            "'[' is no regular expression",
        ),
        (
            NEW + "metadataTest:\n  labels:\n  - {key: a, value: b}\n  - {key: c, value: '*', isRegex: true}\n",
            5,
            "'*' is no regular expression",
        ),
    ],
    "dollar": [
        (_command("args:", "- -c", "- awk '{print $1}'"), 7, "$1 in args.1"),
        (_command("args: [-c, 'echo ${X:-y}']"), 5, "${X:-y} in args.1"),
        (_command("args: [-c, 'exit $?']"), 5, "$? in args.1"),
        (_command("args: [-c, 'echo ${']"), 5, "${ in args.1"),
        (NEW + "commandTests:\n- {name: a, command: $0}\n", 3, "$0 in command"),
        (OLD + "commandTests:\n- name: a\n  command:\n  - echo\n  - $@\n", 6, "$@ in command.1"),
        (NEW + "fileExistenceTests:\n- name: a\n  path: /x$$\n", 4, "$$ in path"),
    ],
    "late-variable": [
        (_command("args: [-c, 'echo $X']", "envVars: [{key: X, value: y}]"), 5, "$X in args.1"),
        (
            _command("args: [-c, 'echo ${X}']") + "containerRunOptions: {envVars: [X]}\n",
            5,
            "${X} in args.1",
        ),
        (_command("args: [-c, 'X=1; echo $X']"), 5, "$X in args.1"),
        (_command("args: [-c, 'for f in *; do echo $f; done']"), 5, "$f in args.1"),
        (_command("args: [-c, 'read a b; echo $b']"), 5, "$b in args.1"),
    ],
    "unexpanded-path": [
        (NEW + "fileContentTests:\n- name: a\n  path: $HOME/x\n", 4, "$HOME in path"),
        (NEW + "licenseTests:\n- files:\n  - /x\n  - ${A}/x\n", 5, "${A} in files.1"),
    ],
    "old-path": [(OLD + "fileExistenceTests:\n- name: a\n  path: $HOME/x\n", 4, "$HOME in path")],
    "setup": [
        (_command("setup: [[true], [true]]"), 5, "setup has 2 steps"),
        (OLD + "commandTests:\n- name: a\n  command: [x]\n  setup: [[y]]\n", 5, "setup has 1 step"),
    ],
    "teardown": [(_command("teardown: [[true]]"), 5, "teardown")],
    "lost-variables": [
        (
            _command("envVars: [{key: X, value: y}, {key: Z, value: y}]") + "containerRunOptions: {user: x}\n",
            5,
            "envVars X, Z",
        ),
    ],
    "host-variables": [(_command() + "containerRunOptions:\n  envVars: [A, B]\n", 6, "envVars: A, B")],
    "env-file": [(_command() + "containerRunOptions:\n  envFile: x.env\n", 6, "envFile: x.env")],
    "capabilities": [(_command() + "containerRunOptions:\n  capabilities: [SYS_ADMIN]\n", 6, "SYS_ADMIN")],
    "bind-mounts": [(_command() + "containerRunOptions:\n  bindMounts: ['/a:/b']\n", 6, "/a:/b")],
    "privileged": [(_command() + "containerRunOptions:\n  privileged: true\n", 6, "privileged: true")],
    "terminal": [(_command() + "containerRunOptions:\n  allocateTty: true\n", 6, "allocateTty: true")],
    "protocol": [
        (NEW + "metadataTest:\n  exposedPorts:\n  - '80'\n  - 53/udp\n", 5, "53/udp in exposedPorts"),
        (NEW + "metadataTest:\n  unexposedPorts: [53/udp]\n", 3, "53/udp in unexposedPorts"),
    ],
    "empty-text": [
        (NEW + "metadataTest:\n  user: ''\n", 3, "user is empty"),
        (NEW + "metadataTest:\n  user: x\n  workdir: ''\n", 4, "workdir is empty"),
    ],
    "json-key": [
        (JSON + '"commandTests": [{"name": "a", "command": "x",\n"expected": []}]}', 3, "commandTests.0.expected"),
        (JSON + '\t"licenseTests": [{"debian": true}],\n\t"more": 1}', 3, "unknown key more"),
    ],
    "json-repeated": [
        (JSON + '"metadataTest": {"user": "x"},\n"METADATATEST": {"workdir": "/"}}', 3, "metadataTest is given again"),
    ],
    "json-absent": [
        (JSON + '"fileExistenceTests": [\n{"name": "a", "path": "/x"}]}', 3, "fileExistenceTests.0 does not say"),
    ],
    "json-owner": [
        (
            JSON + '"fileExistenceTests": [\n{"name": "a", "path": "/x", "shouldExist": true, "gid": -1}]}',
            3,
            "fileExistenceTests.0 does not say uid",
        ),
    ],
    "more-documents": [
        (_command() + "---\ncommandTests: []\n", 5, "another document"),
        (_command() + "--- [\n", 5, "another document"),
    ],
}
NOT_SHOWN: dict[str, list[str]] = {
    "driver": [_command("envVars: [{key: driverargs, value: x}]")],
    "no-tests": [_command(), NEW + "metadataTest: {entrypoint: []}\n", NEW + "licenseTests: [{debian: true}]\n"],
    "invalid-test": [_command(), OLD + "commandTests:\n- {name: a, command: []}\n"],
    "skipped-test": [NEW + "fileContentTests:\n- {name: a}\n", OLD + "fileExistenceTests:\n- {name: a}\n"],
    "empty-path": [NEW + "fileExistenceTests:\n- {name: a}\n"],
    "executable-by": [NEW + "fileExistenceTests:\n- {name: a, path: /x, isExecutableBy: any}\n"],
    "pattern": [
        _command(r"expectedOutput: ['\Qa(\E', '(?i)x']"),
        NEW + "metadataTest: {labels: [{key: a, value: '*'}]}",
    ],
    "dollar": [
        _command("args: [-c, 'echo $(date) $HOME ${HOME} 5$ ${DOLLAR}1']"),
        _command("args: [-c, x]", "expectedOutput: ['^a$1']", "setup: [[sh, -c, 'echo $1']]"),
    ],
    "late-variable": [
        _command("args: [-c, 'PATH=/x:$PATH run']"),
        _command("args: [-c, 'echo $X']", "setup: [[true]]", "envVars: [{key: X, value: y}]"),
        _command("args: [-c, 'echo $X']", "envVars: [{key: X, value: y}]") + "globalEnvVars: [{key: X, value: z}]\n",
        _command("args: [-c, 'OX=1; echo $X']"),
        _command("args: [-c, 'X=1; echo ${DOLLAR}X']"),
    ],
    "unexpanded-path": [NEW + "fileExistenceTests:\n- {name: a, path: $HOME/x}\n"],
    "old-path": [NEW + "fileExistenceTests:\n- {name: a, path: $HOME/x}\n", OLD + "commandTests: []\n"],
    "setup": [_command("setup: []")],
    "teardown": [_command("teardown: []")],
    "lost-variables": [
        _command("envVars: [{key: X, value: y}]"),
        _command("envVars: [{key: X, value: y}]") + "containerRunOptions: {user: ''}\n",
        _command() + "containerRunOptions: {user: x}\nglobalEnvVars: [{key: X, value: y}]\n",
    ],
    "host-variables": [_command() + "containerRunOptions: {envVars: []}\n"],
    "env-file": [_command() + "containerRunOptions: {envFile: ''}\n"],
    "capabilities": [_command() + "containerRunOptions: {capabilities: []}\n"],
    "bind-mounts": [_command() + "containerRunOptions: {bindMounts: []}\n"],
    "privileged": [_command() + "containerRunOptions: {privileged: false}\n"],
    "terminal": [_command() + "containerRunOptions: {allocateTty: no}\n"],
    "protocol": [NEW + "metadataTest: {exposedPorts: ['53'], unexposedPorts: [80]}\n"],
    "empty-text": [NEW + "metadataTest: {user: root}\n"],
    "json-key": [JSON + '"commandtests": [{"NAME": "a", "command": "x"}]}'],
    "json-repeated": [JSON + '"commandTests": [{"name": "a", "command": "x"}, {"name": "a", "command": "x"}]}'],
    "json-absent": [
        JSON + '"fileExistenceTests": [{"name": "a", "path": "/x", "shouldexist": false}]}',
        NEW + "fileExistenceTests: [{name: a, path: /x}]\n",
    ],
    "json-owner": [
        JSON + '"fileExistenceTests": [{"name": "a", "path": "/x", "shouldExist": false}]}',
        JSON + '"fileExistenceTests": [{"name": "a", "path": "/x", "shouldExist": true, "uid": -1, "gid": 0}]}',
        JSON.replace("2.0.0", "1.0.0") + '"fileExistenceTests": [{"name": "a", "path": "/x", "shouldExist": true}]}',
    ],
    "more-documents": [_command(), "---\n" + _command() + "...\n"],
}


def _file(text: str) -> str:
    return "s.json" if text.startswith("{") else "s.yaml"


def _of(kind: str, text: str) -> list[Note]:
    return [note for note in lint(text, file=_file(text)) if note.kind == kind]


def _ids(cases: dict[str, list[tuple[str, int, str]]]) -> list[str]:
    return [f"{kind}-{n}" for kind, shown in cases.items() for n in range(len(shown))]


@pytest.mark.parametrize(
    ("kind", "text", "line", "says"),
    [(kind, *case) for kind, shown in SHOWN.items() for case in shown],
    ids=_ids(SHOWN),
)
def test_a_note_stands_at_its_line(kind: str, text: str, line: int, says: str) -> None:
    (note,) = _of(kind, text)
    assert note.place == (f"{_file(text)}:{line}" if line else _file(text))
    assert says in note.says


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOT_SHOWN.items() for text in texts])
def test_what_is_no_trouble_is_not_told(kind: str, text: str) -> None:
    assert structurefile.read(text, file=_file(text))
    assert _of(kind, text) == []


def test_every_kind_is_shown_here() -> None:
    assert {*SHOWN, "link"} == set(KINDS)
    assert {*NOT_SHOWN, "link", "unreadable"} == set(KINDS)


def test_a_good_file_gives_no_note() -> None:
    text = _command("args: [-c, 'id -un']", 'expectedOutput: ["^me\\n$"]') + dedent("""\
        fileExistenceTests: [{name: a, path: $HOME, isExecutableBy: owner}]
        fileContentTests: [{name: a, path: /x, expectedContents: [x]}]
        metadataTest: {exposedPorts: ['80'], user: me}
        containerRunOptions: {user: me}
        """)
    assert lint(text, file="s.yaml") == []


def test_notes_come_by_their_lines_whatever_they_are() -> None:
    text = "\n" * 4 + _command("args: [-c, 'echo $1']", "expectedOutput: ['(']", "teardown: [[x]]")
    assert [(note.kind, note.place) for note in lint(text, file="s.yaml")] == [
        ("dollar", "s.yaml:9"),
        ("pattern", "s.yaml:10"),
        ("teardown", "s.yaml:11"),
    ]


def test_all_that_keeps_a_file_from_being_read_is_told() -> None:
    found = lint(NEW + "a: 1\ncommandTests: []\nb: 2\n", file="s.yaml")
    assert [(note.kind, note.place) for note in found] == [("unreadable", "s.yaml:2"), ("unreadable", "s.yaml:4")]


def test_json_that_yaml_cannot_read_has_no_lines() -> None:
    text = JSON + '"fileExistenceTests": [{"name": "\x7f", "path": "/$1"}]}'
    assert [(note.kind, note.place) for note in lint(text, file="s.json")] == [("dollar", "s.json")]


def test_a_long_command_is_looked_at_in_good_time() -> None:
    """A text grows, and the time with it, not with its square."""
    words = " ".join(f"v{n}={n}$v{n}" for n in range(20_000))
    began = time.process_time()
    assert len(_of("late-variable", _command(f"args: [-c, '{words} $v0']"))) == 1
    assert time.process_time() - began < 10


def test_a_link_is_no_fault_of_the_file() -> None:
    said = "suites/a.yaml is a link or a submodule, and a suite takes files only"
    assert unreadable(said, file="suites/a.yaml").kind == "link"


def test_the_documentation_shows_every_kind() -> None:
    """Its table says the same as the program does, word for word."""
    page = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()
    tables = page.partition("### What dsci refuses")[2].partition("### What the image decides")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", tables, re.MULTILINE))
    assert rows == {
        name: f"{kind.theirs} | {kind.ours} | {kind.cure}".replace("||", r"\|\|") for name, kind in KINDS.items()
    }
