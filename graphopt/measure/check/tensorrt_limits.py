"""Say which attributes and operands of operators that TensorRT's parser knows it refuses all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute

__all__ = ["limits"]

_PLUG_INS = frozenset({"CausalConvWithState", "LinearAttention"})
_UNBUILT = frozenset({"NonMaxSuppression"})
_REDUCTIONS = (
    "L1",
    "L2",
    "LogSum",
    "LogSumExp",
    "Max",
    "Mean",
    "Min",
    "Prod",
    "Sum",
    "SumSquare",
)
_BUILD_TIME = {"Unsqueeze": 1, "Squeeze": 1, "Dropout": 2, **{f"Reduce{name}": 1 for name in _REDUCTIONS}}
"""Operands whose values must be known while the engine is built."""

Refuses = Callable[[Any], bool]


def _dilated(value: Any) -> bool:
    return any(each != 1 for each in value)


def _is_set(value: Any) -> bool:
    return bool(value)


def _reduces(value: Any) -> bool:
    return bool(value != "none")


def _is_kept(value: Any) -> bool:
    return bool(value != "stretch")


def _is_odd_norm(value: Any) -> bool:
    return value not in {1, 2}


_ATTRIBUTES: Mapping[tuple[str, str], tuple[Refuses, str]] = {
    ("MaxPool", "dilations"): (_dilated, "dilations other than 1 are not taken"),
    ("AveragePool", "dilations"): (_dilated, "dilations other than 1 are not taken"),
    ("ScatterND", "reduction"): (_reduces, "a reduction is not taken"),
    ("Resize", "antialias"): (_is_set, "antialiasing is not taken"),
    ("Resize", "keep_aspect_ratio_policy"): (_is_kept, "policies other than `stretch` are not taken"),
    ("Attention", "softcap"): (_is_set, "softcap is not taken"),
    ("LpPool", "p"): (_is_odd_norm, "norms other than 1 and 2 are not taken"),
}


def limits(node: Node, facts: Facts) -> Iterator[str]:
    """Yield why `node` would be refused."""
    if node.op_type in _PLUG_INS:
        yield "it needs a plug-in that the package does not hold"
    if node.op_type in _UNBUILT:
        yield "the parser takes it, but TensorRT-RTX builds no engine with it"
    if node.op_type == "Attention" and sum(bool(value.name) for value in node.outputs) > 1:
        yield "Attention is taken with one output only"
    if "broadcast" in node.attributes and facts.opset(node) < 7:
        yield "broadcasting as before opset 7 is not taken"
    at = _BUILD_TIME.get(node.op_type)
    if at is not None and at < len(node.inputs) and _is_fed(node.inputs[at], facts):
        yield f"operand {at} must be a constant"
    for (kind, name), (refuses, what) in _ATTRIBUTES.items():
        if kind == node.op_type:
            value = attribute(node, name, facts.opset(node))
            if value is not None and refuses(value):
                yield what


def _is_fed(value: Value | None, facts: Facts) -> bool:
    return value is not None and value.producer() is None and value.is_graph_input() and not facts.is_constant(value)
