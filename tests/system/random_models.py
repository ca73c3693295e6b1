"""Draw random models: well-typed graphs over some seventy operators, with shared values, constants and branches.

A draft holds what has been made so far; a step is a function that takes operands from the draft, if it finds some that
fit, and adds a node. Dimensions are numbers, or "n" for the batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

__all__ = ["BATCH", "models"]

Array = np.ndarray[Any, Any]
Dim = int | str
BATCH = "n"
OPSET = 18
DTYPES = {
    "f": (TensorProto.FLOAT, np.float32),
    "i": (TensorProto.INT64, np.int64),
    "b": (TensorProto.BOOL, np.bool_),
}


@dataclass(frozen=True)
class Value:
    """A value: its name, the letter of its type, and its shape."""

    name: str
    kind: str
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def info(self) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(self.name, DTYPES[self.kind][0], list(self.shape))


@dataclass
class Draft:
    """A graph in the making; `outer` is the one around it."""

    rng: random.Random
    prefix: str = ""
    values: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)

    def fresh(self, stem: str = "v") -> str:
        return f"{self.prefix}{stem}{len(self.nodes)}_{len(self.initializers)}"

    def pick(self, kind: str = "f", fits: Callable[[Value], bool] = lambda _: True) -> Value | None:
        """Return one of the values that fit, mostly the latest, so that chains come about."""
        found = [value for value in self.values if value.kind == kind and fits(value)]
        if not found:
            return None
        return found[-1] if self.rng.random() < 0.65 else self.rng.choice(found)

    def constant(self, array: Array) -> str:
        """Add a constant, as an initializer or a node; an equal one may be used again."""
        for name, held in self.initializers.items():
            if held.dtype == array.dtype and np.array_equal(held, array) and self.rng.random() < 0.5:
                return name
        name = self.fresh("c")
        if self.rng.random() < 0.2:
            tensor = numpy_helper.from_array(array, name)
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers[name] = array
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def weights(self, *shape: int) -> str:
        array = np.random.default_rng(self.rng.getrandbits(32)).standard_normal(shape)
        return self.constant((array / np.sqrt(np.prod(shape[1:]))).astype(np.float32))

    def add(self, op: str, inputs: list[str], kind: str, shape: tuple[Dim, ...], **attributes: Any) -> Value:
        """Add a node of one result."""
        value = Value(self.fresh(), kind, shape)
        self.nodes.append(helper.make_node(op, inputs, [value.name], name=f"{op}_{value.name}", **attributes))
        self.values.append(value)
        return value


Step = Callable[[Draft], object]
UNARY = "Abs Elu Erf HardSigmoid HardSwish Identity LeakyRelu Mish Neg Relu Selu Sigmoid Sin Softplus Softsign Tanh"
# No Reciprocal: 0 and -0 count as the same, and onnxruntime's Where makes the one of the other.
STEPPED = "Abs Ceil Floor Identity Neg Relu Round Sign Sqrt ThresholdedRelu"
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")


def unary(op: str) -> Step:
    def step(draft: Draft) -> None:
        value = draft.pick()
        if value is not None:
            draft.add(op, [value.name], "f", value.shape)

    return step


def join(one: tuple[Dim, ...], other: tuple[Dim, ...]) -> tuple[Dim, ...] | None:
    """Broadcast two shapes; None if they do not fit for every size of the batch."""
    rank = max(len(one), len(other))
    pairs = zip((1,) * (rank - len(one)) + one, (1,) * (rank - len(other)) + other, strict=True)
    shape: list[Dim] = []
    for a, b in pairs:
        if a != b and 1 not in {a, b}:
            return None
        shape.append(b if a == 1 else a)
    return tuple(shape)


def binary(op: str, kind: str = "f", result: str = "") -> Step:
    """Combine two values, or a value and a constant on either side."""

    def step(draft: Draft) -> None:
        left = draft.pick(kind)
        if left is None:
            return
        right = draft.pick(kind, lambda value: join(left.shape, value.shape) is not None)
        if right is not None and draft.rng.random() < 0.5 and (op, kind) != ("Div", "i"):
            shape = join(left.shape, right.shape)
            assert shape is not None
            draft.add(op, [left.name, right.name], result or kind, shape)
            return
        names = [left.name, operand(draft, left, kind, op)]
        if draft.rng.random() < 0.3 and op != "Div":
            names.reverse()
        draft.add(op, names, result or kind, left.shape)

    return step


def operand(draft: Draft, value: Value, kind: str, op: str) -> str:
    """Return a constant that broadcasts into `value`: a special number, or one for each of the last axis."""
    last = value.shape[-1] if value.rank else 1
    if kind == "b":
        return draft.constant(np.array(draft.rng.random() < 0.5))
    if kind == "i":
        return draft.constant(
            np.array(draft.rng.choice([1, 2, 3, 4] if op == "Div" else [0, 1, 2, 3, -1, 7]), np.int64)
        )
    if value.rank and isinstance(last, int) and draft.rng.random() < 0.4:
        return draft.constant(np.linspace(0.5, 2, last, dtype=np.float32))
    shape = draft.rng.choice([(), (1,)]) if value.rank else ()
    number = draft.rng.choice([1.0, 2.0, 0.5, -1.0, 3.0] if op == "Div" else [0.0, 1.0, 2.0, 0.5, -1.0, 6.0])
    return draft.constant(np.full(shape, number, np.float32))


def negate(draft: Draft) -> None:
    value = draft.pick("b")
    if value is not None:
        draft.add("Not", [value.name], "b", value.shape)


def where(draft: Draft) -> None:
    test = draft.pick("b")
    value = None if test is None else draft.pick("f", lambda held: join(test.shape, held.shape) is not None)
    if test is None or value is None:
        return
    shape = join(test.shape, value.shape)
    assert shape is not None
    draft.add("Where", [test.name, value.name, operand(draft, value, "f", "Where")], "f", shape)


def clip(draft: Draft) -> None:
    value = draft.pick()
    if value is not None:
        low, high = sorted(draft.rng.choices([-1.0, 0.0, 0.5, 6.0], k=2))
        bounds = [draft.constant(np.array(low, np.float32)), draft.constant(np.array(high, np.float32))]
        draft.add("Clip", [value.name, *draft.rng.choice([bounds, bounds[:1], ["", bounds[1]]])], "f", value.shape)


def cast(draft: Draft) -> None:
    """Cast to another type, and often back."""
    value = draft.pick(draft.rng.choice("fib"))
    if value is None:
        return
    middle = draft.rng.choice([TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT32, TensorProto.FLOAT])
    if value.kind == "f" and middle == TensorProto.INT32:
        middle = TensorProto.DOUBLE  # what is out of range has no defined result
    name = draft.fresh("t")
    draft.nodes.append(helper.make_node("Cast", [value.name], [name], to=middle))
    kind = "f" if value.kind == "f" or draft.rng.random() < 0.5 else value.kind
    draft.add("Cast", [name], kind, value.shape, to=DTYPES[kind][0])


def transpose(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank >= 2)
    if value is not None:
        perm = draft.rng.sample(range(value.rank), value.rank)
        draft.add("Transpose", [value.name], "f", tuple(value.shape[axis] for axis in perm), perm=perm)


def flatten_tail(draft: Draft) -> None:
    """Reshape to two axes and, often, on to three."""
    value = draft.pick(fits=lambda held: held.rank >= 2 and BATCH not in held.shape[1:])
    if value is None:
        return
    size = int(np.prod([dim for dim in value.shape[1:] if isinstance(dim, int)]))
    first = 0 if value.shape[0] == BATCH else draft.rng.choice([0, value.shape[0]])
    flat = draft.add("Reshape", [value.name, draft.ints(int(first), -1)], "f", (value.shape[0], size))
    if size % 2 == 0 and draft.rng.random() < 0.6:
        draft.add("Reshape", [flat.name, draft.ints(0, 2, size // 2)], "f", (value.shape[0], 2, size // 2))


def reshape_by_shape(draft: Draft) -> None:
    """Compute the new shape from the old one, as exporters do."""
    value = draft.pick(fits=lambda held: held.rank >= 2 and BATCH not in held.shape[1:])
    if value is None:
        return
    shape, first = draft.fresh("s"), draft.fresh("g")
    draft.nodes.append(helper.make_node("Shape", [value.name], [shape]))
    draft.nodes.append(helper.make_node("Gather", [shape, draft.ints(0)], [first], axis=0))
    target = draft.fresh("q")
    draft.nodes.append(helper.make_node("Concat", [first, draft.ints(-1)], [target], axis=0))
    size = int(np.prod([dim for dim in value.shape[1:] if isinstance(dim, int)]))
    draft.add("Reshape", [value.name, target], "f", (value.shape[0], size))


def expand_to_shape(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank >= 1)
    if value is None:
        return
    shape = draft.fresh("s")
    draft.nodes.append(helper.make_node("Shape", [value.name], [shape]))
    if draft.rng.random() < 0.5:
        draft.add("Expand", [value.name, shape], "f", value.shape)
    else:
        tensor = numpy_helper.from_array(np.array([draft.rng.choice([0.0, 1.0, 2.0])], np.float32))
        draft.add("ConstantOfShape", [shape], "f", value.shape, value=tensor)


def unsqueeze(draft: Draft) -> None:
    value = draft.pick(draft.rng.choice("fi"), lambda held: held.rank <= 3)
    if value is not None:
        axis = draft.rng.randint(0, value.rank)
        shape = (*value.shape[:axis], 1, *value.shape[axis:])
        draft.add("Unsqueeze", [value.name, draft.ints(axis)], value.kind, shape)


def squeeze(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: 1 in held.shape)
    if value is not None:
        axis = value.shape.index(1)
        shape = value.shape[:axis] + value.shape[axis + 1 :]
        draft.add("Squeeze", [value.name, draft.ints(axis)], "f", shape)


def an_axis(draft: Draft, value: Value, least: int = 1) -> int | None:
    """Return an axis whose size is a number that is not below `least`."""
    found = [at for at, dim in enumerate(value.shape) if isinstance(dim, int) and dim >= least]
    return draft.rng.choice(found) if found else None


def concat(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank >= 1)
    axis = None if value is None else an_axis(draft, value)
    if value is None or axis is None:
        return
    size = value.shape[axis]
    assert isinstance(size, int)
    if size > 16:
        return
    other = draft.pick(fits=lambda held: held.shape == value.shape) or value
    shape = (*value.shape[:axis], 2 * size, *value.shape[axis + 1 :])
    draft.add("Concat", [value.name, other.name], "f", shape, axis=draft.rng.choice([axis, axis - value.rank]))


def split(draft: Draft) -> None:
    """Split in two and, often, put the parts together again."""
    value = draft.pick(fits=lambda held: held.rank >= 1)
    axis = None if value is None else an_axis(draft, value, 2)
    if value is None or axis is None:
        return
    size = value.shape[axis]
    assert isinstance(size, int)
    sizes = (1, size - 1)
    parts = [
        Value(f"{draft.fresh('p')}_{at}", "f", (*value.shape[:axis], part, *value.shape[axis + 1 :]))
        for at, part in enumerate(sizes)
    ]
    names = [part.name for part in parts]
    draft.nodes.append(helper.make_node("Split", [value.name, draft.ints(*sizes)], names, axis=axis))
    draft.values.extend(parts)
    if draft.rng.random() < 0.5:
        draft.add("Concat", names, "f", value.shape, axis=axis)


def cut(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank >= 1)
    axis = None if value is None else an_axis(draft, value, 2)
    if value is None or axis is None:
        return
    size = value.shape[axis]
    assert isinstance(size, int)
    start, end = sorted(draft.rng.sample(range(size + 1), 2))
    far = draft.rng.choice([end, end, 2**63 - 1]) if end == size else end
    shape = (*value.shape[:axis], end - start, *value.shape[axis + 1 :])
    draft.add("Slice", [value.name, draft.ints(start), draft.ints(far), draft.ints(axis)], "f", shape)


def gather(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank >= 1)
    axis = None if value is None else an_axis(draft, value)
    if value is None or axis is None:
        return
    size = value.shape[axis]
    assert isinstance(size, int)
    index = draft.rng.randrange(-size, size)
    if draft.rng.random() < 0.5:
        shape = value.shape[:axis] + value.shape[axis + 1 :]
        draft.add("Gather", [value.name, draft.constant(np.array(index, np.int64))], "f", shape, axis=axis)
    else:
        shape = (*value.shape[:axis], 1, *value.shape[axis + 1 :])
        draft.add("Gather", [value.name, draft.ints(index)], "f", shape, axis=axis)


def pad(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank == 4)
    if value is None or not isinstance(value.shape[2], int) or not isinstance(value.shape[3], int):
        return
    left, right = draft.rng.choice([(0, 0), (1, 0), (1, 1)])
    shape = (*value.shape[:2], value.shape[2] + left + right, value.shape[3] + left + right)
    mode = draft.rng.choice(["constant", "edge"])
    draft.add("Pad", [value.name, draft.ints(0, 0, left, left, 0, 0, right, right)], "f", shape, mode=mode)


def reduce(op: str) -> Step:
    def step(draft: Draft) -> None:
        value = draft.pick(fits=lambda held: held.rank >= 1)
        axis = None if value is None else an_axis(draft, value)
        if value is None or axis is None:
            return
        keep = draft.rng.randint(0, 1)
        shape = (*value.shape[:axis], *((1,) if keep else ()), *value.shape[axis + 1 :])
        axes = draft.ints(axis)
        if op == "ReduceSum":
            draft.add(op, [value.name, axes], "f", shape, keepdims=keep)
        else:
            draft.add(op, [value.name, axes], "f", shape, keepdims=keep)

    return step


def matmul(draft: Draft) -> None:
    """Multiply by a matrix and, often, add a bias."""
    value = draft.pick(fits=lambda held: held.rank >= 2 and isinstance(held.shape[-1], int))
    if value is None:
        return
    inner = value.shape[-1]
    assert isinstance(inner, int)
    outer = draft.rng.choice([2, 3, 4])
    shape = (*value.shape[:-1], outer)
    made = draft.add("MatMul", [value.name, draft.weights(inner, outer)], "f", shape)
    if draft.rng.random() < 0.6:
        draft.add("Add", [made.name, draft.weights(outer)], "f", shape)


def gemm(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank == 2 and isinstance(held.shape[1], int))
    if value is None:
        return
    inner = value.shape[1]
    assert isinstance(inner, int)
    flip, outer = draft.rng.randint(0, 1), draft.rng.choice([2, 3])
    w = draft.weights(outer, inner) if flip else draft.weights(inner, outer)
    alpha = draft.rng.choice([1.0, 0.5])
    draft.add("Gemm", [value.name, w, draft.weights(outer)], "f", (value.shape[0], outer), transB=flip, alpha=alpha)


def is_image(value: Value) -> bool:
    return (
        value.rank == 4
        and all(isinstance(dim, int) and dim >= 2 for dim in value.shape[2:])
        and value.shape[1] != BATCH
    )


def conv(draft: Draft) -> None:
    """Convolve and, often, normalize or scale."""
    value = draft.pick(fits=is_image)
    if value is None:
        return
    n, c, h, w = value.shape
    assert isinstance(c, int)
    outer, edge = draft.rng.choice([2, 3, 4]), draft.rng.choice([1, 3])
    bias = [draft.weights(outer)] if draft.rng.random() < 0.5 else []
    inputs = [value.name, draft.weights(outer, c, edge, edge), *bias]
    draft.add("Conv", inputs, "f", (n, outer, h, w), pads=[edge // 2] * 4)
    if draft.rng.random() < 0.6:
        draft.rng.choice([batchnorm, channelwise])(draft)


def batchnorm(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank >= 2 and isinstance(held.shape[1], int))
    if value is None:
        return
    c = value.shape[1]
    assert isinstance(c, int)
    scale = draft.constant(np.linspace(0.5, 1.5, c, dtype=np.float32))
    names = [scale, draft.weights(c), draft.weights(c), draft.constant(np.linspace(0.25, 2, c, dtype=np.float32))]
    draft.add("BatchNormalization", [value.name, *names], "f", value.shape)


def channelwise(draft: Draft) -> None:
    value = draft.pick(fits=is_image)
    if value is not None:
        c = value.shape[1]
        assert isinstance(c, int)
        draft.add(draft.rng.choice(["Add", "Mul"]), [value.name, draft.weights(c, 1, 1)], "f", value.shape)


def pool(draft: Draft) -> None:
    value = draft.pick(fits=is_image)
    if value is None:
        return
    if draft.rng.random() < 0.3:
        draft.add("GlobalAveragePool", [value.name], "f", (*value.shape[:2], 1, 1))
        return
    h, w = (dim - 1 for dim in value.shape[2:] if isinstance(dim, int))
    op = draft.rng.choice(["MaxPool", "AveragePool"])
    draft.add(op, [value.name], "f", (*value.shape[:2], h, w), kernel_shape=[2, 2])


def normalize(op: str) -> Step:
    def step(draft: Draft) -> None:
        value = draft.pick(fits=lambda held: held.rank >= 1 and isinstance(held.shape[-1], int))
        if value is None:
            return
        last = value.shape[-1]
        assert isinstance(last, int)
        more = [draft.weights(last)] if op == "LayerNormalization" else []
        draft.add(op, [value.name, *more], "f", value.shape, axis=-1)

    return step


def dropout(draft: Draft) -> None:
    value = draft.pick()
    if value is not None:
        draft.add("Dropout", [value.name], "f", value.shape)


def branch(draft: Draft) -> None:
    """Choose between two graphs that read values from outside."""
    value = draft.pick()
    if value is None:
        return
    graphs = []
    for side in ("yes", "no"):
        inner = Draft(draft.rng, f"{draft.fresh('b')}_{side}_", [value], [], {}, [])
        for _ in range(draft.rng.randint(1, 3)):
            draft.rng.choice([unary("Relu"), unary("Neg"), unary("Identity"), binary("Add"), binary("Mul"), clip])(
                inner
            )
        fit = [held for held in inner.values[1:] if held.shape == value.shape] or [
            inner.add("Abs", [value.name], "f", value.shape)
        ]
        tensors = [numpy_helper.from_array(array, name) for name, array in inner.initializers.items()]
        graphs.append(helper.make_graph(inner.nodes, side, [], [fit[-1].info()], tensors))
    scalar = draft.pick("b", lambda held: held.shape == ())
    test = scalar.name if scalar and draft.rng.random() < 0.7 else draft.constant(np.array(draft.rng.random() < 0.5))
    draft.add("If", [test], "f", value.shape, then_branch=graphs[0], else_branch=graphs[1])


def row(*steps: Step) -> Step:
    """Do some steps in a row."""

    def all_of_them(draft: Draft) -> None:
        for step in steps:
            step(draft)

    return all_of_them


def add_all(draft: Draft) -> None:
    value = draft.pick()
    if value is not None:
        others = [held.name for held in draft.values if held.kind == "f" and held.shape == value.shape][:2]
        draft.add("Sum", [value.name, *others], "f", value.shape)


def power(draft: Draft) -> None:
    value = draft.pick()
    if value is not None:
        number = draft.rng.choice([1.0, 2.0, 0.0, 3.0])
        draft.add("Pow", [value.name, draft.constant(np.array(number, np.float32))], "f", value.shape)


def prelu(draft: Draft) -> None:
    value = draft.pick()
    if value is not None:
        slope = draft.rng.choice([0.1, 1.0, 0.0])
        draft.add("PRelu", [value.name, draft.constant(np.array(slope, np.float32))], "f", value.shape)


def einsum(draft: Draft) -> None:
    value = draft.pick(fits=lambda held: held.rank == 2 and isinstance(held.shape[1], int))
    if value is None:
        return
    inner = value.shape[1]
    assert isinstance(inner, int)
    equation, shape = draft.rng.choice([("ij,jk->ik", (inner, 3)), ("ij,kj->ik", (3, inner))])
    draft.add("Einsum", [value.name, draft.weights(*shape)], "f", (value.shape[0], 3), equation=equation)


def stretch(draft: Draft) -> None:
    """Expand by constants, and multiply by something of that size."""
    value = draft.pick(fits=lambda held: held.rank >= 1 and held.shape[0] == 1)
    if value is None:
        return
    shape = (2, *value.shape[1:])
    made = draft.add("Expand", [value.name, draft.ints(2, *[1] * (value.rank - 1))], "f", shape)
    draft.add("Mul", [made.name, draft.weights(2, *[1] * (value.rank - 1))], "f", shape)


def like(draft: Draft) -> None:
    value, other = draft.pick(draft.rng.choice("fi")), draft.pick()
    if value is not None and other is not None:
        draft.add("CastLike", [value.name, other.name], "f", value.shape)


def sandwich(draft: Draft) -> None:
    """Transpose, do something elementwise, and transpose back."""
    value = draft.pick(fits=lambda held: held.rank >= 2)
    if value is None:
        return
    perm = draft.rng.sample(range(value.rank), value.rank)
    draft.add("Transpose", [value.name], "f", tuple(value.shape[axis] for axis in perm), perm=perm)
    draft.rng.choice([unary("Relu"), unary("Abs"), binary("Mul"), binary("Add"), binary("Max")])(draft)
    last = draft.values[-1]
    back = [perm.index(axis) for axis in range(value.rank)]
    if last.rank == value.rank:
        draft.add("Transpose", [last.name], "f", tuple(last.shape[axis] for axis in back), perm=back)


def again(draft: Draft) -> None:
    """Compute something a second time."""
    made = {value.name: value for value in draft.values}
    nodes = [node for node in draft.nodes if len(node.output) == 1 and node.output[0] in made and node.op_type != "If"]
    if not nodes:
        return
    node = onnx.NodeProto()
    node.CopyFrom(draft.rng.choice(nodes))
    value = made[node.output[0]]
    node.output[0] = draft.fresh("a")
    node.name = f"again_{node.output[0]}"
    draft.nodes.append(node)
    draft.values.append(Value(node.output[0], value.kind, value.shape))


COMMON: dict[str, Step] = {
    **{op: binary(op) for op in ("Add", "Mul", "Sub", "Max", "Min")},
    "Clip": clip,
    "Transpose": transpose,
    "Reshape": flatten_tail,
    "Shape": reshape_by_shape,
    "Expand": expand_to_shape,
    "Unsqueeze": unsqueeze,
    "Squeeze": squeeze,
    "Concat": concat,
    "Split": split,
    "Slice": cut,
    "Gather": gather,
    "Pad": pad,
    "Dropout": dropout,
    "If": branch,
    "again": again,
    "Sum": add_all,
    "PRelu": prelu,
    "CastLike": like,
    "stretch": stretch,
    "sandwich": sandwich,
    "Squeeze-back": row(unsqueeze, squeeze),
    "Concat-Slice": row(concat, cut),
    **{
        f"{name}-twice": row(step, step)
        for name, step in {
            "Add": binary("Add"),
            "Mul": binary("Mul"),
            "Sub": binary("Sub"),
            "Neg": unary("Neg"),
            "Clip": clip,
            "Concat": concat,
            "Gather": gather,
            "Pad": pad,
            "Reshape": flatten_tail,
            "Slice": cut,
            "Squeeze": squeeze,
            "Transpose": transpose,
            "Unsqueeze": unsqueeze,
        }.items()
    },
}
SMOOTH: dict[str, Step] = {
    **COMMON,
    **{op: unary(op) for op in UNARY.split()},
    **{op: reduce(op) for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2")},
    **{op: normalize(op) for op in ("Softmax", "LayerNormalization", "LogSoftmax")},
    "Div": binary("Div"),
    "MatMul": matmul,
    "Gemm": gemm,
    "Conv": conv,
    "BatchNormalization": batchnorm,
    "channelwise": channelwise,
    "Pool": pool,
    "Pow": power,
    "Einsum": einsum,
    "Pad-Conv": row(pad, conv),
    "Pad-Pool": row(pad, pool),
    "Mul-Conv": row(channelwise, conv),
    "Conv-Mul": row(conv, channelwise),
    "BatchNormalization-Conv": row(batchnorm, conv),
    "MatMul-Mul": row(matmul, binary("Mul")),
    "MatMul-BatchNormalization": row(matmul, batchnorm),
    "Gemm-Add": row(gemm, binary("Add")),
    "Conv-Div": row(conv, binary("Div")),
    "Conv-Neg": row(conv, unary("Neg")),
    "Transpose-MatMul": row(transpose, matmul),
}
"""Operators whose results change little when their operands do."""
EXACT: dict[str, Step] = {
    **COMMON,
    **{op: unary(op) for op in STEPPED.split()},
    **{f"int-{op}": binary(op, "i") for op in ("Add", "Mul", "Sub", "Max", "Min", "Div")},
    **{op: binary(op, "f", "b") for op in COMPARISONS},
    **{op: binary(op, "b") for op in ("And", "Or", "Xor")},
    **{op: reduce(op) for op in ("ReduceMax", "ReduceMin")},
    "Not": negate,
    "Where": where,
    "Cast": cast,
    "Not-twice": row(negate, negate),
    "Cast-twice": row(cast, cast),
    **{f"Not-{kind}-{op}": row(binary(op, kind, "b"), negate) for op in COMPARISONS for kind in "fi"},
}
"""Operators whose results every kernel computes to the last bit, or that jump."""

KINDS = {"smooth": SMOOTH, "exact": EXACT}


@st.composite
def models(draw: st.DrawFn, *kinds: str) -> onnx.ModelProto:
    """Draw a model of at most 24 steps, each of one of the kinds."""
    steps = {name: step for kind in kinds for name, step in KINDS[kind].items()}
    names = draw(st.lists(st.sampled_from(sorted(steps)), min_size=3, max_size=24))
    # A generator of its own: hypothesis would choose zeros and first elements over and over.
    rng = random.Random(draw(st.integers(0, 1 << 32)))  # noqa: S311 - no secret
    draft = Draft(rng)
    shapes: list[tuple[Dim, ...]] = [
        (BATCH, 4),
        (BATCH, 3, 4),
        (2, 3),
        (1, 6),
        (BATCH, 2, 5, 5),
        (1, 2, 6, 5),
        (4,),
        (),
    ]
    draft.inputs = [Value(f"x{at}", "f", shape) for at, shape in enumerate(rng.sample(shapes, rng.randint(1, 2)))]
    draft.inputs += [Value("flag", "b", ()), Value("i", "i", (BATCH, 2))]
    draft.values = list(draft.inputs)
    for name in names:
        steps[name](draft)
    return finish(draft)


def finish(draft: Draft) -> onnx.ModelProto:
    """Make a model of a draft: its outputs are most of what nobody reads, and some of what is read."""
    made = [value for value in draft.values if value not in draft.inputs] or [
        draft.add("Identity", [draft.inputs[0].name], "f", draft.inputs[0].shape)
    ]
    read = {name for node in draft.nodes for name in node.input}
    outputs = [value for value in made if draft.rng.random() < (0.15 if value.name in read else 0.9)] or made[-1:]
    graph = helper.make_graph(
        draft.nodes,
        "drawn",
        [value.info() for value in draft.inputs],
        [value.info() for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in draft.initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
