"""Rules of inference against the standard's own test cases, the runtime and Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from graphopt.graph._onnx_ir import ir
from graphopt.graph.dims import Dim, Expr, substitute, symbol
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Model

Array = np.ndarray[Any, Any]


UNREPRESENTED = {
    DataType.BFLOAT16,
    *(dtype for dtype in DataType if dtype.name.startswith(("FLOAT4", "FLOAT6", "FLOAT8"))),
}
"""Test cases write these as other numbers."""


@dataclass(frozen=True)
class Case:
    name: str
    model: ModelProto
    inputs: list[Any]
    outputs: list[Any]


@cache
def standard_cases() -> list[Case]:
    with warnings.catch_warnings():
        # The cases themselves divide by zero and overflow.
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return [
        Case(case.name, case.model, *map(list, case.data_sets[0])) for case in found if case.model and case.data_sets
    ]


def array(value: Any) -> Array | None:
    """Return a test case's tensor; None for sequences, optionals and maps."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return value if isinstance(value, np.ndarray) else None


def constant_form(case: Case) -> ModelProto:
    """Turn the inputs into initializers."""
    model = ModelProto()
    model.CopyFrom(case.model)
    for info, value in zip(case.model.graph.input, case.inputs, strict=False):
        data = array(value)
        if data is not None and info.type.HasField("tensor_type"):
            tensor = numpy_helper.from_array(data, info.name)
            tensor.data_type = info.type.tensor_type.elem_type
            model.graph.initializer.append(tensor)
            model.graph.input.remove(next(each for each in model.graph.input if each.name == info.name))
    return model


def symbolic_form(case: Case) -> tuple[ModelProto, dict[str, int]]:
    """Name every size of the inputs, and say what the names stand for."""
    model = ModelProto()
    model.CopyFrom(case.model)
    sizes: dict[str, int] = {}
    for info, value in zip(model.graph.input, case.inputs, strict=False):
        data = array(value)
        if data is None or not info.type.HasField("tensor_type"):
            continue
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            dim.dim_param = f"{info.name}.{axis}"
            sizes[dim.dim_param] = data.shape[axis]
    return model, sizes


def contradictions(model: ModelProto, outputs: Sequence[Any], sizes: dict[str, int]) -> Iterator[str]:
    """Compare what is inferred with what the operators gave."""
    loaded = Model(ir.from_proto(model))
    facts = Facts(loaded)
    for value, result in zip(loaded.graph.outputs, outputs, strict=False):
        data = array(result)
        if data is None:
            continue
        dtype, shape, contents = facts.dtype(value), facts.shape(value), facts.contents(value)
        if dtype is not None and dtype not in UNREPRESENTED and DataType.from_numpy(data.dtype) != dtype:
            yield f"{value.name}: {dtype}, but {data.dtype}"
        if shape is not None and not fits(shape, data.shape, sizes):
            yield f"{value.name}: {[str(dim) for dim in shape]}, but {data.shape} for {sizes}"
        if contents is not None and not fits(contents, tuple(data.reshape(-1).tolist()), sizes):
            yield f"{value.name}: elements {contents}, but {data}"


def fits(dims: Sequence[Dim], actual: tuple[int, ...], sizes: dict[str, int]) -> bool:
    found = [substitute(dim, sizes) for dim in dims]
    return len(found) == len(actual) and all(
        isinstance(dim, Expr) or dim == size for dim, size in zip(found, actual, strict=True)
    )


def is_readable(case: Case) -> bool:
    try:
        ir.from_proto(case.model)
    except (NotImplementedError, ValueError, TypeError):
        # Types that the representation lacks; loading refuses such models.
        return False
    return True


def check(cases: Sequence[Case]) -> None:
    found = []
    for case in cases:
        if not is_readable(case):
            continue
        symbolic, sizes = symbolic_form(case)
        forms: list[tuple[ModelProto, dict[str, int]]] = [
            (case.model, {}),
            (constant_form(case), {}),
            (symbolic, sizes),
        ]
        found += [
            f"{case.name}: {each}" for model, known in forms for each in contradictions(model, case.outputs, known)
        ]
    assert not found, "\n".join(found)


def test_a_sample_of_the_standards_cases_is_not_contradicted() -> None:
    check(standard_cases()[::5])


