"""Let a wide pool continue where a narrower one of the same value ends."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import window_pads

__all__ = ["PASSES"]


def _window(node: Node, facts: Facts) -> list[int] | None:
    """Return the kernel of a MaxPool of stride 1 whose result is as large as its operand; None of another one."""
    opset = facts.opset(node)
    if node.op_type != "MaxPool" or node.domain or has_reference(node) or any(out.name for out in node.outputs[1:]):
        return None
    kernel = list(attribute(node, "kernel_shape", opset) or [])
    pads = window_pads(node, opset, len(kernel))
    steps = [*(attribute(node, "strides", opset) or [1]), *(attribute(node, "dilations", opset) or [1])]
    half = [(size - 1) // 2 for size in kernel]
    plain = set(steps) == {1} and not attribute(node, "ceil_mode", opset) and all(size % 2 for size in kernel)
    return kernel if kernel and plain and pads == [*half, *half] else None


def _narrower(match: Match, wide: list[int]) -> tuple[list[int], Node] | None:
    """Return the widest of the pools of the same value that are narrower, with its kernel."""
    found = []
    for node, _ in match["x"].uses():
        window = _window(node, match.facts) if node.graph is match.root.graph else None
        if window is not None and window != wide and all(a <= b for a, b in zip(window, wide, strict=True)):
            found.append((window, node))
    return max(found, key=lambda each: each[0], default=None)


def _cascade(build: Builder, match: Match) -> Value | None:
    wide, root = _window(match.root, match.facts), match.root
    found = None if wide is None else _narrower(match, wide)
    if wide is None or found is None:
        return None
    window, node = found
    first: dict[str, Any] = dict(node.attributes)
    rest = [a - b + 1 for a, b in zip(wide, window, strict=True)]
    half = [(size - 1) // 2 for size in rest]
    second: dict[str, Any] = {**root.attributes, "kernel_shape": rest, "pads": [*half, *half]}
    value: Value = build.op("MaxPool", build.op("MaxPool", match["x"], **first), **second)
    return value


# The first pool of the two is one that is there already, and merged with it as a common subexpression.
CASCADE_POOLS = Rule(
    name="cascade-pools",
    doc="Compute the wider of two MaxPools of one value from the narrower one, as in spatial pyramid pooling.",
    match="MaxPool(x)",
    replace=_cascade,
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

PASSES = (CASCADE_POOLS,)
