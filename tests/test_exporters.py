"""Hold the comparison of exporters to what it says: graphs are told apart by what they compute, not by names."""

from __future__ import annotations

import ast
from pathlib import Path

from onnx import parser

from benchmarks.exporters.compare import EXPORTED, pins
from benchmarks.exporters.records import Comparison, Result, differences, functions, table
from benchmarks.exporters.structure import differing, structures
from graphopt.graph.facts import Facts
from graphopt.graph.load import from_proto

HERE = Path(__file__).parents[1] / "benchmarks" / "exporters"
HEADER = '<ir_version: 8, opset_import: ["" : 18]> g (float[n, 4] x) => (float[n, 4] y) '


def told(body: str) -> list[str]:
    model = from_proto(parser.parse_model(HEADER + body))
    return structures(model, Facts(model))


def test_names_order_and_weights_do_not_count() -> None:
    first = told("<float[4] w = {1, 2, 3, 4}> { a = Relu(x) b = Mul(a, w) c = Abs(x) y = Add(b, c) }")
    second = told("<float[4] v = {5, 6, 7, 8}> { q = Abs(x) p = Relu(x) r = Mul(v, p) y = Add(q, r) }")
    assert differing(first, second) == 0


def test_attributes_operands_and_axes_count() -> None:
    first = told("<int64[1] i = {0}> { a = Softmax<axis = 1>(x) y = Gather<axis = 1>(a, i) }")
    assert differing(first, told("<int64[1] i = {0}> { a = Softmax<axis = 0>(x) y = Gather<axis = 1>(a, i) }")) == 4
    assert differing(first, told("<int64[1] i = {1}> { a = Softmax<axis = 1>(x) y = Gather<axis = 1>(a, i) }")) == 2
    assert differing(told("{ y = Sub(x, x) }"), told("{ a = Relu(x) y = Sub(a, x) }")) == 3


def test_rows_say_what_differs() -> None:
    results = (
        Result("script-18", "same", {"Relu": 2, "LayerNormalization": 1}, 0),
        Result("dynamo-18", "same", {"Relu": 1, "LayerNormalization": 1}, 3),
    )
    assert differences(results) == {"Relu": [2, 1]}
    assert functions(["Add", "LayerNormalization", "com.microsoft.FusedConv"]) == [
        "LayerNormalization",
        "com.microsoft.FusedConv",
    ]
    (row,) = table([Comparison("net", "fixed", "18", "portable", results)]).rows
    assert row == ("net", "fixed", "portable", "18", "2 of 2", "2-3", "LayerNormalization 1", "Relu 2/1", "3", "")


def test_every_exporter_is_pinned() -> None:
    for script, requirements in EXPORTED.items():
        assert (HERE / requirements).is_file()
        listed = pins(script)
        assert listed
        assert all(pin.count("==") == 1 for pin in listed)
        tree = ast.parse((HERE / script).read_text(encoding="utf-8"))
        roots = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        names = {pin.split("==")[0].lower() for pin in listed} | {"tensorflow"}
        assert roots & {"torch", "keras", "tensorflow", "tf2onnx"} <= names