@pytest.mark.slow
def test_the_standards_cases_are_not_contradicted() -> None:
    check(standard_cases())


def test_nearly_all_results_of_the_standards_cases_are_known() -> None:
    total = dtypes = shapes = static = 0
    for case in standard_cases()[::5]:
        if case.model.graph.node[-1].domain or not is_readable(case):
            continue
        model = Model(ir.from_proto(constant_form(case)))
        facts = Facts(model)
        for value in model.graph.outputs:
            total += 1
            dtypes += facts.dtype(value) is not None
            shapes += facts.shape(value) is not None
            static += facts.static_shape(value) is not None
    assert total > 300
    assert dtypes / total > 0.95
    assert shapes / total > 0.93
    assert static / total > 0.88


def single(
    op: str,
    inputs: dict[str, tuple[int, Sequence[int | str]]],
    constants: dict[str, Array] | None = None,
    opset: int = 18,
    outputs: int = 1,
    order: Sequence[str] | None = None,
    **attributes: Any,
) -> ModelProto:
    """Make a model of one node; inputs are (dtype, shape)."""
    constants = constants or {}
    names = list(order) if order is not None else [*inputs, *constants]
    results = [f"y{number}" for number in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, results, **attributes)],
        "g",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name, (dtype, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in results],
        [numpy_helper.from_array(data, name) for name, data in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def inferred(model: ModelProto, output: int = 0) -> tuple[Dim, ...] | None:
    loaded = Model(ir.from_proto(model))
    return Facts(loaded).shape(loaded.graph.outputs[output])


def executed(model: ModelProto, feeds: dict[str, Array]) -> tuple[int, ...] | None:
    """Return the shape that the runtime gives; None if it refuses the model or the feeds."""
    ready = ModelProto()
    ready.CopyFrom(model)
    for output in ready.graph.output:
        output.ClearField("type")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(ready.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, feeds)[0]).shape
    except Exception as error:  # noqa: BLE001  the runtime's errors have no common base
        assert "onnxruntime" in type(error).__module__.lower() or "ONNXRuntimeError" in str(error)  # noqa: PT017
        return None


SMALL = st.integers(1, 3)


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    """Draw the size of one spatial axis and the attributes of a window that slides over it."""
    attributes: dict[str, Any] = {"kernel_shape": [draw(SMALL)], "strides": [draw(SMALL)]}
    if draw(st.booleans()):
        attributes["dilations"] = [draw(st.integers(1, 2))]
    auto = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto != "NOTSET":
        attributes["auto_pad"] = auto
    else:
        attributes["pads"] = draw(st.lists(st.integers(0, 2), min_size=2, max_size=2))
    return draw(st.integers(1, 9)), attributes


@given(windows(), st.sampled_from(["MaxPool", "AveragePool", "LpPool"]), st.integers(0, 1))
def test_pools_have_the_runtimes_shape(window: tuple[int, dict[str, Any]], op: str, ceil_mode: int) -> None:
    size, attributes = window
    model = single(op, {"x": (1, [1, 1, size])}, opset=19, **attributes, ceil_mode=ceil_mode)
    actual = executed(model, {"x": np.ones((1, 1, size), np.float32)})
    assume(actual is not None and 0 not in actual)
    assert fits(inferred(model) or (), actual or (), {})


def test_a_pool_whose_last_window_starts_outside_is_unknown() -> None:
    # onnxruntime counts two windows, the checker of onnx three.
    found = inferred(single("MaxPool", {"x": (1, [1, 1, 4])}, kernel_shape=[1], strides=[2], ceil_mode=1))
    assert found is not None
    assert isinstance(found[2], Expr)


@given(windows(), st.sampled_from(["Conv", "ConvTranspose"]), st.integers(0, 1))
def test_convolutions_have_the_runtimes_shape(window: tuple[int, dict[str, Any]], op: str, padding: int) -> None:
    size, attributes = window
    if op == "ConvTranspose" and padding < attributes["strides"][0]:
        attributes = {**attributes, "output_padding": [padding]}
    weights = np.ones((2, 2, *attributes["kernel_shape"]), np.float32)
    model = single(op, {"x": (1, [1, 2, size])}, {"w": weights}, **attributes)
    symbolic = single(op, {"x": (1, [1, 2, "n"])}, {"w": weights}, **attributes)
    actual = executed(model, {"x": np.ones((1, 2, size), np.float32)})
    assume(actual is not None and 0 not in actual)
    assert fits(inferred(model) or (), actual or (), {})
    assert fits(inferred(symbolic) or (), actual or (), {"n": size})


