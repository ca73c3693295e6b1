"""Decide whether initializers that are listed as graph inputs are constants.

A caller may replace such an initializer at run time, so nothing may be folded into it. Old exporters list all of them
by habit, weights included; there it is no intention and costs a lot: runtimes do not fold either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphopt.graph.escape import quote

if TYPE_CHECKING:
    from graphopt.graph.model import Model, Value

__all__ = ["INPUT_ORDER", "decide_frozen", "is_overridable"]

INPUT_ORDER = "graphopt.input-order"
"""Key in the graph's `meta`: names of all inputs as they came, frozen ones included, for IR versions below 4."""

_LISTED_UNTIL = 3

_FIRST_WEIGHT = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "Gemm", "FusedConv"), 1),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul", "FusedGemm"), 0),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "LayerNormalization"), 1),
    **dict.fromkeys(("GroupNormalization", "RMSNormalization", "SkipLayerNormalization"), 1),
    **dict.fromkeys(("RNN", "LSTM", "GRU"), 1),
}
_THROUGH = frozenset({"Identity", "Cast", "Transpose", "DequantizeLinear", "Reshape"})


def is_overridable(value: Value) -> bool:
    """Tell whether a caller may replace the content of initializer `value`."""
    return value.is_graph_input() and value.is_initializer()


def decide_frozen(model: Model, *, freeze: bool | None) -> None:
    """Take initializers that are constants off the graph's inputs, and remark what was decided and why.

    `freeze` True or False decides; None looks for the old habit. For IR versions below 4 save lists them again.
    """
    graph = model.graph
    listed = [value for value in graph.inputs if value.is_initializer()]
    if not listed:
        return
    habit = len(listed) == len(graph.initializers) and any(_is_weight(value) for value in listed)
    count = f"{len(listed)} initializers are also graph inputs"
    if len(listed) == 1:
        count = f"initializer {quote(listed[0].name)} is also a graph input"
    if not (habit if freeze is None else freeze):
        told = "as told" if freeze is False else "use --freeze to treat as constant"
        model.remarks.append(f"{count}: kept overridable ({told})")
        return
    if model.ir.ir_version <= _LISTED_UNTIL:
        graph.meta[INPUT_ORDER] = [value.name for value in graph.inputs]
    frozen = set(listed)
    kept = [value for value in graph.inputs if value not in frozen]
    graph.inputs.clear()
    graph.inputs.extend(kept)
    told = "use --keep-overridable to keep" if freeze is None else "as told"
    model.remarks.append(f"{count}: treated as constant ({told})")


def _is_weight(value: Value) -> bool:
    """Tell whether an operator that has weights reads `value` as one, also through a cast or the like."""
    todo, seen = [value], {value}
    while todo:
        for node, index in todo.pop().uses():
            first = _FIRST_WEIGHT.get(node.op_type)
            if first is not None and index >= first:
                return True
            if node.op_type in _THROUGH and index == 0 and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                todo.append(node.outputs[0])
    return False
