"""Round weights to a float type of 16 bits, and store in it those that have only numbers of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphopt.graph.constants import narrowed, widened
from graphopt.graph.deferred import defer
from graphopt.graph.edit import drop_initializer
from graphopt.graph.freeze import is_overridable
from graphopt.graph.model import DataType, Model, Value
from graphopt.graph.scopes import walk
from graphopt.kinds import Exactness
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.narrow_graph import converted_behind, narrow_copy
from graphopt_passes.narrow_plan import Plan

__all__ = ["PASSES", "StoreNarrow", "expect_narrow", "round_weights"]

_WIDE = DataType.FLOAT
_EXPECTED = "graphopt.narrow"
_FEW = 64
"""Smaller weights save nothing worth a conversion."""


def expect_narrow(model: Model, to: DataType) -> None:
    """Note that weights of `model` have numbers of the type `to` only, and are to be stored in it in the end."""
    model.graph.meta[_EXPECTED] = to


def round_weights(plan: Plan, rule: str, context: Context) -> int:
    """Round the weights that a plan's nodes read to its type; they stay float32 as long as rules are to read them."""
    count = 0
    for scope in walk(plan.model):
        for value in scope.graph.initializers.values():
            if not _is_weight(value) or not all(
                node in plan.nodes and at in plan.nodes[node].inputs for node, at in value.uses()
            ):
                continue
            if context.admit(rule, value.name or "", Exactness.LOSSY):
                value.const_value = widened(narrowed(value.const_value, plan.to))
                count += 1
    if count:
        expect_narrow(plan.model, plan.to)
    return count


@dataclass(frozen=True)
class StoreNarrow(Pass):
    """Store weights in float16 or bfloat16 that came in it, or were rounded to it, where that loses nothing.

    The runtime converts them when it loads the model. Left unchanged: scales of quantized parts, and whatever rules
    made of the weights that has other numbers.
    """

    name: ClassVar[str] = "store-narrow"

    def run(self, model: Model, context: Context) -> int:
        """Store every weight narrow that may be, if an earlier pass said that there are such."""
        to = model.graph.meta.get(_EXPECTED)
        if to is None:
            return 0
        count = 0
        for scope in walk(model):
            for value in list(scope.graph.initializers.values()):
                if _is_weight(value) and _fits(value, to) and context.admit(self.name, value.name or ""):
                    _store(value, to, context)
                    count += 1
        if count:
            context.refresh()
        return count


def _is_weight(value: Value) -> bool:
    if value.dtype != _WIDE or value.const_value is None or is_overridable(value) or value.is_graph_output():
        return False
    if value.const_value.size < _FEW or not value.uses():
        return False
    return not any("Quantize" in node.op_type for node, _ in value.uses())


def _fits(value: Value, to: DataType) -> bool:
    """Tell whether a weight has numbers of the type only."""
    with np.errstate(all="ignore"):
        wide = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        return bool(np.array_equal(wide.astype(to.numpy()).astype(np.float32), wide, equal_nan=True))


def _store(value: Value, to: DataType, context: Context) -> None:
    narrow = narrow_copy(value, to, context.names)
    wide = converted_behind(narrow, _WIDE, context.names)
    node = wide.producer()
    if node is not None:
        defer(node)
    value.replace_all_uses_with(wide)
    name = value.name
    if drop_initializer(value):
        narrow.name = name


PASSES = (StoreNarrow,)
