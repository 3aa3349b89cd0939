"""Moves of direct dependencies: what came, what went, how far the rest moved, and what each is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.commits import Bump
from dsci.model.pins import Moved, Pin, Pins, Problem, Rules, compare
from dsci.model.pins_worth import worth


def pins(*items: Pin, broken: tuple[str, ...] = ()) -> Pins:
    return Pins(
        pins={item.key: item for item in items},
        problems=tuple(Problem(path=path, why="not valid") for path in broken),
    )


def pin(name: str, version: str, ecosystem: str = "python", source: str = "a/uv.lock", *, loose: bool = False) -> Pin:
    return Pin(name=name, ecosystem=ecosystem, version=version, source=source, loose=loose)


def told(moves: tuple[Moved, ...]) -> list[tuple[str, str]]:
    return [(str(move.bump), move.why) for move in moves]


@pytest.mark.parametrize(
    ("ecosystem", "name", "old", "new", "bump", "why"),
    [
        ("python", "pandas", "1.5.3", "2.0.0", "major", "a major move"),
        ("python", "pandas", "2.0.0", "1.5.3", "major", "a major move, down"),
        ("python", "pandas", "2.1.4", "2.2.0", "minor", "a minor move"),
        ("python", "pandas", "2.2.0", "2.2.1", "patch", "a patch move"),
        ("python", "pandas", "2.2.1", "2.2.0", "patch", "a patch move, down"),
        ("python", "pandas", "2.2", "2.2.0", "patch", "the same release"),
        ("python", "pandas", "2", "2.1", "minor", "a minor move"),
        ("python", "pandas", "1.9", "1.10", "minor", "a minor move"),
        # Before 1.0 the second number is a minor one all the same.
        ("python", "ruff", "0.6.9", "0.7.0", "minor", "a minor move"),
        ("python", "x", "1.2.3.4", "1.2.3.5", "patch", "a patch move"),
        # What belongs to the same release.
        ("python", "x", "2.0.0rc1", "2.0.0", "patch", "the same release"),
        ("python", "x", "1.9", "2.0.0rc1", "major", "a major move"),
        ("python", "x", "1.0", "1.0.post1", "patch", "the same release"),
        ("python", "torch", "2.5.1+cpu", "2.5.1+cu124", "patch", "the same release"),
        ("python", "torch", "2.5.1+cpu", "2.6.0+cpu", "minor", "a minor move"),
        ("python", "x", "1.0.dev3", "1.0", "patch", "the same release"),
        ("python", "x", "1!2.0", "2.0", "patch", "the same release"),
        ("python", "x", "v1.2.0", "v1.3.0", "minor", "a minor move"),
        # Dates.
        ("python", "certifi", "2024.7.4", "2024.8.30", "patch", "dated versions count as a patch"),
        ("python", "certifi", "2024.8.30", "2025.1.1", "patch", "dated versions count as a patch"),
        ("apt", "ca-certificates", "20230311", "20240203", "patch", "dated versions count as a patch"),
        ("apt", "tzdata", "2024a-0+deb12u1", "2024b-0+deb12u1", "patch", "dated versions count as a patch"),
        ("base", "notebook", "2024-10-01", "2024-11-04", "patch", "dated versions count as a patch"),
        ("python", "x", "2024.1", "1.0", "major", "a major move, down"),
        ("python", "x", "24.1", "25.1", "major", "a major move"),
        ("python", "x", "20244711", "3", "major", "a major move, down"),
        # Distributions.
        ("apt", "curl", "7.88.1-10+deb12u7", "7.88.1-10+deb12u8", "patch", "the same release"),
        ("apt", "git", "1:2.39.2-1", "1:2.39.5-0+deb12u1", "patch", "a patch move"),
        ("apt", "git", "1:2.39.2-1", "1:2.43.0-1", "minor", "a minor move"),
        ("apt", "git", "1:2.3-4", "2.3-4", "patch", "the same release"),
        ("apt", "vim", "2:9.0-1", "1:10.0-1", "major", "a major move, down"),
        ("apk", "curl", "8.5.0-r0", "8.5.0-r1", "patch", "the same release"),
        ("apk", "curl", "8.5", "8.5.0-r1", "patch", "the same release"),
        ("r", "MASS", "7.3-60", "7.3-61", "patch", "a patch move"),
        ("r", "MASS", "7.3-60", "7.4-1", "minor", "a minor move"),
        # A language breaks what is installed for it.
        ("python", "python", "3.11", "3.12", "major", "breaks what is installed for it"),
        ("python", "python", "3.12", "3.11", "major", "breaks what is installed for it, down"),
        ("python", "python", "3.12.1", "3.12.4", "patch", "a patch move"),
        ("python", "python", "3.12", "3.12.4", "patch", "the same release"),
        ("python", "python", "3", "3.12", "patch", "the same release"),
        ("r", "r", "4.3.3", "4.4.1", "major", "breaks what is installed for it"),
        ("base", "julia", "1.10.4", "1.11.0", "major", "breaks what is installed for it"),
        ("conda", "ruby", "3.2", "3.3", "major", "breaks what is installed for it"),
        ("python", "julia", "0.5.7", "0.6.1", "minor", "a minor move"),
        ("base", "node", "20.1", "20.2", "minor", "a minor move"),
        ("base", "ubuntu", "22.04", "24.04", "major", "a major move"),
        ("base", "cuda", "12.4.1", "12.6.0", "minor", "a minor move"),
        # Where a shorter number means every longer one.
        ("conda", "numpy", "1", "1.26", "patch", "the same release"),
        ("base", "debian", "12", "12.5", "patch", "the same release"),
        ("conda", "numpy", "1.26", "2.0", "major", "a major move"),
        # Ranges go by their lower bounds.
        ("python", "x", ">=2,<3", ">=2,<4", "patch", "the same release"),
        ("python", "x", ">=1.5,<3", ">=2.0,<3", "major", "a major move"),
        ("python", "x", "<3", "<4", "patch", "no numbers to compare"),
        ("python", "x", "!=1.5,<3", ">=2", "patch", "no numbers to compare"),
        ("python", "x", "^1.2", "^1.3", "minor", "a minor move"),
        ("python", "x", "~1.2", "~2.0", "major", "a major move"),
        ("python", "x", "~=1.4", "~=1.5", "minor", "a minor move"),
        ("python", "x", ">=1.2", "2.4.1", "patch", "one is within the other"),
        ("python", "x", "2.4.1", ">=1.2", "patch", "one is within the other"),
        ("python", "x", ">=1.2,<2", "2.4.1", "major", "a major move"),
        ("python", "x", ">=1.2", "2.0rc1", "patch", "one is within the other"),
        ("python", "x", ">=1.2", "1.x.y", "minor", "a minor move, down"),
        # No versions at all.
        ("python", "x", "main", "1.0", "patch", "no numbers to compare"),
        ("python", "x", "main", "develop", "patch", "no numbers to compare"),
        ("python", "x", "9e63909e03172d8f1b4b7b1e2f3a4c5d6e7f8091", "1a2b3c4", "patch", "no numbers to compare"),
        ("python", "x", "", "1.0", "patch", "pinned now"),
        ("python", "x", "1.0", "", "patch", "no longer pinned"),
        # Several files that do not agree.
        ("python", "x", "1.26.4 | 2.0.0", "1.26.4 | 2.1.0", "minor", "a minor move"),
        ("python", "x", "1.26.4 | 2.0.0", "2.0.0 | 3.0.0", "major", "a major move"),
        ("python", "x", "1.26.4 | 2.0.0", "2.0.0", "patch", "the highest of them did not move"),
        ("python", "x", "1.26.4", "1.26.4 | 2.0.0", "major", "a major move"),
    ],
)
def test_what_a_move_is_worth(ecosystem: str, name: str, old: str, new: str, bump: str, why: str) -> None:
    (move,) = compare(pins(pin(name, old, ecosystem)), pins(pin(name, new, ecosystem)))
    assert (str(move.bump), move.why) == (bump, f"{name} {old or 'any'} → {new or 'any'}: {why}")
    assert (move.name, move.ecosystem, move.old, move.new) == (name, ecosystem, old, new)


@pytest.mark.parametrize(
    ("rule", "old", "new", "bump", "why"),
    [
        ("semver", "2024.1", "2025.1", "major", "a major move"),
        ("semver", "1.1", "1.2", "minor", "a minor move"),
        ("strict", "1.1.0", "1.2.0", "major", "breaks what is installed for it"),
        ("strict", "1.1.0", "1.1.1", "patch", "a patch move"),
        ("calver", "24.1", "25.1", "patch", "dated versions count as a patch"),
        ("major", "1.0.0", "1.0.1", "major", "counts as a major move by rule"),
        ("minor", "1.0", "2.0", "minor", "counts as a minor move by rule"),
        ("patch", "1.0", "2.0", "patch", "counts as a patch move by rule"),
        ("none", "1.0", "2.0", "none", "a rule says that it does not count"),
    ],
)
def test_rules(rule: str, old: str, new: str, bump: str, why: str) -> None:
    (move,) = compare(pins(pin("x", old)), pins(pin("x", new)), Rules(packages={"x": rule}))  # type: ignore[dict-item]
    assert told((move,)) == [(bump, f"x {old} → {new}: {why}")]


def test_semver_as_a_rule_for_a_language() -> None:
    (move,) = compare(pins(pin("python", "3.11")), pins(pin("python", "3.12")), Rules(packages={"PYTHON": "semver"}))
    assert move.why == "python 3.11 → 3.12: a minor move"


@pytest.mark.parametrize(
    ("pattern", "ecosystem", "name", "matches"),
    [
        ("scikit_learn", "python", "scikit-learn", True),
        ("Scikit.Learn", "conda", "scikit_learn", True),
        ("jupyter*", "conda", "JupyterLab", True),
        ("data.table", "r", "data.table", True),
        ("apt:*", "apt", "curl", True),
        ("apt:*", "apk", "curl", False),
        ("lib[_.]x", "apt", "lib-x", True),
        ("curl", "apt", "libcurl4", False),
    ],
)
def test_rules_find_packages_by_pattern(pattern: str, ecosystem: str, name: str, matches: bool) -> None:
    old, new = pins(pin(name, "1.0.0", ecosystem)), pins(pin(name, "1.0.1", ecosystem))
    (move,) = compare(old, new, Rules(packages={pattern: "major", "*": "minor"}))
    assert move.bump is (Bump.MAJOR if matches else Bump.MINOR)


def test_the_first_rule_that_matches_counts() -> None:
    rules = Rules(packages={"jupyterlab": "none", "jupyter*": "major"})
    old = pins(pin("jupyterlab", "4.0"), pin("jupyter-server", "2.0"))
    new = pins(pin("jupyterlab", "5.0"), pin("jupyter-server", "2.0.1"))
    assert [(move.name, move.bump) for move in compare(old, new, rules)] == [
        ("jupyter-server", Bump.MAJOR),
        ("jupyterlab", Bump.NONE),
    ]


def test_added_and_removed() -> None:
    old, new = pins(pin("torch", "2.0")), pins(pin("dask", ""))
    assert told(compare(old, new)) == [("major", "torch removed"), ("minor", "dask added")]
    assert [(move.old, move.new) for move in compare(old, new)] == [("2.0", None), (None, "")]
    assert told(compare(old, new, Rules(added=Bump.PATCH, removed=Bump.NONE))) == [
        ("patch", "dask added"),
        ("none", "torch removed"),
    ]
    assert told(compare(old, new, Rules(packages={"torch": "none", "dask": "major"}))) == [
        ("minor", "dask added"),
        ("none", "torch removed: a rule says that it does not count"),
    ]


def test_what_is_only_mentioned_neither_comes_nor_goes() -> None:
    mentioned = pins(pin("curl", "", "apt", loose=True))
    assert compare(mentioned, pins()) == ()
    assert compare(pins(), mentioned) == ()
    pinned = pins(pin("curl", "7.0-1", "apt"))
    assert told(compare(pinned, mentioned)) == [("patch", "curl 7.0-1 → any: no longer pinned")]
    assert told(compare(mentioned, pinned)) == [("patch", "curl any → 7.0-1: pinned now")]
    assert told(compare(pinned, pins())) == [("major", "curl removed")]


def test_a_package_that_moves_between_conda_and_pip_is_not_removed() -> None:
    conda, pip = pins(pin("scikit_learn", "1.4", "conda")), pins(pin("scikit-learn", "1.5", "python"))
    assert told(compare(conda, pip)) == [("minor", "scikit-learn 1.4 → 1.5: a minor move")]
    assert told(compare(pip, pins(pin("scikit-learn", "1.5", "conda")))) == []
    both = pins(pin("scikit_learn", "1.4", "conda"), pin("scikit-learn", "1.4", "python"))
    assert told(compare(both, pip)) == [("minor", "scikit-learn 1.4 → 1.5: a minor move")]
    assert told(compare(pip, pins())) == [("major", "scikit-learn removed")]
    assert told(compare(pins(pin("x", "1", "r")), pins(pin("x", "1", "python")))) == [
        ("major", "x removed"),
        ("minor", "x added"),
    ]


def test_a_file_that_cannot_be_read_removes_nothing() -> None:
    old = pins(pin("a", "1.0", source="x/uv.lock"), pin("b", "1.0", source="y/uv.lock"))
    new = pins(pin("b", "1.1", source="y/uv.lock"), pin("c", "1", source="x/pyproject.toml"), broken=("x/uv.lock",))
    assert told(compare(old, new)) == [("minor", "b 1.0 → 1.1: a minor move")]
    assert told(compare(new, old)) == [("minor", "b 1.1 → 1.0: a minor move, down")]


def test_the_most_important_stands_first() -> None:
    old = pins(pin("z", "1"), pin("b", "1"), pin("a", "1", "apt"), pin("a", "1", "r"), pin("m", "1.0.0"))
    new = pins(pin("z", "2"), pin("b", "2"), pin("a", "1.1", "apt"), pin("a", "1.1", "r"), pin("m", "1.0.1"))
    assert [(move.name, move.ecosystem) for move in compare(old, new)] == [
        ("b", "python"),
        ("z", "python"),
        ("a", "apt"),
        ("a", "r"),
        ("m", "python"),
    ]


# Properties

RULES = st.sampled_from([None, "semver", "strict", "calver", "major", "minor", "patch", "none"])
ECOSYSTEMS = st.sampled_from(["python", "conda", "r", "apt", "apk", "base"])
NAMES = st.sampled_from(["x", "python", "r", "julia"])
VERSIONS = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"\A(?:[0-9]{1,2}:|>=|==|~=|\^|<)?v?[0-9]{1,4}(\.[0-9]{1,3}){0,3}(-[0-9]|rc1|\+cpu)?\Z"),
    st.from_regex(r"\A[0-9]\.[0-9] \| [0-9]\.[0-9]\Z"),
)


@given(VERSIONS, VERSIONS, ECOSYSTEMS, NAMES, RULES)
def test_up_and_down_are_worth_the_same(old: str, new: str, ecosystem: str, name: str, rule: None) -> None:
    up, why = worth(old, new, ecosystem=ecosystem, name=name, rule=rule)
    down, _ = worth(new, old, ecosystem=ecosystem, name=name, rule=rule)
    assert up is down
    assert why


PINS = st.builds(
    lambda items: pins(*items),
    st.lists(st.builds(pin, NAMES, VERSIONS, ECOSYSTEMS, st.just("a"), loose=st.booleans()), max_size=6),
)


@given(PINS)
def test_nothing_moves_where_nothing_changed(same: Pins) -> None:
    assert compare(same, same) == ()


@given(PINS, PINS, RULES)
def test_moves_are_sorted_and_name_what_they_are_of(old: Pins, new: Pins, rule: None) -> None:
    moves = compare(old, new, Rules(packages={"*": rule} if rule else {}))
    assert list(moves) == sorted(moves, key=lambda move: (-move.bump, move.name, move.ecosystem))
    for move in moves:
        assert move.old != move.new
        assert move.name in move.why
