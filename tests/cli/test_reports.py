"""Where reports go, and what is kept on disk of checks that failed; no engine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import xmlschema
from click.testing import CliRunner
from tests.model.builders import STACK, look
from tests.reportsamples import JENKINS

from dsci.cli import failures, reports
from dsci.cli.reports import Wanted
from dsci.errors import ConfigError, DsciError
from dsci.model.bundle import Bundle, Launch, Seen
from dsci.model.report import Check, Report, SuiteReport, Verdict


def check(name: str, **more: Any) -> Check:
    seen = Seen(inspect={"Id": "abc"})
    launch = Launch(command=("x",), environment={"A": "value-of-it"})
    bundle = Bundle(argv=("x",), stdout="out\n", stderr="err\n", seen=seen, launch=launch, check=name, **more)
    return Check(name=name, verdict=Verdict.FAILED, detail="why", bundle=bundle)


def report(*checks: Check) -> Report:
    suites = (SuiteReport(target="ml@linux/amd64", suite="ml/a", checks=checks),)
    return Report(plan=look(STACK).plan(found={}), suites=suites)


class Said:
    """A session that only says things."""

    def __init__(self, state: Path, folder: str = ".", registries: tuple[str, ...] = ()) -> None:
        self.state, self.folder, self.registries = state, folder, registries
        self.said: list[str] = []
        self.warned: list[str] = []
        self.git = SimpleNamespace(root_commit=lambda: "0123456789abcdef")
        self.console = SimpleNamespace(say=self.said.append, warn=self.warned.append)


def wanted(*words: str) -> Wanted:
    """What `--report` says for these words."""
    found: list[Wanted] = []

    @click.command()
    @reports.option
    def command(reports: Wanted) -> None:
        found.append(reports)

    ended = CliRunner().invoke(command, [part for word in words for part in ("--report", word)])
    if ended.exit_code:
        raise ValueError(ended.output)
    return found[0]


def write(session: Said, made: Report, asked: Wanted) -> tuple[Report, DsciError | None]:
    written, _, unwritten = reports.write(session, made, asked)  # type: ignore[arg-type]
    return written, unwritten


def test_a_folder_has_every_document(tmp_path: Path) -> None:
    session = Said(tmp_path / "state")
    made, unwritten = write(session, report(check("Command Test: it's broken")), wanted(str(tmp_path / "out")))
    assert unwritten is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.json", "report.md", "junit.xml", "report.tap", "failures")
    }
    JENKINS.validate(str(tmp_path / "out" / "junit.xml"))
    (folder,) = (tmp_path / "out" / "failures").iterdir()
    assert folder.name == "1-command-test-it-s-broken"
    command = ["dsci", "shell", "--replay", str(folder)]
    assert shlex.split(made.suites[0].checks[0].bundle.replay) == command  # type: ignore[union-attr]
    assert session.said[-1] == f"to run Command Test: it's broken again: {shlex.join(command)}"
    for name in ("report.json", "report.md", "junit.xml", "report.tap"):
        text = (tmp_path / "out" / name).read_text()
        assert "--replay" in text and "value-of-it" not in text
    assert (folder / "stdout.txt").read_text() == "out\n" and (folder / "stderr.txt").read_text() == "err\n"
    assert json.loads((folder / "inspect.json").read_text()) == {"Id": "abc"}
    # All that it takes to run it again comes back.
    assert failures.read(folder).launch == Launch(command=("x",), environment={"A": "value-of-it"})


def test_the_command_that_runs_it_again_names_the_same_repository_and_registries(tmp_path: Path) -> None:
    session = Said(tmp_path, folder="a family", registries=("ghcr.io/acme",))
    made, _ = write(session, report(check("x")), wanted(str(tmp_path / "my reports")))
    replay = made.suites[0].checks[0].bundle.replay  # type: ignore[union-attr]
    assert shlex.split(replay) == [
        *("dsci", "-C", "a family", "shell", "--registry=ghcr.io/acme", "--replay"),
        str(tmp_path / "my reports" / "failures" / "1-x"),
    ]


def test_a_second_run_takes_the_place_of_the_first_and_of_nothing_else(tmp_path: Path) -> None:
    session, asked = Said(tmp_path / "state"), wanted(str(tmp_path))
    write(session, report(check("one"), check("two")), asked)
    (tmp_path / "failures" / "mine").mkdir()
    write(session, report(check("three")), asked)
    assert {path.name for path in (tmp_path / "failures").iterdir()} == {"1-three", "mine"}
    write(session, report(), asked)
    assert {path.name for path in (tmp_path / "failures").iterdir()} == {"mine"}


def test_single_documents_go_where_they_are_wanted(tmp_path: Path) -> None:
    asked = wanted(f"junit={tmp_path}/deep/er/tests.xml", f"tap={tmp_path}/x.tap", f"json={tmp_path}/a=b.json")
    session = Said(tmp_path / "state")
    write(session, report(check("x")), asked)
    xmlschema.validate(str(tmp_path / "deep" / "er" / "tests.xml"), JENKINS)
    assert (tmp_path / "x.tap").read_text().startswith("TAP version 13\n1..1\nnot ok 1")
    assert json.loads((tmp_path / "a=b.json").read_text())["schema"] == 1
    # All of it is in the state folder as well, and the documents name what is there.
    (folder,) = (tmp_path / "state" / "reports" / "0123456789ab").iterdir()
    assert str(folder / "failures" / "1-x") in (tmp_path / "x.tap").read_text()


@pytest.mark.parametrize("words", [("a", "b"), ("junitt=x",), ("junit=",)])
def test_what_report_means_has_to_be_clear(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="--report"):
        wanted(*words)


def test_a_place_that_cannot_be_written_fails_only_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = report(check("x"))
    session = Said(tmp_path / "file")
    assert write(session, made, wanted())[1] is None
    assert "could not be written" in session.warned[0]
    session = Said(tmp_path / "state")
    for asked in (wanted(str(tmp_path / "file" / "below")), wanted(f"junit={tmp_path}/file/x.xml")):
        unwritten = write(session, made, asked)[1]
        assert unwritten is not None and "could not be written" in unwritten.message
    assert session.warned == []


def test_many_failures_are_not_all_named(tmp_path: Path) -> None:
    session = Said(tmp_path)
    write(session, report(*(check(f"n{n}") for n in range(8))), wanted())
    assert sum(text.startswith("to run ") for text in session.said) == 5
    assert session.said[-1] == "and 3 more: see the report"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "could not be read: No such file or directory"),
        ("{", "is no bundle of a check"),
        ("[]", "is no bundle of a check"),
        ('{"argv": "x"}', "is no bundle of a check"),
        ('{"argv": [], "launch": {"environment": {"A": 5}}}', "is no bundle of a check"),
    ],
)
def test_a_folder_that_has_no_bundle(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(ConfigError, match=said):
        failures.read(tmp_path)
