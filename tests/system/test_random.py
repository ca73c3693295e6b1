"""Optimize random graphs: the same results, valid, with the same interface, and nothing left for a second run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st

import graphopt
from graphopt.kinds import Exactness
from graphopt.pipeline.registry import installed
from graphopt.runtime.process import Worker
from graphopt.runtime.tolerance import Tolerance
from tests.system.random_models import BATCH, models

Array = np.ndarray[Any, Any]
FIXTURES = Path(__file__).parents[1] / "regressions"
EPSILON = 2.0**-23
NUDGES = 32
"""Times the effect of one rounding of the inputs that a result may be off: a drawn graph may cancel all but that."""
quick = settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
many = settings(quick, max_examples=3000)
NAMES = (
    "simplify",
    "recognize",
    "fuse",
    "fold-constants",
    "eliminate-common",
    "eliminate-dead",
    "inline-if",
    "deduplicate-initializers",
)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as held:
        yield held


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random")


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def draw_feeds(model: onnx.ModelProto, batch: int, *, special: bool) -> dict[str, Array]:
    rng = np.random.default_rng(batch)
    feeds = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [batch if dim.dim_param == BATCH else dim.dim_value for dim in kind.shape.dim]
        array = np.asarray(rng.standard_normal(shape) * 2)
        if special:
            odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 0.5, -2.5, 1e30])
            array = np.where(rng.random(shape) < 0.4, rng.choice(odd, shape), array)
        if kind.elem_type == onnx.TensorProto.FLOAT:
            feeds[value.name] = np.asarray(array, np.float32)
        elif kind.elem_type == onnx.TensorProto.INT64:
            feeds[value.name] = np.asarray(rng.integers(-9, 9, shape), np.int64)
        else:
            feeds[value.name] = np.asarray(rng.random(shape) < 0.5)
    return feeds


def assert_kept(model: onnx.ModelProto, place: Path, worker: Worker, *, exact: bool, pipeline: str = "default") -> Path:
    """Optimize `model` and compare; return the file of the result."""
    before, after = place / "before.onnx", place / "after.onnx"
    onnx.save(model, before)
    onnx.checker.check_model(model, full_check=True)
    if currently_in_test_context():
        note(onnx.printer.to_text(model))
    report = graphopt.optimize(before, after, exact=exact, pipeline=pipeline, verify="off", worker=worker).report
    result = onnx.load(after)
    assert list(result.graph.input) == list(model.graph.input)
    assert list(result.graph.output) == list(model.graph.output)
    onnx.checker.check_model(result, full_check=True)
    if not report.rules:
        assert after.read_bytes() == before.read_bytes()
        return after
    one, other = session(before), session(after)
    for batch in (1, 3):
        feeds = draw_feeds(model, batch, special=exact)
        wanted = one.run(None, feeds)
        nudged = wanted if exact else one.run(None, {name: nudge(array) for name, array in feeds.items()})
        for value, *arrays in zip(model.graph.output, wanted, other.run(None, feeds), nudged, strict=True):
            assert_close(value.name, *arrays, exact=exact)
    return after


def nudge(array: Array) -> Array:
    return np.asarray(array * np.float32(1 + EPSILON)) if array.dtype == np.float32 else array


def assert_close(name: str, want: Any, got: Any, nudged: Any, *, exact: bool) -> None:
    if isinstance(want, list):
        for each in zip(want, got, nudged, strict=True):
            assert_close(name, *each, exact=exact)
        return
    assert (want.dtype, want.shape) == (got.dtype, got.shape), name
    if exact or want.dtype != np.float32:
        np.testing.assert_array_equal(got, want, err_msg=name)
        return
    if not np.isfinite(want).all() or not want.size:
        return  # where floats overflow, their order decides
    limit = Tolerance(Exactness.REASSOCIATES).limit("float32") * float(np.abs(want).max(initial=0))
    moved = float(np.abs(nudged - want).max(initial=0))
    error = float(np.abs(got.astype(np.float64) - want).max(initial=0))
    assert error <= max(limit, NUDGES * moved, EPSILON), f"{name}: off by {error:g}"


def assert_settled(path: Path, worker: Worker, *, exact: bool) -> None:
    again = path.with_name("again.onnx")
    graphopt.optimize(path, again, exact=exact, verify="off", worker=worker)
    assert again.read_bytes() == path.read_bytes(), "a second run changes more"


def check_preset(model: onnx.ModelProto, place: Path, worker: Worker, *, exact: bool) -> None:
    assert_settled(assert_kept(model, place, worker, exact=exact), worker, exact=exact)


def check_pair(model: onnx.ModelProto, pair: list[str], place: Path, worker: Worker, *, exact: bool) -> None:
    for first, second in (pair, pair[::-1]):
        pipeline = f"lift-constants, {first}, {second}"
        assert_kept(model, place, worker, exact=exact, pipeline=pipeline)


PAIRS = st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True)
RULES = st.lists(st.sampled_from(sorted(installed().rules)), min_size=2, max_size=2, unique=True)


@quick
@given(models("smooth"))
def test_preset(worker: Worker, place: Path, model: onnx.ModelProto) -> None:
    check_preset(model, place, worker, exact=False)


@quick
@given(models("exact"))
def test_preset_to_the_last_bit(worker: Worker, place: Path, model: onnx.ModelProto) -> None:
    check_preset(model, place, worker, exact=True)


@quick
@given(models("smooth"), PAIRS)
def test_pairs_of_passes(worker: Worker, place: Path, model: onnx.ModelProto, pair: list[str]) -> None:
    check_pair(model, pair, place, worker, exact=False)


@quick
@given(models("exact"), PAIRS)
def test_pairs_of_passes_to_the_last_bit(worker: Worker, place: Path, model: onnx.ModelProto, pair: list[str]) -> None:
    check_pair(model, pair, place, worker, exact=True)


@pytest.mark.slow
@many
@given(models("smooth"))
def test_preset_on_many(worker: Worker, place: Path, model: onnx.ModelProto) -> None:
    check_preset(model, place, worker, exact=False)


@pytest.mark.slow
@many
@given(models("exact"))
def test_preset_to_the_last_bit_on_many(worker: Worker, place: Path, model: onnx.ModelProto) -> None:
    check_preset(model, place, worker, exact=True)


@pytest.mark.slow
@many
@given(models("smooth", "exact"), RULES)
def test_pairs_of_rules(worker: Worker, place: Path, model: onnx.ModelProto, pair: list[str]) -> None:
    check_pair(model, pair, place, worker, exact=True)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.onnxtxt")), ids=lambda path: path.stem)
def test_regressions(path: Path, worker: Worker, place: Path) -> None:
    """What once broke, shrunk and named after what broke."""
    model = onnx.parser.parse_model(path.read_text(encoding="utf-8"))
    for node in model.graph.node:
        if not node.domain:
            node.ClearField("domain")  # which the parser writes out
    for exact in (False, True):
        check_preset(model, place, worker, exact=exact)
