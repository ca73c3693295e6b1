from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model
from graphopt.runtime.harvest import draws_random, harvest_hints, input_specs, narrowest_float, plan_feeds
from graphopt.runtime.sizes import InputSpec
from tests.runtime.models import BOOL, FLOAT, INT64, model


def _load(proto: onnx.ModelProto) -> tuple[Model, Facts]:
    loaded = Model(ir.serde.deserialize_model(proto))
    return loaded, Facts(loaded)


def _node(op: str, *operands: str, to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, operands, [to], **attributes)


def test_inputs_with_a_default_are_not_fed() -> None:
    proto = model(
        [_node("Add", "x", "c")],
        {"x": (FLOAT, ["n", None, 3]), "c": (FLOAT, [])},
        {"y": (FLOAT, None)},
        {"c": np.array(1, np.float32)},
    )
    assert input_specs(_load(proto)[0]) == (InputSpec("x", "float32", ("n", None, 3)),)


def test_sequences_cannot_be_drawn() -> None:
    proto = model([_node("SequenceLength", "x")], {"x": (FLOAT, [])}, {"y": (INT64, [])})
    proto.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", FLOAT, None))
    assert not input_specs(_load(proto)[0])[0].drawable


def test_constants_beside_an_input_are_hints() -> None:
    nodes = [
        _node("Cast", "x", to="a"),
        _node("Squeeze", "a", to="b"),
        _node("Equal", "b", "c", to="y"),
        _node("Gather", "t", "x", to="z"),
    ]
    nodes[0].attribute.append(helper.make_attribute("to", FLOAT))
    proto = model(
        nodes,
        {"x": (INT64, [1]), "other": (INT64, [1])},
        {"y": (BOOL, None), "z": (FLOAT, None)},
        {"c": np.array(16000, np.float32), "t": np.zeros((90, 2), np.float32)},
    )
    assert harvest_hints(*_load(proto)) == {"x": [30, 45, 89, 16000]}


def test_a_table_that_an_input_is_compared_with_gives_its_ends_and_middle() -> None:
    nodes = [_node("Unsqueeze", "r", "a", to="e"), _node("Equal", "x", "e")]
    table = {"r": np.arange(257), "a": np.array([0])}
    proto = model(nodes, {"x": (INT64, ["n", 1])}, {"y": (BOOL, None)}, table)
    assert harvest_hints(*_load(proto)) == {"x": [0, 128, 256]}


@pytest.mark.parametrize(
    ("op", "operands", "opset", "random"),
    [
        ("RandomNormalLike", ("x",), 21, True),
        ("Bernoulli", ("x",), 21, True),
        ("Identity", ("x",), 21, False),
        ("Dropout", ("x",), 21, False),
        ("Dropout", ("x", "r", "on"), 21, True),
        ("Dropout", ("x", "r", "off"), 21, False),
        ("Dropout", ("x", "r", "mode"), 21, True),
        ("Dropout", ("x",), 10, False),
    ],
)
def test_random_operators_are_found(op: str, operands: tuple[str, ...], opset: int, random: bool) -> None:
    constants = {"r": np.array(0.5, np.float32), "on": np.array(True), "off": np.array(False)}
    inner = helper.make_graph(
        [_node(op, *operands, to="z")], "g", [], [helper.make_tensor_value_info("z", FLOAT, None)]
    )
    proto = model(
        [_node("If", "mode", then_branch=inner, else_branch=inner)],
        {"x": (FLOAT, [3]), "mode": (BOOL, [])},
        {"y": (FLOAT, [3])},
        constants,
        opset,
    )
    assert draws_random(*_load(proto)) is random


def test_the_narrowest_float_is_named() -> None:
    proto = model([_node("Cast", "x", to="a"), _node("Cast", "a")], {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])})
    assert narrowest_float(_load(proto)[0]) == "float32"
    for node, kind in zip(proto.graph.node, (onnx.TensorProto.FLOAT16, FLOAT), strict=True):
        node.attribute.append(helper.make_attribute("to", kind))
    assert narrowest_float(_load(proto)[0]) == "float16"


def test_weights_are_nudged_only_without_float_inputs() -> None:
    table = {"t": np.zeros((5, 4), np.float32)}
    proto = model([_node("Gather", "t", "x")], {"x": (INT64, [2])}, {"y": (FLOAT, [2, 4])}, table)
    plan = plan_feeds(*_load(proto), seed=3, fixed={"n": 2})
    assert (list(plan.nudgeable), plan.seed, plan.fixed, plan.random) == (["t"], 3, {"n": 2}, False)
    proto = model([_node("Add", "t", "x")], {"x": (FLOAT, [1])}, {"y": (FLOAT, [5, 4])}, table)
    assert not plan_feeds(*_load(proto)).nudgeable
