"""Whether a history that is cut off still says what a version needs.

A shallow clone has commits whose parents it does not know: its boundary. What lies behind it may hold a release, or a
change that counts. `doubt` proves that it cannot, from three facts about Git's graph, which has no circles:

1. What HEAD reaches and this clone does not show lies behind a commit of the boundary that HEAD reaches. If the base
   (the release that a version is counted from) reaches all of those, it reaches what lies behind them as well, and
   nothing since the base is hidden.
2. A commit that reaches all of those lies behind none of them. So a commit that does is no hidden ancestor of the base,
   and a release that does is no hidden ancestor of HEAD.
3. HEAD lies behind no boundary commit that it reaches. So a release that reaches no other ones has not overtaken it
   where that is not seen.

Where this cannot be shown, there is a doubt, even if more history might clear it up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from dsci.model.graphs import closure


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known of one release group."""

    group: str
    base: str
    """The commit of the newest stable release that HEAD is seen to reach; empty where there is none."""
    rivals: tuple[str, ...]
    """The commits of the releases above it that HEAD is not seen to reach."""


def doubt(
    graph: Mapping[str, Sequence[str]], head: str, boundary: Collection[str], questions: Iterable[Question]
) -> str:
    """Why the next versions cannot be told from this history, or "" when they surely can.

    `graph` has every commit that HEAD and the rivals are seen to reach, with its parents, children first.
    """
    bits = {sha: 1 << n for n, sha in enumerate(sorted(set(boundary) & graph.keys()))}
    below: dict[str, int] = {}  # Which of the boundary each commit reaches.
    for sha in reversed(list(graph)):
        below[sha] = bits.get(sha, 0)
        for parent in graph[sha]:
            below[sha] |= below[parent]
    cut = below[head]
    loose = {sha for sha in _reached(graph, head) if below[sha] != cut}
    for question in questions:
        group, base = question.group, question.base
        if cut and not base:
            return f"it shows no release of {group}"
        if cut and (below[base] != cut or not loose <= _reached(graph, base)):
            return f"it is cut off within what {group} has changed since its last release"
        for rival in question.rivals:
            if below[rival] != cut and head not in _reached(graph, rival):
                return f"it does not tell how {rival[:7]}, a release of {group}, is related to HEAD"
    return ""


def _reached(graph: Mapping[str, Sequence[str]], start: str) -> frozenset[str]:
    """A commit and its ancestors, as far as they are known."""
    return closure([start], graph) | {start}
