"""Test the language of patterns."""

from __future__ import annotations

import pytest

from graphopt.errors import PipelineError
from graphopt.rewrite.pattern import Bind, Literal, NodePattern, parse


def root(text: str) -> NodePattern:
    """Parse a pattern with one root, which is a node."""
    (found,) = parse(text)
    assert isinstance(found, NodePattern)
    return found


def test_a_call_is_a_node_over_named_values() -> None:
    found = root("Add(x, 2.0)")
    assert found.ops == (("", "Add"),)
    assert found.inputs == (Bind("x"), Literal(2.0))
    assert found.commutes


def test_an_operator_whose_order_matters_does_not_commute() -> None:
    assert not root("Sub(x, y)").commutes
    assert not root("(Add | Sub)(x, y)").commutes
    assert not root("com.microsoft.Add(x, y)").commutes


def test_domains_and_alternatives() -> None:
    assert root("com.microsoft.Gelu(x)").ops == (("com.microsoft", "Gelu"),)
    assert root("(Add | Sub | Mul)(x, y)").ops == (("", "Add"), ("", "Sub"), ("", "Mul"))


def test_attributes_are_asked_for_or_bound() -> None:
    assert root('Pad(x, p, mode="constant", other=k)').attrs == (("mode", ("is", "constant")), ("other", ("bind", "k")))


def test_a_name_with_no_text_binds_nothing() -> None:
    assert root("Add(_, _)").inputs == (Bind(""), Bind(""))


def test_what_may_be_left_out() -> None:
    data, bias, number = root("Conv(x, opt(b), None)").inputs
    assert data == Bind("x")
    assert bias == Bind("b", optional=True)
    assert number == Literal(None)


def test_the_rest_is_a_starred_name() -> None:
    assert root("Concat(x, *xs)").inputs == (Bind("x"), Bind("xs", rest=True))


def test_a_named_result_can_be_used_twice() -> None:
    found = root("t = Relu(x)\nAdd(t, t)")
    left, right = found.inputs
    assert left == right
    assert isinstance(left, NodePattern)
    assert left.outputs == ("t",)


def test_several_results_know_their_place() -> None:
    found = root("_, b = Split(x)\nRelu(b)")
    (part,) = found.inputs
    assert isinstance(part, NodePattern)
    assert (part.outputs, part.output) == (("", "b"), 1)


def test_the_last_root_is_the_last_line() -> None:
    first, last = parse("s = Sin(x)\nSin(x)\nCos(x)")
    assert isinstance(first, NodePattern)
    assert isinstance(last, NodePattern)
    assert (first.ops, last.ops) == ((("", "Sin"),), (("", "Cos"),))


@pytest.mark.parametrize(
    "text",
    ["", "Add(x", "2.0", "t = 2.0", "for x in y: pass", "opt(Relu(x))", "skip(x, y)", "skip(x)", "Add(x, y + z)"],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(PipelineError):
        parse(text)
