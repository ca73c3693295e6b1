"""Validation: what no runtime runs is refused with one printable message, what runs is taken."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graphopt.errors import ModelError, UnsupportedError
from graphopt.graph.load import from_proto
from graphopt.graph.save import to_bytes
from tests.graph.protos import HEADER, LINEAR, constant, parse

Edit = Callable[[onnx.ModelProto], object]


def weight(proto: onnx.ModelProto) -> TensorProto:
    return proto.graph.initializer[0]


def raw(proto: onnx.ModelProto, size: int) -> None:
    weight(proto).ClearField("float_data")
    weight(proto).raw_data = bytes(size)


BROKEN: dict[str, tuple[Edit, str]] = {
    "negative dim": (lambda p: weight(p).dims.append(-1), "impossible dims"),
    "dims overflow": (lambda p: weight(p).dims.extend([1 << 62, 1 << 62]), "impossible dims"),
    "short data": (lambda p: raw(p, 47), "47 bytes"),
    "long data": (lambda p: raw(p, 49), "49 bytes"),
    "few numbers": (lambda p: weight(p).float_data.pop(), "11 numbers"),
    "two fields": (lambda p: setattr(weight(p), "raw_data", bytes(48)), "both raw data"),
    "wrong field": (lambda p: weight(p).int64_data.append(1), "int64_data"),
    "unknown type": (lambda p: setattr(weight(p), "data_type", 99), "data type 99"),
    "undefined type": (lambda p: setattr(weight(p), "data_type", 0), "data type 0"),
    "unnamed tensor": (lambda p: setattr(weight(p), "name", ""), "name is missing"),
    "tensor twice": (lambda p: p.graph.initializer.append(weight(p)), "defined twice"),
    "input twice": (lambda p: p.graph.input.append(p.graph.input[0]), "defined twice"),
    "input untyped": (lambda p: p.graph.input[0].ClearField("type"), "has no type"),
    "value twice": (lambda p: p.graph.node.append(p.graph.node[0]), "defined twice"),
    "value undefined": (lambda p: p.graph.node[0].input.append("nowhere"), "nowhere defined"),
    "output undefined": (lambda p: p.graph.output.add(name="nowhere"), "not defined"),
    "own result": (lambda p: p.graph.node[0].input.__setitem__(0, "y"), "cycle"),
    "no operator": (lambda p: setattr(p.graph.node[0], "op_type", ""), "no operator"),
    "unknown operator": (lambda p: setattr(p.graph.node[0], "op_type", "FooBar"), "FooBar"),
    "too few inputs": (lambda p: p.graph.node[0].input.pop(), "input size 1"),
    "unknown attribute": (lambda p: p.graph.node[0].attribute.append(helper.make_attribute("a", 1)), "attribute"),
    "attribute twice": (lambda p: p.graph.node[0].attribute.extend([helper.make_attribute("a", 1)] * 2), "given twice"),
    "unimported domain": (lambda p: setattr(p.graph.node[0], "domain", "far.away"), "far.away"),
    "opset 0": (lambda p: setattr(p.opset_import[0], "version", 0), "operator set"),
    "opset 9999": (lambda p: setattr(p.opset_import[0], "version", 9999), "operator set"),
    "opset twice": (lambda p: p.opset_import.append(helper.make_opsetid("ai.onnx", 20)), "imported twice"),
    "no opset": (lambda p: p.opset_import.pop(), "imports no operator set"),
    "IR 0": (lambda p: setattr(p, "ir_version", 0), "IR version 0"),
    "IR 999": (lambda p: setattr(p, "ir_version", 999), "IR version 999"),
    "weight does not fit": (lambda p: weight(p).dims.__setitem__(slice(None), [6, 2]), "Incompatible dimensions"),
    "type does not fit": (lambda p: setattr(p.graph.input[0].type.tensor_type, "elem_type", 7), "inconsistent type"),
    "output of another type": (lambda p: setattr(p.graph.output[0].type.tensor_type, "elem_type", 7), "elem type"),
    "unknown input type": (lambda p: setattr(p.graph.input[0].type.tensor_type, "elem_type", 77), "element type 77"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_model_is_refused(name: str) -> None:
    edit, message = BROKEN[name]
    proto = parse(LINEAR)
    from_proto(proto)
    edit(proto)
    with pytest.raises(ModelError, match=message) as caught:
        from_proto(proto)
    assert str(caught.value).replace("\n", "").isprintable()


REFUSED = {
    "bad axis": "g (float[2, 3] x) => (float[2, 3] y) { y = Softmax<axis = 7>(x) }",
    "bad perm": "g (float[2, 3] x) => (float[2, 3] y) { y = Transpose<perm = [0, 2]>(x) }",
    "repeated perm": "g (float[2, 3] x) => (float[2, 3] y) { y = Transpose<perm = [0, 0]>(x) }",
    "attribute of another type": 'g (float[2, 3] x) => (float[2, 3] y) { y = Transpose<perm = "a">(x) }',
    "two types": "g (float[2] x, int64[2] z) => (float[2] y) { y = Add(x, z) }",
    "cycle of two": "g (float[2] x) => (float[2] y) { a = Add(x, y) y = Relu(a) }",
    "cycle through a branch": "g (bool c) => (float[1] y) { y = If(c) <"
    "then_branch = a () => (float[1] p) { p = Neg(y) }, else_branch = b () => (float[1] q) { q = Neg(y) }> }",
    "outer value as output": "g (bool c, float[1] x) => (float[1] y) { y = If(c) <"
    "then_branch = a () => (float[1] x) { u = Neg(x) }, else_branch = b () => (float[1] q) { q = Neg(x) }> }",
    "branches of two types": "g (bool c) => (float[1] y) { y = If(c) <"
    "then_branch = a () => (float[1] p) { p = Constant<value_floats = [1.0]>() },"
    "else_branch = b () => (int64[1] q) { q = Constant<value_ints = [1]>() }> }",
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_graph_is_refused(name: str) -> None:
    with pytest.raises(ModelError):
        from_proto(parse(REFUSED[name]))


TAKEN = {
    "nodes out of order": "g (float[2] x) => (float[2] y) { y = Relu(a) a = Neg(x) }",
    "nodes of one name": "g (float[2] x) => (float[2] y) { [n] a = Neg(x) [n] y = Relu(a) }",
    "output is an input": "g (float[2] x) => (float[2] x) { }",
    "custom operators": "g (float[2] x) => (float[2] y) { a = far.Magic(x) y = Relu(a) }",
    "zero and -1 in Reshape": "g (float[0, 3] x) => (float[N, M] y) <int64[2] s = {0, -1}> { y = Reshape(x, s) }",
    "a runtime's own operator": "g (float[2, 3] x, float[3] s) => (float[2, 3] y)"
    " { y = SimplifiedLayerNormalization<axis = -1>(x, s) }",
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_runs_is_taken(name: str) -> None:
    proto = parse(TAKEN[name])
    proto.opset_import.append(helper.make_opsetid("far", 1))
    model = from_proto(proto)
    assert [value.name for value in model.graph.inputs] == [value.name for value in proto.graph.input]
    assert len(list(model.graph)) == len(proto.graph.node)


def test_types_that_may_be_missing_are_not_asked_for() -> None:
    proto = parse(LINEAR)
    proto.graph.ClearField("name")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    proto.graph.output[0].ClearField("type")
    assert from_proto(proto).graph.outputs[0].type is None


def test_value_info_is_only_a_hint() -> None:
    proto = parse("g (float[2] x) => (float[2] y) { a = Neg(x) y = Relu(a) }")
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.INT64, [7, 7]))
    assert from_proto(proto).remarks == []


def test_inner_value_that_hides_an_outer_one_is_renamed() -> None:
    proto = parse(
        "g (bool c, float[1] x) => (float[1] y) { h = Neg(x) z = Relu(h) y = If(c) <"
        "then_branch = a () => (float[1] p) { h = Abs(x) p = Exp(h) },"
        "else_branch = b () => (float[1] q) { q = Neg(h) }> }"
    )
    model = from_proto(proto)
    assert "hid" in model.remarks[0]
    after = onnx.ModelProto.FromString(to_bytes(model))
    then, other = (attribute.g for attribute in after.graph.node[2].attribute)
    assert then.node[0].output[0] == then.node[1].input[0] == "h_inner_1"
    assert other.node[0].input[0] == "h"


def function_chain(length: int, calls: int) -> onnx.ModelProto:
    """Return a model whose functions call the next one `calls` times each."""
    functions = []
    for index in range(length):
        callee, domain = (f"f{index + 1}", "far") if index + 1 < length else ("Neg", "")
        names = ["x", *(f"t{call}" for call in range(calls))]
        nodes = [
            helper.make_node(callee, [before], [after], domain=domain) for before, after in itertools.pairwise(names)
        ]
        imports = [helper.make_opsetid("", 21), helper.make_opsetid("far", 1)]
        functions.append(helper.make_function("far", f"f{index}", ["x"], [names[-1]], nodes, imports))
    proto = parse("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "f0", "far"
    proto.opset_import.append(helper.make_opsetid("far", 1))
    proto.functions.extend(functions)
    return proto


@pytest.mark.parametrize(("length", "calls"), [(40, 2), (60, 4), (90, 1)])
def test_functions_are_not_expanded(length: int, calls: int) -> None:
    proto = function_chain(length, calls)
    start = time.process_time()
    assert len(from_proto(proto).ir.functions) == length
    assert time.process_time() - start < 5


def test_endless_chain_of_functions_is_refused() -> None:
    with pytest.raises(ModelError, match="depth"):
        from_proto(function_chain(3000, 1))


def test_recursive_and_repeated_functions_are_refused() -> None:
    proto = function_chain(3, 1)
    proto.functions[2].node[0].op_type, proto.functions[2].node[0].domain = "f0", "far"
    with pytest.raises(ModelError, match="calls itself"):
        from_proto(proto)
    proto = function_chain(2, 1)
    proto.functions.append(proto.functions[0])
    with pytest.raises(ModelError, match="twice"):
        from_proto(proto)


def test_function_that_redefines_an_operator_is_refused() -> None:
    proto = function_chain(1, 1)
    proto.functions[0].name, proto.functions[0].domain = "Relu", ""
    with pytest.raises(UnsupportedError, match="redefines"):
        from_proto(proto)


def test_control_characters_do_not_reach_the_message() -> None:
    proto = parse(LINEAR)
    proto.graph.node[0].op_type = "\x1b[31m\u202eFoo\x9b"
    proto.graph.node[0].name = "\x1b]0;title\x07"
    with pytest.raises(ModelError) as caught:
        from_proto(proto)
    assert str(caught.value).replace("\n", "").isprintable()


def test_deep_graphs_are_refused_without_overflow() -> None:
    proto = parse("g (bool c) => (bool y) { y = Not(c) }")
    graph = proto.graph
    for _ in range(200):
        node = graph.node.add(op_type="If", input=["c"])
        graph = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g
    with pytest.raises(ModelError, match="nested"):
        from_proto(proto)


def test_large_graphs_are_checked_in_linear_time() -> None:
    def seconds(count: int) -> float:
        nodes = [helper.make_node("Add", [f"v{i}", "k"], [f"v{i + 1}"]) for i in range(count)]
        last = helper.make_tensor_value_info(f"v{count}", TensorProto.FLOAT, [2])
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("v0", TensorProto.FLOAT, [2])], [last], [constant("k", ONES)]
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
        proto.ir_version = 10
        start = time.process_time()
        from_proto(proto)
        return time.process_time() - start

    seconds(100)
    assert seconds(10000) < 25 * max(seconds(1000), 0.02)


ONES = np.ones(2, np.float32)


def test_header_is_not_part_of_the_graph() -> None:
    assert parse(HEADER + "g (float[1] x) => (float[1] y) { y = Neg(x) }").opset_import[0].version == 21
