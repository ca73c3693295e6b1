"""Apply one rule to a small model, run models, and compare what they give."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, helper
from onnx.reference import ReferenceEvaluator

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model
from graphopt.kinds import EXACTNESS_ORDER, Exactness
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import RulesPass
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.pattern import Bind, NodePattern, parse
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Steps
from graphopt_passes import PASSES
from tests.library.draws import Draw, draws, is_native
from tests.library.fixture import Case, model_of

__all__ = ["RULES", "apply_rule", "assert_equivalent", "bound_names", "without"]

Array = np.ndarray[Any, Any]
RULES: dict[str, Rule] = {entry.name: entry for entry in PASSES if isinstance(entry, Rule)}

ROUNDINGS = {"float16": 8, "bfloat16": 8, "float32": 64, "float64": 64}
"""Units in the last place of the largest magnitude that reordering floats may cost, by dtype."""
APPROXIMATE = 2e-5
RUNNABLE = 7
"""The first opset of which the runtimes have all operators; what is older they may refuse."""


def apply_rule(rule: Rule, model: ModelProto, steps: Steps | None = None) -> tuple[ModelProto, int]:
    """Run `rule` alone over a copy of `model`; return the result and the number of rewrites."""
    work = Model(ir.from_proto(model))
    target = rule.targets[0] if rule.targets else "portable"
    selection = Selection(target=target, fast_math=True, allowed=tuple(EXACTNESS_ORDER))
    context = Context(work, steps or Steps(), selection)
    count = RulesPass(rule.name, (rule,)).run(work, context)
    proto: ModelProto = ir.to_proto(work.ir)
    return proto, count


def without(rule: Rule, index: int) -> Rule:
    """Return `rule` with the condition of that index left out."""
    return dataclasses.replace(rule, where=rule.where[:index] + rule.where[index + 1 :])


def bound_names(text: str) -> set[str]:
    """Return the names that stand in a pattern or a replacement."""
    found: set[str] = set()
    todo: list[Any] = list(parse(text))
    while todo:
        item = todo.pop()
        if isinstance(item, NodePattern):
            found.update(item.outputs, (name for _, (kind, name) in item.attrs if kind == "bind"))
            todo.extend(item.inputs)
        elif isinstance(item, Bind):
            found.add(item.name)
    return found - {""}


def assert_equivalent(case: Case, after: ModelProto, rule: Rule) -> None:
    """Assert that `after` gives what the case's model gives, wherever that runs at all, of the types it declares."""
    before = model_of(case.before)
    rng = np.random.default_rng(zlib.crc32(f"{rule.name}/{case.title}".encode()))
    special = rule.exactness is Exactness.EXACT and not rule.fast_math
    runners: tuple[_Runner, _Runner] | None = None
    judged = 0
    for draw in draws(before, rng, case.choices, special=special):
        try:
            runners = runners or (_Runner(before), _Runner(after))
        except RuntimeError:
            if before.opset_import[0].version >= RUNNABLE:
                raise
            return
        expected = runners[0].try_run(draw.inputs)
        if expected is None:
            continue
        actual = runners[1].run(draw.inputs)
        for value, want, got in zip(before.graph.output, expected, actual, strict=True):
            _assert_declared(value, want, draw)
            for one, other in zip(_flat(want), _flat(got), strict=True):
                _assert_close(one, other, rule.exactness, f"{case.title}: {value.name} with sizes {draw.sizes}")
        judged += 1
    assert judged, f"{case.title}: the model runs on no drawn input"


class _Runner:
    """A model in onnxruntime without its optimizer, or where that has no kernel in the reference evaluator."""

    def __init__(self, model: ModelProto) -> None:
        self.session: Any = None
        if is_native(model):
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 4
            try:
                self.session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
            except (RuntimeError, ValueError, ort.capi.onnxruntime_pybind11_state.NotImplemented):
                self.session = None
        self.reference = None if self.session is not None else ReferenceEvaluator(model)

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        """Return the outputs."""
        with np.errstate(all="ignore"):
            results = self.session.run(None, inputs) if self.session else self.reference.run(None, inputs)  # type: ignore[union-attr]
        return list(results)

    def try_run(self, inputs: dict[str, Any]) -> list[Any] | None:
        """Return the outputs, or None if the model does not take these inputs."""
        try:
            return self.run(inputs)
        except Exception:  # noqa: BLE001 - the runtimes raise whatever they like on sizes that do not fit
            return None


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for inner in value:
            yield from _flat(inner)
    elif value is not None:
        yield value


def _assert_declared(value: Any, result: Any, draw: Draw) -> None:
    """Assert that a result has the element type and the dimensions that its declaration promises."""
    if not isinstance(result, np.ndarray) or not value.type.HasField("tensor_type"):
        return
    tensor = value.type.tensor_type
    assert result.dtype == helper.tensor_dtype_to_np_dtype(tensor.elem_type), value.name
    if not tensor.HasField("shape"):
        return
    assert len(tensor.shape.dim) == result.ndim, f"{value.name}: declared another rank than {result.shape}"
    for dim, size in zip(tensor.shape.dim, result.shape, strict=True):
        promised = dim.dim_value if dim.HasField("dim_value") else draw.sizes.get(dim.dim_param)
        assert promised is None or promised == size, f"{value.name}: declared {dim}, got {result.shape}"


def _assert_close(want: Any, got: Any, exactness: Exactness, where: str) -> None:
    want, got = np.asarray(want), np.asarray(got)
    assert want.dtype == got.dtype, f"{where}: {want.dtype} became {got.dtype}"
    assert want.shape == got.shape, f"{where}: {want.shape} became {got.shape}"
    if want.dtype.kind in "OSU":
        assert want.tolist() == got.tolist(), where
        return
    if exactness is Exactness.EXACT or want.dtype.kind in "iub":
        wide = want.dtype if want.dtype.kind in "iufbc" else np.float32
        np.testing.assert_array_equal(got.astype(wide), want.astype(wide), err_msg=where)
        return
    first, second = want.astype(np.float64), got.astype(np.float64)
    if not np.isfinite(first).all() or not first.size:
        return
    error = np.abs(first - second).max() / max(np.abs(first).max(), np.finfo(np.float32).tiny)
    assert error <= tolerance(exactness, want.dtype), f"{where}: relative error {error:.3g}"


def tolerance(exactness: Exactness, dtype: Any) -> float:
    """Return the error allowed, relative to the largest magnitude."""
    epsilon = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}.get(dtype.name, 2.0**-52)
    rounding = ROUNDINGS.get(dtype.name, 64) * epsilon
    return rounding if exactness is Exactness.REASSOCIATES else max(rounding, APPROXIMATE)
