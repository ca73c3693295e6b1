"""Optimize real models and hold the results to what is promised of them.

Only models that are in the cache already are used, beside the one that graphopt ships; with GRAPHOPT_ZOO=1 in the
environment, which `nox -s full` sets, the others are downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

import graphopt
from benchmarks.zoo import ZooModel, cache_folder, cached, catalogue, fetch
from graphopt import demo
from graphopt.pipeline.manifest import KEY
from graphopt.pipeline.report import Report
from graphopt.runtime.process import Worker

pytestmark = pytest.mark.zoo

DEMO = ZooModel("demo", "graphopt", graphopt.__version__, "", "", "Apache-2.0", "the network of `graphopt demo`")
MAY_DOWNLOAD = os.environ.get("GRAPHOPT_ZOO") == "1"
MODELS = [DEMO, *(one for one in catalogue() if MAY_DOWNLOAD or cache_folder().joinpath(one.place).is_file())]


@dataclass(frozen=True)
class Case:
    """A model before and after, the result optimized again, and the report of the first run."""

    before: Path
    after: Path
    again: Path
    report: Report

    def protos(self) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        """Read the model before and after."""
        return onnx.load(self.before), onnx.load(self.after)


def locate(model: ZooModel) -> Path:
    if model is DEMO:
        return demo.MODEL
    path = cached(model, cache_folder())
    if path is None and not MAY_DOWNLOAD:
        pytest.skip(f"the cache holds another {model.place}; GRAPHOPT_ZOO=1 downloads it anew")
    return path or fetch([model], cache_folder())[model.name]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.name)
def case(request: pytest.FixtureRequest, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Case:
    before = locate(request.param)
    folder = tmp_path_factory.mktemp(request.param.name)
    after, again = folder / "after.onnx", folder / "again.onnx"
    report = graphopt.optimize(before, after, worker=worker).report
    graphopt.optimize(after, again, worker=worker, verify="off")
    return Case(before, after, again, report)


def test_the_result_computes_the_same(case: Case) -> None:
    found = case.report.verification
    assert (found.status, case.report.rolled_back) == ("same", ())
    assert found.feeds > 0
    assert "empty" not in found.detail


def test_the_result_is_valid(case: Case) -> None:
    onnx.checker.check_model(case.after, full_check=True)


def test_inputs_and_outputs_keep_name_type_and_shape(case: Case) -> None:
    before, after = case.protos()
    frozen = {tensor.name for tensor in before.graph.initializer}
    assert [value for value in after.graph.input if value.name not in frozen] == [
        value for value in before.graph.input if value.name not in frozen
    ]
    assert list(after.graph.output) == list(before.graph.output)


def test_versions_and_metadata_stay(case: Case) -> None:
    before, after = case.protos()
    assert after.ir_version == before.ir_version
    assert {(each.domain, each.version) for each in after.opset_import} == {
        (each.domain, each.version) for each in before.opset_import
    }
    kept = [(each.key, each.value) for each in after.metadata_props if each.key != KEY]
    assert sorted(kept) == sorted((each.key, each.value) for each in before.metadata_props)
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        assert getattr(after, field) == getattr(before, field)


def test_a_second_run_changes_no_byte(case: Case) -> None:
    assert case.again.read_bytes() == case.after.read_bytes()


def test_the_result_is_not_bigger(case: Case) -> None:
    assert case.report.after.nodes <= case.report.before.nodes
    assert case.after.stat().st_size <= 1.1 * case.before.stat().st_size + (1 << 20)
