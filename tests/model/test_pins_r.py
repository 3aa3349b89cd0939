"""Pins of R projects: renv.lock and DESCRIPTION."""

from __future__ import annotations

import json

import pytest

from dsci.model.pinfiles_read import read
from dsci.model.pins import Pins

DESCRIPTION = """\
Package: ours
Title: What we: do
Version: 0.1.0
Depends: R (>= 4.1.0), methods
Imports:
    dplyr (>= 1.0.0),
\tggplot2 (== 3.5.1),
    data.table
Suggests: testthat (>= 3.0.0)
Remotes: github::x/y
not a field
    nothing either
"""


def told(pins: Pins) -> dict[str, str]:
    assert pins.problems == ()
    return {name: pin.version for (_, name), pin in pins.pins.items()}


def lock(**packages: object) -> str:
    return json.dumps({"R": {"Version": "4.4.1", "Repositories": [{"Name": "CRAN"}]}, "Packages": packages})


FIRST = lock(
    dplyr={"Package": "dplyr", "Version": "1.1.4", "Source": "Repository", "Requirements": ["R", "rlang", "cli"]},
    rlang={"Package": "rlang", "Version": "1.1.4", "Hash": "00", "Requirements": ["R", "utils"]},
    cli={"Package": "cli", "Version": "3.6.3"},
    MASS={"Package": "MASS", "Version": "7.3-60"},
)


def test_description() -> None:
    pins = read({"pkg/DESCRIPTION": DESCRIPTION})
    assert told(pins) == {"data.table": "", "dplyr": ">=1.0.0", "ggplot2": "3.5.1", "methods": "", "r": ">=4.1.0"}
    assert {ecosystem for ecosystem, _ in pins.pins} == {"r"}


def test_renv_lock() -> None:
    assert told(read({"renv.lock": FIRST})) == {"MASS": "7.3-60", "dplyr": "1.1.4", "r": "4.4.1"}


def test_renv_lock_of_the_second_form() -> None:
    text = lock(
        dplyr={"Version": "1.1.4", "Depends": "R (>= 3.5.0), vctrs", "Imports": ["rlang (>= 1.1.0)", "(odd)", "utils"]},
        rlang={"Version": "1.1.4", "Depends": ["R (>= 3.5.0)"]},
        vctrs={"Version": "0.6.5"},
    )
    assert told(read({"renv.lock": text})) == {"dplyr": "1.1.4", "r": "4.4.1"}


def test_renv_lock_beside_a_description() -> None:
    description = "Imports: rlang\n"
    assert told(read({"renv.lock": FIRST, "DESCRIPTION": description})) == {"r": "4.4.1", "rlang": "1.1.4"}
    assert told(read({"renv.lock": FIRST, "DESCRIPTION": "Imports: elsewhere\n"})).keys() == {
        "MASS",
        "dplyr",
        "elsewhere",
        "r",
    }


def test_a_lock_in_a_circle_is_all_direct() -> None:
    text = json.dumps({"Packages": {"a": {"Version": "1", "Requirements": ["b"]}, "b": {"Requirements": ["a", "b"]}}})
    assert told(read({"renv.lock": text})) == {"a": "1", "b": ""}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"Packages": []}', '{"R": {"Version": 4}}', "\ud800", "[" * 100_000])
def test_no_lock(text: str) -> None:
    pins = read({"renv.lock": text})
    assert pins.pins == {}
    ((problem),) = pins.problems
    assert problem.path == "renv.lock"
    assert problem.why.startswith("not valid: ")
