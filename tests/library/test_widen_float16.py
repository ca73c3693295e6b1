"""Widen models of float16 for onnxruntime's CPU, subgraphs included, and leave alone what would change its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, parser

import graphopt
from tests.library.fixture import model_of

BRANCHES = """g (float16[n, 8] x, bool c) => (float16[n, 8] y, float16[n, 8] s) {
  # w is drawn: [8, 8] float16
  a = MatMul(x, w)
  s = Sigmoid(a)
  y = If (c) <
    then_branch = t () => (float16[n, 8] p) { p = Add(a, a) },
    else_branch = e () => (float16[n, 8] q) { q = Mul(a, s) }
  >
}"""
FUNCTION = """<ir_version: 10, opset_import: ["" : 21, "d" : 1]>
g (float16[n, 4] x) => (float16[n, 4] y) { y = d.f(x) }
<domain: "d", opset_import: ["" : 21]>
f (x) => (y) { y = Relu(x) }"""
KEPT = {
    "random": "g (float16[n, 4] x) => (float16[n, 4] y) { r = RandomNormalLike(x) y = Add(x, r) }",
    "sequences": "g (float16[n, 4] x) => (float16[n, 4] y) { t = Relu(x) r = SequenceConstruct(t) "
    "i = Constant<value_int = 0>() y = SequenceAt(r, i) }",
    "single bits": '<ir_version: 13, opset_import: ["" : 26]>\n'
    "g (float16[n, 4] x) => (uint16[n, 4] y) { t = Relu(x) y = BitCast<to = 4>(t) }",
    "another domain": '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>\n'
    "g (float16[n, 4] x) => (float16[n, 4] y) { t = com.microsoft.QuickGelu(x) y = Relu(t) }",
    "conversions alone": "g (float[n, 4] x) => (float[n, 4] y) { t = Cast<to = 10>(x) y = Cast<to = 1>(t) }",
}


def widened(text: str, folder: Path, target: str = "ort-cpu") -> tuple[onnx.ModelProto, graphopt.Report]:
    before, after = folder / "in.onnx", folder / "out.onnx"
    onnx.save(model_of(text), before)
    pipeline = "lift-constants, widen-float16, simplify, store-narrow"
    report = graphopt.optimize(before, after, target=target, pipeline=pipeline, keep_opset=True, remarks=True).report
    return onnx.load(after), report


def test_every_operator_computes_in_float32(tmp_path: Path) -> None:
    model, report = widened(BRANCHES, tmp_path)
    assert report.rules["widen-float16"] == 1
    assert report.verification.status == "same"
    onnx.checker.check_model(model, full_check=True)
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert kinds == {"x": 10, "c": 9, "y": 10, "s": 10}
    assert [tensor.data_type for tensor in model.graph.initializer] == [TensorProto.FLOAT16]
    assert [node.op_type for node in model.graph.node].count("Cast") == 4
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    original = ort.InferenceSession(tmp_path / "in.onnx", providers=["CPUExecutionProvider"])
    for choice in (True, False):
        feed = {"x": np.linspace(-2, 2, 24).reshape(3, 8).astype(np.float16), "c": np.array(choice)}
        for got, wanted in zip(session.run(None, feed), original.run(None, feed), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=4e-3, atol=4e-3)


def test_other_targets_keep_the_type(tmp_path: Path) -> None:
    for target in ("portable", "openvino", "webgpu"):
        assert "widen-float16" not in widened(BRANCHES, tmp_path, target)[1].rules


@pytest.mark.parametrize("name", KEPT)
def test_what_would_change_its_meaning_stays(name: str, tmp_path: Path) -> None:
    assert "widen-float16" not in widened(KEPT[name], tmp_path)[1].rules


def test_a_model_with_functions_stays(tmp_path: Path) -> None:
    path = tmp_path / "in.onnx"
    onnx.save(parser.parse_model(FUNCTION), path)
    given: dict[str, Any] = {"target": "ort-cpu", "pipeline": "widen-float16", "skip": ("inline-functions",)}
    assert "widen-float16" not in graphopt.optimize(path, **given).report.rules
