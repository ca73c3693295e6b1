"""What a caller sees, and what a model declares falsely."""

from __future__ import annotations

from onnx import parser

from graphopt.graph.facts import Facts
from graphopt.graph.interface import false_declarations, signature
from graphopt.graph.load import from_proto

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 4] x, float[4] c) => (float[n] y, int64[2] s) <float[4] c = {1, 2, 3, 4}> {
  y = Add(x, c)
  s = Shape(x)
}"""


def test_the_signature_lists_what_may_be_overridden_behind_inputs() -> None:
    model = from_proto(parser.parse_model(TEXT), freeze=False)
    assert signature(model) == [
        ("input", "x", "float[n, 4]"),
        ("initializer", "c", "float[4]"),
        ("output", "y", "float[n]"),
        ("output", "s", "int64[2]"),
    ]


def test_an_output_declared_with_a_rank_it_does_not_have_is_named() -> None:
    model = from_proto(parser.parse_model(TEXT))
    assert false_declarations(model, Facts(model)) == ["output 'y' is declared with rank 1 and has rank 2"]
