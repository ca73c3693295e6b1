"""Merge convolutions of one value whose results are added."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.kinds import Exactness
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.batchnorm import inference_mode, normalization
from graphopt_passes.convolutions import Convolution, build_convolution, read_convolution
from graphopt_passes.linear import Affine, unshared

__all__ = ["PASSES"]


def _merge(one: Convolution, other: Convolution) -> Convolution | None:
    """Return the convolution whose result is the sum of both; None if there is none that costs no more."""
    alike = (one.strides, one.group, one.shrinkage, one.w.shape[:2])
    if alike != (other.strides, other.group, other.shrinkage, other.w.shape[:2]):
        return None
    before = tuple(map(max, one.before, other.before))
    behind = tuple(map(max, one.behind, other.behind))
    kernel = tuple(s + p + q for s, p, q in zip(one.shrinkage, before, behind, strict=True))
    if np.prod(kernel) > np.prod(one.kernel) + np.prod(other.kernel):
        return None
    w = np.zeros((*one.w.shape[:2], *kernel))
    for each in (one, other):
        at = [slice(p - q, p - q + k) for p, q, k in zip(before, each.before, each.kernel, strict=True)]
        w[(slice(None), slice(None), *at)] += each.w
    return Convolution(w, one.b + other.b, one.strides, before, behind, one.group)


def _two(build: Builder, match: Match) -> Value | None:
    one, other = (read_convolution(match[name].producer(), match.facts) for name in ("t", "u"))
    return None if one is None or other is None else build_convolution(build, match["x"], _merge(one, other))


def _of_each_channel(conv: Convolution, affine: Affine) -> Convolution:
    """Return the convolution that is the map of each channel, if `conv` has as many outputs as inputs."""
    axes = len(conv.kernel)
    w = np.diag(affine.scale).reshape(*[len(affine.scale)] * 2, *[1] * axes)
    return Convolution(w, affine.shift, (1,) * axes, (0,) * axes, (0,) * axes, 1)


def _with_normalization(build: Builder, match: Match) -> Value | None:
    conv = read_convolution(match["t"].producer(), match.facts)
    affine = None if conv is None else normalization(match, conv.w.shape[0])
    if conv is None or affine is None:
        return None
    return build_convolution(build, match["x"], _merge(conv, _of_each_channel(conv, affine)))


def _with_itself(build: Builder, match: Match) -> Value | None:
    conv = read_convolution(match["t"].producer(), match.facts)
    if conv is None:
        return None
    same = Affine(np.ones(conv.w.shape[0]), np.zeros(conv.w.shape[0]))
    return build_convolution(build, match["x"], _merge(conv, _of_each_channel(conv, same)))


MERGE_PARALLEL_CONVS = Rule(
    name="merge-parallel-convs",
    doc="Merge two convolutions of one value whose results are added, as RepVGG trains them.",
    match="Add((t := Conv(x, const(w), opt(const(b)))), (u := Conv(x, const(v), opt(const(c)))))",
    replace=_two,
    where=(unshared("w"), unshared("v")),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

MERGE_CONV_NORMALIZATION = Rule(
    name="merge-conv-normalization",
    doc="Merge a normalization of a value into a convolution of it that is added, as RepVGG trains them.",
    match="Add((t := Conv(x, const(w), opt(const(b)))), "
    "BatchNormalization(x, const(gamma), const(beta), const(mean), const(var), epsilon=epsilon))",
    replace=_with_normalization,
    where=(unshared("w"), inference_mode),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

MERGE_CONV_IDENTITY = Rule(
    name="merge-conv-identity",
    doc="Merge into a convolution the value itself that is added, as RepVGG trains them.",
    match="Add((t := Conv(x, const(w), opt(const(b)))), x)",
    replace=_with_itself,
    where=(unshared("w"),),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (MERGE_PARALLEL_CONVS, MERGE_CONV_NORMALIZATION, MERGE_CONV_IDENTITY)
