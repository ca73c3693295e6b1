"""Name the facts that rules ask for. Every condition is total: what is unknown is False."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphopt.graph.model import DataType, Value
from graphopt.rewrite.rule import Condition, Match

__all__ = [
    "FLOATS",
    "attr_is",
    "broadcasts_into",
    "condition",
    "constant_where",
    "dtype_in",
    "is_const",
    "is_float",
    "no_uses",
    "one_user",
    "rank",
    "same_dtype",
    "same_shape",
    "static_shape",
]

FLOATS = frozenset({DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE})
Array = np.ndarray[Any, Any]


def condition(name: str) -> Callable[[Callable[[Match], bool]], Condition]:
    """Turn a function of a match into a condition with that name."""
    return lambda test: Condition(name, test)


def _value(match: Match, name: str) -> Value | None:
    bound = match.result if name == "result" else match.get(name)
    return bound if isinstance(bound, Value) else None


def _on_value(text: str, name: str, test: Callable[[Match, Value], bool]) -> Condition:
    def check(match: Match) -> bool:
        value = _value(match, name)
        return value is not None and test(match, value)

    return Condition(text, check)


def rank(name: str, *ranks: int) -> Condition:
    """`name` has one of these ranks. The name `result` means the root's first result, here and below."""
    return _on_value(f"rank({name}) in {ranks}", name, lambda m, v: m.facts.rank(v) in ranks)


def is_const(*names: str) -> Condition:
    """All of `names` are constants."""

    def check(match: Match) -> bool:
        values = [_value(match, name) for name in names]
        return all(value is not None and match.facts.is_constant(value) for value in values)

    return Condition(f"is_const({', '.join(names)})", check)


def constant_where(name: str, text: str, test: Callable[[Array], bool]) -> Condition:
    """`name` is a constant whose array passes `test`; `text` says what that asks."""

    def check(match: Match) -> bool:
        array = match.constant(name)
        return array is not None and bool(test(array))

    return Condition(f"{name} {text}", check)


def static_shape(name: str) -> Condition:
    """All dimensions of `name` are known numbers."""
    return _on_value(f"static_shape({name})", name, lambda m, v: m.facts.static_shape(v) is not None)


def dtype_in(name: str, dtypes: frozenset[DataType], text: str = "") -> Condition:
    """`name` has one of these element types."""
    words = text or "/".join(sorted(dtype.name for dtype in dtypes))
    return _on_value(f"dtype({name}) is {words}", name, lambda m, v: m.facts.dtype(v) in dtypes)


def is_float(name: str) -> Condition:
    """`name` holds floats of 16, 32 or 64 bits."""
    return dtype_in(name, FLOATS, "float")


def same_shape(first: str, second: str) -> Condition:
    """Both have the same shape for every input of the model."""

    def check(match: Match) -> bool:
        a, b = _value(match, first), _value(match, second)
        if a is None or b is None:
            return False
        shape = match.facts.shape(a)
        return shape is not None and shape == match.facts.shape(b)

    return Condition(f"same_shape({first}, {second})", check)


def same_dtype(first: str, second: str) -> Condition:
    """Both have the same, known element type."""

    def check(match: Match) -> bool:
        a, b = _value(match, first), _value(match, second)
        if a is None or b is None:
            return False
        dtype = match.facts.dtype(a)
        return dtype is not None and dtype == match.facts.dtype(b)

    return Condition(f"same_dtype({first}, {second})", check)


def one_user(name: str) -> Condition:
    """`name` has one reader and is no graph output."""
    return _on_value(f"one_user({name})", name, lambda _, v: len(v.uses()) == 1 and not v.is_graph_output())


def no_uses(name: str) -> Condition:
    """Nothing reads `name` (or it is left out)."""

    def check(match: Match) -> bool:
        value = _value(match, name)
        return value is None or (not value.uses() and not value.is_graph_output())

    return Condition(f"no_uses({name})", check)


def attr_is(name: str, *allowed: Any) -> Condition:
    """The attribute bound to `name` has one of these values (None: left out, without a default)."""
    return Condition(f"{name} in {allowed}", lambda m: m.get(name) in allowed)


def broadcasts_into(name: str, *dims: tuple[str, int]) -> Condition:
    """`name` broadcasts, without widening it, into the shape whose dimensions are given as (value, axis)."""

    def check(match: Match) -> bool:
        value = _value(match, name)
        shape = None if value is None else match.facts.shape(value)
        shapes = [(_value(match, other), axis) for other, axis in dims]
        if shape is None or any(other is None for other, _ in shapes) or len(shape) > len(dims):
            return False
        wanted = [(match.facts.shape(other) or ())[axis:][:1] for other, axis in shapes if other is not None]
        pairs = zip(reversed(shape), reversed(wanted), strict=False)
        return all(dim == 1 or (dim,) == target for dim, target in pairs)

    return Condition(f"broadcasts_into({name}, {dims})", check)