@given(st.integers(1, 30), st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0, 1.3, 1.5, 2.0, 2.7, 3.0, 1 / 3, 2 / 3]))
def test_resized_sizes_are_the_runtimes(size: int, scale: float) -> None:
    scales = {"s": np.array([1, 1, scale], np.float32)}
    model = single("Resize", {"x": (1, [1, 1, size])}, scales, order=["x", "", "s"])
    symbolic = single("Resize", {"x": (1, [1, 1, "n"])}, scales, order=["x", "", "s"])
    actual = executed(model, {"x": np.ones((1, 1, size), np.float32)})
    assume(actual is not None)
    assert fits(inferred(model) or (), actual or (), {})
    assert fits(inferred(symbolic) or (), actual or (), {"n": size})


def test_a_size_that_depends_on_rounding_is_unknown() -> None:
    # 10 * float32(0.7) is 7 in float32 and 6.9999999 in float64.
    scales = {"s": np.array([1, 0.7], np.float32)}
    found = inferred(single("Resize", {"x": (1, [1, 10])}, scales, order=["x", "", "s"]))
    assert found is not None
    assert found[0] == 1
    assert isinstance(found[1], Expr)


def test_a_slice_backwards_from_before_the_first_element_is_unknown() -> None:
    # numpy keeps nothing, onnxruntime the first element.
    bounds = {"a": [-9], "b": [-99], "c": [0], "d": [-1]}
    model = single("Slice", {"x": (1, [5, 2])}, {name: np.array(value, np.int64) for name, value in bounds.items()})
    found = inferred(model)
    assert found is not None
    assert isinstance(found[0], Expr)


def test_a_slice_backwards_to_the_largest_number_is_unknown() -> None:
    # numpy keeps nothing, onnxruntime all that stands before.
    bounds = {"a": [3], "b": [2**63 - 1], "c": [0], "d": [-1]}
    model = single("Slice", {"x": (1, [5, 2])}, {name: np.array(value, np.int64) for name, value in bounds.items()})
    found = inferred(model)
    assert found is not None
    assert isinstance(found[0], Expr)


BOUNDS = st.one_of(st.integers(-12, 12), st.sampled_from([2**31 - 1, 2**63 - 1, -(2**63) + 1, -(2**31)]))


@given(BOUNDS, BOUNDS, st.sampled_from([-3, -2, -1, 1, 2, 3]), st.integers(0, 9))
def test_slices_cut_as_python_does(start: int, end: int, step: int, size: int) -> None:
    bounds = {"a": [start], "b": [end], "c": [0], "d": [step]}
    constants = {name: np.array(value, np.int64) for name, value in bounds.items()}
    found = inferred(single("Slice", {"x": (1, ["n", 2])}, constants))
    assert found is not None
    assert fits(found, (len(range(size)[start:end:step]), 2), {"n": size})
    # Backwards from before the first element, or to the largest number, runtimes differ.
    if step > 0 or (start >= -1 and end < 2**31 - 1):
        assert isinstance(substitute(found[0], {"n": size}), int)


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-3, 3).filter(bool))
def test_ranges_count_as_python_does(start: int, limit: int, delta: int) -> None:
    numbers = {name: np.array(value, np.int64) for name, value in (("a", start), ("b", limit), ("c", delta))}
    assert inferred(single("Range", {}, numbers)) == (len(range(start, limit, delta)),)


N, M = symbol("n"), symbol("m")
INT64 = TensorProto.INT64


