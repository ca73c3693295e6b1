"""Fold within bounds: sizes, work, growth, failing runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from graphopt.errors import GraphOptError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model
from graphopt.pipeline.context import Context, Evaluate
from graphopt.rewrite.steps import Steps
from graphopt.runtime.evaluate import evaluate
from graphopt.runtime.process import Worker
from graphopt_passes.fold_constants import FoldConstants
from tests.library.fixture import model_of

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def worker() -> Iterator[Evaluate]:
    with Worker() as process:
        yield lambda data, names: evaluate(process, data, names)


def fold(model: str | onnx.ModelProto, run: Evaluate | None = None, **options: Any) -> tuple[Model, int]:
    proto = model_of(model) if isinstance(model, str) else model
    held = Model(ir.from_proto(proto))
    return held, FoldConstants(**options).run(held, Context(held, Steps(), evaluate=run))


def operators(model: Model) -> list[str]:
    return [node.op_type for node in model.graph]


def constants_model(nodes: list[onnx.NodeProto], arrays: Mapping[str, Array]) -> onnx.ModelProto:
    """Make a model whose last node's result is added to its only input."""
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        [*nodes, helper.make_node("Add", ["x", last], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


BOMBS = {
    "Expand": [np.ones(1, np.float32), np.array([1 << 12, 1 << 12])],
    "Tile": [np.ones(4, np.float32), np.array([1 << 24])],
    "ConstantOfShape": [np.array([1 << 40])],
    "Pad": [np.ones(1, np.float32), np.array([0, 1 << 26])],
    "Mul": [np.ones((1 << 13, 1), np.float32), np.ones(1 << 13, np.float32)],
}


@pytest.mark.parametrize("op", BOMBS)
def test_bombs_stay(op: str, worker: Evaluate) -> None:
    arrays = {f"c{index}": array for index, array in enumerate(BOMBS[op])}
    model, count = fold(constants_model([helper.make_node(op, list(arrays), ["b"])], arrays), worker)
    assert (count, operators(model)) == (0, [op, "Add"])


def test_slow_node_stays(worker: Evaluate) -> None:
    side = np.zeros((1500, 1500), np.float32)
    model, count = fold(constants_model([helper.make_node("MatMul", ["a", "a"], ["b"])], {"a": side}), worker)
    assert (count, operators(model)) == (0, ["MatMul", "Add"])


def test_folded_weights_make_room(worker: Evaluate) -> None:
    """What frees as much as it makes is folded however big it is."""
    weight = np.arange(1 << 20, dtype=np.float32).reshape(1 << 10, -1)
    nodes = [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("Erf", ["t"], ["e"])]
    model, count = fold(constants_model(nodes, {"w": weight}), worker)
    assert (count, operators(model)) == (2, ["Add"])
    assert len(model.graph.initializers) == 1


def test_a_view_of_a_shared_weight_is_no_second_copy() -> None:
    weight = np.zeros((1 << 10, 1 << 10), np.float32)
    nodes = [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("Sub", ["x", "w"], ["s"])]
    proto = constants_model(nodes[:1], {"w": weight})
    proto.graph.node.insert(1, nodes[1])
    proto.graph.output.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, None))
    model, count = fold(proto)
    assert (count, operators(model)) == (0, ["Transpose", "Sub", "Add"])


def test_growth_is_bounded_in_total(worker: Evaluate) -> None:
    shape = np.array([200, 1 << 10])
    nodes = [helper.make_node("Expand", ["c", "s"], [f"e{index}"]) for index in range(6)]
    nodes.append(helper.make_node("Sum", ["x", *(f"e{index}" for index in range(6))], ["t"]))
    model, _ = fold(constants_model(nodes, {"c": np.ones(1, np.float32), "s": shape}), worker)
    stored = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    assert stored <= 1.1 * 20 + (1 << 20)
    assert 0 < operators(model).count("Expand") < 6


