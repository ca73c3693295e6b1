"""Infer elementwise operators."""

from __future__ import annotations

from graphopt.graph.dims import broadcast
from graphopt.graph.infer.contents import (
    cast_values,
    compare_equal,
    elementwise_values,
    first_values,
    where_values,
)
from graphopt.graph.infer.dtypes import always, attribute_dtype, first, of_input
from graphopt.graph.infer.site import Dtypes, Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS", "broadcast_shapes", "same_shape"]

_UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Bernoulli",
    "BitwiseNot",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LRN",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
    "CumSum",
    "CumProd",
    "ReverseSequence",
    "SwiGLU",
]
_BINARY = [
    "Add",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Mod",
    "Mul",
    "Sub",
    "StringConcat",
]
_COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


def same_shape(site: Site) -> Shapes:
    """Return the shape of the first input."""
    return site.shape(0)


def broadcast_shapes(a: Shape, b: Shape) -> Shape:
    """Return the shape that two shapes broadcast to."""
    if a == b:
        return a
    if len(a) < len(b):
        a, b = b, a
    lead = len(a) - len(b)
    return (*a[:lead], *(broadcast(x, y) for x, y in zip(a[lead:], b, strict=True)))


def broadcast_all(site: Site) -> Shapes:
    """Broadcast all inputs that are given."""
    shapes = [site.shape(index) for index in range(site.count()) if site.has(index)]
    result: Shape | None = shapes[0]
    for shape in shapes[1:]:
        if result is None or shape is None:
            return None
        result = broadcast_shapes(result, shape)
    return result


def _binary(site: Site) -> Shapes:
    # Before opset 7 the second operand was broadcast into the first, on request.
    return site.shape(0) if site.version < 7 else broadcast_all(site)


def _cast(site: Site) -> Dtypes:
    to = site.attribute("to")
    # Opset 1 names the dtype in words.
    if isinstance(to, bytes):
        to = to.decode()
    return DataType.__members__[to] if isinstance(to, str) else DataType(int(to))


def _dropout(site: Site) -> Dtypes:
    return [site.dtype(0), DataType.BOOL if site.version >= 10 else site.dtype(0)]


def _twice(site: Site) -> Shapes:
    return [site.shape(0), site.shape(0)]


def _bernoulli(site: Site) -> Dtypes:
    return attribute_dtype(site, "dtype", site.dtype(0))


def _identity_shape(site: Site) -> Shapes:
    return site.shape(0)


_BOOL = always(DataType.BOOL)

OPERATORS: dict[tuple[str, str], Operator] = {
    **{("", name): Operator(first, same_shape) for name in _UNARY},
    **{("", name): Operator(of_input(0, 1), _binary, elementwise_values(name)) for name in _BINARY},
    **{("", name): Operator(_BOOL, _binary) for name in _COMPARISONS},
    **{("", name): Operator(of_input(0, 1), broadcast_all, elementwise_values(name)) for name in ("Max", "Min", "Sum")},
    ("", "And"): Operator(_BOOL, _binary),
    ("", "Or"): Operator(_BOOL, _binary),
    ("", "Xor"): Operator(_BOOL, _binary),
    ("", "Equal"): Operator(_BOOL, _binary, compare_equal),
    ("", "Mean"): Operator(of_input(0, 1), broadcast_all),
    ("", "Pow"): Operator(first, _binary),
    ("", "PRelu"): Operator(first, same_shape),
    ("", "BitShift"): Operator(of_input(0, 1), broadcast_all),
    ("", "Abs"): Operator(first, same_shape, elementwise_values("Abs")),
    ("", "Neg"): Operator(first, same_shape, elementwise_values("Neg")),
    ("", "Identity"): Operator(first, _identity_shape, first_values),
    ("", "IsInf"): Operator(_BOOL, same_shape),
    ("", "IsNaN"): Operator(_BOOL, same_shape),
    ("", "Where"): Operator(of_input(1, 2), broadcast_all, where_values),
    ("", "Cast"): Operator(_cast, same_shape, cast_values),
    ("", "CastLike"): Operator(of_input(1), same_shape, cast_values),
    ("", "Dropout"): Operator(_dropout, _twice),
    ("", "Bernoulli"): Operator(_bernoulli, same_shape),
}
