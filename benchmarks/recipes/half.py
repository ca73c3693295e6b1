"""Convert a model to 16-bit floats, inputs and outputs left as they are: `half.py RESULT MODEL`."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnxconverter_common.float16 import convert_float_to_float16


def main() -> None:
    """Write the converted model."""
    converted = convert_float_to_float16(onnx.load(sys.argv[2]), keep_io_types=True)
    Path(sys.argv[1]).write_bytes(converted.SerializeToString(deterministic=True))


main()
