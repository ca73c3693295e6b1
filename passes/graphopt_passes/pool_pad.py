"""Fold a Pad into the padding of the pool behind it."""

from __future__ import annotations

import math
from typing import Any

from graphopt.graph.dims import known_positive
from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import read_pad, window_pads

__all__ = ["PASSES"]


def _merged_pads(match: Match, kernel: list[int]) -> list[int] | None:
    """Return the pads of the pool and of the Pad before it together; None if the pool cannot do what Pad does."""
    pad = read_pad(match["t"].producer(), match.facts, len(kernel) + 2)
    own = window_pads(match.root, match.opset, len(kernel))
    neutral = -math.inf if match.root.op_type == "MaxPool" else 0.0
    if pad is None or own is None or pad.value != neutral or not pad.is_spatial:
        return None
    pads = [mine + more for mine, more in zip(own, [*pad.before[2:], *pad.behind[2:]], strict=True)]
    # Runtimes refuse a pool whose window may lie in the padding alone.
    return pads if all(total < size for total, size in zip(pads, [*kernel, *kernel], strict=True)) else None


def _pad_into_pool(build: Builder, match: Match) -> Value | None:
    pool = match.root
    kernel = attribute(pool, "kernel_shape", match.opset)
    pads = None if has_reference(pool) or not kernel else _merged_pads(match, kernel)
    if pads is None:
        return None
    changed = {"auto_pad", "pads", "count_include_pad"}
    attrs: dict[str, Any] = {name: attr for name, attr in pool.attributes.items() if name not in changed}
    counted = None if pool.op_type == "MaxPool" else 1
    value: Value = build.op(pool.op_type, match["x"], pads=pads, count_include_pad=counted, **attrs)
    return value


@condition("the last window ends inside")
def _floors(match: Match) -> bool:
    """Ask that the output size is rounded down: a window over the end counts differently with and without Pad."""
    return not attribute(match.root, "ceil_mode", match.opset)


@condition("the windows are dense")
def _dense(match: Match) -> bool:
    """Ask that the windows have no holes: a window with holes may meet nothing but padding."""
    dilations = attribute(match.root, "dilations", match.opset)
    return all(dilation == 1 for dilation in dilations or ())


@condition("the operand has elements to pool")
def _spacious(match: Match) -> bool:
    """Ask that no spatial axis is empty: runtimes refuse to pool nothing but padding."""
    shape = match.facts.shape(match["x"])
    return shape is not None and all(known_positive(dim) for dim in shape[2:])


@condition("the pool counts what it pads, or pads nothing")
def _counts_padding(match: Match) -> bool:
    """Ask that AveragePool's own padding is counted like that of Pad."""
    if attribute(match.root, "count_include_pad", match.opset):
        return True
    pads = window_pads(match.root, match.opset, 0)
    return pads is not None and not any(pads)


FUSE_PAD_INTO_AVERAGE_POOL = Rule(
    name="fuse-pad-into-average-pool",
    doc="Fold a Pad with zeros, of spatial axes alone, into the padding of AveragePool, which then counts it.",
    match="AveragePool((t := Pad(x, *_)))",
    replace=_pad_into_pool,
    where=(_floors, _dense, _spacious, _counts_padding),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

# The padding of MaxPool is minus infinity; a Pad with zeros is none, it hides what is negative.
FUSE_PAD_INTO_MAX_POOL = Rule(
    name="fuse-pad-into-max-pool",
    doc="Fold a Pad with minus infinity, of spatial axes alone, into the padding of MaxPool.",
    match="MaxPool((t := Pad(x, *_)))",
    replace=_pad_into_pool,
    where=(_floors, _dense, _spacious),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=2,
)

PASSES = (FUSE_PAD_INTO_AVERAGE_POOL, FUSE_PAD_INTO_MAX_POOL)
