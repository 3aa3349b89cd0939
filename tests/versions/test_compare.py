"""What differs from a release, and what a branch affects: `dsci why --against`, `dsci plan --since`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from player import FAMILY, Player, Step, branch, commit, switch, tag

from dsci.cli import cli
from dsci.errors import ConfigError, DsciError, HistoryError

START = {**FAMILY, "images/ml/suites/test_ml.py": "begin", "images/ml/Dockerfile": "FROM base\nCOPY x /\n"}
TAGS = tag("base-v1.0.0", "ml-v1.0.0", "ml-gpu-v1.0.0")


def play(folder: Path, *steps: Step) -> Player:
    player = Player(folder)
    player.play(START, [TAGS, *steps])
    return player


def ask(folder: Path, *arguments: str) -> str:
    ended = CliRunner().invoke(cli, ["-C", str(folder), *arguments, "--offline"])
    if ended.exception is not None:
        raise ended.exception
    return ended.stdout


def against(folder: Path, image: str = "ml", *more: str) -> dict[str, Any]:
    (row,) = json.loads(ask(folder, "why", image, "--json", *more))
    found: dict[str, Any] = row["against"]
    return found


def paths(rows: list[dict[str, str]]) -> list[str]:
    return [f"{row['path']} {row['how']}: {row['subject']}" for row in rows]


def test_files_are_told_with_the_commits_that_changed_them_last(tmp_path: Path) -> None:
    play(
        tmp_path,
        commit("feat: one", "images/ml/x"),
        commit("fix: two", "images/ml/x"),
        commit("feat: below", write={"images/base/y": "new"}),
        commit("test: more", "images/ml/suites/test_ml.py"),
        commit("docs: nothing", "images/ml/notes.md"),
    )
    found = against(tmp_path)
    assert found["tag"] == "ml-v1.0.0" and not found["same"] and not found["settings"]
    assert paths(found["files"]) == ["images/ml/x changed: fix: two"]
    assert paths(found["suites"]) == ["images/ml/suites/test_ml.py changed: test: more"]
    assert {name: paths(rows) for name, rows in found["above"].items()} == {
        "base": ["images/base/y added: feat: below"]
    }
    text = ask(tmp_path, "why", "ml")
    assert "Since ml-v1.0.0 (" in text and "images/ml/x changed" in text and "stands on base" in text


def test_nothing_and_settings(tmp_path: Path) -> None:
    play(tmp_path, commit("docs: nothing", "README.md"))
    assert against(tmp_path)["same"] and "nothing changed" in ask(tmp_path, "why", "ml")
    play(
        tmp_path / "b",
        commit("chore: arg", write={"dsci.yaml": "images: {ml: {target: x}, base: {platforms: [linux/arm64]}}"}),
    )
    assert against(tmp_path / "b", "ml-gpu")["same"]
    assert not against(tmp_path / "b", "base")["same"]


def test_another_tag_and_none(tmp_path: Path) -> None:
    play(tmp_path, commit("feat: one", "images/ml/x"), tag("ml-v1.1.0", "before"), commit("fix: two", "images/ml/x"))
    assert against(tmp_path)["tag"] == "ml-v1.1.0"
    assert paths(against(tmp_path, "ml", "--against", "base-v1.0.0")["files"]) == ["images/ml/x changed: fix: two"]
    assert against(tmp_path, "ml", "--against", "before")["commit"] == against(tmp_path)["commit"]
    with pytest.raises(ConfigError, match=r"no Git tag 'befor' \(did you mean 'before'\?\)"):
        ask(tmp_path, "why", "ml", "--against", "befor")
    fresh = Player(tmp_path / "fresh")
    fresh.play(START, [])
    assert json.loads(ask(tmp_path / "fresh", "why", "ml", "--json"))[0]["against"] is None


def test_a_plan_of_what_a_branch_affects(tmp_path: Path) -> None:
    play(
        tmp_path,
        branch("topic"),
        commit("feat: one", "images/ml-gpu/x"),
        switch("main"),
        commit("fix: base", "images/base/x"),
        switch("topic"),
    )
    plan = json.loads(ask(tmp_path, "plan", "--json", "--since", "main"))
    assert [item["id"] for item in plan["targets"]] == ["ml-gpu@linux/amd64"]
    assert plan["unaffected"] == ["base", "ml"] and [item["image"] for item in plan["releases"]] == ["ml-gpu"]
    text = ask(tmp_path, "plan", "--since", "main")
    assert "what changed since" in text and "Unchanged: base, ml" in text
    assert json.loads(ask(tmp_path, "plan", "--json", "--since", "topic"))["targets"] == []
    assert "no image" in ask(tmp_path, "plan", "--since", "topic")


def test_a_change_below_and_a_suite_affect(tmp_path: Path) -> None:
    play(tmp_path, branch("topic"), commit("fix: base", "images/base/x"))
    assert json.loads(ask(tmp_path, "plan", "--json", "--since", "main"))["unaffected"] == ["ml-gpu"]
    play(tmp_path / "b", branch("topic"), commit("test: it", "images/ml/suites/test_ml.py"))
    assert json.loads(ask(tmp_path / "b", "plan", "--json", "--since", "main"))["unaffected"] == ["base", "ml-gpu"]


@pytest.mark.parametrize("name", ["nowhere", "--upload-pack=x", "a b", "HEAD:README.md", "$(touch x)"])
def test_names_that_are_no_commit(tmp_path: Path, name: str) -> None:
    play(tmp_path)
    with pytest.raises(DsciError, match="Git knows no commit") as caught:
        ask(tmp_path, "plan", f"--since={name}")
    assert isinstance(caught.value, HistoryError) and "fetch" in caught.value.hint