def vector(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


SHAPES: list[tuple[str, ModelProto, tuple[Dim, ...] | None]] = [
    ("n with 1", single("Add", {"a": (1, ["n", 1]), "b": (1, [1, "m"])}), (N, M)),
    ("n with a number", single("Add", {"a": (1, ["n", "n"]), "b": (1, [4, "n"])}), (4, N)),
    ("shorter", single("Mul", {"a": (1, ["n"]), "b": (1, ["m", 3, "n"])}), (M, 3, N)),
    ("old add", single("Add", {"a": (1, ["n", 3, 4]), "b": (1, [3])}, opset=6, broadcast=1, axis=1), (N, 3, 4)),
    ("where", single("Where", {"c": (9, ["n", 1]), "a": (1, [1, "m"]), "b": (1, [])}), (N, M)),
    ("rest", single("Reshape", {"x": (1, ["n", 6, 4])}, {"s": vector(0, -1, 8)}), (N, 3, 8)),
    ("rest of two", single("Reshape", {"x": (1, ["n", "m", 4])}, {"s": vector(-1, 4)}), (N * M, 4)),
    ("allowzero", single("Reshape", {"x": (1, ["n", 0])}, {"s": vector(0, 5)}, allowzero=1), (0, 5)),
    ("old reshape", single("Reshape", {"x": (1, ["n", 6])}, opset=4, shape=[0, 2, 3]), (N, 2, 3)),
    ("old squeeze", single("Squeeze", {"x": (1, ["n", 1, 3])}, opset=11, axes=[1]), (N, 3)),
    ("new squeeze", single("Squeeze", {"x": (1, ["n", 1, 3])}, {"a": vector(-2)}), (N, 3)),
    ("squeeze any", single("Squeeze", {"x": (1, ["n", 1, 3])}), None),
    ("squeeze all", single("Squeeze", {"x": (1, [5, 1, 3])}), (5, 3)),
    ("unsqueeze", single("Unsqueeze", {"x": (1, ["n"])}, {"a": vector(0, -1)}), (1, N, 1)),
    ("flatten", single("Flatten", {"x": (1, ["n", "m", 3])}, axis=-1), (N * M, 3)),
    ("transpose", single("Transpose", {"x": (1, ["n", "m", 3])}), (3, M, N)),
    ("matmul", single("MatMul", {"a": (1, ["n", 1, "m", 4]), "b": (1, [5, 4, 7])}), (N, 5, M, 7)),
    ("matmul vector", single("MatMul", {"a": (1, [4]), "b": (1, ["n", 4, 7])}), (N, 7)),
    ("gemm", single("Gemm", {"a": (1, [3, "n"]), "b": (1, [7, 3])}, transA=1, transB=1), (N, 7)),
    (
        "einsum",
        single("Einsum", {"a": (1, ["n", 2, "m"]), "b": (1, ["n", "m", 5])}, equation="bij, bjk -> bik"),
        (N, 2, 5),
    ),
    ("einsum dots", single("Einsum", {"a": (1, ["n", 2, "m"])}, equation="...ij->...ji"), (N, M, 2)),
    ("attribute axes", single("ReduceMean", {"x": (1, ["n", 4, "m"])}, opset=13, axes=[-1]), (N, 4, 1)),
    ("input axes", single("ReduceMean", {"x": (1, ["n", 4, "m"])}, {"a": vector(0)}, keepdims=0), (4, M)),
    ("all axes", single("ReduceMax", {"x": (1, ["n", 4, "m"])}), (1, 1, 1)),
    ("no axes", single("ReduceSum", {"x": (1, ["n", 4])}, {"a": vector()}, noop_with_empty_axes=1), (N, 4)),
    ("concat", single("Concat", {"a": (1, ["n", 4]), "b": (1, ["m", 4])}, axis=0), (N + M, 4)),
    ("tile", single("Tile", {"x": (1, ["n", 4])}, {"r": vector(3, 2)}), (3 * N, 8)),
    ("pad", single("Pad", {"x": (1, ["n", 4])}, {"p": vector(1, 0, 2, 3)}), (N + 3, 7)),
    (
        "pad of axes",
        single("Pad", {"x": (1, ["n", 4])}, {"p": vector(1, 2), "a": vector(-1)}, order=["x", "p", "", "a"]),
        (N, 7),
    ),
    ("old pad", single("Pad", {"x": (1, ["n", 4])}, opset=10, pads=[0, 1, 0, 1]), (N, 6)),
    ("gather", single("Gather", {"x": (1, ["n", 4]), "i": (7, ["m", 2])}, axis=1), (N, M, 2)),
    ("gather nd", single("GatherND", {"x": (1, ["n", 4, 5]), "i": (7, ["m", 2])}), (M, 5)),
    ("expand", single("Expand", {"x": (1, ["n", 1])}, {"s": vector(2, 1, 6)}), (2, N, 6)),
    ("one hot", single("OneHot", {"i": (7, ["n"])}, {"d": vector(9), "v": np.zeros(2, np.float32)}), (N, 9)),
    ("top k", single("TopK", {"x": (1, ["n", 9])}, {"k": vector(4)}, outputs=2), (N, 4)),
    ("arg max", single("ArgMax", {"x": (1, ["n", 9])}, axis=-1, keepdims=0), (N,)),
    ("depth", single("DepthToSpace", {"x": (1, ["n", 8, "m", 3])}, blocksize=2), (N, 2, 2 * M, 6)),
    ("global", single("GlobalAveragePool", {"x": (1, ["n", 8, "m", 3])}), (N, 8, 1, 1)),
    ("sizes", single("Resize", {"x": (1, ["n", 1, 4])}, {"z": vector(1, 1, 9)}, order=["x", "", "", "z"]), (1, 1, 9)),
    (
        "some sizes",
        single("Resize", {"x": (1, ["n", 4])}, {"z": vector(9)}, order=["x", "", "", "z"], axes=[-1]),
        (N, 9),
    ),
    ("upsample", single("Upsample", {"x": (1, ["n", 4])}, {"s": np.array([2, 0.5], np.float32)}, opset=9), (2 * N, 2)),
    ("equal split", single("Split", {"x": (1, [6, "n"])}, opset=11, outputs=3), (2, N)),
    ("uneven split", single("Split", {"x": (1, [7, "n"])}, opset=18, outputs=2, num_outputs=2), (4, N)),
    (
        "lstm",
        single(
            "LSTM", {"x": (1, ["n", "m", 4]), "w": (1, [2, 20, 4]), "r": (1, [2, 20, 5])}, direction="bidirectional"
        ),
        (N, 2, M, 5),
    ),
]


@pytest.mark.parametrize(("model", "expected"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shapes(model: ModelProto, expected: tuple[Dim, ...] | None) -> None:
    assert inferred(model) == expected


def test_two_unrelated_sizes_are_never_taken_for_one() -> None:
    found = inferred(single("Add", {"a": (1, ["n"]), "b": (1, ["m"])}))
    assert found is not None
    assert found[0] not in {N, M}
    assert substitute(found[0], {"n": 1, "m": 5}) == 5


def test_a_size_that_may_be_zero_is_not_taken_as_the_target_of_reshape() -> None:
    # Where n is 0, Reshape copies the input's 5.
    shape = helper.make_node("Shape", ["k"], ["s"])
    reshape = helper.make_node("Reshape", ["x", "s"], ["y0"])
    infos = [helper.make_tensor_value_info("k", 1, ["n"]), helper.make_tensor_value_info("x", 1, [5])]
    graph = helper.make_graph([shape, reshape], "g", infos, [helper.make_tensor_value_info("y0", 1, None)])
    found = inferred(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    assert found is not None
    assert found != (N,)


@pytest.mark.parametrize(
    ("op", "opset", "attributes", "expected"),
    [
        ("Dropout", 9, {}, [DataType.FLOAT, DataType.FLOAT]),
        ("Dropout", 13, {}, [DataType.FLOAT, DataType.BOOL]),
        ("MaxPool", 18, {"kernel_shape": [1]}, [DataType.FLOAT, DataType.INT64]),
        ("DynamicQuantizeLinear", 18, {}, [DataType.UINT8, DataType.FLOAT]),
        ("LayerNormalization", 18, {}, [DataType.FLOAT, DataType.FLOAT]),
        ("TopK", 9, {"k": 1}, [DataType.FLOAT, DataType.INT64]),
        ("Unique", 18, {}, [DataType.FLOAT, DataType.INT64]),
    ],
)
def test_dtypes_of_every_output(op: str, opset: int, attributes: dict[str, Any], expected: list[DataType]) -> None:
    model = Model(ir.from_proto(single(op, {"x": (1, [2, 3, 4])}, opset=opset, outputs=2, **attributes)))
    facts = Facts(model)
    assert [facts.dtype(value) for value in model.graph.outputs] == expected
