"""Leave out what nodes name as left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.model import Model
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "TrimOperands"]


@dataclass(frozen=True)
class TrimOperands(Pass):
    """Drop empty operands at the end of standard nodes, where they mean the same as none.

    onnxruntime does not compute a Conv with an empty bias in its blocked layout.
    """

    name: ClassVar[str] = "trim-operands"

    def run(self, model: Model, context: Context) -> int:
        """Shorten the operands of nodes in all graphs and functions."""
        count = 0
        for graph in model.scopes():
            for node in graph:
                given = len(node.inputs)
                while given and node.inputs[given - 1] is None:
                    given -= 1
                if not node.domain and given < len(node.inputs) and context.admit(self.name, node):
                    node.resize_inputs(given)
                    count += 1
        return count


PASSES = (TrimOperands,)
