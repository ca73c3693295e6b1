"""Read single tensors from ONNX's own data files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphopt.errors import TaskError

__all__ = ["read_tensor_file"]


def read_tensor_file(path: Path) -> np.ndarray[Any, Any]:
    """Read a serialised TensorProto.

    Raises `TaskError` if the file holds none.
    """
    from google.protobuf.message import DecodeError
    from onnx import TensorProto, numpy_helper

    tensor = TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        if tensor.external_data:
            raise TaskError(f"{str(path)!r} refers to another file")
        return numpy_helper.to_array(tensor)
    except (DecodeError, OSError, ValueError, TypeError) as error:
        raise TaskError(f"{str(path)!r} holds no tensor: {error}") from error
