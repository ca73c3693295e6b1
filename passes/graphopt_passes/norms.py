"""Recognise LayerNormalization spelled out in other operators."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Condition, Match, Rule
from graphopt_passes.axes import axes_of
from graphopt_passes.broadcasting import keeps_shape

__all__ = ["PASSES"]

SINGLE = frozenset({DataType.FLOAT})
"""Operators of normalization compute in 32 bits, whatever the type of their operand."""


def last_axes(node: Node, facts: Facts, rank: int | None) -> int | None:
    """Return how many of the last axes a reduction treats, which it keeps; None if these are not its axes."""
    axes = axes_of(node, facts, rank)
    if rank is None or not axes or has_reference(node) or not attribute(node, "keepdims", facts.opset(node)):
        return None
    return len(axes) if sorted(axes) == list(range(rank - len(axes), rank)) else None


def over_last_axes(*names: str) -> Condition:
    """Require that the reductions of those names all keep the same axes, which are the last ones of `x`."""

    def check(match: Match) -> bool:
        rank = match.facts.rank(match["x"])
        counts = {last_axes(match[name].producer(), match.facts, rank) for name in names}
        return len(counts) == 1 and None not in counts

    return Condition(f"{', '.join(names)} keep the same last axes", check)


def normalized(match: Match, name: str) -> tuple[int, ...] | None:
    """Return the sizes of the last axes that the reduction `name` treats, if they are known numbers."""
    shape = match.facts.shape(match["x"])
    count = last_axes(match[name].producer(), match.facts, None if shape is None else len(shape))
    if shape is None or count is None:
        return None
    sizes = tuple(size for size in shape[-count:] if isinstance(size, int))
    return sizes if len(sizes) == count else None


@condition("the sizes of the normalized axes are known")
def _sized(match: Match) -> bool:
    """Ask for what the scale of ones has as its shape."""
    return normalized(match, "v") is not None


def single_number(name: str) -> Condition:
    """Require that `name` is a constant of one element that is finite and not negative."""

    def check(match: Match) -> bool:
        array = match.constant(name)
        return array is not None and array.size == 1 and bool(np.isfinite(array).all() and (array >= 0).all())

    return Condition(f"{name} is one number, not below zero", check)


def _layer_normalization(build: Builder, match: Match) -> Value | None:
    sizes, epsilon = normalized(match, "v"), match.constant("e")
    if sizes is None or epsilon is None:
        return None
    ones = build.constant(np.ones(sizes, np.float32))
    value: Value = build.op(
        "LayerNormalization", match["x"], ones, axis=-len(sizes), epsilon=float(epsilon.reshape(-1)[0])
    )
    return value


RECOGNIZE_LAYER_NORMALIZATION = Rule(
    name="recognize-layer-normalization",
    doc="Replace mean, difference, variance and quotient by LayerNormalization.",
    match="""
        d = Sub(x, (m := ReduceMean(x, *_)))
        v = ReduceMean(Pow(d, 2), *_)
        Div(d, Sqrt(Add(v, const(e))))
    """,
    replace=_layer_normalization,
    where=(dtype_in("x", SINGLE), over_last_axes("m", "v"), _sized, single_number("e"), keeps_shape("e", "x")),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=17,
)

PASSES = (RECOGNIZE_LAYER_NORMALIZATION,)
