"""Store, or compute, in a float type of 16 bits what a model computes in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.errors import PipelineError, nearest
from graphopt.graph.edit import drop_initializer
from graphopt.graph.freeze import is_overridable
from graphopt.graph.model import DataType, Model, Value
from graphopt.graph.scopes import walk
from graphopt.kinds import Exactness, Target
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.narrow_graph import compute_narrow, converted_behind, narrow_copy
from graphopt_passes.narrow_plan import Plan

__all__ = ["PASSES", "NarrowPrecision"]

_WIDE = DataType.FLOAT
_TYPES = {"float16": DataType.FLOAT16, "bfloat16": DataType.BFLOAT16}
_FORMS = ("auto", "weights", "compute")
_STORING = frozenset({Target.ORT_CPU, Target.OPENVINO})
"""Targets that convert constants when they load a model, and compute in the type that they are fast in."""
_FEW = 64
"""Smaller weights save nothing worth a conversion."""


@dataclass(frozen=True)
class NarrowPrecision(Pass):
    """Store the weights in float16 or bfloat16, or compute in it as well; inputs and outputs keep their type.

    Kept in float32: what `keep` names, operators that have no such form, quantized parts, arithmetic of positions,
    sizes and masks, random numbers, local functions, and whatever holds a weight or, as observed on the run's inputs, a
    value that leaves the type's range or loses its precision. Runs only when named.
    """

    name: ClassVar[str] = "narrow-precision"
    exactness: ClassVar[Exactness] = Exactness.LOSSY

    to: str = "float16"
    """float16 or bfloat16."""
    form: str = "auto"
    """weights stores them narrow and computes in float32, compute does both narrow, auto what the target likes."""
    keep: str = ""
    """What stays float32: names of nodes or values, operators, or patterns with * of them, separated by commas."""

    def __post_init__(self) -> None:
        for key, value, known in (("to", self.to, tuple(_TYPES)), ("form", self.form, _FORMS)):
            if value not in known:
                advice = nearest(value, known) or f"known: {', '.join(known)}"
                raise PipelineError(f"narrow-precision{{{key}={value}}} is unknown", advice=advice)

    def run(self, model: Model, context: Context) -> int:
        """Narrow every node or weight that may be."""
        to = _TYPES[self.to]
        stored = context.selection.target in _STORING if self.form == "auto" else self.form == "weights"
        losses = context.losses(model, self.to) if context.losses is not None and not stored else {}
        keep = tuple(name.strip() for name in self.keep.split(",") if name.strip())
        plan = Plan(model, context.facts, to, keep, losses)
        for pattern in keep:
            if pattern not in plan.used:
                context.steps.note(self.name, f"nothing to keep in float32 has the name {pattern!r}")
        count = _store(plan, self.name, context) if stored else compute_narrow(plan, self.name, context)
        if count:
            context.refresh()
        return count


def _store(plan: Plan, rule: str, context: Context) -> int:
    """Store weights narrow and convert them once, for all that read them; runtimes do so when they load the model."""
    count = 0
    for scope in walk(plan.model):
        for value in list(scope.graph.initializers.values()):
            if not _is_storable(value, plan) or not context.admit(rule, value.name or "", Exactness.LOSSY):
                continue
            narrow = narrow_copy(value, plan.to, context.names)
            value.replace_all_uses_with(converted_behind(narrow, _WIDE, context.names))
            name = value.name
            if drop_initializer(value):
                narrow.name = name
            count += 1
    return count


def _is_storable(value: Value, plan: Plan) -> bool:
    if value.dtype != _WIDE or value.const_value is None or is_overridable(value) or value.is_graph_output():
        return False
    if value.const_value.size < _FEW or not value.uses():
        return False
    return all(node in plan.nodes and at in plan.nodes[node].inputs for node, at in value.uses())


PASSES = (NarrowPrecision,)
