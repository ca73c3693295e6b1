"""Test how rules are driven over a model."""

from __future__ import annotations

import pytest

from graphopt.errors import PassError
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Steps
from tests.library.fixture import model_of
from tests.library.harness import RULES, apply_rule
from tests.library.normal import normal_text

ABS = Rule(name="abs-of-abs", doc="Say it once.", match="Abs(Abs(x))", replace="Abs(x)")
DROP = Rule(name="drop-identity", doc="Drop it.", match="Identity(x)", replace="x")


def rewritten(rule: Rule, text: str, steps: Steps | None = None) -> str:
    """Return the graph of that text after the rule, as normal text."""
    return normal_text(apply_rule(rule, model_of(text), steps)[0])


def normal(text: str) -> str:
    """Return the graph of that text as normal text."""
    return normal_text(model_of(text))


CHAIN = """g (float[n] x) => (float[n] y) {
  a = Abs(x)
  b = Abs(a)
  c = Abs(b)
  y = Abs(c)
}"""


def test_rules_run_until_none_applies() -> None:
    assert rewritten(ABS, CHAIN) == normal("g (float[n] x) => (float[n] y) {\n y = Abs(x)\n}")


def test_a_step_limit_stops_after_that_many() -> None:
    steps = Steps(limit=1)
    left = rewritten(ABS, CHAIN, steps)
    assert left.count("Abs") == 3
    assert [step.number for step in steps.done] == [1]


def test_a_step_can_be_withheld() -> None:
    assert rewritten(ABS, CHAIN, Steps(skip=range(100))) == normal(CHAIN)


def test_a_missed_match_names_its_condition() -> None:
    @condition("never")
    def never(_: object) -> bool:
        return False

    steps = Steps(remarks=True)
    rewritten(Rule(name="never-abs", doc="Wait.", match="Abs(x)", replace="x", where=(never,)), CHAIN, steps)
    assert {(remark.kind, remark.rule, remark.text) for remark in steps.remarks} == {("missed", "never-abs", "never")}


def test_rules_that_undo_themselves_are_named() -> None:
    endless = Rule(name="neg-neg", doc="Turn.", match="Neg(x)", replace="Neg(Neg(Neg(x)))")
    with pytest.raises(PassError, match="neg-neg"):
        rewritten(endless, "g (float[n] x) => (float[n] y) {\n y = Neg(x)\n}")


def test_a_graph_output_keeps_its_name_and_type() -> None:
    after, _ = apply_rule(DROP, model_of("g (float[n] x) => (float[n] y) {\n t = Abs(x)\n y = Identity(t)\n}"))
    assert [value.name for value in after.graph.output] == ["y"]
    assert [node.op_type for node in after.graph.node] == ["Abs"]


def test_two_outputs_of_one_value_stay_two() -> None:
    text = """g (float[n] x) => (float[n] y, float[n] z) {
      t = Abs(x)
      y = Identity(t)
      z = Identity(t)
    }"""
    after, count = apply_rule(DROP, model_of(text))
    assert [value.name for value in after.graph.output] == ["y", "z"]
    assert sorted(node.op_type for node in after.graph.node) == ["Abs", "Identity"]
    assert count == 1


