"""Fold inference-mode BatchNormalization into the linear operator before or behind it."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, rank
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.linear import Affine, fold_before, fold_behind, read_linear, unshared
from graphopt_passes.padding import is_padded

__all__ = ["PASSES", "inference_mode", "normalization"]


@condition("the normalization runs in inference mode")
def inference_mode(match: Match) -> bool:
    """Ask for one result, and for no attribute that says training or statistics of single elements."""
    node = next(node for node in match.nodes if node.op_type == "BatchNormalization")
    if has_reference(node):
        return False
    training = attribute(node, "training_mode", match.opset)
    spatial = attribute(node, "spatial", match.opset)
    return not training and spatial != 0 and not any(value.name for value in node.outputs[1:])


@condition("a shift meets no padding")
def _no_padding(match: Match) -> bool:
    """Ask that Conv does not pad: padding stays zero, but the normalization would not leave it so."""
    return match.root.op_type == "Gemm" or not is_padded(match.root, match.opset)


@condition("the operand is not transposed")
def _not_transposed(match: Match) -> bool:
    """Ask that the channels are the last axis of the operand of Gemm."""
    return not attribute(match.root, "transA", match.opset)


def normalization(match: Match, channels: int) -> Affine | None:
    """Return the map of the matched BatchNormalization over so many channels, if its parameters are constants."""
    arrays = [match.constant(name) for name in ("gamma", "beta", "mean", "var")]
    epsilon = match.get("epsilon")
    gamma, beta, mean, var = (None if a is None or a.shape != (channels,) else a.astype(np.float64) for a in arrays)
    if gamma is None or beta is None or mean is None or var is None or not isinstance(epsilon, float):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = gamma / np.sqrt(var + epsilon)
        shift = beta - mean * scale
    return Affine(scale, shift) if np.isfinite(scale).all() and np.isfinite(shift).all() else None


def _into_producer(build: Builder, match: Match) -> Value | None:
    producer = match["t"].producer()
    linear = read_linear(producer, match.facts)
    affine = None if linear is None else normalization(match, linear.outputs)
    return None if linear is None or affine is None else fold_behind(build, linear, affine)


def _into_consumer(build: Builder, match: Match) -> Value | None:
    linear = read_linear(match.root, match.facts)
    affine = None if linear is None else normalization(match, linear.inputs)
    return None if linear is None or affine is None else fold_before(build, linear, match["x"], affine)


_PARAMETERS = "const(gamma), const(beta), const(mean), const(var), epsilon=epsilon"

FUSE_BATCHNORM_INTO_CONV = Rule(
    name="fuse-batchnorm-into-conv",
    doc="Fold BatchNormalization into the Conv, ConvTranspose or Gemm before it.",
    match=f"BatchNormalization((t := (Conv | ConvTranspose | Gemm)(_, const(w), opt(const(b)))), {_PARAMETERS})",
    replace=_into_producer,
    where=(unshared("w"), inference_mode),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

# Gemm, which takes the shift, wants rank 2; MatMul of weights of rank 2 has it where its other operand has.
FUSE_BATCHNORM_INTO_MATMUL = Rule(
    name="fuse-batchnorm-into-matmul",
    doc="Fold BatchNormalization into the MatMul of rank 2 before it, which becomes Gemm.",
    match=f"BatchNormalization((t := MatMul(x, const(w))), {_PARAMETERS})",
    replace=_into_producer,
    where=(rank("w", 2), rank("x", 2), unshared("w"), inference_mode),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

FUSE_BATCHNORM_BEFORE_CONV = Rule(
    name="fuse-batchnorm-before-conv",
    doc="Fold BatchNormalization into the Conv without padding, or the Gemm, behind it.",
    match=f"(Conv | Gemm)((t := BatchNormalization(x, {_PARAMETERS})), const(w), opt(const(b)))",
    replace=_into_consumer,
    where=(unshared("w"), inference_mode, _no_padding, _not_transposed),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (FUSE_BATCHNORM_INTO_CONV, FUSE_BATCHNORM_INTO_MATMUL, FUSE_BATCHNORM_BEFORE_CONV)
