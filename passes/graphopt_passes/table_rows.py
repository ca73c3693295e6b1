"""Gather rows of a table by their numbers, as other rules expect it."""

from __future__ import annotations

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]


@condition("one number names each row")
def _one_number(match: Match) -> bool:
    shape = match.facts.shape(match["i"])
    return shape is not None and shape[-1:] == (1,)


def _gather(build: Builder, match: Match) -> Value:
    rows: Value = build.op("Gather", match["x"], build.op("Squeeze", match["i"], build.shape(-1)), axis=0)
    return rows


# PyTorch's newer exporter writes a table indexed by positions as GatherND, the older one as Gather.
GATHER_ND_TO_GATHER = Rule(
    name="gather-nd-to-gather",
    doc="Replace a `GatherND` by one index along the first axis by a `Gather`.",
    match="GatherND(x, i, batch_dims=0)",
    replace=_gather,
    where=(_one_number,),
    min_opset=13,
)

PASSES = (GATHER_ND_TO_GATHER,)
