"""`dsci ci report`: one page of the reports of several jobs. It needs no repository, no engine and no registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace
from tests.ci.reports import failing, outcome, plan, target
from tests.githubrunner import obeyed, outputs
from tests.hostile import HOSTILE

from dsci.cli import cli
from dsci.errors import ConfigError
from dsci.model.report import Check, Report, SuiteReport, Verdict


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is in no repository, for a user with no CI system around."""
    for name in ("GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(folder: Path, name: str, report: Report) -> None:
    """What a job of this name leaves, as its artifact is unpacked."""
    file = folder / "reports" / name / "report.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(report.to_json())


def ask(*arguments: str) -> Result:
    ended = CliRunner().invoke(cli, ["ci", "report", *arguments], prog_name="dsci")
    assert ended.exception is None or isinstance(ended.exception, SystemExit | ConfigError), ended.exc_info
    return ended


GOOD = Report(plan=plan(target("base")), outcomes=(outcome("base@linux/amd64"),), seconds=1.5)


def test_jobs_become_one_page(place: Path) -> None:
    left(place, "base", GOOD)
    left(place, "ml", failing("one"))
    ended = ask("reports")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("# dsci: failed\n")
    assert "| `base@linux/amd64` | build |" in ended.stdout and "`ml@linux/amd64`: test failed" in ended.stdout
    (folder,) = (place / "state" / "dsci" / "reports" / "merged").iterdir()
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "junit.xml", "report.tap"}
    assert ask("reports", "--fail").exit_code == 1
    assert ask("reports/base", "--fail").exit_code == 0
    assert json.loads(ask("reports", "--json").stdout)["outcomes"][1]["status"] == "failed"


def test_github_is_told_of_all_of_them(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(place / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary"))
    left(place, "base", GOOD)
    for number in range(4):
        left(place, f"ml-{number}", failing("a", "b", "c", "d", "e"))
    ended = ask("reports", "--title", "All of it", "--report", str(place / "whole"))
    assert ended.exit_code == 0, ended.output
    assert outputs((place / "output").read_text()) == {"failed": "true", "report": str(place / "whole")}
    assert (place / "summary").read_text().startswith("## All of it: failed\n")
    told = [text for name, text in obeyed(ended.stderr) if name == "error"]
    assert len(told) == 10 and told[-1] == "and 11 more: see the report"
    assert obeyed(ended.stdout) == []


def test_single_documents_are_of_all_of_them(place: Path) -> None:
    left(place, "a", GOOD)
    left(place, "b", failing("one", file="x.yaml"))
    ended = ask("reports", "--report", "codequality=quality.json", "--report", "dotenv=dsci.env")
    assert ended.exit_code == 0, ended.output
    assert json.loads((place / "quality.json").read_text())[0]["location"]["path"] == "x.yaml"
    assert "DSCI_FAILED=true\n" in (place / "dsci.env").read_text()


def test_a_report_is_read_once_and_a_file_may_have_any_name(place: Path) -> None:
    left(place, "a", GOOD)
    (place / "other.json").write_bytes(failing("x").to_json())
    ended = ask("reports", "reports/a/report.json", "other.json", "--json")
    assert len(json.loads(ended.stdout)["outcomes"]) == 2


def test_no_report_at_all_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "reports").mkdir()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(place / "output"))
    ended = ask("reports", "--fail")
    assert ended.exit_code == 0 and "no job has left one" in ended.stderr
    assert outputs((place / "output").read_text()) == {"failed": "false", "report": ""}


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 7}'])
def test_what_is_no_report_is_named(place: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(place / "output"))
    left(place, "a", GOOD)
    (place / "reports" / "a" / "report.json").write_text(content)
    ended = ask("reports")
    assert isinstance(ended.exception, ConfigError) and "reports/a/report.json is" in ended.exception.message
    assert outputs((place / "output").read_text()) == {"failed": "true"}
    assert ask("nowhere").exit_code == 2


def test_a_report_of_a_strangers_job_does_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fork's job wrote is merged with ours: it sets no output, and says nothing to the runner."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(place / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary"))
    for number, text in enumerate(HOSTILE):
        word = text.encode(errors="replace").decode()
        checks = (Check(name=word, verdict=Verdict.FAILED, detail=word, file=word),)
        strange = replace(target("ml"), id=word, reason=word)
        suites = (SuiteReport(target=word, suite=word, checks=checks),)
        left(place, str(number), replace(failing(word), plan=plan(strange), suites=suites, notes=(word,)))
    ended = ask("reports", "--title", "x\n::error::y")
    assert ended.exit_code == 0, ended.output
    assert outputs((place / "output").read_text()).keys() == {"failed", "report"}
    assert {name for name, _ in obeyed(ended.stderr)} == {"error"} and obeyed(ended.stdout) == []
    assert (place / "summary").stat().st_size < 900_000
