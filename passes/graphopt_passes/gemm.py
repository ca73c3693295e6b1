"""Fuse Gemm with the transpositions before it and the sum behind it."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, is_float
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import fits_into

__all__ = ["PASSES"]


def _transposed(build: Builder, match: Match, index: int, name: str) -> Value | None:
    """Build the Gemm that reads what its operand `index` is the transposition of; `name` is the attribute for that."""
    root = match.root
    if any(has_reference(node) for node in match.nodes):
        return None
    inputs = list(root.inputs)
    inputs[index] = match["x"]
    attrs: dict[str, Any] = {key: attr for key, attr in root.attributes.items() if key != name}
    attrs[name] = 0 if attribute(root, name, match.opset) else 1
    value: Value = build.op("Gemm", *inputs, **attrs)
    return value


def _add_bias(build: Builder, match: Match) -> Value | None:
    gemm = match["t"].producer()
    if has_reference(gemm):
        return None
    attrs: dict[str, Any] = {key: attr for key, attr in gemm.attributes.items() if key != "beta"}
    value: Value = build.op("Gemm", match["x"], match["w"], match["b"], **attrs)
    return value


@condition("b leaves the shape of the product")
def _bias_fits(match: Match) -> bool:
    """Ask that `b` broadcasts into the result of Gemm."""
    return fits_into(match.facts, match["b"], match["t"])


# Operands of Gemm have rank 2, so that there is one transposition: Transpose needs no second look.
FUSE_TRANSPOSED_LEFT = Rule(
    name="fuse-transposed-left",
    doc="Fold the transposition of the left-hand operand into Gemm.",
    match="Gemm((t := Transpose(x, perm=(1, 0))), w, opt(b))",
    replace=lambda build, match: _transposed(build, match, 0, "transA"),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    shared=True,
)

FUSE_TRANSPOSED_RIGHT = Rule(
    name="fuse-transposed-right",
    doc="Fold the transposition of the right-hand operand into Gemm.",
    match="Gemm(y, (t := Transpose(x, perm=(1, 0))), opt(b))",
    replace=lambda build, match: _transposed(build, match, 1, "transB"),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    shared=True,
)

FUSE_GEMM_ADD = Rule(
    name="fuse-gemm-add",
    doc="Fold the sum behind a Gemm without bias into its bias.",
    match="Add((t := Gemm(x, w)), b)",
    replace=_add_bias,
    where=(is_float("b"), _bias_fits),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (FUSE_TRANSPOSED_LEFT, FUSE_TRANSPOSED_RIGHT, FUSE_GEMM_ADD)
