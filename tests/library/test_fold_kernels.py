"""Compare the folding kernels with onnxruntime bit by bit, on drawn operands and over opsets."""

from __future__ import annotations

import zlib
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import DataType
from graphopt_passes.fold_kernels import ARITHMETIC, Call, Refusal, cast
from graphopt_passes.fold_movement import MOVEMENT

Array = np.ndarray[Any, Any]
KERNELS = {**ARITHMETIC, **MOVEMENT}
INTS = (np.int32, np.int64)
FLOATS = (np.float32, np.float64)
SHAPES = (((2, 3), (2, 3)), ((3,), (2, 3)), ((), (4,)), ((2, 1), (1, 5)), ((0, 3), (3,)), ((), ()))


def fold(op: str, opset: int, arrays: list[Array | None], outputs: int = 1, **attrs: Any) -> list[Array]:
    node = ir.node(op, [None] * len(arrays), attrs, num_outputs=outputs)
    return [np.asarray(array) for array in KERNELS[op](Call(node, opset, tuple(arrays), 1 << 20))]


def run(op: str, opset: int, arrays: list[Array | None], outputs: int = 1, **attrs: Any) -> list[Array]:
    """Run the operator in onnxruntime on the operands as inputs, without its optimizer."""
    given = {f"i{index}": array for index, array in enumerate(arrays) if array is not None}
    names = [f"i{index}" if array is not None else "" for index, array in enumerate(arrays)]
    results = [f"o{index}" for index in range(outputs)]
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items()}
    inputs = [helper.make_tensor_value_info(name, kinds[name], array.shape) for name, array in given.items()]
    untyped = [helper.make_empty_tensor_value_info(name) for name in results]
    graph = helper.make_graph([helper.make_node(op, names, results, **attrs)], "g", inputs, untyped)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, given))


def assert_same(op: str, opset: int, arrays: list[Array | None], outputs: int = 1, **attrs: Any) -> None:
    wanted = run(op, opset, arrays, outputs, **attrs)
    found = fold(op, opset, arrays, outputs, **attrs)
    for want, got in zip(wanted, found, strict=True):
        assert (want.dtype, want.shape) == (got.dtype, got.shape)
        # A NaN's payload is not defined; every other bit is.
        assert bits(want) == bits(got), (want, got)


def bits(array: Array) -> list[Any]:
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.reshape(-1).tolist() if array.dtype.kind == "O" else [array.tobytes()]


def rng_of(*key: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def draw(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...]) -> Array:
    if np.dtype(dtype).kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind == "f":
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 1.5], dtype)
        usual = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(dtype)
        return np.where(rng.integers(0, 4, shape) == 0, rng.choice(special, shape), usual)
    info = np.iinfo(dtype)
    wide = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    small = rng.integers(0 if info.min == 0 else -5, 6, shape).astype(dtype)
    return np.where(rng.integers(0, 3, shape) == 0, wide, small)


BINARY = [
    *((op, dtype, opset) for op in ("Add", "Sub", "Mul") for dtype in INTS + FLOATS for opset in (7, 14)),
    *(("Div", dtype, opset) for dtype in FLOATS for opset in (7, 14)),
    *((op, np.bool_, 7) for op in ("And", "Or", "Xor")),
    *(("Equal", dtype, 11) for dtype in (np.bool_, *INTS, *FLOATS)),
    *((op, dtype, 13) for op in ("Less", "Greater") for dtype in INTS + FLOATS),
    *((op, dtype, 16) for op in ("LessOrEqual", "GreaterOrEqual") for dtype in INTS + FLOATS),
    *((op, dtype, 13) for op in ("Min", "Max") for dtype in (*INTS, np.uint32, np.uint64)),
]


@pytest.mark.parametrize(("op", "dtype", "opset"), BINARY)
def test_binary(op: str, dtype: Any, opset: int) -> None:
    rng = rng_of(op, dtype, opset)
    for first, second in SHAPES:
        assert_same(op, opset, [draw(rng, dtype, first), draw(rng, dtype, second)])


@pytest.mark.parametrize("dtype", [*INTS, np.uint8, np.int8, np.uint32, np.uint64])
def test_integer_division_rounds_toward_zero(dtype: Any) -> None:
    rng = rng_of("Div", dtype)
    for first, second in SHAPES:
        divisor = np.where((b := draw(rng, dtype, second)) == 0, np.array(3, dtype), b)
        divisor = np.where(divisor == -1, np.array(2, dtype), divisor) if np.dtype(dtype).kind == "i" else divisor
        assert_same("Div", 14, [draw(rng, dtype, first), divisor])


