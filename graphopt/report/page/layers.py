"""Lay a small acyclic graph out in layers, from top to bottom.

After Sugiyama, Tagawa and Toda, Methods for Visual Understanding of Hierarchical System Structures, 1981: layers by the
longest path, a dummy in each layer that an edge crosses, order by barycenters in sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "lay_out"]

SWEEPS = 8
Edge = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Places in units of one box: `places[i]` is (column, layer) of node i, `routes[e]` those that edge e passes."""

    places: tuple[tuple[float, int], ...]
    routes: tuple[tuple[tuple[float, int], ...], ...]
    columns: int
    layers: int


def lay_out(count: int, edges: Sequence[Edge]) -> Layout:
    """Lay out `count` nodes, numbered in topological order: every edge goes from a lower to a higher number.

    Raises `ValueError` for another edge.
    """
    if any(not 0 <= tail < head < count for tail, head in edges):
        raise ValueError("edges go from lower to higher numbers")
    layer = _layers(count, edges)
    chains: list[list[int]] = []
    links: list[Edge] = []
    for tail, head in edges:
        chain = [tail]
        for between in range(layer[tail] + 1, layer[head]):
            layer.append(between)
            chain.append(len(layer) - 1)
        chain.append(head)
        chains.append(chain)
        links += pairwise(chain)
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for node, row in enumerate(layer):
        rows[row].append(node)
    _order(rows, links)
    columns = max(map(len, rows), default=0)
    spot = {
        node: (index + (columns - len(row)) / 2, depth)
        for depth, row in enumerate(rows)
        for index, node in enumerate(row)
    }
    routes = tuple(tuple(spot[node] for node in chain) for chain in chains)
    return Layout(tuple(spot[node] for node in range(count)), routes, columns, len(rows))


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """Put each node one below its lowest predecessor, and then sources just above their first reader."""
    layer = [0] * count
    for tail, head in sorted(edges):
        layer[head] = max(layer[head], layer[tail] + 1)
    heads = {head for _, head in edges}
    for node in range(count):
        readers = [layer[head] for tail, head in edges if tail == node]
        if node not in heads and readers:
            layer[node] = min(readers) - 1
    return layer


def _order(rows: list[list[int]], links: Sequence[Edge]) -> None:
    """Sort each layer by the mean place of its neighbours in the layer above, then below, and so on."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for tail, head in links:
        above.setdefault(head, []).append(tail)
        below.setdefault(tail, []).append(head)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        spot = {node: index - len(row) / 2 for row in rows for index, node in enumerate(row)}
        for row in rows if down else reversed(rows):
            means = {
                node: sum(spot[other] for other in near[node]) / len(near[node]) if near.get(node) else spot[node]
                for node in row
            }
            row.sort(key=means.__getitem__)
            spot.update((node, index - len(row) / 2) for index, node in enumerate(row))
