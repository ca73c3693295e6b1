"""Test what patterns match."""

from __future__ import annotations

import pytest

from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node
from graphopt.rewrite.matcher import match_rule
from graphopt.rewrite.pattern import NodePattern, parse
from graphopt.rewrite.rule import Match
from tests.library.fixture import model_of


def find(pattern: str, text: str, at: str = "y", *, shared: bool = False) -> Match | None:
    """Match `pattern` at the node that makes `at` in the graph of that text."""
    model = Model(ir.from_proto(model_of(text)))
    root: Node = next(node for node in model.graph if any(value.name == at for value in node.outputs))
    roots = tuple(part for part in parse(pattern) if isinstance(part, NodePattern))
    return match_rule(roots, root, Facts(model), model.opset(), shared=shared)


def names(match: Match | None) -> dict[str, str]:
    """Return the names of the values that are bound."""
    assert match is not None
    return {key: value.name for key, value in match.values.items() if hasattr(value, "name")}


SUM = """g (float[n] a, float[n] b) => (float[n] y) {
  p = Relu(a)
  y = Add(%s)
}"""


@pytest.mark.parametrize("order", ["p, b", "b, p"])
def test_both_orders_of_a_commutative_operator_match(order: str) -> None:
    assert names(find("Add(Relu(x), z)", SUM % order)) == {"x": "a", "z": "b"}


def test_one_order_of_another_operator_matches() -> None:
    text = SUM.replace("Add", "Sub")
    assert find("Sub(Relu(x), z)", text % "p, b") is not None
    assert find("Sub(Relu(x), z)", text % "b, p") is None


def test_a_failed_order_is_taken_back() -> None:
    # The first order of the inner Mul binds x to b, which the outer operand then contradicts.
    text = """g (float[n] a, float[n] b) => (float[n] y) {
      p = Mul(b, a)
      y = Add(p, a)
    }"""
    assert names(find("Add(Mul(x, z), x)", text)) == {"x": "a", "z": "b"}


def test_orders_of_several_levels_are_tried_together() -> None:
    text = """g (float[n] a, float[n] b, float[n] c) => (float[n] y) {
      p = Mul(a, b)
      q = Mul(c, a)
      y = Add(q, p)
    }"""
    match = find("Add(Mul(x, u), Mul(x, v))", text)
    assert names(match)["x"] == "a"


def test_the_same_name_means_the_same_value() -> None:
    assert find("Add(x, x)", SUM % "b, b") is not None
    assert find("Add(x, x)", SUM % "b, p") is None


def test_an_inner_result_with_another_reader_does_not_match() -> None:
    text = """g (float[n] a) => (float[n] y, float[n] z) {
      p = Relu(a)
      z = Neg(p)
      y = Abs(p)
    }"""
    assert find("Abs(Relu(x))", text) is None
    assert find("Abs(Relu(x))", text, shared=True) is not None


def test_an_inner_result_that_is_a_graph_output_does_not_match() -> None:
    text = """g (float[n] a) => (float[n] y, float[n] p) {
      p = Relu(a)
      y = Abs(p)
    }"""
    assert find("Abs(Relu(x))", text) is None
    assert find("Abs(Relu(x))", text, shared=True) is not None


def test_an_inner_result_that_a_subgraph_reads_does_not_match() -> None:
    text = """g (bool c, float[n] a) => (float[n] y, float[n] z) {
      p = Relu(a)
      y = Abs(p)
      z = If (c) <then_branch = t () => (float[n] r) { r = Neg(p) }, else_branch = e () => (float[n] s) { s = Neg(a) }>
    }"""
    assert find("Abs(Relu(x))", text) is None


def test_two_readers_inside_the_pattern_are_no_other_readers() -> None:
    text = """g (float[n] a) => (float[n] y) {
      p = Relu(a)
      q = Neg(p)
      y = Mul(q, p)
    }"""
    assert names(find("t = Relu(x)\nMul(t, Neg(t))", text))["x"] == "a"


