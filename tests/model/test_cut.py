"""A history that is cut off: whatever `doubt` lets through is what the whole history says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from sampling import examples

from dsci.model.cut import Question, doubt

Graph = Mapping[str, Sequence[str]]


def reached(graph: Graph, start: str) -> frozenset[str]:
    found, todo = {start}, [start]
    while todo:
        for parent in graph[todo.pop()]:
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return frozenset(found)


def seen(graph: Graph, boundary: frozenset[str]) -> Graph:
    """What a shallow clone shows: the boundary without its parents."""
    return {sha: () if sha in boundary else parents for sha, parents in graph.items()}


def only(graph: Graph, tips: Sequence[str]) -> Graph:
    """What `git rev-list` lists of these tips, children first."""
    wanted = frozenset().union(*(reached(graph, tip) for tip in tips))
    return {sha: graph[sha] for sha in graph if sha in wanted}


@st.composite
def histories(draw: st.DrawFn) -> tuple[Graph, frozenset[str], Mapping[str, int]]:
    """A graph (children first), where it is cut, and the versions of some commits."""
    count = draw(st.integers(2, 10))
    graph: dict[str, tuple[str, ...]] = {}
    for n in range(count):
        parents = draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=3)) if n else set()
        graph[f"c{n}"] = tuple(f"c{m}" for m in sorted(parents))
    graph = dict(reversed(graph.items()))
    commits = st.sampled_from(sorted(graph))
    cut = draw(st.frozensets(commits, max_size=3))
    return graph, cut, draw(st.dictionaries(commits, st.integers(1, 50), max_size=3))


@settings(max_examples=examples(700), deadline=None)
@given(histories(), st.data())
def test_what_passes_is_the_truth(
    history: tuple[Graph, frozenset[str], Mapping[str, int]], data: st.DataObject
) -> None:
    whole, boundary, versions = history
    shown = seen(whole, boundary)
    head = data.draw(st.sampled_from(sorted(whole)), label="HEAD")
    mine = reached(shown, head)
    base = max((sha for sha in versions if sha in mine), key=lambda sha: versions[sha], default="")
    rivals = tuple(sha for sha in versions if sha not in mine and (not base or versions[sha] > versions[base]))
    question = Question(group="ml", base=base, rivals=rivals)
    why = doubt(only(shown, [head, *rivals]), head, boundary, [question])
    event("doubted" if why else "cut" if boundary & mine else "whole")
    if why:
        assert boundary, "a whole history leaves no doubt"
        return
    truly = reached(whole, head)
    best = max((sha for sha in versions if sha in truly), key=lambda sha: versions[sha], default="")
    assert versions.get(best) == versions.get(base), "another release is the base"
    hidden = reached(whole, base) if base else frozenset()
    known = reached(shown, base) if base else frozenset()
    assert truly - hidden == mine - known, "other commits count"
    for other in (sha for sha in versions if sha in mine and base):
        # What is new since any other release that HEAD reaches is told right too.
        assert (truly - hidden) - reached(whole, other) == (mine - known) - reached(shown, other)
    for rival in rivals:
        assert rival not in truly
        assert (head in reached(whole, rival)) == (head in reached(shown, rival)), "overtaken or not"


#: A line, newest first: c5 is HEAD.
LINE: Graph = {"c5": ("c4",), "c4": ("c3",), "c3": ("c2",), "c2": ("c1",), "c1": ()}


@pytest.mark.parametrize(
    ("boundary", "base", "passes"),
    [
        ("c2", "c3", True),
        ("c3", "c3", True),
        ("c4", "", False),
        ("c5", "", False),
        ("c5", "c5", True),
        ("", "", True),
    ],
)
def test_a_line(boundary: str, base: str, passes: bool) -> None:
    cut = frozenset({boundary} - {""})
    shown = only(seen(LINE, cut), ["c5"])
    why = doubt(shown, "c5", cut, [Question(group="ml", base=base, rivals=())])
    assert (why == "") is passes
    assert passes or why == "it shows no release of ml"


def test_a_branch_that_is_cut_beside_the_base() -> None:
    """HEAD merges a branch that began before the base and is cut."""
    graph = {"head": ("base", "side"), "side": (), "base": ("root",), "root": ()}
    why = doubt(graph, "head", {"side"}, [Question(group="ml", base="base", rivals=())])
    assert why == "it is cut off within what ml has changed since its last release"


def test_releases_elsewhere() -> None:
    graph = {"rival": ("between",), "between": (), "head": ("base",), "base": ()}
    asked = [Question(group="ml", base="base", rivals=("rival",))]
    assert "how rival, a release of ml" in doubt(graph, "head", {"base"}, asked)
    assert "how rival, a release of ml" in doubt(graph, "head", {"between"}, asked)
    assert doubt(graph, "head", (), asked) == ""
    ahead = {"rival": ("head",), "head": ("base",), "base": ()}
    assert doubt(ahead, "head", {"base"}, asked) == ""
