"""Which of several targets that may begin should begin first: the one that most work waits for.

Source: the critical path method, as in https://en.wikipedia.org/wiki/Critical_path_method
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from graphlib import TopologicalSorter
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

#: What something takes that was never measured, in seconds.
UNKNOWN = 60.0


def ways(needs: Mapping[T, Iterable[T]], seconds: Mapping[T, float]) -> Mapping[T, float]:
    """For each item, the time from its beginning to the end of the longest way of what stands on it, in seconds.

    `needs` are what must be done before each item; needs that are no items themselves do not count. Raises CycleError.
    """
    behind: dict[T, list[T]] = {item: [] for item in needs}
    for item, given in needs.items():
        for need in given:
            if need in behind:
                behind[need].append(item)
    found: dict[T, float] = {}
    for item in TopologicalSorter(behind).static_order():
        own = max(0.0, seconds.get(item, UNKNOWN))
        found[item] = own + max((found[other] for other in behind[item]), default=0.0)
    return found