@pytest.mark.parametrize("dtype", INTS)
@pytest.mark.parametrize("fmod", [0, 1])
def test_mod(dtype: Any, fmod: int) -> None:
    rng = rng_of("Mod", dtype, fmod)
    for first, second in SHAPES:
        divisor = draw(rng, dtype, second)
        divisor = np.where((divisor == 0) | (divisor == -1), np.array(3, dtype), divisor)
        assert_same("Mod", 13, [draw(rng, dtype, first), divisor], fmod=fmod)


@pytest.mark.parametrize("dtype", FLOATS)
def test_mod_of_floats(dtype: Any) -> None:
    rng = rng_of("Mod", dtype)
    assert_same("Mod", 13, [draw(rng, dtype, (40,)), draw(rng, dtype, (40,))], fmod=1)


UNARY = [
    *((op, dtype) for op in ("Neg", "Abs") for dtype in INTS + FLOATS),
    *((op, dtype) for op in ("Floor", "Ceil", "Sqrt") for dtype in FLOATS),
    ("Not", np.bool_),
]


@pytest.mark.parametrize(("op", "dtype"), UNARY)
def test_unary(op: str, dtype: Any) -> None:
    rng = rng_of(op, dtype)
    for shape in ((), (0,), (257,), (3, 4)):
        data = draw(rng, dtype, shape)
        if np.dtype(dtype).kind == "i":
            data = np.where(data == np.iinfo(dtype).min, np.array(1, dtype), data)
        assert_same(op, 13, [data])


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceProd", "ReduceMin", "ReduceMax"])
@pytest.mark.parametrize("dtype", INTS)
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_reduce(op: str, dtype: Any, opset: int) -> None:
    if op == "ReduceProd" and dtype is np.int64 and opset < 18:
        pytest.skip("onnxruntime has no kernel")
    rng = rng_of(op, dtype, opset)
    since = 13 if op == "ReduceSum" else 18
    for axes in (None, [1], [0, -1]):
        for keepdims in (0, 1):
            data = rng.integers(-2, 3, (2, 3, 4)).astype(dtype)
            if opset >= since:
                operands = [data] if axes is None else [data, np.array(axes, np.int64)]
                assert_same(op, opset, list(operands), keepdims=keepdims)
            else:
                attrs: dict[str, Any] = {} if axes is None else {"axes": axes}
                assert_same(op, opset, [data], keepdims=keepdims, **attrs)


@pytest.mark.parametrize("source", [np.bool_, np.int8, np.uint8, np.int32, np.int64, np.uint64, *FLOATS])
@pytest.mark.parametrize("target", ["BOOL", "INT8", "UINT8", "INT32", "INT64", "FLOAT", "DOUBLE"])
def test_cast(source: Any, target: str) -> None:
    rng = rng_of("Cast", source, target)
    data = draw(rng, source, (200,))
    if np.dtype(source).kind == "f" and target not in {"BOOL", "FLOAT", "DOUBLE"}:
        data = rng.uniform(0, 120, 200).astype(source)
    assert_same("Cast", 13, [data], to=int(getattr(DataType, target)))


@pytest.mark.parametrize("target", [DataType.INT8, DataType.INT64, DataType.UINT64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30, 2.0**64, 9.3e18])
def test_cast_refuses_floats_that_do_not_fit(target: DataType, value: float) -> None:
    if value < 2.0**63.5 and target == DataType.UINT64 and value > 0:
        assert cast(np.array(value), target, 64) == np.uint64(value)
        return
    with pytest.raises(Refusal):
        cast(np.array(value), target, 64)


def test_cast_to_16_bits_rounds_once() -> None:
    data = draw(rng_of("half"), np.float32, (500,))
    assert_same("Cast", 13, [data], to=int(DataType.FLOAT16))
    # Half way between two halves only for those who round to float32 first.
    twice = np.array([1 + 2.0**-11 + 2.0**-40])
    with pytest.raises(Refusal):
        cast(twice, DataType.FLOAT16, 64)
    assert cast(np.array([1.5]), DataType.BFLOAT16, 64).dtype == ml_dtypes.bfloat16
    with pytest.raises(Refusal):
        cast(np.array([1.5], np.float32), DataType.FLOAT8E4M3FN, 64)


DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_movement(dtype: Any, opset: int) -> None:
    rng = rng_of("movement", dtype, opset)
    data = draw(rng, dtype, (2, 3, 4))

    def ints(*items: int) -> Array:
        return np.array(items, np.int64)

    assert_same("Transpose", opset, [data])
    assert_same("Transpose", opset, [data], perm=[1, 2, 0])
    for target in ((6, 4), (0, -1), (-1,), (4, 0, 2, 1)):
        assert_same("Reshape", opset, [data, ints(*target)])
    assert_same("Flatten", opset, [data], axis=-1)
    assert_same("Flatten", opset, [data], axis=0)
    assert_same("Concat", opset, [data, data[:, :1]], axis=-2)
    assert_same("Expand", opset, [data[:, :1], ints(2, 2, 3, 1)])
    assert_same("Tile", opset, [data, ints(2, 0, 1)])
    assert_same("Tile", opset, [data, ints(1, 2, 3)])
    assert_same("Gather", opset, [data, np.array([[0, -1], [1, 2]], np.int64)], axis=1)
    assert_same("Gather", opset, [data, np.array(1, np.int32)], axis=-1)
    assert_same("Shape", opset, [data])
    assert_same("Size", opset, [data])
    assert_same("Identity", opset, [data])
    bounds = [((1, -1), (9, -5), (0, 2), (1, -1)), ((-3,), (2**63 - 1,), (1,), (2,)), ((3,), (-(2**63),), (2,), (-3,))]
    for window in bounds:
        assert_same("Slice", opset, [data, *(ints(*part) for part in window)])
    assert_same("Slice", opset, [data, ints(1), ints(2)])
    if opset < 13:
        assert_same("Split", opset, [data], outputs=2, axis=2, split=[1, 3])
        assert_same("Squeeze", opset, [data[:1]], axes=[0])
        assert_same("Unsqueeze", opset, [data], axes=[0, -1])
    else:
        assert_same("Split", opset, [data, ints(1, 3)], outputs=2, axis=2)
        assert_same("Squeeze", opset, [data[:1], ints(-3)])
        assert_same("Unsqueeze", opset, [data, ints(0, -1)])
    assert_same("Squeeze", opset, [data[:1, :, :1]])
    if dtype is not np.bool_:
        # onnxruntime adds the two sides up, and so loses the sign of zero.
        data = data + np.zeros(1, dtype)
        assert_same("Where", opset, [draw(rng, np.bool_, (3, 1)), data, data[:1]])


def test_split_into_unequal_parts() -> None:
    data = np.arange(7, dtype=np.float32)
    assert_same("Split", 18, [data], outputs=3, num_outputs=3)
    with pytest.raises(Refusal):
        fold("Split", 13, [data], outputs=3)


@pytest.mark.parametrize(("start", "end"), [(1, 2), (-2, 99), (0, -1), (2, 1), (-9, 9)])
def test_shape_of_some_axes(start: int, end: int) -> None:
    assert_same("Shape", 15, [np.zeros((2, 3, 4), np.float32)], start=start, end=end)


@pytest.mark.parametrize("dtype", [np.int16, *INTS])
@pytest.mark.parametrize(("start", "limit", "delta"), [(0, 10, 3), (10, 0, -3), (5, 5, 1), (0, 10, -1), (-7, 8, 5)])
def test_range(dtype: Any, start: int, limit: int, delta: int) -> None:
    assert_same("Range", 11, [np.array(item, dtype) for item in (start, limit, delta)])


