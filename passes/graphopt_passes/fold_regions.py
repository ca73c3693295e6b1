"""Fold by the runtime's kernels what the process has no kernel for: many nodes in one guarded run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphopt.errors import GraphOptError
from graphopt.graph.model import DataType, Node, Value, subgraphs
from graphopt.graph.region import region_model
from graphopt.graph.schema import has_reference, is_deterministic
from graphopt.pipeline.context import Context
from graphopt_passes.fold_budget import MAX_WORK, Ledger, work

__all__ = ["Region", "Results"]

Results = dict[Value, np.ndarray[Any, Any]]

MAX_REGION = 64 << 20
"""Bytes of constants that one run is given."""

_MAX_RUNS = 64
_MAX_SECONDS = 10.0
_SPENT = "graphopt.folding"
_CULPRIT = "graphopt.unfoldable"

_DTYPES = frozenset(
    {
        *(DataType.BOOL, DataType.FLOAT, DataType.DOUBLE, DataType.INT8, DataType.INT16, DataType.INT32),
        *(DataType.INT64, DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64),
    }
)
"""Narrower floats are left out: a runtime may keep the results between two nodes wide, and so round once for both."""

_NEVER = frozenset(
    {
        # A quantized weight is stored narrow on purpose, and kernels for it look for this node.
        "DequantizeLinear",
        # What the process refused of these is undefined, and kills some runtimes.
        *("Cast", "CastLike", "Constant", "Div", "Mod"),
        # Folding one of these only moves data from one name to another.
        "Identity",
    }
)


@dataclass
class Region:
    """Nodes to be folded in one run, in execution order, and the sizes of their results."""

    context: Context
    ledger: Ledger
    max_bytes: int
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[Value, tuple[int, ...]] = field(default_factory=dict)
    has_culprit: bool = False
    _stored: set[Value] = field(default_factory=set)
    _bytes: int = 0

    def offer(self, node: Node) -> None:
        """Take `node` in if it is safe to run it, its size and work are known before, and it pays."""
        if not self._is_constant(node) or not _is_safe(node) or node.meta.get(_CULPRIT):
            return
        facts = self.context.facts
        results = [value for value in node.outputs if value.uses() or value.is_graph_output()]
        shapes = [facts.static_shape(value) for value in results]
        dtypes = [facts.dtype(value) for value in [*results, *node.inputs] if value is not None]
        if not all(dtype in _DTYPES for dtype in dtypes) or any(shape is None for shape in shapes):
            return
        sizes = [facts.nbytes(value) or 0 for value in results]
        cost = work(node, facts)
        if sum(sizes) > min(self.max_bytes, self.ledger.room(node)) or cost is None or cost > MAX_WORK:
            return
        if not self._weigh(node, sum(sizes)):
            return
        self.ledger.enter(node, sum(sizes))
        for value, shape, size in zip(results, shapes, sizes, strict=True):
            self.ledger.expect(value, size)
            self.shapes[value] = shape or ()
        self.nodes.append(node)

    def _is_constant(self, node: Node) -> bool:
        known = self.context.facts.is_constant
        return bool(node.inputs) and all(
            value is None or value in self.shapes or (value.is_initializer() and known(value)) for value in node.inputs
        )

    def _weigh(self, node: Node, made: int) -> bool:
        fresh = {value for value in node.inputs if value is not None and value.const_value is not None} - self._stored
        total = made + sum(int(value.const_value.nbytes) for value in fresh if value.const_value is not None)
        if self._bytes + total > MAX_REGION:
            return False
        self._bytes += total
        self._stored |= fresh
        return True

    def evaluate(self) -> Results:
        """Run the nodes and return the results that anything outside reads.

        Where a run fails, ever shorter beginnings are tried until one succeeds; a node that fails alone is marked and
        not offered again. What is left out is offered in the next round.
        """
        nodes = self.nodes
        while nodes and self._may_run():
            outputs = _read_outside(nodes, self.shapes)
            found = self._run(nodes, outputs)
            if found is not None:
                return found
            if len(nodes) == 1:
                nodes[0].meta[_CULPRIT] = self.has_culprit = True
                return {}
            nodes = nodes[: len(nodes) // 2]
        return {}

    def _may_run(self) -> bool:
        runs, seconds = self.context.model.graph.meta.get(_SPENT, (0, 0.0))
        return self.context.evaluate is not None and runs < _MAX_RUNS and seconds < _MAX_SECONDS

    def _run(self, nodes: list[Node], outputs: list[Value]) -> Results | None:
        """Run once; None if it fails or a result is not of the type and shape that it must have."""
        if self.context.evaluate is None:
            return None
        meta = self.context.model.graph.meta
        runs, seconds = meta.get(_SPENT, (0, 0.0))
        start = time.monotonic()
        try:
            data, named = region_model(self.context.model, nodes, outputs)
            arrays = self.context.evaluate(data, list(named))
        except GraphOptError:
            return None
        finally:
            meta[_SPENT] = (runs + 1, seconds + time.monotonic() - start)
        found = {value: np.asarray(arrays[name]) for name, value in named.items()}
        return found if all(self._fits(value, array) for value, array in found.items()) else None

    def _fits(self, value: Value, array: np.ndarray[Any, Any]) -> bool:
        dtype = self.context.facts.dtype(value)
        return dtype is not None and array.shape == self.shapes[value] and array.dtype == dtype.numpy()


def _is_safe(node: Node) -> bool:
    """Tell whether the standard defines the node fully and nothing outside takes part in it."""
    if node.domain or node.op_type in _NEVER or has_reference(node) or subgraphs(node):
        return False
    return is_deterministic(node)


def _read_outside(nodes: list[Node], shapes: dict[Value, tuple[int, ...]]) -> list[Value]:
    inside = set(nodes)
    results = [value for node in nodes for value in node.outputs if value in shapes]
    return [value for value in results if value.is_graph_output() or any(u not in inside for u, _ in value.uses())]
