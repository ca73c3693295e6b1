"""Count what operators do: multiply-accumulates, arithmetic operations and bytes moved, at known sizes.

A multiply-accumulate counts as two operations, any other arithmetic on one element as one, transcendental functions
included. Bytes are those of every operand once and every result once: the least that a kernel with cold caches moves.
Views move nothing, and what picks a part of an operand reads as much as it writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphopt.graph.dims import Dim, Expr, substitute, symbol, symbols
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Model, Node, Value
from graphopt.graph.products import PRODUCTS, Formula
from graphopt.graph.schema import attribute

__all__ = ["Call", "Cost", "Costs", "Operand", "cost", "count_macs", "feed_sizes", "products"]

_NOT_SURE = (TypeError, ValueError, LookupError, ArithmeticError)
"""What a formula raises where an operand is absent or of an odd rank."""

_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})


@dataclass(frozen=True)
class Operand:
    """A tensor that a call reads or writes: its sizes, and the bits of one element."""

    shape: tuple[int, ...]
    bits: int = 32

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return (self.count * self.bits + 7) // 8


@dataclass(frozen=True)
class Call:
    """An operator at known sizes; None stands for an operand that is left out or not known."""

    operator: str
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    def input(self, index: int) -> tuple[int, ...]:
        """Return the shape of an input. Raises `LookupError` if it is not known."""
        return self._known(self.inputs, index).shape

    def output(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of an output. Raises `LookupError` if it is not known."""
        return self._known(self.outputs, index).shape

    def has(self, index: int) -> bool:
        """Tell whether an input is known."""
        return index < len(self.inputs) and self.inputs[index] is not None

    @staticmethod
    def _known(operands: Sequence[Operand | None], index: int) -> Operand:
        operand = operands[index]
        if operand is None:
            msg = f"operand {index} is not known"
            raise LookupError(msg)
        return operand


@dataclass(frozen=True)
class Cost:
    """What one call takes: multiply-accumulates, arithmetic operations (2 for each of those), bytes moved."""

    macs: int
    flops: int
    nbytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.flops + other.flops, self.nbytes + other.nbytes)


def cost(call: Call) -> Cost | None:
    """Count what a call takes; None for an operator that is not known, or where a size is missing."""
    macs = count_macs(call)
    if macs is None:
        return None
    try:
        flops = 2 * macs + _arithmetic(call, is_product=_formula(call.domain, call.operator) is not None)
        return Cost(macs, flops, _moved(call))
    except _NOT_SURE:
        return None


def count_macs(call: Call) -> int | None:
    """Count multiply-accumulates; None for a domain that is not known, or where a size is missing."""
    if call.domain not in _DOMAINS:
        return None
    formula = _formula(call.domain, call.operator)
    try:
        return 0 if formula is None else formula(call)
    except _NOT_SURE:
        return None


def _formula(domain: str, operator: str) -> Formula | None:
    if domain not in _DOMAINS:
        return None
    return PRODUCTS.get(("" if domain == "ai.onnx" else domain, operator)) or PRODUCTS.get(operator)


def _arithmetic(call: Call, *, is_product: bool) -> int:
    """Count the operations beside multiply-accumulates. Raises `LookupError` for an operator that is not known."""
    name = call.operator
    if is_product:
        biased = call.has(2) and name in _BIASED
        return math.prod(call.output()) * (biased + ("activation" in call.attributes))
    if name in _POOLS:
        window: Sequence[int] = call.attributes["kernel_shape"]
        return math.prod(call.output()) * math.prod(window)
    if name in _PER_INPUT:
        return math.prod(call.input(0)) * _PER_INPUT[name]
    if name in {"Sum", "Max", "Min", "Mean"}:
        return math.prod(call.output()) * max(1, len(call.inputs) - 1)
    return 0 if name in _VIEWS | _PICKING | _MOVING | _CONTROL else math.prod(call.output()) * _PER_OUTPUT[name]


def _moved(call: Call) -> int:
    if call.operator in _VIEWS | _CONTROL:
        return 0
    written = sum(each.nbytes for each in call.outputs if each is not None)
    if call.operator in _SHAPES:
        return written
    if call.operator in _PICKING:
        picked = [each for each in call.inputs[1:] if each is not None]
        return 2 * written + (sum(each.nbytes for each in picked) if call.operator.startswith("Gather") else 0)
    return written + sum(each.nbytes for each in call.inputs if each is not None)