def test_largest_result_is_an_option() -> None:
    text = "g (float[8] x) => (float[8] y) <float[8] w = {1, 2, 3, 4, 5, 6, 7, 8}> { a = Neg(w) y = Add(x, a) }"
    assert fold(text, max_bytes=31)[1] == 0
    assert fold(text, max_bytes=32)[1] == 1


CHAIN = """g (float[3] x) => (float[3] y) <float[3] a = {1, 2, 3}> {
  b = Exp(a) c = Sin(b) d = Cos(c) e = Tan(d) f = Atan(e) y = Mul(x, f)
}"""


def test_a_run_that_fails_costs_its_node_only(worker: Evaluate) -> None:
    runs = []

    def picky(data: bytes, names: list[str]) -> Mapping[str, Array]:
        kinds = [node.op_type for node in onnx.load_model_from_string(data).graph.node]
        runs.append(kinds)
        if "Cos" in kinds:
            raise GraphOptError("no")
        return worker(data, names)

    model, count = fold(CHAIN, picky)
    assert count == 1
    assert operators(model) == ["Cos", "Tan", "Atan", "Mul"]
    assert runs.count(["Cos"]) == 1


def test_results_of_the_wrong_shape_are_not_believed(worker: Evaluate) -> None:
    def lying(data: bytes, names: list[str]) -> Mapping[str, Array]:
        return {name: array[:1] for name, array in worker(data, names).items()}

    model, count = fold(CHAIN, lying)
    assert (count, len(operators(model))) == (0, 6)


def test_hopeless_runs_come_to_an_end() -> None:
    runs = []

    def broken(data: bytes, names: list[str]) -> Mapping[str, Array]:
        runs.append((len(data), names))
        raise GraphOptError("no")

    nodes = [helper.make_node("Exp", ["a"], [f"b{index}"]) for index in range(300)]
    nodes.append(helper.make_node("Sum", ["x", *(f"b{index}" for index in range(300))], ["t"]))
    assert fold(constants_model(nodes, {"a": np.ones(2, np.float32)}), broken)[1] == 0
    assert len(runs) == 64


def test_half_floats_are_not_computed(worker: Evaluate) -> None:
    text = """g (float16[2] x) => (float16[2] y) <float16[2] a = {15360, 16384}> {
      b = Exp(a) c = Mul(a, a) d = Sub(b, c) y = Add(x, d)
    }"""
    assert fold(text, worker)[1] == 0


def test_shape_arithmetic_leaves_dynamic_sizes() -> None:
    text = """g (float[n, 4, 5] x) => (float[m, k] y) <int64[1] i = {0}, int64[1] j = {1}, int64[1] k = {2}> {
      s = Shape(x) n = Gather(s, i) a = Gather(s, j) b = Gather(s, k) p = Mul(a, b) t = Concat<axis = 0>(n, p)
      y = Reshape(x, t)
    }"""
    model, _ = fold(text)
    assert operators(model) == ["Shape", "Gather", "Concat", "Reshape"]
    held = model.graph.initializers["p"].const_value
    assert held is not None
    assert held.numpy().tolist() == [20]


def test_a_wrong_hint_inside_is_not_believed() -> None:
    proto = model_of("g (float[n, 4] x) => (int64[2] y) { t = Neg(x) y = Shape(t) }")
    proto.graph.value_info.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, [7, 4]))
    assert fold(proto)[1] == 0


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_steps_can_be_withheld(limit: int) -> None:
    text = "g (float[2] x) => (float[2] y) <float[2] a = {1, 2}> { b = Neg(a) c = Abs(b) y = Add(x, c) }"
    held = Model(ir.from_proto(model_of(text)))
    steps = Steps(limit)
    assert FoldConstants().run(held, Context(held, steps)) == limit
    assert [step.rule for step in steps.done] == ["fold-constants"] * limit
    assert operators(held) == ["Neg", "Abs", "Add"][limit:]
