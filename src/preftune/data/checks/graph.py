"""Circles in a directed graph: its strongly connected components (Tarjan 1972), without recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Edges = Mapping[int, Sequence[int]]


@dataclass(slots=True)
class _Walk:
    """The state of Tarjan's algorithm."""

    number: dict[int, int] = field(default_factory=dict)
    low: dict[int, int] = field(default_factory=dict)
    open: list[int] = field(default_factory=list)
    is_open: set[int] = field(default_factory=set)

    def enter(self, node: int) -> None:
        self.number[node] = self.low[node] = len(self.number)
        self.open.append(node)
        self.is_open.add(node)

    def leave(self, node: int) -> list[int]:
        """The component whose root is ``node``; empty where it is not a root."""
        if self.low[node] != self.number[node]:
            return []
        place = self.open.index(node)
        component, self.open[place:] = self.open[place:], []
        self.is_open.difference_update(component)
        return component


def circles(edges: Edges) -> Iterator[frozenset[int]]:
    """Sets of nodes, two or more, in which every node can be reached from every other."""
    walk = _Walk()
    for start in edges:
        if start not in walk.number:
            yield from (frozenset(c) for c in _from(start, edges, walk) if len(c) > 1)


def _from(start: int, edges: Edges, walk: _Walk) -> Iterable[list[int]]:
    walk.enter(start)
    path = [(start, iter(edges.get(start, ())))]
    while path:
        node, targets = path[-1]
        for target in targets:
            if target not in walk.number:
                walk.enter(target)
                path.append((target, iter(edges.get(target, ()))))
                break
            if target in walk.is_open:
                walk.low[node] = min(walk.low[node], walk.number[target])
        else:
            path.pop()
            if path:
                above = path[-1][0]
                walk.low[above] = min(walk.low[above], walk.low[node])
            yield walk.leave(node)