_BIASED = frozenset({"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "DeformConv"})
_CONTROL = frozenset({"If", "Loop", "Scan"})
"""Their bodies are counted node by node."""
_VIEWS = frozenset(
    {"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "OptionalGetElement"}
)
_SHAPES = frozenset({"ConstantOfShape", "Range", "Shape", "Size", "RandomNormal", "RandomUniform"})
_PICKING = frozenset({"Gather", "GatherElements", "GatherND", "Slice", "Split", "Compress"})
_MOVING = frozenset(
    {
        *("BatchToSpace", "Cast", "CastLike", "CenterCropPad", "Concat", "ConstantOfShape", "DepthToSpace", "Expand"),
        *("EyeLike", "MemcpyFromHost", "MemcpyToHost", "NonZero", "OneHot", "Pad", "Range", "ReorderInput"),
        *("ReorderOutput", "ReverseSequence", "ScatterElements", "ScatterND", "Shape", "Size", "SpaceToDepth"),
        *("Tile", "Transpose", "Trilu", "Upsample"),
    }
)
_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool", "QLinearAveragePool"})
_NORMS = frozenset(
    {
        *("GroupNormalization", "InstanceNormalization", "LayerNormalization", "MeanVarianceNormalization"),
        *("SkipLayerNormalization", "EmbedLayerNormalization", "SkipGroupNorm", "GroupNorm"),
    }
)
_PER_INPUT: dict[str, int] = {
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "CumSum", "GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"), 1
    ),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "QLinearReduceMean"), 1),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"), 2),
    **dict.fromkeys(("ReduceLogSumExp", "DynamicQuantizeLinear"), 4),
    # Mean, centre, square, sum, scale, weight, bias.
    **dict.fromkeys(_NORMS, 7),
    **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization", "LpNormalization"), 4),
    "SkipSimplifiedLayerNormalization": 5,
}
_PER_OUTPUT: dict[str, int] = {
    **dict.fromkeys(
        (
            *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseAnd"),
            *("BitwiseNot", "BitwiseOr", "BitwiseXor", "BiasAdd", "Ceil", "Cos", "Cosh", "Div", "Equal", "Erf", "Exp"),
            *("Floor", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "Mod", "Mul"),
            *("Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Sub", "Tan"),
            *("Tanh", "ThresholdedRelu", "Where", "Xor"),
        ),
        1,
    ),
    **dict.fromkeys(("BatchNormalization", "Clip", "DequantizeLinear", "LeakyRelu", "PRelu", "HardSigmoid"), 2),
    # Divide, round, shift, clip.
    **dict.fromkeys(("Celu", "Elu", "HardSwish", "QuantizeLinear", "Selu", "Sigmoid", "Softplus", "Softsign"), 3),
    **dict.fromkeys(("QuickGelu", "Swish", "Silu", "QLinearAdd", "QLinearMul", "RotaryEmbedding"), 5),
    # Largest, subtract, exp, sum, divide.
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "BiasSoftmax", "Gelu", "Mish", "QLinearSigmoid"), 5),
    **dict.fromkeys(("BiasGelu", "FastGelu", "QLinearSoftmax", "QLinearLeakyRelu"), 6),
    "Resize": 1,
}


class Costs:
    """Count the nodes of a model at given sizes of its symbols; a symbol without a size is `other`, or not known."""

    def __init__(self, facts: Facts, sizes: Mapping[str, int], other: int | None = None) -> None:
        self.facts = facts
        self.sizes = sizes
        self.other = other

    def of(self, node: Node) -> Cost | None:
        """Count one node, the bodies it holds left out; None where it is not known."""
        call = self._call(node)
        given = (*node.inputs, *(value for value in node.outputs if value.name))
        found = (*call.inputs, *(each for each, value in zip(call.outputs, node.outputs, strict=True) if value.name))
        unknown = any(each is None and value is not None for each, value in zip(found, given, strict=True))
        return None if unknown else cost(call)

    def macs_of(self, node: Node) -> int | None:
        """Count the multiply-accumulates of one node; None where they are not known."""
        return count_macs(self._call(node))

    def macs(self, model: Model) -> int | None:
        """Add up all graphs of `model`, each body once; None if one of the products is not known."""
        total = 0
        for node in products(model):
            count = self.macs_of(node)
            if count is None:
                return None
            total += count
        return total

    def _call(self, node: Node) -> Call:
        version = self.facts.opset(node)
        return Call(
            node.op_type,
            tuple(None if value is None else self.operand(value) for value in node.inputs),
            tuple(self.operand(value) if value.name else None for value in node.outputs),
            {name: attribute(node, name, version) for name in node.attributes},
            node.domain,
        )

    def operand(self, value: Value) -> Operand | None:
        """Return sizes and bits of a value; None if they are not known."""
        shape, dtype = self.facts.shape(value), self.facts.dtype(value)
        if shape is None:
            return None
        try:
            sizes = tuple(self._size(dim) for dim in shape)
        except ValueError:
            # Sizes of 1 do not fit together everywhere, as in a window that is larger than its input.
            return None
        if dtype is None or dtype in {DataType.STRING, DataType.UNDEFINED}:
            return None if self.other is None else Operand(sizes)
        return Operand(sizes, int(dtype.bitwidth))

    def _size(self, dim: Dim) -> int:
        if isinstance(dim, int):
            return dim
        mapping = {name: self.sizes.get(name, self.other) for name in symbols(dim)}
        found = substitute(dim, {name: size for name, size in mapping.items() if size is not None})
        if isinstance(found, int) and found >= 0:
            return found
        if self.other is not None:
            return self.other
        msg = f"{dim} is not known"
        raise ValueError(msg)


def products(model: Model) -> list[Node]:
    """List the nodes that multiply and accumulate, of all graphs."""
    return [node for scope in model.scopes() for node in scope if _formula(node.domain, node.op_type)]


def feed_sizes(model: Model, facts: Facts, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the sizes of symbols that the shapes of the inputs `shapes` give."""
    found: dict[str, int] = {}
    for value in model.graph.inputs:
        declared, given = facts.shape(value), shapes.get(value.name or "")
        if declared is None or given is None or len(declared) != len(given):
            continue
        for dim, size in zip(declared, given, strict=True):
            names = symbols(dim)
            if isinstance(dim, Expr) and len(names) == 1 and dim == symbol(name := names.pop()):
                found.setdefault(name, int(size))
    return found
