"""Keep ONNX's own backend tests passing: an optimized model gives what ONNX ships as the right results."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

import graphopt
from graphopt.runtime.process import Worker
from tests.system.backend_cases import VARIANTS, Case, cases, free_inputs

SHARDS = 16
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as held:
        yield held


@pytest.mark.parametrize("shard", [0, *(pytest.param(shard, marks=slow) for shard in range(1, SHARDS))])
def test_results_stay_right(shard: int, worker: Worker, tmp_path: Path) -> None:
    judged, broken = 0, {}
    for case in cases(shard, SHARDS):
        for name, vary in VARIANTS.items():
            varied = vary(case)
            fault = None if varied is None else find_fault(varied, tmp_path, worker)
            judged += fault is not None
            if fault:
                broken[f"{case.name}, {name}"] = fault
    assert broken == {}
    assert judged > 400


@slow
def test_networks_stay_right(worker: Worker, tmp_path: Path) -> None:
    networks = list(cases(-1, SHARDS, light=True))
    assert len(networks) >= 9
    assert {case.name: find_fault(case, tmp_path, worker) for case in networks} == {case.name: "" for case in networks}


def find_fault(case: Case, folder: Path, worker: Worker) -> str | None:
    """Say what is wrong with the optimized model, "" if nothing is; None if the original does not do it either."""
    before, after = folder / "before.onnx", folder / "after.onnx"
    after.unlink(missing_ok=True)
    onnx.save(case.model, before)
    reference = next((which for which in (False, True) if works(case, before, reference=which)), None)
    if reference is None:
        return None
    try:
        graphopt.optimize(before, after, verify="off", worker=worker)
    except graphopt.GraphOptError as error:
        return f"refused: {error}"
    try:
        found = run(after, case, reference=reference)
    except Exception as error:  # noqa: BLE001 - the runtimes' exceptions have no common base
        return f"does not run: {error}"[:300]
    if interface(onnx.load(after)) != interface(case.model):
        return "has another interface"
    if is_valid(before) and not is_valid(after):
        return "is not valid"
    return "" if alike(case.outputs, found, case) else "gives other results"


def works(case: Case, path: Path, *, reference: bool) -> bool:
    """Tell whether a runtime gives the shipped results, and the same twice."""
    try:
        return all(alike(case.outputs, run(path, case, reference=reference), case) for _ in range(2))
    except Exception:  # noqa: BLE001 - the runtimes' exceptions have no common base
        return False


def run(path: Path, case: Case, *, reference: bool) -> list[Any]:
    names = [value.name for value in free_inputs(case.model)]
    feeds = {name: plain(value) for name, value in zip(names, case.inputs, strict=False) if value is not None}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if reference:
            evaluator = ReferenceEvaluator(str(path))
            return list(evaluator.run(None, {name: feeds[name] for name in evaluator.input_names if name in feeds}))
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        wanted = {value.name for value in session.get_inputs()}
        return list(session.run(None, {name: value for name, value in feeds.items() if name in wanted}))


def plain(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def alike(want: Any, got: Any, case: Case) -> bool:
    """Compare as ONNX does: types and shapes exactly, numbers within the case's own tolerance."""
    want = plain(want)
    if want is None or got is None:
        return want is got
    if isinstance(want, (list, tuple)):
        same = isinstance(got, (list, tuple)) and len(want) == len(got)
        return same and all(alike(*pair, case) for pair in zip(want, got, strict=True))
    if isinstance(want, dict):
        return isinstance(got, dict) and want.keys() == got.keys() and all(alike(want[k], got[k], case) for k in want)
    one, other = np.asarray(want), np.asarray(got)
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "OSUT" or other.dtype.kind in "OSUT":
        return bool(one.astype(str).tolist() == other.astype(str).tolist())
    if one.dtype != other.dtype:
        return False
    wide = one.dtype if one.dtype.kind in "biufc" else np.dtype(np.float32)
    rtol = max(case.rtol, 2.0**-6) if one.dtype.name == "bfloat16" else case.rtol
    return bool(np.allclose(other.astype(wide), one.astype(wide), rtol=rtol, atol=case.atol, equal_nan=True))


def interface(model: onnx.ModelProto) -> tuple[list[bytes], list[bytes]]:
    sides = (free_inputs(model), list(model.graph.output))
    inputs, outputs = ([value.SerializeToString(deterministic=True) for value in side] for side in sides)
    return inputs, outputs


def is_valid(path: Path) -> bool:
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError:
        return False
    return True
