"""Inline functions within bounds."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

import graphopt
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model
from graphopt.pipeline.context import Context
from graphopt.rewrite.steps import Steps
from graphopt_passes.inline_functions import InlineFunctions

IMPORTS = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]


def doubling(levels: int) -> onnx.ModelProto:
    """Make a model of 2 ** levels nodes, each function of which calls the next one twice."""
    functions = [helper.make_function("d", "f0", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])], IMPORTS)]
    for level in range(1, levels + 1):
        inner = f"f{level - 1}"
        calls = [helper.make_node(inner, [a], [b], domain="d") for a, b in (("x", "t"), ("t", "y"))]
        functions.append(helper.make_function("d", f"f{level}", ["x"], ["y"], calls, IMPORTS))
    graph = helper.make_graph(
        [helper.make_node(f"f{levels}", ["x"], ["y"], domain="d")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    return helper.make_model(graph, opset_imports=IMPORTS, functions=functions, ir_version=8)


def inline(proto: onnx.ModelProto) -> tuple[Model, int, list[str]]:
    model = Model(ir.from_proto(proto))
    context = Context(model, Steps())
    count = InlineFunctions(max_nodes=1000).run(model, context)
    return model, count, [remark.text for remark in context.steps.remarks]


def test_up_to_the_bound() -> None:
    model, count, remarks = inline(doubling(9))
    assert (len(model.graph), count, remarks) == (512, 1023, [])
    names = [node.name for node in model.graph] + [node.outputs[0].name for node in model.graph]
    assert len(set(names)) == len(names)


def test_a_bomb_is_refused_at_once() -> None:
    model, count, remarks = inline(doubling(30))
    assert (len(model.graph), count, len(remarks)) == (1, 0, 1)


def test_a_function_that_calls_itself_is_refused() -> None:
    proto = doubling(1)
    proto.functions[0].node[0].CopyFrom(helper.make_node("f1", ["x"], ["y"], domain="d"))
    model, count, _ = inline(proto)
    assert (len(model.graph), count) == (1, 0)


def test_overloads_are_told_apart() -> None:
    proto = doubling(0)
    proto.ir_version = 10
    proto.functions[0].overload = "one"
    second = proto.functions.add()
    second.CopyFrom(proto.functions[0])
    second.overload = "two"
    second.node[0].op_type = "Abs"
    proto.graph.node[0].overload = "two"
    model, count, _ = inline(proto)
    assert (count, [node.op_type for node in model.graph]) == (1, ["Abs"])


def test_a_named_target_gets_the_bodies_and_the_opset(tmp_path: Path) -> None:
    before, after = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(doubling(2), before)
    for target, keep_opset, functions, opset in (
        ("portable", False, 3, 17),
        ("ort-cpu", True, 0, 17),
        ("ort-cpu", False, 0, 21),
    ):
        graphopt.optimize(before, after, target=target, keep_opset=keep_opset, pipeline="eliminate-dead")
        proto = onnx.load(after)
        found = next(each.version for each in proto.opset_import if not each.domain)
        assert (len(proto.functions), found) == (functions, opset), (target, keep_opset)
