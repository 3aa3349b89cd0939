"""What `dsci lint` says of the two programs, seen: the real container-structure-test beside dsci's own reading.

Each file shows one kind of trouble and has tests that come out as its note says. A verdict is a word: P passed, F
failed, and nothing where there is no such test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import realengine
from tests.oracle.test_structuretest import IMAGE, ORACLE, results
from tests.realengine import NATIVE

from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import Run
from dsci.errors import ConfigError
from dsci.model.reference import Reference
from dsci.model.report import Verdict
from dsci.suites import structure, structurefile
from dsci.suites.structurekinds import KINDS
from dsci.suites.structurelint import lint
from dsci.suites.subject import Still, Subject

OLD = 'schemaVersion: "1.0.0"\n'
NEW = 'schemaVersion: "2.0.0"\n'
JSON = '{"schemaVersion": "2.0.0", '
REFUSED = "refused"


def _options(text: str, command: str) -> str:
    return f"{NEW}commandTests: [{command}]\ncontainerRunOptions: {text}\n"


#: By kind: a file, the verdicts of container-structure-test, and ours.
SEEN: list[tuple[str, str, str, str]] = [
    ("unreadable", NEW + "more: 1\ncommandTests: [{name: a, command: id}]\n", "F", REFUSED),
    ("driver", NEW + "driverargs: {image: x}\ncommandTests: [{name: a, command: id}]\n", "P", REFUSED),
    ("no-tests", NEW + "commandTests: []\n", "", ""),
    ("invalid-test", NEW + "commandTests: [{command: id}, {name: a, command: id}]\n", "FP", REFUSED),
    ("skipped-test", OLD + "commandTests: [{name: a}, {name: b, command: [id]}]\n", "P", REFUSED),
    (
        "empty-path",
        OLD + "fileExistenceTests: [{name: a}, {name: b, shouldExist: false}]\n",
        "FP",
        REFUSED,
    ),
    ("executable-by", NEW + "fileExistenceTests: [{name: a, path: /bin/ls, isExecutableBy: me}]\n", "F", REFUSED),
    (
        "pattern",
        NEW + "commandTests: [{name: a, command: id, expectedOutput: ['(']}, {name: b, command: id, "
        "excludedOutput: ['(']}, {name: c, command: id}]\n",
        "FFP",
        REFUSED,
    ),
    (
        "dollar",
        NEW + "globalEnvVars: [{key: DOLLAR, value: $}]\ncommandTests:\n"
        "- {name: lost, command: sh, args: [-c, 'echo a b | awk \"{print $2}\"'], expectedOutput: ['a b']}\n"
        "- {name: kept, command: sh, args: [-c, \"echo a b | awk '{print ${DOLLAR}2}'\"], expectedOutput: ['^b']}\n"
        "- {name: awk, command: sh, args: [-c, \"echo a b | awk '{print $(2)}'\"], expectedOutput: ['^b']}\n",
        "PPP",
        "PPP",
    ),
    (
        "late-variable",
        NEW + "globalEnvVars: [{key: DOLLAR, value: $}]\ncommandTests:\n"
        "- {name: own, command: echo, args: [=$X=], envVars: [{key: X, value: y}], expectedOutput: [==]}\n"
        "- {name: script, command: sh, args: [-c, X=y; echo =$X=], expectedOutput: [==]}\n"
        "- {name: kept, command: sh, args: [-c, 'X=y; echo =${DOLLAR}X='], expectedOutput: [=y=]}\n"
        "- {name: after, setup: [['true']], command: echo, args: [=$X=], envVars: [{key: X, value: y}],\n"
        "   expectedOutput: [=y=]}\n",
        "PPPP",
        "PPPP",
    ),
    (
        "unexpanded-path",
        NEW + "fileContentTests: [{name: a, path: $HOMEDIR/x}]\nfileExistenceTests: [{name: b, path: $HOMEDIR/x}]\n",
        "FP",
        "FP",
    ),
    ("old-path", OLD + "fileExistenceTests: [{name: a, path: $HOMEDIR/x}]\n", "F", "P"),
    ("setup", NEW + "commandTests: [{name: a, command: id, setup: [['false']]}]\n", "P", "F"),
    ("teardown", NEW + "commandTests: [{name: a, command: id, teardown: [['false']]}]\n", "P", "P"),
    (
        "lost-variables",
        _options("{user: '0'}", "{name: a, command: env, expectedOutput: [X=y], envVars: [{key: X, value: y}]}"),
        "F",
        "P",
    ),
    (
        "host-variables",
        _options("{envVars: [DSCI_NOT_SET]}", "{name: a, command: id}, {name: b, command: id}"),
        "FF",
        REFUSED,
    ),
    ("env-file", _options("{envFile: none.env}", "{name: a, command: id}"), "P", REFUSED),
    (
        "capabilities",
        _options(
            "{capabilities: [NET_ADMIN]}",
            "{name: its bit, command: grep, args: ['CapEff:.*[13579bdf]...$', /proc/self/status]}",
        ),
        "F",
        "P",
    ),
    (
        "privileged",
        _options("{privileged: true}", "{name: a, command: mount, args: [-t, tmpfs, none, /mnt]}"),
        "P",
        "P",
    ),
    (
        "bind-mounts",
        _options("{bindMounts: ['/etc:/mnt']}", "{name: a, command: test, args: [-e, /mnt/passwd]}")
        + "fileExistenceTests: [{name: b, path: /mnt/passwd}]\n",
        "PP",
        "PF",
    ),
    (
        "terminal",
        _options(
            "{allocateTty: true}",
            "{name: a, command: echo, args: [word], expectedOutput: [word]}, "
            "{name: b, command: printf, args: [ab], expectedOutput: [ab]}",
        ),
        "FF",
        "PP",
    ),
    ("protocol", NEW + "metadataTest: {exposedPorts: [53/udp]}\n", "F", "P"),
    ("protocol", NEW + "metadataTest: {unexposedPorts: [53/udp]}\n", "P", "F"),
    ("empty-text", NEW + "metadataTest: {workdir: '', exposedPorts: ['8080']}\n", "P", "F"),
    ("json-key", JSON + '"commandTests": [{"name": "a", "command": "id", "expectedOutputs": ["none"]}]}', "P", "P"),
    (
        "json-repeated",
        JSON + '"metadataTest": {"workdir": "/no"}, "metadataTest": {"exposedPorts": ["8080"]}}',
        "F",
        "P",
    ),
    ("json-absent", JSON + '"fileExistenceTests": [{"name": "a", "path": "/t"}]}', "F", "F"),
    (
        "json-owner",
        JSON + '"fileExistenceTests": [{"name": "a", "path": "/t/owned", "shouldExist": true}]}',
        "F",
        "F",
    ),
    (
        "more-documents",
        NEW + "commandTests: [{name: a, command: id}]\n---\ncommandTests: [{name: b, command: 'false'}]\n",
        "P",
        "P",
    ),
]


@pytest.fixture(scope="module")
def image() -> Iterator[Reference]:
    with realengine.image(IMAGE) as name:
        yield name


def test_every_kind_is_seen() -> None:
    """But for links: a file is read by the system there."""
    assert {kind for kind, *_ in SEEN} == set(KINDS) - {"link"}


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "text", "theirs", "ours"), SEEN, ids=[f"{kind}-{n}" for n, (kind, *_) in enumerate(SEEN)]
)
def test_what_comes_of_it(kind: str, text: str, theirs: str, ours: str, image: Reference, tmp_path: Path) -> None:
    file = tmp_path / ("file.json" if text.startswith("{") else "file.yaml")
    file.write_text(text)
    assert kind in [note.kind for note in lint(text, file=file.name)]
    argv = [str(ORACLE), "test", "--image", str(image), "--output", "json", "--config", file.name]
    code, found = results(argv, tmp_path)
    assert "".join("P" if passed else "F" for _, passed in found) == theirs
    assert code == (0 if theirs and set(theirs) == {"P"} else 1)
    assert _ours(image, file) == ours


def _ours(image: Reference, file: Path) -> str:
    run = Run(file.parent / "state")
    engine = DockerEngine(os.environ, run)
    try:
        with Still(engine, image, NATIVE) as still:
            subject = Subject(
                engine=engine,
                image=image,
                platform=NATIVE,
                still=still,
                timeout=60,
                read=lambda path: (file.parent / path).read_bytes(),
                executable=lambda _: False,
                allow=frozenset(structure.ALLOWANCES),
            )
            checks = structure.run(subject, structurefile.parse(file.read_text(), file=file.name))
            return "".join("P" if check.verdict is Verdict.PASSED else "F" for check in checks)
    except ConfigError:
        return REFUSED
    finally:
        engine.collect(wait=True)
        run.close()
