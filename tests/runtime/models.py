"""Build small models for the runtime's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
Shape = Sequence[int | str | None] | None
Values = Mapping[str, tuple[int, Shape]]

FLOAT = onnx.TensorProto.FLOAT
INT64 = onnx.TensorProto.INT64
BOOL = onnx.TensorProto.BOOL


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Values,
    outputs: Values,
    initializers: Mapping[str, Array] | None = None,
    opset: int = 21,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (initializers or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def save(proto: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def constant(op: str, *operands: Array, kind: int = INT64, shape: Shape = None, **attributes: Any) -> bytes:
    """A model without inputs: `op` of constants."""
    names = [f"c{at}" for at in range(len(operands))]
    nodes = [helper.make_node(op, names, ["y"], **attributes)]
    return model(nodes, {}, {"y": (kind, shape)}, dict(zip(names, operands, strict=True))).SerializeToString()


def crash() -> bytes:
    """INT64_MIN / -1: the processor traps."""
    return constant("Div", np.array([-(2**63)]), np.array([-1]), shape=[1])


def endless() -> bytes:
    """A Loop of 10**12 trips."""
    body = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["z"]), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("c", BOOL, []),
            helper.make_tensor_value_info("x", INT64, [1]),
        ],
        [helper.make_tensor_value_info("d", BOOL, []), helper.make_tensor_value_info("z", INT64, [1])],
    )
    nodes = [helper.make_node("Loop", ["n", "", "x0"], ["y"], body=body)]
    start = {"n": np.array(10**12), "x0": np.array([1])}
    return model(nodes, {}, {"y": (INT64, [1])}, start).SerializeToString()
