"""Merge equal initializers by their bits, over scopes, hashing each once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from graphopt.graph import identity
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model
from graphopt.pipeline.context import Context
from graphopt.rewrite.steps import Steps
from graphopt_passes.deduplicate_initializers import DeduplicateInitializers

Array = np.ndarray[Any, Any]


def model_of(arrays: list[Array]) -> Model:
    names = [f"w{index}" for index in range(len(arrays))]
    kind = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
    graph = helper.make_graph(
        [helper.make_node("Concat", ["x", *names], ["y"], axis=0)],
        "g",
        [helper.make_tensor_value_info("x", kind, None)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in zip(names, arrays, strict=True)],
    )
    return Model(ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)))


def merge(model: Model) -> int:
    return DeduplicateInitializers().run(model, Context(model, Steps()))


@pytest.mark.parametrize("special", [np.nan, 0.0])
def test_bits_decide(special: float) -> None:
    one = np.array([1, special], np.float32)
    other = one.copy()
    other.view(np.uint32)[1] ^= 1 << 31
    model = model_of([one, other, one.copy()])
    assert merge(model) == 1
    assert list(model.graph.initializers) == ["w0", "w1"]
    assert merge(model) == 0


def test_what_differs_in_the_middle_is_told_apart() -> None:
    one = np.zeros(100_000, np.float32)
    other = one.copy()
    other[50_000] = 1
    assert merge(model_of([one, other])) == 0
    assert merge(model_of([one, other, other.copy()])) == 1


def test_strings() -> None:
    first = np.array([b"ab", b"c"], object)
    assert merge(model_of([first, np.array([b"a", b"bc"], object), first.copy()])) == 1


def test_each_tensor_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    blocks = identity._blocks

    def counting(tensor: Any) -> Any:
        read.append(tensor.name)
        return blocks(tensor)

    monkeypatch.setattr(identity, "_blocks", counting)
    alone = [np.full(4096, value, np.float32) for value in range(5)]
    middle = np.zeros(4096, np.float32)
    middle[2048] = 1
    model = model_of([*alone, middle])
    for _ in range(3):
        assert merge(model) == 0
    assert sorted(read) == ["w0", "w5"]


def branch(name: str, weight: Array) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], [f"{name}_y"])],
        name,
        [],
        [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )


def test_big_ones_of_two_branches_move_outside() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("t", weight), else_branch=branch("e", weight))
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 64]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 64])],
    )
    before = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # The IR reads tensors where they lie in the proto, and renames them there.
    model = Model(ir.from_proto(onnx.ModelProto.FromString(before.SerializeToString())))
    assert merge(model) == 1
    assert merge(model) == 0
    after = ir.to_proto(model.ir)
    onnx.checker.check_model(after, full_check=True)
    assert after.ByteSize() < 0.6 * before.ByteSize()
    for condition in (True, False):
        feeds = {"c": np.array(condition), "x": np.ones((2, 64), np.float32)}
        wanted, found = (ReferenceEvaluator(each).run(None, feeds) for each in (before, after))
        assert np.array_equal(np.asarray(wanted), np.asarray(found))