def test_the_result_of_that_place_is_meant() -> None:
    text = """g (float[4] a) => (float[2] y) <int64[2] s = {2, 2}> {
      p, q = Split(a, s)
      y = Relu(%s)
    }"""
    assert find("_, b = Split(x, s)\nRelu(b)", text % "q", shared=True) is not None
    assert find("_, b = Split(x, s)\nRelu(b)", text % "p", shared=True) is None


SKIPPED = """g (double[n] a) => (float[n] y) {
  p = Relu(a)
  q = Identity(p)
  r = Cast<to = 1>(q)
  y = Abs(r)
}"""


def test_casts_and_identities_are_skipped_where_it_says_so() -> None:
    assert names(find("Abs(skip(Relu(x)))", SKIPPED, shared=True))["x"] == "a"
    assert find("Abs(Relu(x))", SKIPPED, shared=True) is None


def test_an_operand_that_is_left_out_is_none() -> None:
    text = """g (float[1, 1, n] a, float[1, 1, 1] w) => (float[1, 1, n] y) {
      y = Conv(a, w)
    }"""
    match = find("Conv(x, w, opt(b))", text)
    assert match is not None
    assert match["b"] is None
    assert find("Conv(x, w, b)", text) is None
    assert find("Conv(x, w, None)", text) is not None


def test_the_rest_of_the_operands_is_a_tuple() -> None:
    text = """g (float[n] a, float[n] b, float[n] c) => (float[m] y) {
      y = Concat<axis = 0>(a, b, c)
    }"""
    match = find("Concat(x, *xs)", text)
    assert match is not None
    assert [value.name for value in match["xs"]] == ["b", "c"]
    assert find("Concat(x)", text) is None


def test_attributes_count_with_their_defaults() -> None:
    text = """g (float[n, 3] a) => (float[n, 3] y) {
      y = Softmax%s(a)
    }"""
    assert find("Softmax(x, axis=-1)", text % "") is not None
    assert find("Softmax(x, axis=-1)", text % "<axis = 0>") is None
    match = find("Softmax(x, axis=k)", text % "<axis = 0>")
    assert match is not None
    assert match["k"] == 0


def test_a_number_is_a_constant_of_that_number_throughout() -> None:
    text = """g (float[n, 2] a) => (float[n, 2] y) <float[2] c = {%s}> {
      y = Mul(a, c)
    }"""
    assert find("Mul(x, 2.0)", text % "2.0, 2.0") is not None
    assert find("Mul(x, 2.0)", text % "2.0, 3.0") is None


def test_an_initializer_that_a_caller_can_override_is_no_number() -> None:
    text = """g (float[n] a, float c) => (float[n] y) <float c = {2.0}> {
      y = Mul(a, c)
    }"""
    assert find("Mul(x, 2.0)", text) is None
    assert find("Mul(x, const(k))", text) is None
    assert find("Mul(x, k)", text) is not None


def test_a_second_root_is_found_among_the_readers() -> None:
    text = """g (float[n] a) => (float[n] z, float[n] y) {
      z = Sin(a)
      y = Cos(a)
    }"""
    assert names(find("(s := Sin(x))\nCos(x)", text, shared=True))["s"] == "z"
    assert find("(s := Tan(x))\nCos(x)", text, shared=True) is None


def test_another_domain_is_another_operator() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
    g (float[n] a) => (float[n] y) {
      p = com.microsoft.Gelu(a)
      y = Abs(p)
    }"""
    assert find("Abs(com.microsoft.Gelu(x))", text) is not None
    assert find("Abs(Gelu(x))", text) is None


def test_what_a_subgraph_captures_stays_outside_of_it() -> None:
    text = """g (float[n] a, bool c) => (float[n] r) {
      p = Exp(a)
      r = If(c) <
        then_branch = t () => (float[n] y) { y = Neg(p) },
        else_branch = e () => (float[n] z) { z = Neg(a) }>
    }"""
    model = Model(ir.from_proto(model_of(text)))
    root = next(node for graph in model.scopes() for node in graph if node.outputs[0].name == "y")
    roots = tuple(part for part in parse("Neg(Exp(x))") if isinstance(part, NodePattern))
    assert match_rule(roots, root, Facts(model), model.opset(), shared=True) is not None
    assert match_rule(roots, root, Facts(model), model.opset(), shared=False) is None
