"""Small protobuf models that the tests of loading and saving share, and a comparison that forgives representation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from graphopt.graph._onnx_ir import ir

HEADER = '<ir_version: 10, opset_import: ["" : 21]>\n'

LINEAR = (
    HEADER + "g (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> { y = MatMul(x, w) }"
)

_UNORDERED = {"metadata_props": "key", "quant_parameter_tensor_names": "key", "quantization_annotation": "tensor_name"}


def parse(text: str) -> onnx.ModelProto:
    """Parse onnx text; a header is put before it if it has none."""
    return parser.parse_model(text if text.lstrip().startswith("<") else HEADER + text)


def write(proto: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """Write the model as it is, external references included."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def external_model(location: str = "w.bin", **fields: str) -> onnx.ModelProto:
    """Return `LINEAR` with its weight, 48 bytes, in external data; `fields` are further entries."""
    proto = parse(LINEAR)
    weight = proto.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        weight.external_data.add(key=key, value=value)
    return proto


def weights(rows: int = 4, seed: int = 0) -> np.ndarray[Any, Any]:
    """Draw a weight matrix of 3 columns."""
    return np.random.default_rng(seed).standard_normal((rows, 3)).astype(np.float32)


def large_model(folder: Path, seed: int = 0, name: str = "model.onnx", rows: int = 400) -> Path:
    """Write a model of one MatMul whose weight, 4800 bytes, lies in NAME.bin."""
    (folder / f"{name}.bin").write_bytes(weights(rows, seed).tobytes())
    proto = external_model(f"{name}.bin")
    proto.graph.initializer[0].dims[0] = rows
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = rows
    return write(proto, folder, name)


def differences(before: Any, after: Any, path: str = "model") -> list[str]:
    """List where two messages differ.

    Forgiven: how tensors store their data, the order of maps and hints, hints for initializers, absent outputs at the
    end.
    """
    if isinstance(before, onnx.TensorProto):
        return _tensor_differences(before, after, path)
    found = []
    for field in before.DESCRIPTOR.fields:
        x, y = getattr(before, field.name), getattr(after, field.name)
        place = f"{path}.{field.name}"
        if field.name == "value_info" and isinstance(before, onnx.GraphProto):
            x, y = _hints(before), _hints(after)
        elif field.is_repeated:
            x, y = _ordered(before, field.name, x), _ordered(after, field.name, y)
        if field.is_repeated:
            if len(x) != len(y):
                found.append(f"{place}: {len(x)} and {len(y)} elements")
            for index, (each, other) in enumerate(zip(x, y, strict=False)):
                found += _value_differences(field.message_type, each, other, f"{place}[{index}]")
        elif not field.message_type or before.HasField(field.name) or after.HasField(field.name):
            found += _value_differences(field.message_type, x, y, place)
    return found


def _value_differences(message: object, x: Any, y: Any, path: str) -> list[str]:
    if message:
        return differences(x, y, path)
    return [] if x == y or (x != x and y != y) else [f"{path}: {x!r} and {y!r}"]  # noqa: PLR0124  NaN


def _ordered(owner: Any, name: str, field: Any) -> list[Any]:
    listed = list(field)
    if name in _UNORDERED:
        return sorted(listed, key=lambda entry: getattr(entry, _UNORDERED[name]))
    if name == "output" and isinstance(owner, onnx.NodeProto):
        while listed and not listed[-1]:
            listed.pop()
    return listed


def _hints(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    made = {name for node in graph.node for name in node.output} - {value.name for value in graph.output}
    return sorted((value for value in graph.value_info if value.name in made), key=lambda value: value.name)


def _tensor_differences(before: onnx.TensorProto, after: onnx.TensorProto, path: str) -> list[str]:
    names = ("name", "doc_string", "data_type", "dims", "data_location", "metadata_props", "external_data")
    found = [f"{path}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
    if not before.external_data and _data(before) != _data(after):
        found.append(f"{path}: data")
    return found


def _data(tensor: onnx.TensorProto) -> bytes | list[bytes]:
    if tensor.data_type == onnx.TensorProto.STRING:
        return list(tensor.string_data)
    return bytes(ir.from_proto(tensor).tobytes())


def constant(name: str, array: np.ndarray[Any, Any]) -> onnx.TensorProto:
    """Make an initializer."""
    return numpy_helper.from_array(array, name)
