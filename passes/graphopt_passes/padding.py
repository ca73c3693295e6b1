"""Read the padding of Conv, pooling and Pad, whichever form the opset gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphopt.graph.facts import Facts
from graphopt.graph.model import Node
from graphopt.graph.schema import attribute

__all__ = ["PadSpec", "is_padded", "read_pad", "window_pads"]


@dataclass(frozen=True)
class PadSpec:
    """A constant Pad: how much on each axis, before and behind, and the value that fills."""

    before: tuple[int, ...]
    behind: tuple[int, ...]
    value: float

    @property
    def is_spatial(self) -> bool:
        """Tell whether it leaves the first two axes alone and cuts nothing off."""
        return not any((*self.before[:2], *self.behind[:2])) and min((*self.before, *self.behind)) >= 0


def is_padded(node: Node, opset: int) -> bool:
    """Tell whether Conv or a pool may pad; an automatic padding counts as one."""
    pads = window_pads(node, opset, 0)
    return pads is None or any(pads)


def window_pads(node: Node, opset: int, spatial: int) -> list[int] | None:
    """Return the explicit pads of Conv or a pool, else 2 * `spatial` zeros; None if they are automatic."""
    automatic = attribute(node, "auto_pad", opset)
    if automatic == "VALID":
        return [0] * (2 * spatial)
    if automatic not in {None, "", "NOTSET"}:
        return None
    pads = attribute(node, "pads", opset)
    return [0] * (2 * spatial) if pads is None else [int(pad) for pad in pads]


def read_pad(node: Node, facts: Facts, rank: int) -> PadSpec | None:
    """Read a Pad of an operand of that rank; None unless mode, pads, axes and value are constant."""
    opset = facts.opset(node)
    if attribute(node, "mode", opset) != "constant":
        return None
    if opset < 11:
        pads, value = attribute(node, "pads", opset), attribute(node, "value", opset)
        return None if pads is None or value is None else _spread(list(pads), list(range(rank)), rank, float(value))
    arrays: list[Any] = [None if item is None else facts.constant(item) for item in node.inputs[1:]]
    present = [item is not None for item in node.inputs[1:]]
    if not arrays or any(there and array is None for there, array in zip(present, arrays, strict=True)):
        return None
    pads, value, axes = [*arrays, None, None][:3]
    if pads is None or (value is not None and value.size != 1):
        return None
    names = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes.reshape(-1)]
    return _spread(pads.reshape(-1).tolist(), names, rank, 0.0 if value is None else float(value.reshape(-1)[0]))


def _spread(pads: list[int], axes: list[int], rank: int, value: float) -> PadSpec | None:
    count = len(axes)
    if len(pads) != 2 * count or len(set(axes)) != count or any(axis >= rank for axis in axes):
        return None
    before, behind = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        before[axis], behind[axis] = int(pads[index]), int(pads[count + index])
    return PadSpec(tuple(before), tuple(behind), value)
