"""Versions are told apart part by part, places are cut out with their neighbours, and equal ones have one signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from graphopt.graph.changes import Digests, changes
from graphopt.graph.cut import cut, show_shapes, show_values, values_by_name
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model
from graphopt.graph.save import to_proto
from graphopt.graph.text import parse_fixture_graph
from graphopt.search.candidates import Alternative, Ground, Spot
from graphopt.search.regions import BEFORE, cut_region, signature

Array = np.ndarray[Any, Any]

BEFORE_TEXT = """g (float[n, 4] x) => (float[n, 4] y)
<float two = {2}, float[4] w = {1, 2, 3, 4}> {
  a = Relu(x)
  b = Pow(a, two)
  c = Add(b, w)
  d = Pow(c, two)
  y = Neg(d)
}"""
AFTER_TEXT = """g (float[n, 4] x) => (float[n, 4] y)
<float two = {2}, float[4] w = {1, 2, 3, 4}> {
  a = Relu(x)
  b = Mul(a, a)
  c = Add(b, w)
  e = Abs(c)
  d = Mul(e, e)
  y = Neg(d)
}"""


def parts(before: str, after: str) -> list[tuple[list[str], list[str]]]:
    found = changes(parse_fixture_graph(before), parse_fixture_graph(after), Digests())
    return [([node.op_type for node in each.before], [node.op_type for node in each.after]) for each in found]


def test_changes_are_parted_at_values_of_both() -> None:
    assert parts(BEFORE_TEXT, AFTER_TEXT) == [(["Pow"], ["Mul"]), (["Pow"], ["Abs", "Mul"])]
    assert parts(BEFORE_TEXT, BEFORE_TEXT) == []


def test_changes_share_what_only_one_version_has() -> None:
    before = "g (float[4] x) => (float[4] y, float[4] z) {\n  y = Abs(x)\n  z = Neg(x)\n}"
    after = "g (float[4] x) => (float[4] y, float[4] z) {\n  t = Relu(x)\n  y = Abs(t)\n  z = Neg(t)\n}"
    assert parts(before, after) == [(["Abs", "Neg"], ["Relu", "Abs", "Neg"])]


@pytest.mark.parametrize(
    ("old", "new"), [("{1, 2, 3, 4}", "{1, 2, 3, 5}"), ("Relu(x)", "Elu(x)"), ("Elu(x)", "Elu<alpha = 0.5>(x)")]
)
def test_constants_operators_and_attributes_count(old: str, new: str) -> None:
    text = BEFORE_TEXT.replace("Relu(x)", "Elu(x)") if "Elu" in old else BEFORE_TEXT
    assert len(parts(text, text.replace(old, new))) == 1


def cut_of(model: Model, outputs: list[str], *names: str) -> Model | None:
    nodes = [node for node in model.graph if node.outputs[0].name in names]
    return cut(nodes[::-1], outputs, model, values_by_name(model), Facts(model))


def run(model: Model, **feed: Array) -> list[Array]:
    session = ort.InferenceSession(to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def test_cut_copies_nodes_in_any_order() -> None:
    model = parse_fixture_graph(BEFORE_TEXT)
    part = cut_of(model, ["d", "b"], "b", "c", "d")
    assert part is not None
    assert [(value.name, str(value.shape)) for value in part.graph.inputs] == [("a", "[n,4]")]
    a = np.arange(8, dtype=np.float32).reshape(2, 4)
    d, b = run(part, a=a)
    np.testing.assert_array_equal(b, a**2)
    np.testing.assert_array_equal(d, (a**2 + [1, 2, 3, 4]) ** 2)
    assert [node.op_type for node in model.graph] == ["Relu", "Pow", "Add", "Pow", "Neg"]


def test_cut_refuses_circles() -> None:
    one = parse_fixture_graph("g (float[4] x) => (float[4] b) {\n  b = Abs(x)\n}")
    other = parse_fixture_graph("g (float[4] b) => (float[4] x) {\n  x = Abs(b)\n}")
    nodes = [*one.graph, *other.graph]
    assert cut(nodes, ["x"], one, values_by_name(one), Facts(one)) is None


def test_cut_refuses_inputs_of_unknown_type() -> None:
    model = parse_fixture_graph(BEFORE_TEXT)
    assert cut([list(model.graph)[-1]], ["y"], model, {}, Facts(model)) is None


def test_values_and_shapes_are_shown() -> None:
    x = np.ones((3, 4), np.float32)
    model = parse_fixture_graph(BEFORE_TEXT)
    assert show_values(model, ["d", "x", "none", "b"], Facts(model)) == ["d", "b"]
    d, b = run(model, x=x)
    assert (d[0, 3], b[0, 3]) == (25, 1)
    model = parse_fixture_graph(BEFORE_TEXT)
    shown = show_shapes(model, ["c", "a"])
    shapes = dict(zip(shown, run(model, x=x), strict=True))
    assert {name: shape.tolist() for name, shape in shapes.items()} == {"c": [3, 4], "a": [3, 4]}


def ground_of(before: str, after: str, rule: str = "rule") -> Ground:
    model, other = parse_fixture_graph(before), parse_fixture_graph(after)
    found = changes(model, other, Digests())
    spots = tuple(Spot((Alternative(rule, ((rule, str(at)),), each),)) for at, each in enumerate(found))
    return Ground(Path(), model, Facts(model), spots)


def test_a_region_holds_the_neighbours_of_its_place() -> None:
    ground = ground_of(BEFORE_TEXT, AFTER_TEXT)
    region = cut_region(ground, ground.spots[0])
    assert region is not None
    assert [node.op_type for node in region.models[BEFORE].graph] == ["Relu", "Pow", "Add", "Pow"]
    assert [node.op_type for node in region.models["rule"].graph] == ["Relu", "Mul", "Add", "Pow"]
    assert region.inputs == ("x",)
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    one, other = (run(model, x=x)[0] for model in region.models.values())
    np.testing.assert_allclose(one, other, rtol=1e-6)
    for model in region.models.values():
        onnx.checker.check_model(to_proto(model), full_check=True)


def test_a_place_with_a_subgraph_is_no_region() -> None:
    branches = (
        "then_branch = t () => (float[4] p) {{ p = {0}(x) }}, else_branch = e () => (float[4] q) {{ q = Neg(x) }}"
    )
    text = f"g (bool c, float[4] x) => (float[4] y) {{{{\n  y = If(c) <{branches}>\n}}}}"
    ground = ground_of(text.format("Abs"), text.format("Relu"))
    assert len(ground.spots) == 1
    assert cut_region(ground, ground.spots[0]) is None


LAYER = """g (float[n, 16] {x}) => (float[n, 16] y) <float[16, 16] w = {{{weights}}}, float {two} = {{{power}}}> {{
  {t} = MatMul({x}, w)
  y = {operator}({t}, {two})
}}"""


def signature_of(kind: str = "float(2, 16)", **changed: str) -> str:
    names = {"x": "x", "t": "t", "two": "two", "power": "2", "weights": ", ".join(["1"] * 256)} | changed
    before, after = (LAYER.format(operator=name, **names) for name in ("Pow", "Mul"))
    ground = ground_of(before, after)
    region = cut_region(ground, ground.spots[0])
    assert region is not None
    return signature(region, {names["x"]: kind}, Digests())


def test_regions_that_look_the_same_share_a_signature() -> None:
    assert signature_of() == signature_of(x="image", t="product", two="power")
    assert signature_of() == signature_of(weights=", ".join(["2"] * 256))


def test_sizes_types_and_small_constants_tell_regions_apart() -> None:
    found = {signature_of(), signature_of("float(3, 16)"), signature_of("float16(2, 16)"), signature_of(power="3")}
    assert len(found) == 4
