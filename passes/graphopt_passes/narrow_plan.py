"""Choose what may be stored or computed in a narrower float type, and say why the rest may not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Model, Node, Value
from graphopt.graph.operand_types import inputs_taking, outputs_following
from graphopt.graph.schema import RANDOM_OPERATORS
from graphopt.graph.scopes import walk

__all__ = ["Choice", "Plan", "loss"]

Array = np.ndarray[Any, Any]

_WIDE = DataType.FLOAT
_KEPT = RANDOM_OPERATORS | {
    # They say themselves what type comes out.
    *("Cast", "CastLike", "EyeLike", "BitCast"),
    # Bodies have types of their own.
    *("If", "Loop", "Scan", "SequenceMap"),
    # Quantized parts compute in integers; scales need all their bits.
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    # Errors add up along an axis, or a place in a picture is computed.
    *("CumSum", "CumProd", "Range", "GridSample", "RoiAlign", "MaxRoiPool", "NonMaxSuppression"),
}
_ALONE_WIDE = {"Resize": {1, 2}, "Upsample": {1}}
"""Operands that are places or sizes, by operator."""
_MOST_LOSS = {DataType.FLOAT16: 2e-3, DataType.BFLOAT16: 1.6e-2}
"""Share of a tensor's signal (root mean square) that rounding it may cost: some four times what it costs a tensor whose
numbers are within the type's range."""
_FEW = 1024
"""More floats than frequencies of positions or scales have."""
_NUMBERS = frozenset({DataType.BOOL, *(kind for kind in DataType if kind.name.startswith(("INT", "UINT")))})


@dataclass(frozen=True)
class Choice:
    """The inputs and outputs of a node, by index, that become narrow."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass
class Plan:
    """What may become narrow: nodes with their operands, but for the names, operators and patterns in `keep`.

    `losses` holds, by name, what rounding costs the values of the main graph, as observed; those above the bound, and
    weights alike, keep their readers and their producer wide. With `stored` the nodes go on computing in float32, and
    need not take the narrow type. `why` counts the reasons against narrowing.
    """

    model: Model
    facts: Facts
    to: DataType
    keep: tuple[str, ...] = ()
    losses: Mapping[str, float] = field(default_factory=dict)
    stored: bool = False
    nodes: dict[Node, Choice] = field(default_factory=dict)
    why: Counter[str] = field(default_factory=Counter)
    used: set[str] = field(default_factory=set)
    counted: set[Value] = field(default_factory=set)
    weights: dict[Value, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for scope in walk(self.model):
            for node in scope.graph:
                self._consider(node, in_function=scope.in_function)

    def _consider(self, node: Node, *, in_function: bool) -> None:
        if self._counts(node):
            self.counted.update(node.outputs)
        choice = self._possible(node, _WIDE if self.stored else self.to)
        if not choice.inputs:
            if node.op_type not in _KEPT and self._possible(node, _WIDE).inputs:
                self.why[f"{node.op_type} takes no {self.to.name.lower()} in opset {self.facts.opset(node)}"] += 1
            return
        reason = "in a local function" if in_function else self._against(node, choice)
        if reason:
            self.why[reason] += 1
        else:
            self.nodes[node] = choice

    def _counts(self, node: Node) -> bool:
        """Tell whether what a node gives follows from integers alone: positions, sizes, masks."""
        given = [value for value in node.inputs if value is not None]
        read = [value for value in given if not self.facts.is_constant(value)]
        if any(self._is_learned(value) for value in given):
            return False
        return bool(read) and all(value in self.counted or self.facts.dtype(value) in _NUMBERS for value in read)

    def _is_learned(self, value: Value) -> bool:
        """Tell whether a value is a table or matrix of weights: what they give is no position any more."""
        count = self.facts.element_count(value) if self.facts.is_constant(value) else None
        return self.facts.dtype(value) == _WIDE and isinstance(count, int) and count > _FEW

    def _possible(self, node: Node, taken: DataType) -> Choice:
        """Return which float32 operands could be of type `taken` by the operator's definition alone."""
        opset = self.facts.opset(node)
        wide = _ALONE_WIDE.get(node.op_type, ()) if not node.domain else ()
        taking = {
            at: parameter
            for at, parameter in inputs_taking(node, taken, opset).items()
            if at not in wide and (value := node.inputs[at]) is not None and self.facts.dtype(value) == _WIDE
        }
        outputs = outputs_following(node, set(taking.values()), opset)
        return Choice(tuple(taking), tuple(at for at in outputs if node.outputs[at].name))

    def _against(self, node: Node, choice: Choice) -> str:
        """Say why a node stays wide; empty if it need not."""
        if node.op_type in _KEPT or node.domain not in {"", "ai.onnx"}:
            return f"{node.op_type} is kept"
        if any(pattern for pattern in self.keep if self._is_named(node, pattern)):
            return "asked to stay"
        values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
        if any(self.facts.dtype(value) is None for value in values):
            return "a type is not known"
        if any(value in self.counted for value in node.outputs):
            return "it computes with positions, sizes or masks"
        narrow = [value for at in choice.inputs if (value := node.inputs[at]) is not None]
        narrow += [node.outputs[at] for at in choice.outputs]
        if any(self.lost(value) > _MOST_LOSS[self.to] for value in narrow):
            return "values leave the range or the precision"
        return ""

    def _is_named(self, node: Node, pattern: str) -> bool:
        names = [node.op_type, node.name or "", *(value.name or "" for value in node.outputs)]
        found = pattern in names or any(fnmatchcase(name, pattern) for name in names if name)
        if found:
            self.used.add(pattern)
        return found

    def lost(self, value: Value) -> float:
        """Return what rounding costs a value, as far as that is known; a constant's is computed."""
        if not self.facts.is_constant(value):
            return self.losses.get(value.name or "", 0.0)
        if value not in self.weights:
            array = self.facts.constant(value)
            self.weights[value] = np.inf if array is None else loss(array, self.to)
        return self.weights[value]


def loss(array: Array, to: DataType) -> float:
    """Return the share of a tensor's signal that rounding to `to` costs, by root mean squares; infinite on overflow."""
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        rest = wide - array.astype(to.numpy()).astype(np.float64)
        # An infinity stays one.
        noise, signal = (np.square(np.where(np.isfinite(wide), each, 0)).sum() for each in (rest, wide))
    return float(np.sqrt(noise / signal)) if signal else 0.0
