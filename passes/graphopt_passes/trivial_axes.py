"""Eliminate operators along axes where there is nothing to do."""

from __future__ import annotations

from graphopt.graph.schema import attribute
from graphopt.rewrite.conditions import attr_is, condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of

__all__ = ["PASSES"]


@condition("all reduced axes have size 1, or there is none")
def _nothing_to_reduce(match: Match) -> bool:
    shape = match.facts.shape(match["x"])
    axes = axes_of(match.root, match.facts, None if shape is None else len(shape))
    if axes is None:
        return False
    if not axes and attribute(match.root, "noop_with_empty_axes", match.opset) == 1:
        return True
    if shape is None or any(axis >= len(shape) for axis in axes):
        return False
    return all(shape[axis] == 1 for axis in axes or range(len(shape)))


ELIMINATE_REDUCTION = Rule(
    name="eliminate-reduction",
    doc="Eliminate a sum, mean, product, minimum or maximum of single elements.",
    match="(ReduceSum | ReduceMean | ReduceProd | ReduceMax | ReduceMin)(x, *_, keepdims=k)",
    replace="x",
    where=(attr_is("k", 1), _nothing_to_reduce),
)

PASSES: tuple[Rule, ...] = (ELIMINATE_REDUCTION,)
