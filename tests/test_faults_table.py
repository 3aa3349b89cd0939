"""docs/faults.md is true: every fault has a row, and every row names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def rows() -> dict[int, str]:
    found: dict[int, str] = {}
    for line in (ROOT / "docs/faults.md").read_text().splitlines():
        if row := re.match(r"\| F(\d+):", line):
            assert int(row[1]) not in found, line
            found[int(row[1])] = line
    return found


def test_every_fault_has_a_row() -> None:
    assert list(rows()) == list(range(1, 41))


def test_every_row_names_tests_that_exist() -> None:
    for number, line in rows().items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(?:(\w+)::)?(test_\w+)`", line.rpartition(" | ")[2])
        assert named, line
        for path, _, test in named:
            tree = ast.walk(ast.parse((ROOT / path).read_text()))
            assert test in {node.name for node in tree if isinstance(node, ast.FunctionDef)}, (
                f"F{number}: {path}::{test}"
            )


def test_every_test_of_a_fault_is_in_its_row() -> None:
    known = rows()
    for path in sorted((ROOT / "tests").rglob("test_faults_*.py")):
        for number, test in re.findall(r"^def (?:test_f(\d+)_)(\w+)", path.read_text(), re.MULTILINE):
            assert f"test_f{number}_{test}`" in known[int(number)], f"{path.name}: test_f{number}_{test}"