def test_nodes_in_subgraphs_and_functions_are_rewritten() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
    g (bool c, float[n] x) => (float[n] y) {
      p = If (c) <then_branch = t () => (float[n] r) { a = Abs(x) r = Abs(a) },
                  else_branch = e () => (float[n] s) { s = Neg(x) }>
      y = local.f(p)
    }
    <domain: "local", opset_import: ["" : 21]>
    f (v) => (w) {
      u = Abs(v)
      w = Abs(u)
    }"""
    after, count = apply_rule(ABS, model_of(text))
    assert count == 2
    assert normal_text(after).count("Abs") == 2


def test_a_constant_in_a_function_is_a_node() -> None:
    double = Rule(name="double-it", doc="Double it.", match="Add(x, x)", replace="Mul(x, 2.0)")
    text = """<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
    g (float[n] x) => (float[n] y) {
      y = local.f(x)
    }
    <domain: "local", opset_import: ["" : 21]>
    f (v) => (w) {
      t = Cast<to = 1>(v)
      w = Add(t, t)
    }"""
    after, count = apply_rule(double, model_of(text))
    assert count == 1
    assert [node.op_type for node in after.functions[0].node] == ["Cast", "Constant", "Mul"]


def test_an_opset_outside_of_the_rules_range_is_left_alone() -> None:
    old = Rule(name="old-abs", doc="Say it once.", match="Abs(Abs(x))", replace="Abs(x)", max_opset=20)
    new = Rule(name="new-abs", doc="Say it once.", match="Abs(Abs(x))", replace="Abs(x)", min_opset=22)
    assert rewritten(old, CHAIN) == normal(CHAIN)
    assert rewritten(new, CHAIN) == normal(CHAIN)


def test_a_result_that_the_replacement_does_not_give_must_be_unread() -> None:
    drop = Rule(name="drop-dropout", doc="Drop it.", match="Dropout(x)", replace="x")
    kept = "g (float[n] x) => (float[n] y, bool[n] m) {\n t, m = Dropout(x)\n y = Abs(t)\n}"
    gone = "g (float[n] x) => (float[n] y) {\n t, m = Dropout(x)\n y = Abs(t)\n}"
    assert rewritten(drop, kept) == normal(kept)
    assert "Dropout" not in rewritten(drop, gone)


def test_the_last_new_node_has_the_name_and_origin_of_the_old_one() -> None:
    model = model_of(CHAIN)
    model.graph.node[-1].name = "last"
    model.graph.node[-1].doc_string = "from line 7"
    after, _ = apply_rule(ABS, model)
    assert [(node.name, node.doc_string) for node in after.graph.node] == [("last", "from line 7")]


def test_dead_constants_go_with_their_reader_and_inputs_stay() -> None:
    one = Rule(name="drop-one", doc="Drop it.", match="Mul(x, const(c))", replace="x")
    text = """g (float[n] x, float[n] unused) => (float[n] y) <float c = {1.0}, float[1] kept = {2.0}> {
      t = Mul(x, c)
      y = Add(t, kept)
    }"""
    after, _ = apply_rule(one, model_of(text))
    assert [tensor.name for tensor in after.graph.initializer] == ["kept"]
    assert [value.name for value in after.graph.input] == ["x", "unused"]


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        (Rule(name="a-rule", doc="", match="Abs(x)", replace="x"), True),
        (Rule(name="a-rule", doc="", match="Abs(x)", replace="x", targets=("tensorrt",)), False),
        (Rule(name="a-rule", doc="", match="Abs(x)", replace="x", targets=("ort-cpu", "tensorrt")), True),
        (Rule(name="a-rule", doc="", match="Abs(x)", replace="x", fast_math=True), False),
        (Rule(name="a-rule", doc="", match="Abs(x)", replace="x", exactness=Exactness.LOSSY), False),
    ],
)
def test_a_selection_says_which_rules_run(rule: Rule, *, admitted: bool) -> None:
    assert Selection(target="ort-cpu").admits(rule) is admitted


def test_an_attribute_that_refers_to_the_functions_stays_a_reference() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
    g (float[2, 3] x) => (float[2, 3] y) {
      y = local.f<slope = 0.5>(x)
    }
    <domain: "local", opset_import: ["" : 21]>
    f <slope> (v) => (w) {
      t = Transpose<perm = [1, 0]>(v)
      u = LeakyRelu<alpha: float = @slope>(t)
      w = Transpose<perm = [1, 0]>(u)
    }"""
    after, count = apply_rule(RULES["sink-transpose-unary"], model_of(text))
    assert count == 1
    (node,) = after.functions[0].node
    assert [(attr.name, attr.ref_attr_name) for attr in node.attribute] == [("alpha", "slope")]
