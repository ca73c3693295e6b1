"""What quantization annotations name stays, though no node reads it."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, parser

import graphopt

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[4] x) => (float[4] y) <float s = {0.5}, float t = {0.5}, float dead = {1.0}> {
  a = Identity(x)
  y = Relu(a)
}"""


def test_annotated_scales_survive(tmp_path: Path) -> None:
    model = parser.parse_model(TEXT)
    annotation = model.graph.quantization_annotation.add()
    annotation.tensor_name = "x"
    for key, name in (("SCALE_TENSOR", "s"), ("ZERO_POINT_TENSOR", "t")):
        entry = annotation.quant_parameter_tensor_names.add()
        entry.key, entry.value = key, name
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    graphopt.optimize(path, tmp_path / "out.onnx")
    after = onnx.load(tmp_path / "out.onnx")
    assert {tensor.name for tensor in after.graph.initializer} == {"s", "t"}
    assert after.graph.quantization_annotation == model.graph.quantization_annotation
    assert [node.op_type for node in after.graph.node] == ["Relu"]
    assert after.graph.input[0] == helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
