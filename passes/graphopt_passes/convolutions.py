"""Read a convolution with constant weights, and build one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt_passes.padding import window_pads

__all__ = ["Convolution", "build_convolution", "read_convolution"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Convolution:
    """A convolution with constant weights `w` [o, c, *kernel] and bias `b` [o], both float64."""

    w: Array
    b: Array
    strides: tuple[int, ...]
    before: tuple[int, ...]
    behind: tuple[int, ...]
    group: int

    @property
    def kernel(self) -> tuple[int, ...]:
        """The size of the kernel, axis by axis."""
        return tuple(self.w.shape[2:])

    @property
    def shrinkage(self) -> tuple[int, ...]:
        """By how much each axis gets shorter before the stride."""
        return tuple(k - p - q for k, p, q in zip(self.kernel, self.before, self.behind, strict=True))


def read_convolution(node: Node, facts: Facts) -> Convolution | None:
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
    return Convolution(
        w.astype(np.float64), b.astype(np.float64), strides, tuple(pads[:axes]), tuple(pads[axes:]), group
    )


def build_convolution(build: Builder, x: Value, made: Convolution | None) -> Value | None:
    """Build a convolution in float32; None if there is none, or its weights would not be finite."""
    if made is None or not (np.isfinite(made.w).all() and np.isfinite(made.b).all()):
        return None
    w, b = (build.constant(array.astype(np.float32)) for array in (made.w, made.b))
    value: Value = build.op(
        "Conv", x, w, b, strides=list(made.strides), pads=[*made.before, *made.behind], group=made.group
    )
    return value
