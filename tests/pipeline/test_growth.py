"""How much a model may grow is measured by all its weights, wherever they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphopt

ROWS, PARTS = 1024, 4


def cut_up(columns: int) -> onnx.ModelProto:
    """Return a model that multiplies each of its inputs by a slice of one weight, kept in a Constant node."""
    weight = np.random.default_rng(3).standard_normal((ROWS, columns)).astype(np.float32)
    nodes = [helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight))]
    for name, numbers in {"axis": [0], **{f"at{at * ROWS // PARTS}": [at * ROWS // PARTS] for at in range(5)}}.items():
        value = numpy_helper.from_array(np.array(numbers, np.int64))
        nodes.append(helper.make_node("Constant", [], [name], value=value))
    step = ROWS // PARTS
    for part in range(PARTS):
        nodes.append(
            helper.make_node("Slice", ["w", f"at{part * step}", f"at{(part + 1) * step}", "axis"], [f"w{part}"])
        )
        nodes.append(helper.make_node("Mul", [f"x{part}", f"w{part}"], [f"y{part}"]))
    inputs, outputs = (
        [helper.make_tensor_value_info(f"{letter}{part}", TensorProto.FLOAT, [step, columns]) for part in range(PARTS)]
        for letter in "xy"
    )
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_weights_in_constant_nodes_may_be_cut_up(tmp_path: Path) -> None:
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(cut_up(220), before)
    graphopt.optimize(before, after)
    assert [node.op_type for node in onnx.load(after).graph.node] == ["Mul"] * PARTS
    assert after.stat().st_size < 1.01 * before.stat().st_size


@pytest.mark.parametrize("columns", [220, 512, 1024, 2000])
def test_growth_counts_from_the_first_model_in_every_run(tmp_path: Path, columns: int) -> None:
    before, after, again = (tmp_path / f"{name}.onnx" for name in ("before", "after", "again"))
    onnx.save(cut_up(columns), before)
    graphopt.optimize(before, after)
    graphopt.optimize(after, again)
    assert after.stat().st_size <= 1.1 * before.stat().st_size + (1 << 20)
    assert after.read_bytes() == again.read_bytes()
