"""What a rewrite makes bears the names of what it replaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

import graphopt

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 2, 4, 4] x) => (float[1, 3, 2, 2] y)
  <float[3] s = {1, 2, 3}, float[3] b = {0, 1, 0}, float[3] m = {0, 0, 1}, float[3] v = {1, 1, 4}> {
  [conv] c = Conv(x, w)
  [norm] n = BatchNormalization(c, s, b, m, v)
  [act] a = Relu(n)
  [twice] r = Relu(a)
  [pool] y = MaxPool <kernel_shape = [1, 1]> (r)
}"""


def test_fused_weights_and_results_keep_their_names(tmp_path: Path) -> None:
    model = parser.parse_model(TEXT)
    weights = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(model, tmp_path / "net.onnx")
    report = graphopt.optimize(tmp_path / "net.onnx", tmp_path / "out.onnx", skip=("eliminate-dead",)).report
    after = onnx.load(tmp_path / "out.onnx").graph
    conv = after.node[0]
    assert (conv.op_type, conv.name, conv.output[0]) == ("Conv", "norm", "n")
    assert conv.input[1] == "w"
    assert "fuse-batchnorm-into-conv" in {step.rule for step in report.steps if step.node == "norm"}
    assert sum(report.rules.values()) == len(report.steps)
