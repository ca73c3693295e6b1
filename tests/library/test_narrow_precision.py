"""Narrow models: what computes in 16 bits, what stays float32 and why, and what the file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

import graphopt
from graphopt.errors import PipelineError, UsageError
from graphopt.pipeline.registry import installed
from tests.library.fixture import model_of

HALF, WIDE = TensorProto.FLOAT16, TensorProto.FLOAT

CHAIN = """g (float[n, 16] x) => (float[n, 16] y, float[n, 16] s) {
  # w is drawn: [16, 16]
  # v is drawn: [16, 16]
  a = MatMul(x, w)
  s = Sigmoid(a)
  b = MatMul(s, v)
  y = Relu(b)
}"""
BRANCHES = """g (float[n, 16] x, bool c) => (float[n, 16] y) {
  # w is drawn: [16, 16]
  a = MatMul(x, w)
  r = If (c) <
    then_branch = t () => (float[n, 16] p) { q = Add(a, a) p = Relu(q) },
    else_branch = e () => (float[n, 16] z) { z = Mul(a, a) }
  >
  y = Tanh(r)
}"""
POSITIONS = """g (float[n, 16] x, int64[n] i) => (float[n, 16] y) {
  # w is drawn: [16, 16]
  f = Cast<to = 1>(i)
  one = Constant<value = float[1] {1.0}>()
  axes = Constant<value_ints = [1]>()
  angle = Unsqueeze(f, axes)
  turn = Cos(angle)
  a = MatMul(x, w)
  y = Mul(a, turn)
}"""
LARGE = """g (float[n, 16] x) => (float[n, 16] y) {
  # w is drawn: [16, 16]
  big = Constant<value = float[1] {100000.0}>()
  a = MatMul(x, w)
  b = Mul(a, big)
  c = Tanh(b)
  y = MatMul(c, w)
}"""
CONV = """g (float[1, 128, 28, 28] x) => (float[1, 128, 28, 28] y) {
  # w is drawn: [128, 128, 3, 3]
  y = Conv<pads = [1, 1, 1, 1]>(x, w)
}"""


def narrowed(text: str, folder: Path, **options: Any) -> tuple[onnx.ModelProto, graphopt.Report]:
    before, after = folder / "in.onnx", folder / "out.onnx"
    onnx.save(model_of(text), before)
    report = graphopt.optimize(before, after, **({"precision": "fp16"} | options)).report
    model = onnx.load(after)
    onnx.checker.check_model(model, full_check=True)
    return model, report


def kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of each value that shape inference knows, by name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output, *graph.input)}


def said(report: graphopt.Report) -> str:
    return "\n".join(remark.text for remark in report.remarks if remark.rule == "narrow-precision")


def test_what_lies_between_inputs_and_outputs_computes_in_half_the_bits(tmp_path: Path) -> None:
    model, report = narrowed(CHAIN, tmp_path)
    assert [node.op_type for node in model.graph.node] == [
        "Cast",
        "MatMul",
        "Sigmoid",
        "Cast",
        "MatMul",
        "Relu",
        "Cast",
    ]
    assert {tensor.data_type for tensor in model.graph.initializer} == {HALF}
    types = kinds(model)
    assert types["x"] == types["y"] == types["s"] == WIDE
    assert types["a"] == types["b"] == HALF
    assert report.verification.status == "same"
    assert report.verification.tolerance == 0.02
    assert report.rules["narrow-precision"] == 4


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    for target in ("portable", "ort-cpu"):
        narrowed(CHAIN, tmp_path, target=target)
        once, twice = tmp_path / "out.onnx", tmp_path / "twice.onnx"
        graphopt.optimize(once, twice, precision="fp16", target=target)
        assert once.read_bytes() == twice.read_bytes()


def test_branches_give_what_they_gave(tmp_path: Path) -> None:
    model, report = narrowed(BRANCHES, tmp_path)
    assert report.verification.status == "same"
    branch = next(node for node in model.graph.node if node.op_type == "If").attribute[0].g
    assert Counter(node.op_type for node in branch.node)["Cast"] == 1
    assert branch.output[0].type.tensor_type.elem_type == WIDE
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    original = ort.InferenceSession(tmp_path / "in.onnx", providers=["CPUExecutionProvider"])
    for choice in (True, False):
        feed = {"x": np.linspace(-1, 1, 48, dtype=np.float32).reshape(3, 16), "c": np.array(choice)}
        np.testing.assert_allclose(session.run(None, feed)[0], original.run(None, feed)[0], atol=4e-3)


def test_positions_stay_wide(tmp_path: Path) -> None:
    model, report = narrowed(POSITIONS, tmp_path)
    types = kinds(model)
    assert types["turn"] == WIDE
    assert types["a"] == HALF
    assert "positions, sizes or masks" in said(report)


def test_what_leaves_the_range_stays_wide(tmp_path: Path) -> None:
    model, report = narrowed(LARGE, tmp_path)
    types = kinds(model)
    assert types["b"] == WIDE
    assert "leave the range" in said(report)
    assert report.verification.status == "same"
    wide = [node for node in model.graph.node if node.op_type in {"Mul", "Tanh"}]
    assert {types.get(node.output[0], WIDE) for node in wide} == {WIDE}
    assert any(tensor.data_type == HALF for tensor in model.graph.initializer)


def test_a_weight_that_leaves_the_range_stays_wide(tmp_path: Path) -> None:
    proto = model_of(CHAIN)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    large = numpy_helper.to_array(weights["w"]).copy()
    large[0, 0] = 1e5
    weights["w"].CopyFrom(numpy_helper.from_array(large, "w"))
    onnx.save(proto, tmp_path / "in.onnx")
    for target in ("portable", "ort-cpu"):
        graphopt.optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", precision="fp16", target=target)
        stored = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer}
        assert sorted(stored.values()) == [WIDE, HALF]
        assert stored["w"] == WIDE


@pytest.mark.parametrize("name", ["Sigmoid", "s", "Sig*"])
def test_what_is_named_stays_wide(name: str, tmp_path: Path) -> None:
    model, report = narrowed(CHAIN, tmp_path, keep_fp32=(name,))
    assert "asked to stay" in said(report)
    types = kinds(model)
    sigmoid = next(node for node in model.graph.node if node.op_type == "Sigmoid")
    assert types[sigmoid.input[0]] == WIDE
    assert f'keep="{name}"' in report.pipeline


def test_a_name_that_names_nothing_is_told(tmp_path: Path) -> None:
    assert "nothing to keep in float32 has the name 'Sigmiod'" in said(
        narrowed(CHAIN, tmp_path, keep_fp32=("Sigmiod",))[1]
    )


def test_weights_alone_for_a_runtime_that_computes_wide(tmp_path: Path) -> None:
    model, report = narrowed(CHAIN, tmp_path, target="ort-cpu")
    assert {tensor.data_type for tensor in model.graph.initializer} == {HALF}
    types = kinds(model)
    assert {types[node.output[0]] for node in model.graph.node} == {WIDE}
    assert report.verification.status == "same"


def test_rounded_weights_are_brought_into_the_forms_of_a_target_and_then_stored(tmp_path: Path) -> None:
    model, report = narrowed(CONV, tmp_path, target="ort-cpu", verify="off")
    assert report.rules["winograd-conv"] == 1
    assert report.after_bytes < 0.55 * report.before_bytes
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.raw_data) > 1 << 16} == {HALF}
    sessions = [
        ort.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"]) for name in ("in.onnx", "out.onnx")
    ]
    x = np.random.default_rng(0).standard_normal((1, 128, 28, 28), np.float32)
    before, after = (session.run(None, {"x": x})[0] for session in sessions)
    assert np.abs(before - after).max() < 1e-3 * np.abs(before).max()


def test_bfloat16_is_emulated_where_the_runtime_lacks_it(tmp_path: Path) -> None:
    model, report = narrowed(CHAIN, tmp_path, precision="bf16")
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.BFLOAT16}
    assert kinds(model)["a"] == TensorProto.BFLOAT16
    assert report.verification.status == "same"
    assert "bfloat16 emulated in float32" in report.verification.detail
    assert 1e-4 < (report.verification.max_error or 0) < 0.1


def test_an_operator_without_the_type_is_named(tmp_path: Path) -> None:
    model, report = narrowed(CONV, tmp_path, precision="bf16")
    assert {tensor.data_type for tensor in model.graph.initializer} == {WIDE}
    assert "Conv takes no bfloat16 in opset 21" in said(report)


def test_it_never_runs_unasked(tmp_path: Path) -> None:
    assert "narrow-precision" not in narrowed(CHAIN, tmp_path, precision="", target="ort-cpu")[1].rules


@pytest.mark.parametrize(
    "given",
    [
        {"precision": "fp8"},
        {"precision": "fp16", "exact": True},
        {"max_drop": 0.1},
        {"keep_fp32": ("a",)},
        {"precision": "fp16", "max_drop": -1.0},
    ],
)
def test_choices_that_make_no_sense_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        graphopt.optimize(tmp_path / "in.onnx", **given)


def test_options_of_the_pass_are_checked() -> None:
    with pytest.raises(PipelineError, match="to=half"):
        installed().make("narrow-precision", [("to", "half")])
