"""Merge convolutions of one value whose results are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.batchnorm import inference_mode, normalization
from graphopt_passes.linear import unshared
from graphopt_passes.padding import window_pads

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Conv:
    """A convolution with constant weights `w` [o, c, *kernel] and bias `b` [o], both float64."""

    w: Array
    b: Array
    strides: tuple[int, ...]
    before: tuple[int, ...]
    behind: tuple[int, ...]
    group: int

    @property
    def kernel(self) -> tuple[int, ...]:
        return tuple(self.w.shape[2:])

    @property
    def shrinkage(self) -> tuple[int, ...]:
        """By how much each axis gets shorter before the stride."""
        return tuple(k - p - q for k, p, q in zip(self.kernel, self.before, self.behind, strict=True))


def _read(node: Node, facts: Facts) -> _Conv | None:
    """Read a Conv without dilation; None if anything is not constant."""
    opset = facts.opset(node)
    arrays = [None if value is None else facts.constant(value) for value in node.inputs[1:]]
    if has_reference(node) or not arrays or any(array is None for array in arrays):
        return None
    w = np.asarray(arrays[0])
    axes = w.ndim - 2
    pads = window_pads(node, opset, axes)
    if pads is None or set(attribute(node, "dilations", opset) or [1]) != {1} or w.dtype != np.float32:
        return None
    b = np.asarray(arrays[1]) if len(arrays) > 1 else np.zeros(w.shape[0])
    strides = tuple(attribute(node, "strides", opset) or [1] * axes)
    group = int(attribute(node, "group", opset))
    return _Conv(w.astype(np.float64), b.astype(np.float64), strides, tuple(pads[:axes]), tuple(pads[axes:]), group)


def _merge(one: _Conv, other: _Conv) -> _Conv | None:
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
    return _Conv(w, one.b + other.b, one.strides, before, behind, one.group)


def _build(build: Builder, x: Value, made: _Conv | None) -> Value | None:
    if made is None or not (np.isfinite(made.w).all() and np.isfinite(made.b).all()):
        return None
    w, b = (build.constant(array.astype(np.float32)) for array in (made.w, made.b))
    value: Value = build.op(
        "Conv", x, w, b, strides=list(made.strides), pads=[*made.before, *made.behind], group=made.group
    )
    return value


def _two(build: Builder, match: Match) -> Value | None:
    one, other = (_read(match[name].producer(), match.facts) for name in ("t", "u"))
    return None if one is None or other is None else _build(build, match["x"], _merge(one, other))


def _with_normalization(build: Builder, match: Match) -> Value | None:
    conv = _read(match["t"].producer(), match.facts)
    affine = None if conv is None else normalization(match, conv.w.shape[0])
    if conv is None or affine is None or conv.group != 1 or conv.w.shape[0] != conv.w.shape[1]:
        return None
    axes = len(conv.kernel)
    w = np.diag(affine.scale).reshape(*conv.w.shape[:2], *[1] * axes)
    return _build(build, match["x"], _merge(conv, _Conv(w, affine.shift, (1,) * axes, (0,) * axes, (0,) * axes, 1)))


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

PASSES = (MERGE_PARALLEL_CONVS, MERGE_CONV_NORMALIZATION)
