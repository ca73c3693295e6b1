"""Keep folding within bounds of size and work."""

from __future__ import annotations

import math
from collections import Counter

from graphopt.graph.constants import stored_bytes
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute
from graphopt.pipeline.context import Context

__all__ = ["MAX_GROWTH", "MAX_WORK", "Ledger", "work"]

MAX_GROWTH = 1 << 20
"""Bytes by which one fold may make the model bigger; what frees its operands may be as big as they were."""

_MAX_WIDENING = 1 << 12
"""The same for a cast: weights that are stored narrow stay so."""

MAX_WORK = 2_000_000_000
"""Multiply-adds that one node may cost."""


class Ledger:
    """What the model's constants weigh, what they may weigh, and who still reads each."""

    def __init__(self, context: Context) -> None:
        self.stored = stored_bytes(context.model)
        if context.size_limit is None:
            context.size_limit = self.stored + self.stored // 10 + (1 << 20)
        self._limit = context.size_limit
        self._readers: dict[Value, int] = {}
        self._pending: dict[Value, int] = {}

    def freed(self, node: Node) -> int:
        """Return the bytes of the operands that nothing else reads."""
        total = 0
        for value, count in Counter(value for value in node.inputs if value is not None).items():
            kept = value.is_graph_output() or value.is_graph_input()
            if not kept and self._left(value) == count:
                total += self._size(value)
        return total

    def room(self, node: Node) -> int:
        """Return how many bytes the results of `node` may have."""
        freed = self.freed(node)
        growth = _MAX_WIDENING if node.op_type in {"Cast", "CastLike"} else MAX_GROWTH
        return freed + max(0, min(growth, self._limit - self.stored))

    def enter(self, node: Node, size: int) -> None:
        """Note that `node` is folded into `size` bytes."""
        self.stored += size - self.freed(node)
        for value in node.inputs:
            if value is not None:
                self._readers[value] = self._left(value) - 1

    def expect(self, value: Value, size: int) -> None:
        """Note that `value` will be a constant of `size` bytes."""
        self._pending[value] = size

    def _left(self, value: Value) -> int:
        if value not in self._readers:
            self._readers[value] = len(value.uses())
        return self._readers[value]

    def _size(self, value: Value) -> int:
        if value in self._pending:
            return self._pending[value]
        return 0 if value.const_value is None else int(value.const_value.nbytes)


_LINEAR = frozenset(
    {
        *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "BitShift"),
        *("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Concat"),
        *("ConstantOfShape", "Cos", "Cosh", "DepthToSpace", "Div", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike"),
        *("Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Greater", "GreaterOrEqual"),
        *("HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LayerNormalization", "LeakyRelu", "Less"),
        *("LessOrEqual", "Log", "LogSoftmax", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or"),
        *("PRelu", "Pad", "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum"),
        *("ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        *("Relu", "Reshape", "Round", "ScatterElements", "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin"),
        *("Sinh", "Size", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze"),
        *("Sub", "Sum", "Tan", "Tanh", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor"),
    }
)
_PER_ELEMENT = 16


def work(node: Node, facts: Facts) -> int | None:
    """Bound the multiply-adds that `node` costs, from its static shapes; None if that is not possible."""
    inputs = [facts.static_shape(value) for value in node.inputs if value is not None]
    outputs = [facts.static_shape(value) for value in node.outputs if value.name and value.uses()]
    shapes = [shape for shape in [*inputs, *outputs] if shape is not None]
    if len(shapes) < len(inputs) + len(outputs) or not outputs:
        return None
    read = [math.prod(shape) for shape in shapes[: len(inputs)]]
    made = sum(math.prod(shape) for shape in shapes[len(inputs) :])
    if node.op_type in _LINEAR:
        return _PER_ELEMENT * (sum(read) + made)
    if node.op_type in {"MatMul", "Gemm"}:
        # Either operand holds at least one row or column of the inner length.
        return made * max(shapes[0], default=1)
    if node.op_type == "Conv" and len(shapes[1]) > 1:
        return made * math.prod(shapes[1][1:])
    if node.op_type == "Einsum":
        return _einsum_work(str(attribute(node, "equation", facts.opset(node))), shapes[: len(inputs)])
    return max(1, sum(read)) * max(1, made)


def _einsum_work(equation: str, shapes: list[tuple[int, ...]]) -> int | None:
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if "." in equation or len(terms) != len(shapes):
        return None
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        sizes.update(zip(term, shape, strict=False))
    return math.prod(sizes.values())
