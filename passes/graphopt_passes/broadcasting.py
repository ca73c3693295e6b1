"""Say when one operand of a broadcasting operator leaves the other's shape alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.facts import Facts
from graphopt.graph.model import Value
from graphopt.rewrite.rule import Condition, Match

__all__ = ["fits_into", "keeps_shape", "others_fit", "per_channel"]

Array = np.ndarray[Any, Any]


def fits_into(facts: Facts, operand: Value, target: Value) -> bool:
    """Tell whether `operand` broadcasts to the shape of `target` and never widens it."""
    shape, wide = facts.shape(operand), facts.shape(target)
    if shape == ():
        return True
    if shape is None or wide is None or len(shape) > len(wide):
        return False
    pairs = zip(reversed(shape), reversed(wide), strict=False)
    return all(dim in (1, other) for dim, other in pairs)


def keeps_shape(operand: str, target: str) -> Condition:
    """`operand` never widens `target`: the result of the two has the shape of `target`."""

    def check(match: Match) -> bool:
        first, second = match.get(operand), match.get(target)
        if not isinstance(first, Value) or not isinstance(second, Value):
            return False
        return fits_into(match.facts, first, second)

    return Condition(f"{operand} leaves the shape of {target}", check)


def others_fit(target: str) -> Condition:
    """No other operand of the root widens `target`: the root's result has the shape of `target`."""

    def check(match: Match) -> bool:
        value = match.get(target)
        if not isinstance(value, Value):
            return False
        others = [operand for operand in match.root.inputs if operand is not None and operand is not value]
        return all(fits_into(match.facts, operand, value) for operand in others)

    return Condition(f"the other operands leave the shape of {target}", check)


def per_channel(array: Array, channels: int, trailing: int) -> Array | None:
    """Return `array` as float64 of shape [channels] if it is a scalar or varies along one axis alone.

    `trailing` is the number of axes behind that axis. None if it varies along another axis or would widen that one.
    """
    if channels < 1 or not array.size:
        return None
    if array.size == 1:
        return np.full(channels, array.reshape(-1)[0], dtype=np.float64)
    axis = array.ndim - 1 - trailing
    if axis < 0 or array.size != channels or array.shape[axis] != channels:
        return None
    return array.reshape(-1).astype(np.float64)
