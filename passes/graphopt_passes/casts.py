"""Eliminate and compose conversions of element type."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
UNSIGNED = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64}
INTEGERS = {**SIGNED, **UNSIGNED}
FLOATS = {DataType.BFLOAT16: 8, DataType.FLOAT16: 11, DataType.FLOAT: 24, DataType.DOUBLE: 53}
"""Bits of the significand, the hidden one included."""
WIDER_FLOATS = {
    DataType.BFLOAT16: (DataType.FLOAT, DataType.DOUBLE),
    DataType.FLOAT16: (DataType.FLOAT, DataType.DOUBLE),
    DataType.FLOAT: (DataType.DOUBLE,),
    DataType.DOUBLE: (),
}


def holds(narrow: DataType, wide: DataType) -> bool:
    """Tell whether every value of `narrow` has an equal one in `wide`."""
    numbers = wide in INTEGERS or wide in FLOATS
    if narrow in (wide, DataType.BOOL):
        return numbers or narrow == wide
    if narrow in FLOATS:
        return wide in WIDER_FLOATS[narrow]
    if narrow in SIGNED:
        return SIGNED[narrow] <= SIGNED.get(wide, 0) or SIGNED[narrow] <= FLOATS.get(wide, 0)
    if narrow in UNSIGNED:
        bits = UNSIGNED[narrow]
        return bits <= UNSIGNED.get(wide, 0) or bits < SIGNED.get(wide, 0) or bits <= FLOATS.get(wide, 0)
    return False


@condition("to the type it has")
def _same_type(match: Match) -> bool:
    dtype = match.facts.dtype(match["x"])
    return dtype is not None and dtype == match.get("to")


@condition("the inner cast loses nothing that the outer one would keep")
def _lossless(match: Match) -> bool:
    source, outer = match.facts.dtype(match["x"]), match.get("b")
    if source is None or match.get("a") is None or outer is None:
        return False
    inner, outer = DataType(match["a"]), DataType(outer)
    if not holds(source, inner) or not (outer in INTEGERS or outer in FLOATS or outer == DataType.BOOL):
        return False
    # A float outside of an integer type's range becomes whatever the processor likes, and that depends on the float.
    return outer not in INTEGERS or inner not in FLOATS or holds(source, outer)


def _compose(build: Builder, match: Match) -> Value:
    if match.facts.dtype(match["x"]) == match["b"]:
        found: Value = match["x"]
        return found
    result: Value = build.op("Cast", match["x"], to=match["b"])
    return result


@condition("the type is known")
def _known_type(match: Match) -> bool:
    return match.facts.dtype(match["like"]) is not None


def _lower(build: Builder, match: Match) -> Value:
    dtype = match.facts.dtype(match["like"]) or DataType.UNDEFINED
    # Saturation and rounding are for the small floats alone; onnxruntime refuses them beside any other type.
    attributes: dict[str, Any] = dict(match.root.attributes) if dtype.name.startswith("FLOAT8") else {}
    result: Value = build.op("Cast", match["x"], to=int(dtype), **attributes)
    return result


ELIMINATE_CAST = Rule(
    name="eliminate-cast",
    doc="Eliminate a `Cast` to the type that its input has.",
    match="Cast(x, to=to)",
    replace="x",
    where=(_same_type,),
    min_opset=6,
)

COMPOSE_CASTS = Rule(
    name="compose-casts",
    doc="Compose two `Cast` of which the inner one loses nothing.",
    match="Cast(Cast(x, to=a), to=b)",
    replace=_compose,
    where=(_lossless,),
    min_opset=6,
    shared=True,
)

LOWER_CAST_LIKE = Rule(
    name="lower-cast-like",
    doc="Lower `CastLike` to `Cast` where the type is known.",
    match="CastLike(x, like)",
    replace=_lower,
    where=(_known_type,),
    min_opset=15,
)

PASSES: tuple[Rule, ...] = (LOWER_CAST_LIKE, ELIMINATE_CAST, COMPOSE_CASTS)
