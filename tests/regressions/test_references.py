"""Test that rules leave alone what the caller of a function decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import parser

from graphopt.graph.load import from_proto
from graphopt.graph.save import to_bytes
from graphopt.pipeline.context import Context
from graphopt.pipeline.registry import installed
from graphopt.pipeline.runner import Pipeline
from graphopt.rewrite.steps import Steps

MODEL = """<ir_version: 10, opset_import: ["" : 17, "f" : 1]>
g (float[n, 3] x) => (float[a, b] y) { y = f.body <axis = 1, other = 0> (x) }
<domain: "f", opset_import: ["" : 17]>
body <axis, other> (x) => (y) { %s }
"""

BODIES = {
    "slice-sequence-part": """
        s = Constant <value = int64 {2}> ()
        i = Constant <value = int64 {0}> ()
        t = SplitToSequence <axis: int = @axis> (x, s)
        y = SequenceAt (t, i)""",
    "gather-sequence-part": """
        i = Constant <value = int64 {1}> ()
        t = SplitToSequence <axis: int = @axis> (x)
        y = SequenceAt (t, i)""",
    "concat-elements": """
        t = SequenceConstruct (x, x)
        y = ConcatFromSequence <axis: int = @axis> (t)""",
    "join-split-sequence": """
        t = SplitToSequence <axis: int = @axis> (x)
        y = ConcatFromSequence <axis: int = @other> (t)""",
}


def run(data: bytes) -> np.ndarray[Any, Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, ["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})[0])


@pytest.mark.parametrize("rule", sorted(BODIES))
def test_an_axis_that_the_caller_decides_is_left_alone(rule: str) -> None:
    proto = parser.parse_model(MODEL % BODIES[rule])
    model = from_proto(proto)
    Pipeline("simplify", installed()).run(model, Context(model, Steps()))
    assert np.array_equal(run(proto.SerializeToString()), run(to_bytes(model)))
