"""Export the patterns' modules by both exporters of PyTorch: `torch_exports.py FOLDER NAME-WAY...`.

Writes FOLDER/NAME-WAY.onnx. It runs in the environment that the requirements of `benchmarks/exporters` list, without
graphopt.
"""

from __future__ import annotations

import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import torch
from modules import MODULES

WAYS: dict[str, dict[str, Any]] = {
    "script": {"dynamo": False, "opset_version": 17},
    "dynamo": {"dynamo": True, "opset_version": 18, "external_data": False, "verbose": False},
    "dynamo-raw": {"dynamo": True, "opset_version": 18, "external_data": False, "verbose": False, "optimize": False},
}


def main() -> int:
    """Export what is named."""
    warnings.filterwarnings("ignore")
    folder, *names = sys.argv[1:]
    for path in names:
        name, way = next((path[: -len(way) - 1], way) for way in sorted(WAYS, key=len)[::-1] if path.endswith(way))
        torch.manual_seed(zlib.crc32(name.encode()))
        made = MODULES[name]()
        inputs = [f"x{index}" for index in range(len(made.inputs))]
        with torch.no_grad():
            torch.onnx.export(
                made.module.eval(), made.inputs, str(Path(folder, f"{path}.onnx")), input_names=inputs, **WAYS[way]
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
