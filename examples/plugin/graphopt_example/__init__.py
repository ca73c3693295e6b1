"""Show how a package of its own adds a rule and a pass to graphopt.

    pip install ./examples/plugin
    graphopt passes
    graphopt optimize model.onnx --pipeline "default, name-nodes"

`PASSES` is what graphopt reads. A rule with a `stage` joins the pass of that name and so the default pipeline; a pass
runs where a pipeline names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from graphopt.pipeline.passes import SurgeonPass
from graphopt.rewrite.rule import Rule

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

__all__ = ["DROP_ABS_UNDER_COS", "PASSES", "NameNodes"]

DROP_ABS_UNDER_COS = Rule(
    name="drop-abs-under-cos",
    doc="Drop an `Abs` under a `Cos`, which is an even function.",
    match="Cos(Abs(x))",
    replace="Cos(x)",
    stage="simplify",
)


@dataclass(frozen=True)
class NameNodes(SurgeonPass):
    """Name every nameless node after its type and position."""

    name: ClassVar[str] = "name-nodes"

    prefix: str = ""
    """What each name starts with."""

    def edit(self, graph: gs.Graph) -> int:
        """Name the nodes; return how many had no name."""
        taken = {node.name for node in graph.nodes}
        changes = 0
        for index, node in enumerate(graph.nodes):
            if node.name:
                continue
            name = f"{self.prefix}{node.op}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
            changes += 1
        return changes


PASSES = (DROP_ABS_UNDER_COS, NameNodes)
