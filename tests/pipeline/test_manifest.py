"""The manifest stands among the model's own metadata as if it had always been there."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

import graphopt

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[n, 4] x) => (float[n, 4] y) {
  a = Identity(x)
  y = Relu(a)
}"""


@pytest.mark.parametrize("keys", [["author"], ["zoom", "author"], ["graphopt.manifes", "graphopt.manifests"]])
def test_a_second_run_leaves_the_manifest_in_its_place(tmp_path: Path, keys: list[str]) -> None:
    before, after, again = (tmp_path / f"{name}.onnx" for name in ("before", "after", "again"))
    model = parser.parse_model(TEXT)
    for key in keys:
        model.metadata_props.add(key=key, value=f"of {key}")
    onnx.save(model, before)
    graphopt.optimize(before, after)
    graphopt.optimize(after, again)
    assert [entry.key for entry in onnx.load(after).metadata_props] == sorted([*keys, "graphopt.manifest"])
    assert again.read_bytes() == after.read_bytes()
