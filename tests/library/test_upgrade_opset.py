"""Upgrade operators whose form changed, and refuse those that mean something else."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import defs

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model
from graphopt.graph.upgrade import _STEPS, FIRST, LAST
from graphopt.kinds import Exactness
from graphopt.pipeline.context import Context
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.steps import Steps
from graphopt_passes.upgrade_opset import UpgradeOpset
from tests.library.fixture import Case, model_of
from tests.library.harness import assert_equivalent


class Judge:
    name = "upgrade-opset"
    exactness = Exactness.EXACT
    fast_math = False


def upgraded(text: str, to: int, **options: Any) -> tuple[onnx.ModelProto, int, list[str]]:
    model = Model(ir.from_proto(model_of(text)))
    context = Context(model, Steps(), **options)
    count = UpgradeOpset(to=to).run(model, context)
    return ir.to_proto(model.ir), count, [remark.text for remark in context.steps.remarks]


def header(opset: int) -> str:
    return f'<ir_version: 7, opset_import: ["" : {opset}]>\n'


CHANGED = {
    "axes": (11, "t = Unsqueeze<axes = [0]>(x) y = Squeeze<axes = [0]>(t)"),
    "sum": (12, "t = Unsqueeze<axes = [0]>(x) y = ReduceSum<axes = [0], keepdims = 0>(t)"),
    "all axes": (17, "t = ReduceMax(x) y = Sub(x, t)"),
    "some axes": (17, "t = ReduceMean<axes = [-1]>(x) y = Sub(x, t)"),
    "softmax": (11, "y = Softmax(x)"),
    "split by lengths": (12, "a, b = Split<axis = 1, split = [2, 4]>(x) y = Concat<axis = 1>(b, a)"),
    "split by count": (13, "a, b = Split<axis = 1>(x) y = Concat<axis = 1>(b, a)"),
    "dropout": (11, "y = Dropout<ratio = 0.25>(x)"),
    "types only": (11, "y = LeakyRelu<alpha = 0.1>(x)"),
}


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("to", [13, 18, 21])
def test_same_results(name: str, to: int) -> None:
    opset, body = CHANGED[name]
    text = f"{header(opset)}g (float[n, 6] x) => (float[n, 6] y) {{ {body} }}"
    after, count, _ = upgraded(text, to)
    assert count == (opset < to)
    assert after.opset_import[0].version == max(opset, to)
    onnx.checker.check_model(after, full_check=True)
    judge: Any = Judge()
    assert_equivalent(Case("rewrite", name, text), after, judge)


REFUSED = {
    "flattening softmax": (11, "y = Softmax<axis = 0>(x)"),
    "rounding up": (13, "u = Unsqueeze(x, a) p = AveragePool<kernel_shape = [2], ceil_mode = 1>(u) y = Neg(x)"),
    "older than known": (10, "y = Neg(x)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_remark(name: str) -> None:
    opset, body = REFUSED[name]
    text = f"{header(opset)}g (float[n, 6] x) => (float[n, 6] y) <int64[1] a = {{0}}> {{ {body} }}"
    after, count, remarks = upgraded(text, 21)
    assert (count, len(remarks)) == (0, 1)
    assert after == ir.to_proto(ir.from_proto(model_of(text)))


@pytest.mark.parametrize(("dtype", "op"), [("int64", "Relu"), ("double", "Elu"), ("double", "LeakyRelu")])
def test_what_the_runtime_only_expands_stays_in_the_version_where_it_does(dtype: str, op: str) -> None:
    text = f"{header(18)}g ({dtype}[n] x) => ({dtype}[n] y) {{ y = {op}(x) }}"
    _, count, remarks = upgraded(text, 21)
    assert count == 0
    assert "up to 18 only" in remarks[0]


def test_every_change_of_form_is_known() -> None:
    for schema in defs.get_all_schemas_with_history():
        if schema.domain or not FIRST < schema.since_version <= LAST:
            continue
        try:
            older = defs.get_schema(schema.name, schema.since_version - 1, "")
        except defs.SchemaError:
            continue
        attributes = {name for name, attr in schema.attributes.items() if name in older.attributes or attr.required}
        lost = set(older.attributes) - attributes
        narrower = schema.min_input > older.min_input or schema.max_output < older.max_output
        if lost or narrower or attributes - set(older.attributes):
            assert (schema.since_version, schema.name) in _STEPS


@pytest.mark.parametrize(("target", "opset"), [("portable", 13), ("ort-cpu", 21), ("tensorrt", 20)])
def test_the_target_decides(target: str, opset: int) -> None:
    text = f"{header(13)}g (float[n] x) => (float[n] y) {{ y = Neg(x) }}"
    after, _, _ = upgraded(text, 0, selection=Selection(target))
    assert after.opset_import[0].version == opset
