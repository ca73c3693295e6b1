"""Fold Add, Sub, Mul and Div by channel-wise constants into the linear operator before or behind them."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, is_float
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import keeps_shape, per_channel
from graphopt_passes.linear import Affine, Linear, fold_before, fold_behind, read_linear, unshared
from graphopt_passes.padding import is_padded

__all__ = ["PASSES"]


def _affine(node: Node, match: Match, channels: int, trailing: int) -> Affine | None:
    """Read the map that `node` applies with the matched constant `c`; None if that varies along another axis."""
    array = match.constant("c")
    vector = None if array is None else per_channel(array, channels, trailing)
    if vector is None:
        return None
    ones, zeros = np.ones(channels), np.zeros(channels)
    with np.errstate(divide="ignore"):
        found = {
            "Add": lambda: Affine(ones, vector),
            "Sub": lambda: Affine(ones, -vector),
            "Mul": lambda: Affine(vector, zeros),
            "Div": lambda: Affine(1.0 / vector, zeros),
        }[node.op_type]()
    return found if np.isfinite(found.scale).all() and np.isfinite(found.shift).all() else None


def _widens(linear: Linear, match: Match) -> bool:
    """Tell whether the constant may have more axes than the result of the linear operator."""
    c = match.constant("c")
    result = linear.trailing + 2 if linear.node.op_type != "MatMul" else match.facts.rank(linear.node.outputs[0])
    return c is None or c.ndim > (1 if result is None else result)


def _into_producer(build: Builder, match: Match) -> Value | None:
    linear = read_linear(match["t"].producer(), match.facts)
    if linear is None or _widens(linear, match):
        return None
    affine = _affine(match.root, match, linear.outputs, linear.trailing)
    return None if affine is None else fold_behind(build, linear, affine)


def _negate_producer(build: Builder, match: Match) -> Value | None:
    linear = read_linear(match["t"].producer(), match.facts)
    if linear is None:
        return None
    return fold_behind(build, linear, Affine(-np.ones(linear.outputs), np.zeros(linear.outputs)))


def _into_consumer(build: Builder, match: Match) -> Value | None:
    linear = read_linear(match.root, match.facts)
    node = match["t"].producer()
    affine = None if linear is None else _affine(node, match, linear.inputs, linear.trailing)
    return None if linear is None or affine is None else fold_before(build, linear, match["x"], affine)


@condition("w is read by this alone or negated everywhere")
def _negated_everywhere(match: Match) -> bool:
    """Ask that no reader of the weights needs them as they are: equal copies of the opposite become one again."""
    w = match["w"]
    if unshared("w").test(match):
        return True
    for user, index in tuple(w.uses()):
        readers = [reader for value in user.outputs for reader, _ in value.uses()]
        if index != 1 or user.op_type not in _LINEAR_OPERATORS or [reader.op_type for reader in readers] != ["Neg"]:
            return False
        if any(value.is_graph_output() for value in user.outputs):
            return False
    return not w.is_graph_output()


@condition("no normalization stands before")
def _no_normalization(match: Match) -> bool:
    """Ask that `x` is no quotient, product or sum, nor one that was converted.

    Scale and shift behind one belong to a LayerNormalization, an RMSNormalization or a GELU, which a runtime fuses into
    one kernel as long as all their parts are there.
    """
    producer = match["x"].producer()
    while producer is not None and producer.op_type == "Cast" and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    return producer is None or producer.op_type not in {"Add", "Div", "Mul", "Sub"}


@condition("the operator does not pad")
def _no_padding(match: Match) -> bool:
    """Ask that Conv does not pad: padding is zero, the shift would not leave it so."""
    return not is_padded(match.root, match.opset)


@condition("the operand is not transposed")
def _not_transposed(match: Match) -> bool:
    """Ask that the channels are the last axis of the operand of Gemm."""
    return not attribute(match.root, "transA", match.opset)


_LINEAR_OPERATORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_LINEAR = "(t := (Conv | ConvTranspose | Gemm)(_, const(w), opt(const(b))))"

FUSE_SCALE_INTO_CONV = Rule(
    name="fuse-scale-into-conv",
    doc="Fold the sum or product with a channel-wise constant into the Conv, ConvTranspose or Gemm before it.",
    match=f"(Add | Mul)({_LINEAR}, const(c))",
    replace=_into_producer,
    where=(is_float("w"), unshared("w")),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_INVERSE_SCALE_INTO_CONV = Rule(
    name="fuse-inverse-scale-into-conv",
    doc="Fold the difference or quotient by a channel-wise constant into the Conv, ConvTranspose or Gemm before it.",
    match=f"(Sub | Div)({_LINEAR}, const(c))",
    replace=_into_producer,
    where=(is_float("w"), unshared("w")),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_NEGATION_INTO_CONV = Rule(
    name="fuse-negation-into-conv",
    doc="Fold a negation into the Conv, ConvTranspose, Gemm or MatMul before it.",
    match="Neg((t := (Conv | ConvTranspose | Gemm | MatMul)(_, const(w), opt(const(b)))))",
    replace=_negate_producer,
    where=(is_float("w"), _negated_everywhere),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_SCALE_INTO_MATMUL = Rule(
    name="fuse-scale-into-matmul",
    doc="Fold the product with a constant for each column into the MatMul before it.",
    match="Mul((t := MatMul(_, const(w))), const(c))",
    replace=_into_producer,
    where=(is_float("w"), unshared("w")),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_INVERSE_SCALE_INTO_MATMUL = Rule(
    name="fuse-inverse-scale-into-matmul",
    doc="Fold the quotient by a constant for each column into the MatMul before it.",
    match="Div((t := MatMul(_, const(w))), const(c))",
    replace=_into_producer,
    where=(is_float("w"), unshared("w")),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_SCALE_BEFORE_CONV = Rule(
    name="fuse-scale-before-conv",
    doc="Fold the product with a channel-wise constant into the linear operator behind it.",
    match="(Conv | ConvTranspose | Gemm | MatMul)((t := Mul(x, const(c))), const(w), opt(const(b)))",
    replace=_into_consumer,
    where=(is_float("w"), unshared("w"), keeps_shape("c", "x"), _no_normalization, _not_transposed),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_INVERSE_SCALE_BEFORE_CONV = Rule(
    name="fuse-inverse-scale-before-conv",
    doc="Fold the quotient by a channel-wise constant into the linear operator behind it.",
    match="(Conv | ConvTranspose | Gemm | MatMul)((t := Div(x, const(c))), const(w), opt(const(b)))",
    replace=_into_consumer,
    where=(is_float("w"), unshared("w"), keeps_shape("c", "x"), _no_normalization, _not_transposed),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_SHIFT_BEFORE_CONV = Rule(
    name="fuse-shift-before-conv",
    doc="Fold the sum with a channel-wise constant into the bias of the Conv without padding, or Gemm, behind it.",
    match="(Conv | Gemm)((t := Add(x, const(c))), const(w), opt(const(b)))",
    replace=_into_consumer,
    where=(is_float("w"), unshared("w"), keeps_shape("c", "x"), _no_normalization, _not_transposed, _no_padding),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_INVERSE_SHIFT_BEFORE_CONV = Rule(
    name="fuse-inverse-shift-before-conv",
    doc="Fold the difference by a channel-wise constant into the bias of the Conv without padding, or Gemm, behind it.",
    match="(Conv | Gemm)((t := Sub(x, const(c))), const(w), opt(const(b)))",
    replace=_into_consumer,
    where=(is_float("w"), unshared("w"), keeps_shape("c", "x"), _no_normalization, _not_transposed, _no_padding),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (
    FUSE_SCALE_INTO_CONV,
    FUSE_INVERSE_SCALE_INTO_CONV,
    FUSE_NEGATION_INTO_CONV,
    FUSE_SCALE_INTO_MATMUL,
    FUSE_INVERSE_SCALE_INTO_MATMUL,
    FUSE_SCALE_BEFORE_CONV,
    FUSE_INVERSE_SCALE_BEFORE_CONV,
    FUSE_SHIFT_BEFORE_CONV,
    FUSE_INVERSE_SHIFT_BEFORE_CONV,
)
