"""Fold a Pad with zeros into the padding of the Conv behind it."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.graph.schema import has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import read_pad, window_pads

__all__ = ["PASSES"]


def _pad_into_conv(build: Builder, match: Match) -> Value | None:
    conv = match.root
    rank = match.facts.rank(match["w"])
    if rank is None or has_reference(conv):
        return None
    pad = read_pad(match["t"].producer(), match.facts, rank)
    own = window_pads(conv, match.opset, rank - 2)
    if pad is None or own is None or pad.value != 0.0 or not pad.is_spatial:
        return None
    pads = [mine + more for mine, more in zip(own, [*pad.before[2:], *pad.behind[2:]], strict=True)]
    attrs: dict[str, Any] = {name: attr for name, attr in conv.attributes.items() if name not in {"auto_pad", "pads"}}
    value: Value = build.op("Conv", match["x"], *conv.inputs[1:], pads=pads, **attrs)
    return value


# Padding is floats' zero in both, but kernels for padded and for plain operands may add in different orders.
FUSE_PAD_INTO_CONV = Rule(
    name="fuse-pad-into-conv",
    doc="Fold a Pad with zeros, of spatial axes alone, into the padding of Conv.",
    match="Conv((t := Pad(x, *_)), w, opt(b))",
    replace=_pad_into_conv,
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=2,
)

PASSES = (FUSE_PAD_INTO_CONV,)