def test_constant_of_shape() -> None:
    for value in (np.array([2.5], np.float32), np.array([-3], np.int64), np.array([True])):
        tensor = helper.make_tensor("v", helper.np_dtype_to_tensor_dtype(value.dtype), [1], value.tolist())
        wanted = run("ConstantOfShape", 9, [np.array([2, 0, 3], np.int64)], value=tensor)
        node_value = ir.tensor(value)
        found = fold("ConstantOfShape", 9, [np.array([2, 0, 3], np.int64)], value=node_value)
        assert (wanted[0].dtype, wanted[0].shape) == (found[0].dtype, found[0].shape)
        assert np.array_equal(
            fold("ConstantOfShape", 9, [np.array([2], np.int64)], value=node_value)[0], [value[0]] * 2
        )
    assert_same("ConstantOfShape", 9, [np.array([], np.int64)])


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4, object])
def test_narrow_types_and_strings_move(dtype: Any) -> None:
    data = (
        np.array([[b"a", b"b"], [b"c", b""]], object) if dtype is object else np.array([[0, 1], [2, 3]]).astype(dtype)
    )
    assert np.array_equal(fold("Transpose", 21, [data])[0], data.T)
    assert np.array_equal(fold("Concat", 21, [data, data], axis=0)[0], np.concatenate([data, data]))
    assert np.array_equal(fold("Gather", 21, [data, np.array([1])])[0], data[1:])
    assert np.array_equal(fold("Tile", 21, [data, np.array([1, 2])])[0], np.tile(data, 2))
    assert np.array_equal(fold("Slice", 21, [data, *(np.array([n]) for n in (0, 1, 1))])[0], data[:, :1])
    assert np.array_equal(fold("Where", 21, [np.array([True, False]), data, data.T])[0][0], [data[0, 0], data[1, 0]])


REFUSED: list[tuple[str, int, list[Any], dict[str, Any]]] = [
    ("Div", 14, [np.array([4]), np.array([0])], {}),
    ("Div", 14, [np.array([-(2**63)]), np.array([-1])], {}),
    ("Mod", 13, [np.array([4]), np.array([0])], {}),
    ("Mod", 13, [np.array([1.0]), np.array([2.0])], {}),
    ("Abs", 13, [np.array([-(2**63)])], {}),
    ("Add", 6, [np.array([1]), np.array([1])], {"axis": 0, "broadcast": 1}),
    ("Add", 14, [np.array([1]), np.array([1], np.int32)], {}),
    ("ReduceMax", 13, [np.zeros((0, 2), np.int64)], {}),
    ("ReduceSum", 13, [np.array([2**31 - 1, 1], np.int32)], {}),
    ("ReduceProd", 13, [np.array([2**40, 2**40])], {}),
    ("Gather", 13, [np.arange(3), np.array([3])], {}),
    ("Gather", 10, [np.arange(3), np.array([-1])], {}),
    ("Slice", 13, [np.arange(3), np.array([0]), np.array([2]), np.array([0]), np.array([0])], {}),
    ("Slice", 13, [np.arange(3), np.array([0, 0]), np.array([2, 1]), np.array([0, -1])], {}),
    ("Slice", 13, [np.arange(3), *(np.array([n]) for n in (-9, -10, 0, -1))], {}),
    ("Slice", 13, [np.arange(3), *(np.array([n]) for n in (0, 2**63 - 1, 0, -1))], {}),
    ("Slice", 13, [np.arange(3), *(np.array([n]) for n in (0, 2**31 - 1, 0, -1))], {}),
    ("Range", 11, [np.array(0), np.array(5), np.array(0)], {}),
    ("Range", 11, [np.array(0.0), np.array(5.0), np.array(1.0)], {}),
    ("Range", 11, [np.array(0), np.array(2**62), np.array(1)], {}),
    ("Expand", 13, [np.array([1.0]), np.array([1 << 30])], {}),
    ("Tile", 13, [np.array([1.0]), np.array([1 << 40])], {}),
    ("ConstantOfShape", 9, [np.array([1 << 20, 1 << 20])], {}),
    ("ConstantOfShape", 9, [np.array([-1])], {}),
    ("Reshape", 14, [np.zeros((2, 2)), np.array([-1, -1])], {}),
    ("Reshape", 14, [np.zeros((2, 2)), np.array([1, 1, 4, 0])], {}),
    ("Squeeze", 13, [np.zeros((2, 1)), np.array([0])], {}),
    ("Squeeze", 13, [np.zeros((2, 1)), np.array([], np.int64)], {}),
    ("Unsqueeze", 13, [np.zeros((2, 1)), np.array([0, 0])], {}),
    ("Transpose", 13, [np.zeros((2, 1))], {"perm": [0, 0]}),
    ("Concat", 13, [np.zeros(2), np.zeros(2, np.float32)], {"axis": 0}),
    ("Cast", 13, [np.array([1.0])], {"to": int(DataType.STRING)}),
]


@pytest.mark.parametrize(("op", "opset", "arrays", "attrs"), REFUSED)
def test_refused(op: str, opset: int, arrays: list[Any], attrs: dict[str, Any]) -> None:
    with pytest.raises((Refusal, ValueError, IndexError, OverflowError)):
        fold(op, opset, arrays, **attrs)
