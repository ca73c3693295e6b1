"""What is known of values: sources of facts, symbolic contents, scopes, and what must stay unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from graphopt.graph._onnx_ir import ir
from graphopt.graph.dims import Dim, Expr, ceildiv, floordiv, maximum, symbol, symbols
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Model, Node, Value

N, M = symbol("n"), symbol("m")
HEADER = '<ir_version: 10, opset_import: ["" : {opset}, "local" : 1]>\n'


def model_of(text: str, opset: int = 18) -> Model:
    return Model(ir.from_proto(parser.parse_model(HEADER.replace("{opset}", str(opset)) + text)))


def vector(name: str, *numbers: int) -> str:
    return f"{name} = Constant<value_ints = [{', '.join(map(str, numbers))}]>()"


def values(model: Model) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for scope in model.scopes():
        found.update({value.name: value for value in scope.inputs if value.name})
        found.update(scope.initializers)
        found.update({value.name: value for node in scope for value in node.outputs if value.name})
    return found


def known(text: str, name: str = "y", opset: int = 18) -> tuple[DataType | None, tuple[Dim, ...] | None]:
    model = model_of(text, opset)
    facts, value = Facts(model), values(model)[name]
    return facts.dtype(value), facts.shape(value)


def shape(text: str, name: str = "y", opset: int = 18) -> tuple[Dim, ...] | None:
    return known(text, name, opset)[1]


def contents(text: str, name: str = "y", opset: int = 18) -> tuple[Dim, ...] | None:
    model = model_of(text, opset)
    return Facts(model).contents(values(model)[name])


def is_fresh(dim: Dim) -> bool:
    return isinstance(dim, Expr) and any(name.startswith("?") for name in symbols(dim))


def test_inputs_are_as_declared() -> None:
    assert known("g (float[n, 3, m] x) => (float y) { y = Identity(x) }", "x") == (DataType.FLOAT, (N, 3, M))


def test_sizes_of_one_name_are_one_size_and_unnamed_ones_are_all_different() -> None:
    model = model_of("g (float[n, ?] a, float[?, n] b) => (float y) { y = Identity(a) }")
    facts, found = Facts(model), values(model)
    a, b = facts.shape(found["a"]), facts.shape(found["b"])
    assert a is not None
    assert b is not None
    assert a[0] == b[1]
    assert a[1] != b[0]
    assert is_fresh(a[1])


@pytest.mark.parametrize("number", [0, -1, -7])
def test_a_declared_size_below_one_is_unknown(number: int) -> None:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [number, 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [given], [])
    model = Model(ir.from_proto(helper.make_model(graph)))
    found = Facts(model).shape(model.graph.inputs[0])
    assert found is not None
    assert is_fresh(found[0])
    assert found[1] == 2


def test_a_declared_name_like_a_fresh_one_is_another_size() -> None:
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("a", [None]), ("b", ["?1"]))
    ]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", info, [])
    model = Model(ir.from_proto(helper.make_model(graph)))
    facts = Facts(model)
    assert facts.shape(model.graph.inputs[0]) != facts.shape(model.graph.inputs[1])


def test_what_the_model_declares_of_interior_values_and_outputs_is_not_trusted() -> None:
    text = "g (float[n] x) => (int64[7, 7] y) <float[9] t> { t = Relu(x) y = Neg(t) }"
    assert known(text, "t") == (DataType.FLOAT, (N,))
    assert known(text, "y") == (DataType.FLOAT, (N,))


def test_initializers_are_constant_unless_a_caller_can_override_them() -> None:
    model = model_of("g (float[2] x) => (float y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    facts, w = Facts(model), values(model)["w"]
    assert facts.is_constant(w)
    assert facts.constant(w) is not None
    assert (facts.dtype(w), facts.static_shape(w), facts.nbytes(w), facts.rank(w)) == (DataType.FLOAT, (2,), 8, 1)
    assert not facts.is_constant(values(model)["x"])
    assert facts.constant(values(model)["y"]) is None


def overridable() -> Model:
    target = helper.make_tensor_value_info("s", TensorProto.INT64, [2])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        "g",
        [given, target],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([3, -1], np.int64), "s")],
    )
    return Model(ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])))


def test_overridable_initializers_have_a_type_and_no_value() -> None:
    model = overridable()
    facts, s = Facts(model), values(model)["s"]
    assert (facts.dtype(s), facts.shape(s)) == (DataType.INT64, (2,))
    assert not facts.is_constant(s)
    assert facts.constant(s) is None
    assert facts.contents(s) is None
    found = facts.shape(values(model)["y"])
    assert found is not None
    assert all(is_fresh(dim) for dim in found)


@pytest.mark.parametrize(
    ("attribute", "dtype", "expected"),
    [
        ("value_int = 3", DataType.INT64, np.array(3, np.int64)),
        ("value_ints = [3, 4]", DataType.INT64, np.array([3, 4], np.int64)),
        ("value_float = 0.5", DataType.FLOAT, np.array(0.5, np.float32)),
        ("value_floats = [0.5, 1.0]", DataType.FLOAT, np.array([0.5, 1], np.float32)),
        ("value = int32[1] {5}", DataType.INT32, np.array([5], np.int32)),
    ],
)
def test_constant_nodes_of_every_form(attribute: str, dtype: DataType, expected: np.ndarray[Any, Any]) -> None:
    model = model_of(f"g () => (float y) {{ y = Constant<{attribute}>() }}")
    facts, y = Facts(model), values(model)["y"]
    found = facts.constant(y)
    assert facts.is_constant(y)
    assert found is not None
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
    assert (facts.dtype(y), facts.shape(y)) == (dtype, expected.shape)


def test_constants_whose_data_is_missing_are_constant_and_can_not_be_read(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones(3, np.int64), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="gone.bin")
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph), path)
    model = Model(ir.load(path))
    facts, found = Facts(model), values(model)
    assert facts.is_constant(found["w"])
    assert facts.constant(found["w"]) is None
    assert facts.contents(found["y"]) is None
    assert facts.shape(found["y"]) == (3,)


CHAINS = [
    ("s = Shape(x) y = Identity(s)", (N, 12, M)),
    ("y = Shape<start = 1>(x)", (12, M)),
    ("y = Shape<start = -2, end = -1>(x)", (12,)),
    ("y = Size(x)", (12 * N * M,)),
    ("s = Shape(x) i = Constant<value_int = 2>() y = Gather(s, i)", (M,)),
    ("s = Shape(x) i = Constant<value_ints = [2, 0]>() y = Gather(s, i)", (M, N)),
    (
        f"s = Shape(x) i = Constant<value_int = -3>() g = Gather(s, i) {vector('z', 0)} y = Unsqueeze(g, z)",
        (N,),
    ),
    (
        f"s = Shape(x) {vector('a', 1)} {vector('b', 2**63 - 1)} y = Slice(s, a, b)",
        (12, M),
    ),
    (
        (
            f"{vector('a', -1)} {vector('b', -(2**63))} {vector('z', 0)} {vector('t', -2)}"
            " s = Shape(x) y = Slice(s, a, b, z, t)"
        ),
        (M, N),
    ),
    ("s = Shape(x) k = Constant<value_ints = [-1]>() y = Concat<axis = 0>(s, k)", (N, 12, M, -1)),
    ("s = Shape(x) k = Constant<value_int = 4>() y = Add(s, k)", (N + 4, 16, M + 4)),
    ("s = Shape(x) k = Constant<value_int = 4>() y = Sub(s, k)", (N - 4, 8, M - 4)),
    ("s = Shape(x) k = Constant<value_int = 4>() y = Mul(s, k)", (4 * N, 48, 4 * M)),
    ("s = Shape(x) k = Constant<value_int = 5>() y = Div(s, k)", (floordiv(N, 5), 2, floordiv(M, 5))),
    ("s = Shape(x) k = Constant<value_int = 5>() y = Mod(s, k)", (N - 5 * floordiv(N, 5), 2, M - 5 * floordiv(M, 5))),
    ("s = Shape(x) k = Constant<value_int = 0>() y = Max(s, k)", (N, 12, M)),
    ("s = Shape(x) k = Constant<value_int = 9>() t = Add(s, k) y = Min(t, k)", (9, 9, 9)),
    ("s = Shape(x) y = Neg(s)", (-N, -12, -M)),
    ("s = Shape(x) t = Neg(s) y = Abs(t)", (N, 12, M)),
    ("s = Shape(x) y = Cast<to = 6>(s)", (N, 12, M)),
    ("s = Shape(x) y = ReduceProd<keepdims = 0>(s)", (12 * N * M,)),
    ("s = Shape(x) k = Constant<value_ints = [1, 2]>() y, z = Split<axis = 0>(s, k)", (N,)),
    ("s = Shape(x) k = Constant<value_ints = [1, 2]>() z, y = Split<axis = 0>(s, k)", (12, M)),
    (
        "a = Constant<value_int = 2>() b = Constant<value_int = 11>() d = Constant<value_int = 4>() y = Range(a, b, d)",
        (2, 6, 10),
    ),
    ("a = Constant<value_ints = [3]>() y = ConstantOfShape<value = int64[1] {7}>(a)", (7, 7, 7)),
    ("a = Constant<value_ints = [3]>() b = Constant<value_ints = [8]>() y = Expand(b, a)", (8, 8, 8)),
    ("s = Shape(x) a = Constant<value_ints = [-1, 12, -1]>() c = Equal(s, a) y = Where(c, s, s)", (N, 12, M)),
    ("s = Shape(x) a = Add(s, s) c = Equal(s, s) y = Where(c, a, s)", (2 * N, 24, 2 * M)),
    ("s = Shape(x) k = Constant<value_int = 1>() a = Add(s, k) c = Equal(s, a) y = Where(c, a, s)", (N, 12, M)),
    (
        (
            f"{vector('k', 0, 1, 2, 3)} {vector('r', -1, 2)} {vector('q', -1)}"
            " a = Reshape(k, r) t = Transpose(a) y = Reshape(t, q)"
        ),
        (0, 2, 1, 3),
    ),
]


@pytest.mark.parametrize(("body", "expected"), CHAINS)
def test_contents_follow_shape_arithmetic(body: str, expected: tuple[Dim, ...] | None) -> None:
    assert contents(f"g (float[n, 12, m] x) => (int64 y) {{ {body} }}") == expected


@pytest.mark.parametrize(
    "body",
    [
        # Division truncates: the sign of n - 4 is unknown.
        "s = Shape(x) k = Constant<value_int = 4>() t = Sub(s, k) y = Div(t, k)",
        "s = Shape(x) k = Constant<value_int = 4>() t = Sub(s, k) y = Mod(t, k)",
        "s = Shape(x) z = Constant<value_int = 0>() y = Div(s, z)",
        "k = Constant<value_int = 4611686018427387904>() y = Add(k, k)",
        "k = Constant<value_int = 2147483647>() t = Cast<to = 6>(k) y = Add(t, t)",
        "s = Shape(x) f = Cast<to = 1>(s) y = Cast<to = 7>(f)",
        "a = Constant<value_ints = [65]>() y = ConstantOfShape<value = int64[1] {7}>(a)",
        "y = Cast<to = 7>(x)",
    ],
)
def test_contents_that_are_not_sure_are_unknown(body: str) -> None:
    assert contents(f"g (float[n, 12, m] x) => (int64 y) {{ {body} }}") is None


def test_integer_division_of_numbers_truncates_towards_zero() -> None:
    body = "a = Constant<value_ints = [-7, 7, 7]>() b = Constant<value_ints = [2, -2, 2]>() y = Div(a, b)"
    assert contents(f"g () => (int64 y) {{ {body} }}") == (-3, -3, 3)


IF = """g (bool c, float[n, 2] x, float[n, 3] z) => (float y) {{
  y = If (c) <then_branch = a () => (float p) {{ p = {then}(x) }}, else_branch = b () => (float q) {{ q = {other} }}>
}}"""


def test_branches_that_agree_are_known_and_others_only_where_they_agree() -> None:
    found = shape(IF.format(then="Relu", other="Relu(z)"))
    assert found is not None
    assert found[0] == N
    assert is_fresh(found[1])
    assert shape(IF.format(then="Relu", other="Neg(x)")) == (N, 2)


def test_branches_of_different_rank_or_dtype_are_unknown() -> None:
    assert shape(IF.format(then="Relu", other="ReduceSum<keepdims = 0>(x)")) is None
    assert known(IF.format(then="Relu", other="Shape(x)"))[0] is None


LOOP = """g (int64 k, bool c, float[n, 2] x) => (float y, float z) {
  y, z = Loop (k, c, x) <body = b (int64 i, bool ci, float[n, 2] carried) => (bool co, float next, float out) {
    co = Identity(ci)
    next = Concat<axis = 0>(carried, x)
    out = Neg(x)
  }>
}"""


def test_carried_values_have_a_dtype_and_no_shape() -> None:
    assert known(LOOP, "carried") == (DataType.FLOAT, None)
    assert known(LOOP, "next") == (DataType.FLOAT, None)
    assert known(LOOP, "y") == (DataType.FLOAT, None)
    assert known(LOOP, "i") == (DataType.INT64, ())
    assert known(LOOP, "ci") == (DataType.BOOL, ())


def test_values_a_loop_collects_get_an_unknown_first_size() -> None:
    found = shape(LOOP, "z")
    assert found is not None
    assert is_fresh(found[0])
    assert found[1:] == (N, 2)


def test_sizes_a_loop_body_makes_do_not_leave_it() -> None:
    text = """g (int64 k, bool c, float[n] x) => (float z) {
      z = Loop (k, c) <body = b (int64 i, bool ci) => (bool co, int64 out) { co = Identity(ci) out = NonZero(x) }>
    }"""
    inside, outside = shape(text, "out"), shape(text, "z")
    assert inside is not None
    assert outside is not None
    assert outside[1] == 1
    assert is_fresh(outside[2])
    assert outside[2] != inside[1]


def test_scan_slices_its_inputs_and_stacks_its_outputs() -> None:
    text = """g (float[2] s, float[n, 2] x) => (float y, float z) {
      y, z = Scan <num_scan_inputs = 1, body = b (float[2] state, float[2] part) => (float[2] next, float[2] out) {
        next = Add(state, part)
        out = Neg(part)
      }> (s, x)
    }"""
    assert shape(text, "part") == (2,)
    assert shape(text, "z") == (N, 2)
    assert shape(text, "y") is None
    assert known(text, "y")[0] == DataType.FLOAT


FUNCTION = """g (float[n, 2] x) => (float y, float z) { y = local.twice(x) z = Relu(y) }
<domain: "local", opset_import: ["" : 11]>
twice (a) => (b) { k = Constant<value_ints = [0]>() t = Add(a, a) b = ReduceSum(t) }"""


def test_function_bodies_know_nothing_of_their_inputs_and_calls_nothing_of_their_outputs() -> None:
    assert known(FUNCTION, "a") == (None, None)
    assert known(FUNCTION, "t") == (None, None)
    assert known(FUNCTION, "y") == (None, None)


def test_nodes_of_a_function_follow_its_own_opset() -> None:
    model = model_of(FUNCTION)
    facts = Facts(model)
    versions = {node.op_type: facts.opset(node) for scope in model.scopes() for node in scope}
    assert versions == {"twice": 1, "Relu": 18, "Constant": 11, "Add": 11, "ReduceSum": 11}


def test_nodes_nested_in_graphs_follow_the_model() -> None:
    model = model_of(IF.format(then="Relu", other="Neg(x)"), opset=16)
    facts = Facts(model)
    assert {facts.opset(node) for scope in model.scopes() for node in scope} == {16}


def test_sequences_and_optionals_are_no_tensors() -> None:
    text = "g (float[n] x, seq(float[n]) q) => (float y) { s = SequenceConstruct(x, x) y = SequenceAt(s, x) }"
    for name in ("q", "s", "y"):
        assert known(text, name) == (None, None)


def test_unknown_operators_are_unknown() -> None:
    assert known("g (float[n] x) => (float y) { y = local.Relu(x) }") == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        "y = Transpose<perm = [0, 7]>(x)",
        "y = Transpose<perm = 1.5>(x)",
        "y = Concat<axis = 9>(x, x)",
        "y = Concat(x)",
        "y = Conv(x, x)",
        "y = Conv<strides = [0, 0]>(z, z)",
        "y = Gemm(x)",
        "y = Squeeze(x, x, x)",
        "y = Flatten<axis = 99>(x)",
        "y = MatMul(x, x, x)",
        'y = Einsum<equation = "abc,,->">(x, x)',
        "y = LSTM(x, x, x)",
        "y = If(x)",
        "y = Loop(x)",
        "y = Scan(x)",
        "y = Cast(x)",
        "y = Cast<to = 9999>(x)",
        "y = Split<num_outputs = 0>(x)",
        "y = Resize()",
        "y = TopK()",
        "y = Constant()",
        "y = DepthToSpace<blocksize = 0>(z)",
        "y = Reshape(x, x)",
        "y = Add()",
    ],
)
def test_malformed_nodes_are_unknown_and_never_raise(body: str) -> None:
    model = model_of(f"g (float[n, 3] x, float[n, 3, 4, 5] z) => (float y) {{ {body} }}")
    facts, y = Facts(model), values(model)["y"]
    facts.dtype(y)
    facts.contents(y)
    assert facts.constant(y) is None
    found = facts.static_shape(y)
    assert found is None or min(found, default=0) >= 0


def test_a_cycle_is_unknown() -> None:
    a = Node("", "Relu", [None], num_outputs=1)
    b = Node("", "Relu", [a.outputs[0]], num_outputs=1)
    a.replace_input_with(0, b.outputs[0])
    graph = ir.Graph([], [b.outputs[0]], nodes=[a, b], opset_imports={"": 18}, name="g")
    facts = Facts(Model(ir.Model(graph, ir_version=10)))
    assert facts.shape(a.outputs[0]) is None
    assert facts.dtype(b.outputs[0]) is None


def test_deep_graphs_need_no_recursion() -> None:
    given = Value(name="x", type=ir.TensorType(DataType.FLOAT), shape=ir.Shape(["n", 4]))
    nodes: list[Node] = []
    value = given
    for _ in range(20_000):
        nodes.append(Node("", "Relu", [value], num_outputs=1))
        value = nodes[-1].outputs[0]
    graph = ir.Graph([given], [value], nodes=nodes, opset_imports={"": 18}, name="g")
    assert Facts(Model(ir.Model(graph, ir_version=10))).shape(value) == (N, 4)


def test_formulas_do_not_grow_from_node_to_node() -> None:
    text = " ".join(f"x{i + 1} = Concat<axis = 0>(x{i}, a{i})" for i in range(200))
    inputs = ", ".join(f"float[s{i}] a{i}" for i in range(200))
    found = shape(f"g (float[n] x0, {inputs}) => (float x200) {{ {text} }}", "x200")
    assert found is not None
    assert isinstance(found[0], Expr)
    assert found[0].size <= 48


def test_forget_sees_a_changed_graph() -> None:
    model = model_of("g (float[n, 3] x) => (float y) { y = Relu(x) }")
    facts, y = Facts(model), values(model)["y"]
    assert facts.shape(y) == (N, 3)
    model.graph.inputs[0].shape = ir.Shape([5, 3])
    assert facts.shape(y) == (N, 3)
    facts.forget()
    assert facts.static_shape(y) == (5, 3)


def test_counts_and_bytes() -> None:
    model = model_of("g (float16[n, 6] x, int4[3, 3] q, string[2] s) => (float y) { y = Relu(x) }")
    facts, found = Facts(model), values(model)
    assert facts.element_count(found["x"]) == 6 * N
    assert facts.nbytes(found["x"]) is None
    assert facts.nbytes(found["q"]) == 5
    assert facts.nbytes(found["s"]) is None


def test_a_reference_to_a_functions_attribute_is_unknown() -> None:
    text = """g (float[n, 2] x) => (float y) { y = local.f<k = 1>(x) }
    <domain: "local", opset_import: ["" : 18]>
    f <k> (a) => (b) {
      c = Constant<value = float[2, 3] {1, 2, 3, 4, 5, 6}>()
      b = ReduceMax<keepdims: int = @k>(c)
      d = Shape(c)
    }"""
    assert shape(text, "c") == (2, 3)
    assert shape(text, "b") is None
    assert contents(text, "d") == (2, 3)


def test_slices_of_symbolic_sizes() -> None:
    body = f"{vector('a', 1)} {vector('b', 2**63 - 1)} {vector('z', 0)}"
    assert shape(f"g (float[n, 4] x) => (float y) {{ {body} y = Slice(x, a, b, z) }}") == (maximum(N - 1, 0), 4)
    step = f"{vector('t', 2)} y = Slice(x, z, b, z, t)"
    assert shape(f"g (float[n, 4] x) => (float y) {{ {body} {step} }}") == (ceildiv(N, 2), 4)
