"""Build small models by number: each another graph, all of a kind that exporters write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["small_model"]


def small_model(number: int, path: Path) -> Path:
    """Write a model of a dozen nodes, in width, depth and operators derived from `number`."""
    rng = np.random.default_rng(number)
    width, depth = 2 + number % 5, 1 + number % 4
    nodes, tensors, last = [], [], "x"
    for at in range(depth):
        names = {kind: f"{kind}{at}" for kind in ("w", "b", "m", "t", "r", "i")}
        tensors.append(numpy_helper.from_array(rng.standard_normal((width, width)).astype(np.float32), names["w"]))
        tensors.append(numpy_helper.from_array(rng.standard_normal(width).astype(np.float32), names["b"]))
        nodes += [
            helper.make_node("MatMul", [last, names["w"]], [names["m"]], name=f"matmul_{at}"),
            helper.make_node("Add", [names["m"], names["b"]], [names["t"]]),
            helper.make_node(("Relu", "Tanh", "Sigmoid")[number % 3], [names["t"]], [names["r"]]),
            helper.make_node("Identity", [names["r"]], [names["i"]]),
        ]
        last = names["i"]
    shape = [numpy_helper.from_array(np.array([0, -1], np.int64), "shape")]
    nodes += [
        helper.make_node("Shape", [last], ["s"]),
        helper.make_node("Expand", [last, "s"], ["e"]),
        helper.make_node("Reshape", ["e", "shape"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width]) for name in "xy"]
    graph = helper.make_graph(nodes, f"small_{number}", ends[:1], ends[1:], tensors + shape)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
