"""container-structure-test's rules that need no engine: what a file may say, and how Go reads modes and patterns."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.realengine import NATIVE

from dsci.errors import ConfigError
from dsci.model.bundle import Seen
from dsci.model.reference import Reference
from dsci.model.report import Verdict
from dsci.ports import FileEntry, Ran
from dsci.suites import structure, structurefile, structurelooks
from dsci.suites.expansion import expand
from dsci.suites.finding import matches
from dsci.suites.subject import Still, Subject


def _entry(mode: int, kind: str = "file") -> FileEntry:
    return FileEntry(kind=kind, mode=mode, uid=0, gid=0, size=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (_entry(0o644), "-rw-r--r--"),
        (_entry(0o755), "-rwxr-xr-x"),
        (_entry(0o4755), "urwxr-xr-x"),
        (_entry(0o2755), "grwxr-xr-x"),
        (_entry(0o755, "directory"), "drwxr-xr-x"),
        (_entry(0o1777, "directory"), "dtrwxrwxrwx"),
        (_entry(0o777, "symlink"), "Lrwxrwxrwx"),
        (_entry(0), "----------"),
    ],
)
def test_modes_as_go_writes_them(entry: FileEntry, text: str) -> None:
    assert structurelooks.go_mode(entry) == text


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$HOME/x", "/home/me/x"),
        ("${HOME}x", "/home/mex"),
        ("$UNSET.", "."),
        ("awk {print $1}", "awk {print }"),
        ("a $$ b", "a  b"),
        ("$(date)", "$(date)"),
        ("no dollar", "no dollar"),
    ],
)
def test_variables_are_replaced_as_os_expand_does(text: str, expanded: str) -> None:
    assert expand(text, {"HOME": "/home/me"}) == expanded


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("c$", "abc\n", False),
        (r"\pL+", "é", True),
        ("[[:alpha:]]", "a", True),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "axb", False),
    ],
)
def test_patterns_are_gos(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


def test_scalars_stay_as_they_are_written() -> None:
    text = """
schemaVersion: "2.0.0"
metadataTest:
  envVars:
    - {key: PYTHON, value: 3.10}
    - {key: ANSWER, value: yes}
    - {key: OCTAL, value: 0123}
commandTests:
  - {name: n, command: c, args: [1.10, 007, true]}
"""
    tests = structurefile.parse(text, file="s.yaml")
    assert tests.metadata_test is not None
    assert [item.value for item in tests.metadata_test.env_vars] == ["3.10", "yes", "0123"]
    assert tests.command_tests[0].args == ("1.10", "007", "true")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("commandTests: []\n", "schemaVersion"),
        ('schemaVersion: "3.0.0"\n', "s.yaml: schemaVersion '3.0.0' is not known"),
        ('schemaVersion: "1.0.0"\nmetadataTest: {}\n', "s.yaml:2: unknown key 'metadataTest'"),
        (
            'schemaVersion: "2.0.0"\ncommandTest: []\n',
            "s.yaml:2: unknown key 'commandTest' (did you mean 'commandTests'?)",
        ),
        ('schemaVersion: "2.0.0"\nschemaVersion: "2.0.0"\n', "s.yaml:2: duplicate key 'schemaVersion'"),
        ('schemaVersion: "2.0.0"\ncommandTests:\n  - {name: a, command: [x]}\n', "s.yaml:3: commandTests.0.command"),
        (
            'schemaVersion: "2.0.0"\ncommandTests:\n  - {name: a, command: x, expectedOutput: ["("]}\n',
            "is no regular expression",
        ),
    ],
)
def test_what_a_file_may_not_say(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        structurefile.parse(text, file="s.yaml")
    assert says in caught.value.message


_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from dsci.suites import structure, structurefile, structurelooks
from dsci.suites.finding import matches
text = 'schemaVersion: "2.0.0"\\nfileExistenceTests: [{name: x, path: /x}]\\n'
threads = [threading.Thread(target=lambda: structurefile.parse(text, file="x.yaml")) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_files_that_are_read_at_once_do_not_crash_the_interpreter() -> None:
    """Two threads that met the types for the first time did, in one run out of six."""
    for _ in range(15):
        ended = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")


class Losing:
    """An engine that loses what the first containers print: no busy machine does so when it is asked to."""

    def __init__(self, *printed: bytes) -> None:
        self.printed = list(printed)
        self.runs = 0

    @contextlib.contextmanager
    def container(self, *_: object, **__: object) -> Iterator[Losing]:
        yield self

    def start(self) -> str:
        return "no container of it goes on"

    def run(self, *_: object) -> Ran:
        self.runs += 1
        return Ran(exit_code=0, stdout=self.printed.pop(0), stderr=b"", seconds=0.0, reason="")

    def seen(self) -> Seen:
        return Seen()

    def config(self, name: object) -> dict[str, object]:
        return {}


@pytest.mark.parametrize(
    ("printed", "expected", "verdict", "runs"),
    [
        ((b"", b"UTF-8\n"), '["^UTF-8"]', Verdict.PASSED, 2),
        ((b"", b""), '["^UTF-8"]', Verdict.FAILED, 2),
        ((b"C\n",), '["^UTF-8"]', Verdict.FAILED, 1),
        ((b"",), "[]", Verdict.PASSED, 1),
    ],
)
def test_what_the_engine_may_have_lost_is_asked_for_again(
    printed: tuple[bytes, ...], expected: str, verdict: Verdict, runs: int
) -> None:
    engine: Any = Losing(*printed)
    image = Reference.parse("x.test/y:z")
    subject = Subject(
        engine=engine,
        image=image,
        platform=NATIVE,
        still=Still(engine, image, NATIVE),
        read=str.encode,
        executable=lambda _: False,
    )
    text = f'schemaVersion: "2.0.0"\ncommandTests: [{{name: a, command: locale, expectedOutput: {expected}}}]\n'
    (check,) = structure.run(subject, *structurefile.located(text, file="s.yaml"))
    assert (check.verdict, engine.runs) == (verdict, runs)
