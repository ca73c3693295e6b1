"""Cut a value at once instead of part by part."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from graphopt.graph.edit import Builder, forward, remove_dead
from graphopt.graph.facts import Facts
from graphopt.graph.model import Graph, Model, Node, Value
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.slices import INT64_MAX, cuts_of

__all__ = ["PASSES", "JoinSlices"]

FEWEST = 3
"""Two parts stay slices: that is how halves are turned, and where a rolled axis is cut."""

Part = tuple[int, int, Node]


@dataclass(frozen=True)
class JoinSlices(Pass):
    """Replace three `Slice` or more that cut a value into adjoining parts by a `Split`."""

    name: ClassVar[str] = "join-slices"

    def run(self, model: Model, context: Context) -> int:
        """Look at the slices of each graph and function by themselves."""
        bodies = {id(function.graph) for function in model.functions()}
        count = 0
        for graph in list(model.scopes()):
            for (source, axis), parts in _parts(graph, context.facts).items():
                ordered = sorted(parts, key=lambda part: part[:2])
                if not _covers(ordered, source, axis, context.facts) or not context.admit(self.name, parts[0][2]):
                    continue
                # The first in the order of execution: what made the source stands before it.
                build = Builder(model, parts[0][2], context.names, in_function=id(graph) in bodies)
                sizes = build.shape(*(end - start for start, end, _ in ordered))
                pieces = build.op("Split", source, sizes, axis=axis, outputs=len(ordered))
                for piece, (_, _, node) in zip(pieces, ordered, strict=True):
                    forward(node.outputs[0], piece, context.names)
                remove_dead([node for _, _, node in ordered])
                count += 1
        return count


def _parts(graph: Graph, facts: Facts) -> dict[tuple[Value, int], list[Part]]:
    """List what slices of one axis keep, by value and axis, in the order of execution."""
    found: dict[tuple[Value, int], list[Part]] = {}
    for node in graph:
        source = node.inputs[0] if node.op_type == "Slice" and not node.domain and node.inputs else None
        cuts = None if source is None or facts.opset(node) < 13 else cuts_of(node, facts)
        if source is None or not cuts or len(cuts) > 1:
            continue
        (axis, cut), shape = *cuts.items(), facts.shape(source)
        size = shape[axis] if shape is not None and axis < len(shape) else None
        if cut.step == 1 and isinstance(size, int):
            found.setdefault((source, axis), []).append((cut.start, size if cut.end == INT64_MAX else cut.end, node))
    return found


def _covers(ordered: list[Part], source: Value, axis: int, facts: Facts) -> bool:
    """Tell whether the parts adjoin and cover the axis."""
    shape = facts.shape(source) or ()
    adjoin = all(first[1] == second[0] for first, second in pairwise(ordered))
    return len(ordered) >= FEWEST and adjoin and ordered[0][0] == 0 and ordered[-1][1] == shape[axis]


PASSES = (JoinSlices,)
