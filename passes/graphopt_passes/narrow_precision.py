"""Compute in a float type of 16 bits, or round weights to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.errors import PipelineError, nearest
from graphopt.graph.model import DataType, Model
from graphopt.kinds import Exactness
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.narrow_graph import compute_narrow
from graphopt_passes.narrow_plan import Plan
from graphopt_passes.narrow_storage import round_weights

__all__ = ["PASSES", "NarrowPrecision"]

_TYPES = {"float16": DataType.FLOAT16, "bfloat16": DataType.BFLOAT16}
_FORMS = ("compute", "weights")


@dataclass(frozen=True)
class NarrowPrecision(Pass):
    """Compute in float16 or bfloat16, or round the weights alone to it; inputs and outputs keep their type.

    Kept in float32: what `keep` names, operators that have no such form, quantized parts, arithmetic of positions,
    sizes and masks, random numbers, local functions, and whatever holds a weight or, as observed on the run's inputs, a
    value that leaves the type's range or loses its precision. Runs only when named.
    """

    name: ClassVar[str] = "narrow-precision"
    exactness: ClassVar[Exactness] = Exactness.LOSSY

    to: str = "float16"
    """float16 or bfloat16."""
    form: str = "compute"
    """compute in the type, or round the weights alone: `store-narrow` stores them, and computing stays float32."""
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
        stored = self.form == "weights"
        losses = context.losses(model, self.to) if context.losses is not None and not stored else {}
        keep = tuple(name.strip() for name in self.keep.split(",") if name.strip())
        plan = Plan(model, context.facts, to, keep, losses, stored)
        for pattern in keep:
            if pattern not in plan.used:
                context.steps.note(self.name, f"nothing to keep in float32 has the name {pattern!r}")
        count = (round_weights if stored else compute_narrow)(plan, self.name, context)
        for reason, often in plan.why.most_common():
            context.steps.note(self.name, f"kept in float32: {often} node{'s' * (often > 1)}, {reason}")
        if count:
            context.refresh()
        return count


PASSES = (NarrowPrecision,)
