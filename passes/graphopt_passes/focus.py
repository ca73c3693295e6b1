"""Let a convolution read the picture itself where it reads every other pixel of it, beside each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from graphopt.graph.dims import mod
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.convolutions import build_convolution, read_convolution
from graphopt_passes.linear import unshared
from graphopt_passes.slices import INT64_MAX, cuts_of

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
_FEW = 4
"""Channels of a picture; with more of them, blocks of channels are cheaper than wide kernels."""


def _phase(value: Value, facts: Facts) -> tuple[Value, tuple[int, int], int] | None:
    """Return the picture of which `value` is every n-th pixel, the first row and column of it, and n."""
    starts: dict[int, tuple[int, int]] = {}
    while (node := _slicing(value)) is not None and len(starts) < 2:
        cuts, source = cuts_of(node, facts), node.inputs[0]
        if cuts is None or source is None or set(cuts) & set(starts) or not set(cuts) <= {2, 3}:
            return None
        if any(cut.end != INT64_MAX for cut in cuts.values()):
            return None
        starts.update({axis: (cut.start, cut.step) for axis, cut in cuts.items()})
        value = source
    if set(starts) != {2, 3} or starts[2][1] != starts[3][1]:
        return None
    return value, (starts[2][0], starts[3][0]), starts[2][1]


def _slicing(value: Value) -> Node | None:
    node = value.producer()
    return node if node is not None and node.op_type == "Slice" and not node.domain else None


def _phases(match: Match) -> tuple[Value, list[tuple[int, int]], int] | None:
    """Return the picture, and how its pixels are dealt out to the operands of the Concat; None unless all are."""
    found = [_phase(value, match.facts) for value in match["xs"]]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found) or len({(part[0], part[2]) for part in parts}) != 1:
        return None
    picture, _, step = parts[0]
    order = [start for _, start, _ in parts]
    return (picture, order, step) if sorted(order) == list(np.ndindex(step, step)) else None


@condition("a picture's pixels are dealt out to channels")
def _is_dealt(match: Match) -> bool:
    found = _phases(match)
    shape = None if found is None else match.facts.shape(found[0])
    if found is None or shape is None or len(shape) != 4:
        return False
    # With rows left over, Concat fails, but not everywhere where the next part is empty.
    even = all(mod(size, found[2]) == 0 for size in shape[2:])
    return even and isinstance(shape[1], int) and 0 < shape[1] <= _FEW


def _spread(w: Array, order: list[tuple[int, int]], step: int) -> Array:
    """Return the kernel for the picture: the taps of each operand stand where its pixels are."""
    outputs, channels, rows, columns = w.shape
    wide = np.zeros((outputs, channels // len(order), rows * step, columns * step))
    for index, part in enumerate(np.split(w, len(order), axis=1)):
        wide[:, :, order[index][0] :: step, order[index][1] :: step] = part
    return wide


def _convolve(build: Builder, match: Match) -> Value | None:
    found, conv = _phases(match), read_convolution(match.root, match.facts)
    if found is None or conv is None or conv.group != 1 or conv.w.shape[1] % len(found[1]):
        return None
    picture, order, step = found
    before, behind, strides = (
        tuple(step * size for size in sizes) for sizes in (conv.before, conv.behind, conv.strides)
    )
    wide = replace(conv, w=_spread(conv.w, order, step), strides=strides, before=before, behind=behind)
    return build_convolution(build, picture, wide)


FUSE_FOCUS_INTO_CONV = Rule(
    name="fuse-focus-into-conv",
    doc="Fuse into a Conv that the pixels it reads are dealt out to channels, as at the entry of some detectors.",
    match="Conv((t := Concat(*xs, axis=1)), const(w), opt(const(b)))",
    replace=_convolve,
    where=(unshared("w"), _is_dealt),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    targets=(Target.ORT_CPU, Target.OPENVINO),
)

PASSES = (FUSE_FOCUS_INTO_CONV,)
