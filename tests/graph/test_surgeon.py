"""The way to onnx-graphsurgeon and back: nothing untouched changes, and edits arrive."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from graphopt.errors import ModelError, UnsupportedError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.load import from_proto
from graphopt.graph.model import DataType, Model
from graphopt.graph.save import to_bytes
from graphopt.graph.surgeon import from_graphsurgeon, to_graphsurgeon

Array = np.ndarray[Any, Any]
HEADER = '<ir_version: 10, opset_import: ["" : 18]>\n'

CHAIN = """g (float[n, 4] x) => (float[n, 3] y)
<float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[3] b = {1, -60, 1}> {
  [first] t = MatMul(x, w)
  [second] u = Add(t, b)
  [third] y = Relu(u)
}"""

BRANCHES = """g (bool c, float[4] x) => (float[4] y) <float[4] w = {1, 2, 3, 4}> {
  h = Neg(x)
  [choice] y = If(c) <
    then_branch = a () => (float[4] p) { [inside] p = Add(h, w) },
    else_branch = b () => (float[4] p) { p = Mul(h, w) }
  >
}"""


def build(text: str, header: str = HEADER) -> Model:
    return from_proto(parser.parse_model(header + text))


def proto(model: Model) -> onnx.ModelProto:
    made = onnx.ModelProto.FromString(to_bytes(model))
    onnx.checker.check_model(made, full_check=True)
    return made


def run(model: Model, **feeds: Array) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = proto(model).SerializeToString()
    return onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"]).run(None, feeds)


def operators(model: Model) -> list[str]:
    return [node.op_type for node in model.graph]


def floats(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def rich() -> onnx.ModelProto:
    """Make a model with much that onnx-graphsurgeon has no form for."""
    made = parser.parse_model(HEADER + BRANCHES)
    graph = made.graph
    graph.doc_string, made.doc_string, made.domain, made.model_version = "a graph", "a model", "org.here", 7
    for holder in (made, graph, graph.node[0], graph.input[1]):
        holder.metadata_props.add(key="key", value="value")
    graph.node[0].doc_string = "a node"
    graph.input[1].doc_string = "an input"
    graph.input[1].type.denotation = "TENSOR"
    graph.input[1].type.tensor_type.shape.dim[0].denotation = "DATA_CHANNEL"
    graph.initializer.append(helper.make_tensor("unused", TensorProto.FLOAT, [1], [3.0]))
    graph.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [0.5]))
    note = graph.quantization_annotation.add(tensor_name="h")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="scale")
    default = helper.make_tensor("k", TensorProto.FLOAT, [4], [1, 1, 1, 1])
    graph.input.append(helper.make_tensor_value_info("k", TensorProto.FLOAT, [4]))
    graph.initializer.append(default)
    for name, attr in _odd_attributes().items():
        node = helper.make_node("Odd", ["x"], [f"odd_{name}"], domain="org.here", name=f"odd_{name}")
        node.attribute.append(attr)
        graph.node.append(node)
    made.opset_import.add(domain="org.here", version=3)
    return made


def _odd_attributes() -> dict[str, onnx.AttributeProto]:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [2], [1, 2])
    inner = helper.make_graph(
        [helper.make_node("Abs", ["h"], ["q"])],
        "inner",
        [],
        [helper.make_tensor_value_info("q", TensorProto.FLOAT, [4])],
    )
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("v", TensorProto.FLOAT, [1], [9]), helper.make_tensor("i", TensorProto.INT64, [1], [1]), [4]
    )
    made = {
        "bytes": helper.make_attribute("a", b"\xff\xfe"),
        "tensors": helper.make_attribute("a", [tensor, tensor]),
        "graphs": helper.make_attribute("a", [inner]),
        "sparse": helper.make_attribute("a", sparse),
        "type": helper.make_attribute("a", helper.make_tensor_type_proto(TensorProto.FLOAT, [2])),
        "empty": onnx.AttributeProto(name="a", type=onnx.AttributeProto.INTS),
        "nan": helper.make_attribute("a", float("nan")),
        "strings": helper.make_attribute("a", ["one", "zwei"]),
    }
    for attr in made.values():
        attr.doc_string = "an attribute"
    return made


def types_model() -> onnx.ModelProto:
    """Make a model with every element type and with optional, sequence and sparse types."""
    names = [name for name, number in TensorProto.DataType.items() if number and not name.startswith("FLOAT6")]
    kinds = [getattr(TensorProto, name) for name in names]
    nodes, constants, outputs = [], [], []
    for name, kind in zip(names, kinds, strict=True):
        array = np.array([1, 0, 1]).astype(helper.tensor_dtype_to_np_dtype(kind))
        array = np.array([b"a", b"", b"c"], object) if name == "STRING" else array
        constants.append(numpy_helper.from_array(array, f"w_{name}"))
        nodes.append(helper.make_node("Identity", [f"w_{name}"], [f"y_{name}"]))
        outputs.append(helper.make_tensor_value_info(f"y_{name}", kind, [3]))
    made = helper.make_graph(nodes, "types", [], outputs, constants)
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", None, 3])
    for index, kind_of in enumerate((helper.make_sequence_type_proto, helper.make_optional_type_proto)):
        made.input.append(helper.make_value_info(f"in_{index}", kind_of(inner)))
    nested = helper.make_optional_type_proto(helper.make_sequence_type_proto(inner))
    made.input.append(helper.make_value_info("in_nested", nested))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)


FUNCTIONS = """g (float[4] x) => (float[4] y) { y = local.scaled <k = 3.0> (x) }
<domain: "local", opset_import: ["" : 18]>
scaled <k: float = 2.0> (a) => (b) {
  f = Constant <value_float: float = @k> ()
  b = Mul(a, f)
}"""
FUNCTION_HEADER = '<ir_version: 10, opset_import: ["" : 18, "local" : 1]>\n'


def overloaded() -> onnx.ModelProto:
    made = parser.parse_model(FUNCTION_HEADER + FUNCTIONS)
    other = made.functions.add()
    other.CopyFrom(made.functions[0])
    other.overload = "other"
    other.node[1].op_type = "Add"
    made.functions[0].overload = "first"
    made.graph.node[0].overload = "first"
    made.graph.node[0].output[0] = "t"
    node = made.graph.node.add()
    node.CopyFrom(made.graph.node[0])
    node.overload = "other"
    node.input[0], node.output[0] = "t", "y"
    return made


MODELS = {
    "chain": lambda: parser.parse_model(HEADER + CHAIN),
    "rich": rich,
    "types": types_model,
    "functions": lambda: parser.parse_model(FUNCTION_HEADER + FUNCTIONS),
    "overloads": overloaded,
}


@pytest.mark.parametrize("name", MODELS)
def test_nothing_changes_without_an_edit(name: str) -> None:
    model = from_proto(MODELS[name]())
    before, nodes = to_bytes(model), [node for scope in model.scopes() for node in scope]
    graph = to_graphsurgeon(model)
    assert to_bytes(model) == before
    assert from_graphsurgeon(graph, model) is model
    assert to_bytes(model) == before
    assert [node for scope in model.scopes() for node in scope] == nodes


@pytest.mark.parametrize("name", MODELS)
def test_reading_every_weight_changes_nothing(name: str) -> None:
    model = from_proto(MODELS[name]())
    before = to_bytes(model)
    graph = to_graphsurgeon(model)
    read = [
        t.values for scope in (graph, *graph.functions) for t in scope.tensors().values() if isinstance(t, gs.Constant)
    ]
    from_graphsurgeon(graph, model)
    assert to_bytes(model) == before
    assert len(read) == len({id(array) for array in read})


@pytest.mark.parametrize("name", ["chain", "types", "functions"])
def test_a_copy_comes_back_unchanged(name: str) -> None:
    made = MODELS[name]()
    made.producer_name, made.producer_version = "exporter", "3"  # A copy has neither.
    model = from_proto(made)
    before = to_bytes(model)
    from_graphsurgeon(to_graphsurgeon(model).copy(), model)
    assert to_bytes(model) == before


@pytest.mark.parametrize("name", ["chain", "types"])
def test_cleaning_and_sorting_a_clean_graph_changes_nothing(name: str) -> None:
    model = from_proto(MODELS[name]())
    before = to_bytes(model)
    from_graphsurgeon(to_graphsurgeon(model).cleanup().toposort(), model)
    assert to_bytes(model) == before


def test_overloads_survive_the_sorting_that_takes_them_for_one() -> None:
    model = from_proto(overloaded())
    before = to_bytes(model)
    graph = to_graphsurgeon(model)
    graph.toposort()
    assert len(graph.functions) == 1
    from_graphsurgeon(graph, model)
    assert to_bytes(model) == before


def weight(model: Model, name: str) -> Any:
    return model.graph.initializers[name].const_value


def watched(tensor: Any, reads: list[str]) -> ir.LazyTensor:
    def read() -> Any:
        reads.append(tensor.name)
        return tensor

    return ir.LazyTensor(read, dtype=tensor.dtype, shape=tensor.shape, name=tensor.name)


def test_weights_are_read_only_when_touched() -> None:
    model = build(CHAIN)
    reads: list[str] = []
    for value in model.graph.initializers.values():
        value.const_value = watched(value.const_value, reads)
    graph = to_graphsurgeon(model)
    assert [t.shape for t in graph.tensors().values() if isinstance(t, gs.Constant)] == [(4, 3), (3,)]
    graph.nodes[2].op = "Neg"
    from_graphsurgeon(graph, model)
    assert reads == []
    assert graph.nodes[1].inputs[1].values.tolist() == [1, -60, 1]
    assert reads == ["b"]


def test_a_new_weight_in_place_and_by_assignment() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    graph.tensors()["w"].values *= 2
    graph.tensors()["b"].values = np.zeros(3, np.float32)
    from_graphsurgeon(graph, model)
    x, w = floats(2, 4), np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(run(model, x=x)[0], np.maximum(x @ (2 * w), 0), rtol=1e-5)
    assert list(model.graph.initializers) == ["w", "b"]


def test_one_edited_weight_leaves_the_other_alone() -> None:
    model = build(CHAIN)
    kept = weight(model, "w")
    graph = to_graphsurgeon(model)
    graph.tensors()["b"].values[0] = 5
    from_graphsurgeon(graph, model)
    assert weight(model, "w") is kept
    assert weight(model, "b").numpy().tolist() == [5, -60, 1]


def test_a_weight_of_another_shape_and_type() -> None:
    model = build("g (float[n] x) => (y) <float[1] w = {2}> { t = Cast<to = 10>(w) y = CastLike(x, t) }")
    graph = to_graphsurgeon(model)
    graph.tensors()["w"].values = np.ones((2, 3), np.float16)
    from_graphsurgeon(graph, model)
    value: Any = model.graph.initializers["w"]
    assert (value.dtype, tuple(value.shape)) == (DataType.FLOAT16, (2, 3))


def test_remove_a_node() -> None:
    model = build(CHAIN)
    first = model.graph.node(0)
    graph = to_graphsurgeon(model)
    relu = graph.nodes[2]
    graph.outputs = [relu.inputs[0]]
    relu.inputs.clear()
    graph.cleanup().toposort()
    from_graphsurgeon(graph, model)
    assert operators(model) == ["MatMul", "Add"]
    assert model.graph.node(0) is first
    assert [value.name for value in model.graph.outputs] == ["u"]
    output = proto(model).graph.output[0].type.tensor_type
    assert output.elem_type == TensorProto.FLOAT  # Inner values need no type, outputs do.
    assert run(model, x=floats(2, 4))[0].shape == (2, 3)


def test_swap_an_activation_and_keep_the_output() -> None:
    model = build(CHAIN)
    model.graph.node(2).doc_string = "kept"
    graph = to_graphsurgeon(model)
    relu = graph.nodes[2]
    new = gs.Node("Sigmoid", inputs=list(relu.inputs), outputs=list(relu.outputs))
    relu.inputs.clear()
    relu.outputs.clear()
    graph.nodes.append(new)
    graph.cleanup().toposort()
    from_graphsurgeon(graph, model)
    assert operators(model) == ["MatMul", "Add", "Sigmoid"]
    x = floats(2, 4)
    w = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    wanted = 1 / (1 + np.exp(-(x @ w + np.array([1, -60, 1], np.float32))))
    np.testing.assert_allclose(run(model, x=x)[0], wanted, rtol=1e-4, atol=1e-6)
    assert str(proto(model).graph.output[0]) == str(parser.parse_model(HEADER + CHAIN).graph.output[0])


def test_an_operator_renamed_in_place_keeps_node_and_notes() -> None:
    model = build(CHAIN)
    node = model.graph.node(2)
    node.doc_string, node.metadata_props["a"] = "text", "b"
    graph = to_graphsurgeon(model)
    graph.nodes[2].op = "LeakyRelu"
    graph.nodes[2].attrs["alpha"] = 1
    from_graphsurgeon(graph, model)
    assert model.graph.node(2) is node
    assert (node.op_type, node.doc_string, node.metadata_props) == ("LeakyRelu", "text", {"a": "b"})
    assert node.attributes["alpha"].type == ir.AttributeType.FLOAT
    proto(model)


def test_insert_nodes_out_of_order_and_without_names() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    add = graph.nodes[1]
    source, halved = add.inputs[0], gs.Variable("t", np.float32)  # The name "t" is taken.
    graph.nodes.append(gs.Node("Mul", inputs=[source, gs.Constant("w", np.array(0.5, np.float32))], outputs=[halved]))
    add.inputs[0] = halved
    from_graphsurgeon(graph, model)
    assert operators(model) == ["MatMul", "Mul", "Add", "Relu"]
    assert [node.op for node in graph.nodes] == operators(model)
    names = [v.name for node in model.graph for v in node.outputs] + list(model.graph.initializers)
    assert len(names) == len(set(names)) == 7
    assert {"t", "w"} < set(names)
    assert weight(model, "w").shape == (4, 3)
    x, w = floats(2, 4), np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(
        run(model, x=x)[0], np.maximum(x @ w / 2 + np.array([1, -60, 1], np.float32), 0), rtol=1e-4
    )


def test_registered_operators_and_a_second_return() -> None:
    @gs.Graph.register()  # type: ignore[untyped-decorator]
    def graphopt_test_double(self: Any, a: Any) -> Any:
        return self.layer(op="Add", inputs=[a, a], outputs=["doubled"], name="double")[0]

    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    relu = graph.nodes[2]
    relu.inputs[0] = graph.graphopt_test_double(relu.inputs[0])
    from_graphsurgeon(graph, model)
    once = to_bytes(model)
    from_graphsurgeon(graph, model)
    assert to_bytes(model) == once
    relu.inputs[0] = graph.graphopt_test_double(relu.inputs[0])
    from_graphsurgeon(graph)
    assert operators(model) == ["MatMul", "Add", "Add", "Add", "Relu"]
    assert len({node.name for node in model.graph}) == 5
    x, w = floats(2, 4), np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(
        run(model, x=x)[0], np.maximum(4 * (x @ w + np.array([1, -60, 1], np.float32)), 0), rtol=1e-4
    )


def test_folding_by_onnx_graphsurgeon_arrives() -> None:
    model = build(
        "g (float[2] x) => (float[2] y) <float[2] a = {1, 2}, float[2] b = {3, 4}> { c = Add(a, b) y = Mul(x, c) }"
    )
    graph = to_graphsurgeon(model)
    graph.fold_constants().cleanup()
    from_graphsurgeon(graph, model)
    assert operators(model) == ["Mul"]
    assert list(model.graph.initializers) == ["c"]
    np.testing.assert_array_equal(run(model, x=np.ones(2, np.float32))[0], [4, 6])


def test_the_exporter_of_onnx_graphsurgeon_can_read_the_graph() -> None:
    exported = gs.export_onnx(to_graphsurgeon(build(BRANCHES)))
    onnx.checker.check_model(exported)


def test_an_output_that_becomes_constant_keeps_its_name() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    y = graph.outputs[0]
    y.inputs.clear()
    y.to_constant(np.full((2, 3), 7, np.float32))
    graph.cleanup()
    from_graphsurgeon(graph, model)
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert operators(model) == ["Identity"]
    np.testing.assert_array_equal(run(model, x=floats(2, 4))[0], np.full((2, 3), 7))


def test_an_output_that_becomes_an_input_goes_through_identity() -> None:
    model = build("g (float[3] x) => (float[3] y) { t = Neg(x) y = Neg(t) }")
    graph = to_graphsurgeon(model)
    graph.outputs = [graph.inputs[0]]
    graph.cleanup()
    from_graphsurgeon(graph, model)
    assert operators(model) == ["Identity"]
    assert [value.name for value in model.graph.outputs] == ["y"]
    x = floats(3)
    np.testing.assert_array_equal(run(model, x=x)[0], x)


def test_one_tensor_twice_among_the_outputs() -> None:
    model = build("g (float[3] x) => (float[3] y, float[3] z) { y = Neg(x) z = Abs(y) }")
    graph = to_graphsurgeon(model)
    graph.outputs = [graph.outputs[0], graph.outputs[0]]
    graph.cleanup()
    from_graphsurgeon(graph, model)
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
    first, second = run(model, x=floats(3))
    np.testing.assert_array_equal(first, second)


def test_an_output_may_be_renamed() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    graph.outputs[0].name = "t"  # Taken by an inner value, which gives way.
    from_graphsurgeon(graph, model)
    assert [value.name for value in model.graph.outputs] == ["t"]
    run(model, x=floats(1, 4))


def test_two_weights_swap_names() -> None:
    model = build(
        "g (float[2] x) => (float[2] y) <float[2] a = {1, 2}, float[2] b = {3, 4}> { t = Add(x, a) y = Mul(t, b) }"
    )
    graph = to_graphsurgeon(model)
    a, b = graph.nodes[0].inputs[1], graph.nodes[1].inputs[1]
    a.name, b.name = b.name, a.name
    from_graphsurgeon(graph, model)
    assert {name: weight(model, name).numpy().tolist() for name in model.graph.initializers} == {
        "b": [1, 2],
        "a": [3, 4],
    }
    np.testing.assert_array_equal(run(model, x=np.zeros(2, np.float32))[0], [3, 8])


def test_a_renamed_scale_is_followed_by_its_annotation() -> None:
    made = rich()
    made.graph.node.append(helper.make_node("Mul", ["h", "scale"], ["scaled"]))
    model = from_proto(made)
    graph = to_graphsurgeon(model)
    graph.nodes[-1].inputs[1].name = "gauge"
    from_graphsurgeon(graph, model)
    notes = onnx.ModelProto.FromString(to_bytes(model)).graph.quantization_annotation
    assert [pair.value for note in notes for pair in note.quant_parameter_tensor_names] == ["gauge"]


@pytest.mark.parametrize("condition", [True, False])
def test_edit_inside_a_branch(condition: bool) -> None:
    model = build(BRANCHES)
    outer = model.graph.node(1)
    graph = to_graphsurgeon(model)
    branch = graph.nodes[1].attrs["then_branch"]
    add = branch.nodes[0]
    assert add.inputs[0] is graph.nodes[0].outputs[0]  # Captured: the same object as outside.
    doubled = gs.Variable("doubled", np.float32)
    branch.nodes.insert(0, gs.Node("Add", inputs=[add.inputs[1], add.inputs[1]], outputs=[doubled]))
    add.inputs[1] = doubled
    from_graphsurgeon(graph, model)
    assert model.graph.node(1) is outer
    assert [len(scope.initializers) for scope in model.scopes()] == [1, 0, 0]
    x, w = floats(4), np.arange(1, 5, dtype=np.float32)
    np.testing.assert_allclose(
        run(model, c=np.array(condition), x=x)[0], -x + 2 * w if condition else -x * w, rtol=1e-6
    )


def test_a_new_constant_read_in_both_branches_is_stored_once_outside() -> None:
    model = build(BRANCHES)
    graph = to_graphsurgeon(model)
    shared = gs.Constant("shared", np.full(4, 9, np.float32))
    for name in ("then_branch", "else_branch"):
        graph.nodes[1].attrs[name].nodes[0].inputs[1] = shared
    from_graphsurgeon(graph, model)
    assert [list(scope.initializers) for scope in model.scopes()] == [["shared"], [], []]
    assert run(model, c=np.array(True), x=np.zeros(4, np.float32))[0].tolist() == [9, 9, 9, 9]


def test_flatten_a_branch_into_the_main_graph() -> None:
    text = BRANCHES.replace("{ [inside] p = Add(h, w) }", "<float[4] own = {5, 5, 5, 5}> { [inside] p = Add(h, own) }")
    model = build(text)
    inside = model.graph.node(1).attributes["then_branch"].value.node(0)
    graph = to_graphsurgeon(model)
    choice = graph.nodes[1]
    moved = choice.attrs["then_branch"].nodes[0]
    y = choice.outputs[0]
    choice.outputs.clear()
    moved.outputs = [y]
    graph.nodes = [graph.nodes[0], moved]
    from_graphsurgeon(graph, model)
    assert operators(model) == ["Neg", "Add"]
    assert (inside.graph, list(model.graph.initializers)) == (None, ["own"])
    assert [usage.node.op_type for usage in model.graph.inputs[1].uses()] == ["Neg"]
    assert run(model, c=np.array(False), x=np.zeros(4, np.float32))[0].tolist() == [5, 5, 5, 5]


def test_a_branch_that_gives_out_a_captured_value() -> None:
    model = build(BRANCHES)
    graph = to_graphsurgeon(model)
    branch = graph.nodes[1].attrs["then_branch"]
    branch.outputs = [branch.nodes[0].inputs[0]]
    branch.nodes.clear()
    from_graphsurgeon(graph, model)
    assert run(model, c=np.array(True), x=np.ones(4, np.float32))[0].tolist() == [-1, -1, -1, -1]


def test_the_opset_takes_effect() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    graph.opset = 20
    from_graphsurgeon(graph, model)
    assert [item.version for item in proto(model).opset_import] == [20]


def test_a_new_domain_is_imported() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    graph.nodes[2].op, graph.nodes[2].domain = "Gelu", "com.microsoft"
    from_graphsurgeon(graph, model)
    assert dict(model.ir.opset_imports) == {"": 18, "com.microsoft": 1}


def test_an_overridable_input_stays_one() -> None:
    text = "g (float[2] x, float[2] k = {1, 2}) => (float[2] y) { y = Add(x, k) }"
    model = from_proto(parser.parse_model(HEADER + text), freeze=False)
    before = to_bytes(model)
    graph = to_graphsurgeon(model)
    assert [type(tensor) for tensor in graph.inputs] == [gs.Variable, gs.Variable]
    from_graphsurgeon(graph, model)
    assert to_bytes(model) == before
    graph.inputs.pop()
    from_graphsurgeon(graph, model)
    assert run(model, x=np.zeros(2, np.float32))[0].tolist() == [1, 2]
    assert [value.name for value in model.graph.inputs] == ["x"]


def test_a_constant_becomes_an_input() -> None:
    model = build("g (float[2] x) => (float[2] y) <float[2] k = {1, 2}> { y = Add(x, k) }")
    graph = to_graphsurgeon(model)
    graph.inputs.append(graph.tensors()["k"].to_variable(np.float32, [2]))
    from_graphsurgeon(graph, model)
    assert len(model.graph.initializers) == 0
    assert run(model, x=np.zeros(2, np.float32), k=np.ones(2, np.float32))[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    "dtype",
    [
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "bfloat16",
        "int4",
        "uint4",
        "float4_e2m1fn",
    ],
)
def test_new_weights_of_the_short_types(dtype: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype))
    graph = gs.Graph(opset=25, ir_version=13)
    constant = gs.Constant("w", np.array([1, 0, 1]).astype(kind))
    out = gs.Variable("y", kind, [3])
    graph.nodes, graph.outputs = [gs.Node("Identity", inputs=[constant], outputs=[out])], [out]
    made = onnx.ModelProto.FromString(to_bytes(from_graphsurgeon(graph)))
    assert made.graph.initializer[0].data_type == made.graph.output[0].type.tensor_type.elem_type
    array = numpy_helper.to_array(made.graph.initializer[0])
    assert array.dtype == kind
    assert array.astype(np.float32).tolist() == [1, 0, 1]


def test_an_own_graph_becomes_a_model() -> None:
    x, y = gs.Variable("x", np.float32, ["n", 2]), gs.Variable("y", np.float32, ["n", 2])
    text = gs.Node(
        "Constant", attrs={"value": gs.Constant("", np.array([3, 4], np.float32))}, outputs=[gs.Variable("k")]
    )
    twice = gs.Function("Twice", domain="mine", opset=17)
    a, b = gs.Variable("x"), gs.Variable("y")
    factor = gs.Constant("factor", np.array(2, np.float32))
    twice.nodes = [gs.Node("Mul", inputs=[a, factor], outputs=[b])]
    twice.inputs, twice.outputs = [a], [b]
    t = gs.Variable("t")
    call = gs.Node("Twice", domain="mine", inputs=[x], outputs=[t])
    add = gs.Node("Add", inputs=[t, text.outputs[0]], outputs=[y])
    graph = gs.Graph([add, call, text], [x], [y], name="own", doc_string="mine", opset=17, functions=[twice])
    model = from_graphsurgeon(graph)
    assert (model.graph.name, model.graph.doc_string, model.opset(), model.opset("mine")) == ("own", "mine", 17, 1)
    assert run(model, x=np.ones((1, 2), np.float32))[0].tolist() == [[5, 6]]
    assert to_bytes(from_graphsurgeon(graph)) == to_bytes(model)


def test_a_part_of_another_model_is_copied_not_stolen() -> None:
    donor, model = build(CHAIN), build("g (float[n, 3] x) => (float[n, 3] y) { y = Neg(x) }")
    before = to_bytes(donor)
    relu = to_graphsurgeon(donor).nodes[2]
    graph = to_graphsurgeon(model)
    neg = graph.nodes[0]
    relu.inputs[0] = neg.inputs[0]
    neg.inputs[0] = relu.outputs[0]
    graph.nodes.append(relu)
    from_graphsurgeon(graph, model)
    assert to_bytes(donor) == before
    assert operators(model) == ["Relu", "Neg"]
    assert run(model, x=np.array([[-1, 0, 2]], np.float32))[0].tolist() == [[0, 0, -2]]


def test_edit_a_function() -> None:
    model = build(FUNCTIONS, FUNCTION_HEADER)
    graph = to_graphsurgeon(model)
    function = graph.functions[0]
    function.nodes[1].op = "Add"
    function.nodes[1].inputs[1] = gs.Constant("fresh", np.array([10], np.float32))
    function.cleanup()
    from_graphsurgeon(graph, model)
    assert run(model, x=np.zeros(4, np.float32))[0].tolist() == [10, 10, 10, 10]


def test_attributes_of_a_new_node_without_a_schema() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    given: dict[str, Any] = {
        "f": 0.5,
        "s": "text",
        "i": 3,
        "fs": [1, 2.5],
        "ss": ["a", b"b"],
        "is": (1, 2),
        "e": np.float32,
    }
    relu = graph.nodes[2]
    graph.nodes[2] = gs.Node("Odd", attrs=given, inputs=list(relu.inputs), domain="mine")
    y = graph.outputs[0]
    relu.outputs.clear()
    graph.nodes[2].outputs = [y]
    from_graphsurgeon(graph, model)
    made = onnx.ModelProto.FromString(to_bytes(model)).graph.node[2].attribute
    found = {attr.name: helper.get_attribute_value(attr) for attr in made}
    assert found == {"f": 0.5, "s": b"text", "i": 3, "fs": [1, 2.5], "ss": [b"a", b"b"], "is": [1, 2], "e": 1}


def test_the_schema_says_the_type_of_an_empty_or_whole_attribute() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    source, made = graph.nodes[2].inputs[0], gs.Variable("made", np.float32)
    attrs: dict[str, Any] = {"alpha": 2, "gamma": 3}
    graph.nodes.append(gs.Node("Selu", attrs=attrs, inputs=[source], outputs=[made]))
    graph.nodes[2].inputs[0] = made
    from_graphsurgeon(graph, model)
    selu = next(node for node in model.graph if node.op_type == "Selu")
    assert {attr.type for attr in selu.attributes.values()} == {ir.AttributeType.FLOAT}
    proto(model)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda g: g.nodes[2].inputs.__setitem__(0, gs.Variable("nowhere")), "nothing produces 'nowhere'"),
        (lambda g: g.inputs.append(gs.Variable("untyped")), "input 'untyped' has no element type"),
        (lambda g: g.nodes[2].attrs.update(a=object()), "no form as an ONNX attribute"),
        (lambda g: setattr(g.nodes[1].outputs[0], "dtype", np.dtype("timedelta64[s]")), "no element type"),
        (lambda g: g.nodes.append(gs.Node("Abs", inputs=g.inputs, outputs=g.outputs)), "'y' is produced twice"),
        (lambda g: g.nodes[0].outputs[0].to_constant(np.ones(1, np.float32)), "'t' is produced twice"),
    ],
)
def test_what_has_no_form_is_refused_and_the_model_left_alone(edit: Any, words: str) -> None:
    model = build(CHAIN)
    before = to_bytes(model)
    graph = to_graphsurgeon(model)
    edit(graph)
    with pytest.raises(ModelError, match=words):
        from_graphsurgeon(graph, model)
    assert to_bytes(model) == before


def test_a_cycle_is_refused() -> None:
    model = build(CHAIN)
    graph = to_graphsurgeon(model)
    graph.nodes[0].inputs[0] = graph.nodes[1].outputs[0]
    with pytest.raises(ModelError, match="cycle"):
        from_graphsurgeon(graph, model)


def test_a_missing_onnx_graphsurgeon_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx_graphsurgeon", None)
    with pytest.raises(UnsupportedError, match="not installed"):
        to_graphsurgeon(build(CHAIN))


def test_onnx_graphsurgeon_is_imported_late() -> None:
    code = "import sys, graphopt.graph.surgeon; print('onnx_graphsurgeon' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_step_is_quadratic_in_the_readers_of_one_constant() -> None:
    one = gs.Constant("k", np.ones(1, np.float32))
    x = gs.Variable("x", np.float32, [1])
    outs = [gs.Variable("o", np.float32, [1]) for _ in range(3000)]
    total = gs.Variable("y", np.float32, [1])
    nodes = [gs.Node("Add", inputs=[x, one], outputs=[out]) for out in outs]
    nodes.append(gs.Node("Sum", inputs=outs, outputs=[total]))
    model = from_graphsurgeon(gs.Graph(nodes, [x], [total], opset=18))
    assert len({value.name for node in model.graph for value in node.outputs}) == 3001
    assert len({node.name for node in model.graph}) == 3001
    assert list(model.graph.initializers) == ["k"]
