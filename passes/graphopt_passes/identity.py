"""Eliminate operators that hand on their input by definition."""

from __future__ import annotations

from graphopt.graph.schema import attribute
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]


@condition("inference mode")
def _inference(match: Match) -> bool:
    if match.opset < 7:
        return bool(attribute(match.root, "is_test", match.opset) == 1)
    training = match.root.inputs[2] if match.opset >= 12 and len(match.root.inputs) > 2 else None
    if training is None:
        return True
    array = match.facts.constant(training)
    return array is not None and array.size == 1 and not bool(array.reshape(-1)[0])


ELIMINATE_IDENTITY = Rule(
    name="eliminate-identity",
    doc="Eliminate an `Identity`.",
    match="Identity(x)",
    replace="x",
)

ELIMINATE_DROPOUT = Rule(
    name="eliminate-dropout",
    doc="Eliminate a `Dropout` in inference mode whose mask nobody reads.",
    match="Dropout(x, *rest)",
    replace="x",
    where=(_inference,),
)

PASSES: tuple[Rule, ...] = (ELIMINATE_IDENTITY, ELIMINATE_DROPOUT)
