"""Find the parts of two graphs around the rewrites that tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from graphopt.graph.model import Model, Node
from graphopt.rewrite.steps import Step, label

__all__ = ["Box", "Part", "Region", "regions"]

MOST_BOXES = 12
"""Nodes of one side of a region."""
MOST_REGIONS = 32
EACH_RULE = 3
"""Regions of one rule, as long as others want to be seen."""


@dataclass(frozen=True)
class Box:
    """A node; `change` is `removed`, `added`, `changed` or empty, `hidden` counts neighbours that are not drawn."""

    operator: str
    name: str
    change: str = ""
    tip: str = ""
    hidden: int = 0


@dataclass(frozen=True)
class Part:
    """Nodes in topological order, and edges between them by number, with the value that flows."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Region:
    """What stands around the node of a rewrite before and after everything that was done."""

    step: int
    rule: str
    node: str
    before: Part
    after: Part


def regions(before: Model, after: Model, steps: Sequence[Step]) -> tuple[Region, ...]:
    """Return the regions of the first distinct steps, several for each rule."""
    old, new = _Names(before), _Names(after)
    found: list[Region] = []
    for step in _chosen(steps):
        region = _region(step, old, new)
        if region is not None:
            found.append(region)
        if len(found) == MOST_REGIONS:
            break
    return tuple(sorted(found, key=lambda region: region.step))


def _chosen(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield steps of different sites: the first of each rule, then the second, and so on."""
    by_rule: dict[str, dict[str, Step]] = {}
    for step in steps:
        by_rule.setdefault(step.rule, {}).setdefault(step.node, step)
    for turn in range(EACH_RULE):
        for sites in by_rule.values():
            yield from list(sites.values())[turn : turn + 1]


class _Names:
    """The nodes of all graphs of a model by name, and by the names of their results."""

    def __init__(self, model: Model) -> None:
        self.nodes: dict[str, Node] = {}
        self.makers: dict[str, Node] = {}
        self.order: dict[Node, int] = {}
        for scope in model.scopes():
            for node in scope:
                self.order[node] = len(self.order)
                self.nodes.setdefault(label(node), node)
                for value in node.outputs:
                    if value.name:
                        self.makers.setdefault(value.name, node)

    def seeds(self, name: str, others: Iterable[Node]) -> list[Node]:
        """Return the node of that name; without one, what is left of the nodes that stood around it elsewhere."""
        if name in self.nodes:
            return [self.nodes[name]]
        kept = [self.nodes[label(node)] for node in others if label(node) in self.nodes]
        made = [self.makers[v.name] for node in others for v in node.outputs if v.name and v.name in self.makers]
        return list(dict.fromkeys([*kept, *made]))


def _region(step: Step, old: _Names, new: _Names) -> Region | None:
    start, end = old.nodes.get(step.node), new.nodes.get(step.node)
    if start is None and end is None:
        return None
    left = _near([start]) if start is not None else []
    # Without the node itself, what is left of its surroundings is wide enough already.
    right = _near(new.seeds(step.node, left), 2 if end is not None else 0)
    left = left or _near(old.seeds(step.node, right), 0)
    before = _part(left, old, new, "removed")
    return Region(step.number, step.rule, step.node, before, _part(right, new, old, "added"))


def _neighbours(node: Node) -> list[Node]:
    found = dict.fromkeys((*node.predecessors(), *node.successors()))
    return [each for each in found if each.graph is node.graph and each.op_type != "Constant"]


def _near(seeds: Sequence[Node], hops: int = 2) -> list[Node]:
    """Return the nodes nearest to the seeds, breadth first, at most so many."""
    found = dict.fromkeys(seeds[:MOST_BOXES])
    edge = list(found)
    for _ in range(hops):
        reached = dict.fromkeys(other for node in edge for other in _neighbours(node) if other not in found)
        edge = list(reached)[: MOST_BOXES - len(found)]
        found.update(dict.fromkeys(edge))
    return list(found)


def _part(nodes: Sequence[Node], own: _Names, other: _Names, word: str) -> Part:
    ordered = sorted(nodes, key=own.order.__getitem__)
    number = {node: index for index, node in enumerate(ordered)}
    boxes = tuple(_box(node, number, other, word) for node in ordered)
    edges = [
        (number[maker], number[node], value.name or "")
        for node in ordered
        for value in node.inputs
        if value is not None and (maker := value.producer()) is not None and maker in number
    ]
    return Part(boxes, tuple(edge for edge in edges if edge[0] < edge[1]))


def _box(node: Node, drawn: dict[Node, int], other: _Names, word: str) -> Box:
    twin = other.nodes.get(label(node))
    change = word if twin is None else "" if _reads(twin) == _reads(node) else "changed"
    reads = ", ".join(_reads(node)[1:]) or "nothing"
    tip = f"{node.op_type} {label(node)[:200]}: reads {reads[:400]}"
    hidden = sum(neighbour not in drawn for neighbour in _neighbours(node))
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return Box(operator, label(node)[:300], change, tip, hidden)


def _reads(node: Node) -> tuple[str, ...]:
    return (f"{node.domain}.{node.op_type}", *((value.name or "")[:200] if value else "" for value in node.inputs))
