"""Versions of packages in the order of the tools that install them: 1,000 generated pairs of each kind.

dpkg and `packaging` are asked here; what others say stands in tables, which `orders/answers.py` makes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.version import Version
from tests.model.sampling import SEARCH, numbers
from tests.oracle.versionpairs import pairs

from dsci.model.packageorder import compare

TABLES = Path(__file__).parent / "orders"
SIGNS = {-1: "<", 0: "=", 1: ">"}
#: Asks for both, as dpkg says nothing but yes or no.
DPKG = """\
while read -r a b; do
  if dpkg --compare-versions "$a" lt "$b"; then echo '<'
  elif dpkg --compare-versions "$a" eq "$b"; then echo '='
  else echo '>'
  fi
done
"""


def wrong(kind: str, rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The pairs that dsci puts in another order."""
    turned = {"<": ">", ">": "<", "=": "="}
    return [
        (a, sign, b)
        for a, sign, b in rows
        if SIGNS[compare(kind, a, b)] != sign or SIGNS[compare(kind, b, a)] != turned[sign]
    ]


@pytest.mark.parametrize("kind", ["apk", "conda", "cran", "rpm"])
def test_the_tools_that_were_asked(kind: str) -> None:
    said, *lines = (TABLES / f"{kind}.txt").read_text().splitlines()
    rows = [(a, sign, b) for a, sign, b in (line.split(" ") for line in lines)]
    assert said.startswith("# What ") and len(rows) == 1_000
    assert {sign for _, sign, _ in rows} == {"<", "=", ">"}
    assert [(a, b) for a, _, b in rows] == list(pairs(kind, 1_000)), "pairs are made otherwise now: see answers.py"
    assert wrong(kind, rows) == []


def test_dpkg() -> None:
    assert shutil.which("dpkg"), "dpkg is not on PATH"
    found = list(pairs("deb", 1_000 if SEARCH else 250, numbers(1)[0]))
    asked = subprocess.run(
        ["sh", "-c", DPKG], input="".join(f"{a} {b}\n" for a, b in found), capture_output=True, text=True, check=True
    )
    assert asked.stderr == ""
    rows = [(a, sign, b) for (a, b), sign in zip(found, asked.stdout.split(), strict=True)]
    assert {sign for _, sign, _ in rows} == {"<", "=", ">"}
    assert wrong("deb", rows) == []


def test_packaging() -> None:
    found = [(a, b, Version(a), Version(b)) for a, b in pairs("pypi", 1_000, numbers(1)[0])]
    rows = [(a, "<" if one < other else ">" if one > other else "=", b) for a, b, one, other in found]
    assert {sign for _, sign, _ in rows} == {"<", "=", ">"}
    assert wrong("pypi", rows) == []
