"""What can be reached in a graph: of images, of targets, of commits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def closure(roots: Iterable[T], edges: Mapping[T, Iterable[T]]) -> frozenset[T]:
    """Everything that edges lead to from these roots; a root itself only where an edge leads back to it."""
    seen: set[T] = set()
    todo = list(roots)
    while todo:
        for item in edges[todo.pop()]:
            if item not in seen:
                seen.add(item)
                todo.append(item)
    return frozenset(seen)
