"""Leave out attributes that say what the standard takes anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphopt.graph.model import Model, Node
from graphopt.graph.schema import default_of
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "TrimAttributes"]


@dataclass(frozen=True)
class TrimAttributes(Pass):
    """Drop attributes of standard nodes that have the standard's default value.

    Exporters differ in which of them they write; without them equal nodes look equal.
    """

    name: ClassVar[str] = "trim-attributes"

    def run(self, model: Model, context: Context) -> int:
        """Shorten the attributes of nodes in all graphs and functions."""
        count = 0
        for graph in model.scopes():
            for node in graph:
                names = [] if node.domain or not node.attributes else _needless(node, context.facts.opset(node))
                if names and context.admit(self.name, node):
                    for name in names:
                        del node.attributes[name]
                    count += 1
        return count


def _needless(node: Node, opset: int) -> list[str]:
    """List the attributes that say the default of the standard at `opset`."""
    return [name for name, attr in node.attributes.items() if not attr.is_ref() and _is_default(node, name, opset)]


def _is_default(node: Node, name: str, opset: int) -> bool:
    default, value = default_of(node.op_type, name, opset), node.attributes[name].value
    if isinstance(value, float) and isinstance(default, float):
        return bool(np.float32(value) == np.float32(default))
    return isinstance(value, (int, str)) and type(value) is type(default) and value == default


PASSES = (TrimAttributes,)
