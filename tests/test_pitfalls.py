"""`docs/pitfalls.md` names every pitfall once, and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_pitfall_is_held_by_tests_that_exist() -> None:
    rows = {int(number): _TEST.findall(text) for number, text in _ROW.findall((ROOT / "docs/pitfalls.md").read_text())}
    assert list(rows) == list(range(1, 18)) and all(rows.values())
    named = {test for tests in rows.values() for test in tests}
    assert {f"{path}::{name}" for path, name in named if name not in functions(path)} == set()
    numbered = functions("tests/e2e/test_pitfalls.py")
    assert {("tests/e2e/test_pitfalls.py", name) for name in numbered if name.startswith("test_")} <= named
    for number, tests in rows.items():
        assert all(name.startswith(f"test_{number}_") for path, name in tests if path == "tests/e2e/test_pitfalls.py")


def functions(path: str) -> set[str]:
    """The names of the functions in a module, in classes too."""
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}
