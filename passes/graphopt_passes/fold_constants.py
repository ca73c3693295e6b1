"""Compute before the run what does not depend on the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from graphopt.graph.constants import dtype_of, materialize, tensor_of
from graphopt.graph.deferred import is_deferred
from graphopt.graph.edit import drop_initializer, is_dead
from graphopt.graph.model import DataType, Graph, Model, Node, Value
from graphopt.graph.schema import has_reference
from graphopt.graph.scopes import detach, walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.fold_budget import Ledger
from graphopt_passes.fold_kernels import ARITHMETIC, Array, Call, Refusal
from graphopt_passes.fold_movement import MOVEMENT
from graphopt_passes.fold_regions import Region

__all__ = ["PASSES", "FoldConstants"]

_KERNELS = {**ARITHMETIC, **MOVEMENT}
_UNDEFINED = (ArithmeticError, IndexError, MemoryError, Refusal, TypeError, ValueError)
"""What a kernel raises at operands that the operator does not take."""


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Replace values that do not depend on the inputs by initializers.

    Integer and boolean values that follow from shapes alone count among them. Left unchanged: function bodies, random
    and training-mode nodes, nodes that hold graphs, quantized weights (`DequantizeLinear`), what is left to the runtime
    on purpose, what would make the model bigger by more than a tenth and 1 MiB in total, and below IR version 4 graph
    outputs and subgraphs.
    """

    name: ClassVar[str] = "fold-constants"

    max_bytes: int = 64 << 20
    """Largest result, in bytes."""

    def run(self, model: Model, context: Context) -> int:
        """Fold in rounds, until nothing is left: in the process first, then the rest in guarded runs."""
        total = 0
        while True:
            sweep = _Sweep(model, context, min(self.max_bytes, context.tensor_limit), self.name)
            count = sweep.run()
            total += count
            if not count and not sweep.retry:
                return total
            context.facts.forget()


@dataclass
class _Sweep:
    model: Model
    context: Context
    max_bytes: int
    name: str
    ledger: Ledger = field(init=False)
    dead: dict[Graph, list[Node]] = field(default_factory=dict)
    gone: set[Node] = field(default_factory=set)
    read: dict[Value, None] = field(default_factory=dict)
    retry: bool = False

    def run(self) -> int:
        self.ledger = Ledger(self.context)
        count = sum(self.fold(node) for node in self.candidates())
        region = Region(self.context, self.ledger, self.max_bytes)
        if self.context.evaluate is not None:
            for node in self.candidates():
                region.offer(node)
        count += self.fold_region(region)
        for graph, nodes in self.dead.items():
            graph.remove(nodes)
        for value in self.read:
            drop_initializer(value)
        return count

    def candidates(self) -> Iterator[Node]:
        """Yield the nodes that have a result worth storing where it may be stored."""
        listed = self.model.ir.ir_version < 4
        for scope in walk(self.model):
            if scope.in_function or (listed and scope.parent is not None):
                continue
            for node in list(scope.graph):
                if node.op_type == "Constant" or node.domain or node in self.gone or is_dead(node):
                    continue
                if is_deferred(node):
                    continue
                if not (listed and any(value.is_graph_output() for value in node.outputs)):
                    yield node

    def fold(self, node: Node) -> int:
        """Fold one node in the process; return how many of its results were stored."""
        if has_reference(node):
            return 0
        found = self.by_kernel(node)
        return self.by_shapes(node) if found is None else self.store(node, found)

    def by_kernel(self, node: Node) -> dict[Value, Any] | None:
        kernel = _KERNELS.get(node.op_type)
        facts = self.context.facts
        like = node.op_type == "CastLike" and len(node.inputs) == 2
        operands = node.inputs[:1] if like else node.inputs
        if kernel is None or not operands or not all(v is None or facts.is_constant(v) for v in operands):
            return None
        target = facts.dtype(node.inputs[1]) if like and node.inputs[1] is not None else None
        arrays = tuple(None if value is None else facts.constant(value) for value in operands)
        if any(array is None and value is not None for array, value in zip(arrays, operands, strict=True)):
            return None
        room = min(self.max_bytes, self.ledger.room(node))
        try:
            results = kernel(Call(node, facts.opset(node), arrays, room, target))
        except _UNDEFINED:
            return None
        if len(results) < len(node.outputs) or sum(_nbytes(array) for array in results) > room:
            return None
        return {value: array for value, array in zip(node.outputs, results, strict=False) if _is_read(value)}

    def by_shapes(self, node: Node) -> int:
        """Store integers that are the same for every input, as shapes tell."""
        facts = self.context.facts
        found: dict[Value, Any] = {}
        for value in node.outputs:
            dtype = facts.dtype(value) if _is_read(value) else None
            contents = facts.contents_of(value) if dtype in _COUNTED else None
            if dtype is None or contents is None or not all(isinstance(item, int) for item in contents):
                continue
            found[value] = np.array(contents, dtype=dtype.numpy()).reshape(facts.static_shape(value) or ())
        return self.store(node, found)

    def fold_region(self, region: Region) -> int:
        results = region.evaluate()
        self.retry = region.has_culprit
        count = 0
        for node in region.nodes:
            count += self.store(node, {value: results[value] for value in node.outputs if value in results})
        for node in reversed(region.nodes):
            self.bury(node)
        return count

    def store(self, node: Node, found: dict[Value, Any]) -> int:
        """Let initializers take the place of these results; the node goes if nothing reads it any more."""
        if not found or not self.context.admit(self.name, node):
            return 0
        for value, array in found.items():
            materialize(value, tensor_of(array, dtype_of(array)), self.context.names)
        self.ledger.enter(node, sum(_nbytes(array) for array in found.values()))
        self.bury(node)
        return 1

    def bury(self, node: Node) -> None:
        if node.graph is None or node in self.gone or not is_dead(node):
            return
        self.gone.add(node)
        self.read.update(dict.fromkeys(value for value in node.inputs if value is not None))
        self.dead.setdefault(node.graph, []).append(node)
        detach(node)


_COUNTED = frozenset({DataType.INT64, DataType.INT32, DataType.BOOL})


def _is_read(value: Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _nbytes(array: Array) -> int:
    """Return the stored size: elements below 8 bits are packed, and strings count by their text."""
    if array.dtype.kind in "OSU":
        return sum(len(text) for text in array.reshape(-1).tolist())
    return (array.size * dtype_of(array).bitwidth + 7) // 8


PASSES = (FoldConstants,)
