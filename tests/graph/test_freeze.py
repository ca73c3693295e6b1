"""Initializers that are listed as inputs: an old habit is undone, an intention kept."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from graphopt.graph.freeze import is_overridable
from graphopt.graph.load import from_proto
from graphopt.graph.model import Model
from graphopt.graph.save import to_bytes, to_proto
from tests.graph.protos import constant, differences, parse, weights


def convolution(version: int) -> onnx.ModelProto:
    """Return a Conv whose weight and bias stand before and behind the input."""
    proto = parse(
        f'<ir_version: {version}, opset_import: ["" : 9]>\n'
        "g (float[3, 1, 1, 1] w, float[n, 1, 2, 2] x, float[3] b) => (float[n, 3, 2, 2] y) { y = Conv(x, w, b) }"
    )
    proto.graph.initializer.extend([constant("w", weights(1)[0].reshape(3, 1, 1, 1)), constant("b", weights(1)[0])])
    return proto


def scaled() -> onnx.ModelProto:
    """Return an Add of an initializer that is an input: nothing says that it is a weight."""
    proto = parse("g (float[n, 3] x, float[3] k) => (float[n, 3] y) { y = Add(x, k) }")
    proto.graph.initializer.append(constant("k", weights(1)[0]))
    return proto


def inputs(model: Model) -> list[str | None]:
    return [value.name for value in model.graph.inputs]


@pytest.mark.parametrize("version", [3, 4, 8])
def test_habit_is_frozen(version: int) -> None:
    proto = convolution(version)
    model = from_proto(proto)
    assert inputs(model) == ["x"]
    assert not any(is_overridable(value) for value in model.graph.initializers.values())
    assert "treated as constant" in model.remarks[0]
    after = to_proto(model)
    assert [value.name for value in after.graph.input] == (["w", "x", "b"] if version == 3 else ["x"])
    onnx.checker.check_model(after, full_check=True)
    if version == 3:
        assert differences(proto, after) == []


def test_intention_is_kept() -> None:
    model = from_proto(scaled())
    assert inputs(model) == ["x", "k"]
    assert is_overridable(model.graph.initializers["k"])
    assert not is_overridable(model.graph.inputs[0])
    assert "kept overridable" in model.remarks[0]
    assert differences(scaled(), onnx.ModelProto.FromString(to_bytes(model))) == []


def test_habit_lists_every_initializer() -> None:
    proto = convolution(8)
    del proto.graph.input[2]
    model = from_proto(proto)
    assert inputs(model) == ["w", "x"]
    assert is_overridable(model.graph.initializers["w"])
    assert not is_overridable(model.graph.initializers["b"])


def test_weight_is_seen_through_a_cast() -> None:
    proto = parse("g (float[2, 3] x, float16[3, 4] w) => (float[2, 4] y) { c = Cast<to = 1>(w) y = MatMul(x, c) }")
    proto.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT16, [3, 4], range(12)))
    assert inputs(from_proto(proto)) == ["x"]


def test_options_decide() -> None:
    assert inputs(from_proto(scaled(), freeze=True)) == ["x"]
    kept = from_proto(convolution(8), freeze=False)
    assert inputs(kept) == ["w", "x", "b"]
    assert all(is_overridable(value) for value in kept.graph.initializers.values())
    assert from_proto(parse("g (float[1] x) => (float[1] y) { y = Neg(x) }"), freeze=True).remarks == []


def test_new_initializers_of_old_versions_are_listed_last() -> None:
    model = from_proto(convolution(3))
    added = from_proto(scaled()).graph.initializers["k"].const_value
    from graphopt.graph._onnx_ir import ir

    value = ir.Value(name="k", const_value=added)
    model.graph.register_initializer(value)
    after = to_proto(model)
    assert [entry.name for entry in after.graph.input] == ["w", "x", "b", "k"]
    onnx.checker.check_model(after)
    assert inputs(model) == ["x"]
