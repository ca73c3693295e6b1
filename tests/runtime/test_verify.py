from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from graphopt.kinds import Exactness
from graphopt.runtime.feeds import FeedsPlan, InputSpec
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import Worker
from graphopt.runtime.tolerance import Tolerance
from graphopt.runtime.verdict import Verification
from graphopt.runtime.verify import Budget, Verifier, verify
from tests.runtime.models import BOOL, FLOAT, INT64, Shape, Values, endless, model, save

EXACT = Tolerance(Exactness.EXACT)
APPROXIMATE = Tolerance(Exactness.APPROXIMATE)
LOOSE = Tolerance(Exactness.REASSOCIATES)
NAMES: dict[int, str] = {FLOAT: "float32", INT64: "int64", BOOL: "bool"}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as one:
        yield one


def _node(op: str, *operands: str, to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, operands, [to], **attributes)


def _model(
    *nodes: onnx.NodeProto,
    shape: Shape = ("n", 4),
    out: Shape = ("n", 4),
    kinds: tuple[int, int] = (FLOAT, FLOAT),
    **constants: object,
) -> onnx.ModelProto:
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return model(nodes, {"x": (kinds[0], shape)}, {"y": (kinds[1], out)}, arrays)


def _specs(inputs: Values) -> tuple[InputSpec, ...]:
    return tuple(
        InputSpec(name, NAMES[kind], None if shape is None else tuple(shape)) for name, (kind, shape) in inputs.items()
    )


class Pair:
    """Verify one model against another."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        self.worker = worker
        self.folder = folder

    def __call__(
        self,
        before: onnx.ModelProto,
        after: onnx.ModelProto,
        tolerance: Tolerance = EXACT,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        **plan: object,
    ) -> Verification:
        paths = [save(proto, self.folder / name) for proto, name in ((before, "before.onnx"), (after, "after.onnx"))]
        feeds = FeedsPlan(_read_specs(before), **plan)  # type: ignore[arg-type]
        return verify(self.worker, paths[0], paths[1], feeds, tolerance, budget)


def _read_specs(proto: onnx.ModelProto) -> tuple[InputSpec, ...]:
    kinds = {value.name: value.type.tensor_type for value in proto.graph.input}
    return _specs(
        {
            name: (kind.elem_type, [dim.dim_param or dim.dim_value for dim in kind.shape.dim])
            for name, kind in kinds.items()
        }
    )


@pytest.fixture
def pair(worker: Worker, tmp_path: Path) -> Pair:
    return Pair(worker, tmp_path)


ADD = _model(_node("Add", "x", "c"), c=np.float32(1))


def test_a_model_is_the_same_as_itself(pair: Pair) -> None:
    found = pair(ADD, ADD)
    assert (found.status, found.bit_identical, found.feeds) == ("same", True, 3)
    assert found.kinds == ("normal", "positive", "special")
    assert found.sizes[0]["n"] != found.sizes[1]["n"]
    assert found.max_ulp == found.max_relative_error == 0


def test_a_wrong_result_is_found(pair: Pair) -> None:
    found = pair(ADD, _model(_node("Add", "x", "c"), c=np.float32(1.01)))
    assert found.status == "different"
    assert "'y' is off by" in found.reason
    assert found.max_relative_error > 1e-3
    assert not found.conditioned


def test_one_unit_in_the_last_place_is_reported_but_accepted(pair: Pair) -> None:
    after = _model(_node("Add", "x", "c"), c=np.nextafter(np.float32(1), np.float32(2)))
    found = pair(ADD, after)
    assert (found.status, found.bit_identical) == ("same", False)
    assert 0 < found.max_relative_error < 2e-6
    assert found.max_ulp > 0


def test_a_result_right_for_one_size_only_is_found(pair: Pair) -> None:
    before = _model(_node("ReduceSum", "x", "axes"), axes=np.array([0]), out=(1, 4))
    after = _model(_node("Mul", "x", "one"), one=np.float32(1), out=(1, 4))
    found = pair(before, after)
    assert found.status == "different"
    assert "shape [2, 4], had [1, 4]" in found.reason


def test_a_broadcast_result_of_another_shape_is_found(pair: Pair) -> None:
    before = _model(_node("ReduceMax", "x", "axes", keepdims=1), axes=np.array([1]), out=("n", None))
    after = _model(_node("ReduceMax", "x", "axes", keepdims=0), axes=np.array([1]), out=None)
    before.graph.output[0].type.CopyFrom(after.graph.output[0].type)
    found = pair(before, after)
    assert found.status == "different"
    assert "shape" in found.reason


def test_nan_in_another_place_is_found(pair: Pair) -> None:
    before = _model(_node("Mul", "x", "zero"), zero=np.float32(0))
    after = _model(_node("Mul", "a", "zero"), zero=np.float32(0))
    after.graph.node.insert(0, _node("Clip", "x", "low", "high", to="a"))
    after.graph.initializer.extend(
        [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("low", -9), ("high", 9))]
    )
    found = pair(before, after)
    assert found.status == "different"
    assert "in other places" in found.reason


def test_the_sign_of_an_infinity_counts_for_exact_rewrites_only(pair: Pair) -> None:
    before = _model(_node("Identity", "x"))
    inner = [_node("IsInf", "x", to="i"), _node("Abs", "x", to="a"), _node("Where", "i", "a", "x")]
    after = _model(*inner)
    assert pair(before, after).status == "different"
    assert pair(before, after, LOOSE).status == "same"


def test_nan_may_spread_and_not_vanish_where_rewrites_approximate(pair: Pair) -> None:
    before = _model(_node("Identity", "x"))
    # Zero times what is not finite is NaN: it reaches the whole row.
    inner = [_node("Mul", "x", "zero", to="z"), _node("ReduceSum", "z", to="s", keepdims=1), _node("Add", "x", "s")]
    spread = _model(*inner, zero=np.float32(0))
    assert pair(before, spread, LOOSE).status == "different"
    assert pair(before, spread, APPROXIMATE).status == "same"
    clipped = _model(_node("Max", "x", "low"), low=np.float32(-9))
    found = pair(before, clipped, APPROXIMATE)
    assert found.status == "different"
    assert "a number where it had none" in found.reason


def test_integers_are_compared_exactly(pair: Pair) -> None:
    before = _model(_node("Cast", "x", to="y"), kinds=(FLOAT, INT64))
    before.graph.node[0].attribute.append(helper.make_attribute("to", INT64))
    after = onnx.ModelProto()
    after.CopyFrom(before)
    after.graph.node[0].output[0] = "t"
    after.graph.node.append(_node("Add", "t", "one"))
    after.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "one"))
    found = pair(before, after, LOOSE)
    assert found.status == "different"
    assert "100.000% of its elements" in found.reason


def test_another_interface_is_found(pair: Pair) -> None:
    after = _model(_node("Add", "x", "c", to="z"), c=np.float32(1))
    after.graph.output[0].name = "z"
    assert "names or types" in pair(ADD, after).reason


def test_a_result_that_does_not_load_is_different(pair: Pair) -> None:
    after = _model(_node("Reshape", "x", "s"), s=np.array([[3.0]], np.float32))
    found = pair(ADD, after)
    assert found.status == "different"
    assert "does not run" in found.reason


def _crashing(divisor: int) -> onnx.ModelProto:
    nodes = [_node("Div", "x", "d", to="q"), _node("Div", "low", "d", to="e"), _node("Add", "q", "e")]
    low = np.array([-(2**63)])
    return _model(*nodes, d=np.array([divisor]), low=low, shape=(4,), out=(4,), kinds=(INT64, INT64))


def test_a_result_that_crashes_the_runtime_is_different(pair: Pair) -> None:
    found = pair(_crashing(1), _crashing(-1))
    assert found.status == "different"
    assert "SIGFPE" in found.reason


def test_an_original_that_crashes_the_runtime_is_not_run(pair: Pair) -> None:
    found = pair(_crashing(-1), _crashing(-1))
    assert found.status == "not-run"
    assert "SIGFPE" in found.reason


def test_an_original_that_never_ends_is_not_run(pair: Pair) -> None:
    proto = onnx.load_from_string(endless())
    found = pair(proto, proto, budget=Budget(seconds=0.5))
    assert found.status == "not-run"
    assert "no answer in 0.5 s" in found.reason


def test_an_original_without_a_kernel_is_not_run(pair: Pair) -> None:
    before = _model(helper.make_node("Magic", ["x"], ["y"], domain="else.where"))
    before.opset_import.append(helper.make_opsetid("else.where", 1))
    found = pair(before, before)
    assert found.status == "not-run"
    assert "cannot run the original" in found.reason


def test_an_input_that_is_no_tensor_is_not_run(worker: Worker, tmp_path: Path) -> None:
    path = save(ADD, tmp_path / "m.onnx")
    plan = FeedsPlan((InputSpec("x", "", None, drawable=False),))
    assert verify(worker, path, path, plan, EXACT).status == "not-run"


def _random(seed: float) -> onnx.ModelProto:
    return _model(_node("RandomNormalLike", "x", to="r", seed=seed), _node("Add", "x", "r"))


def test_random_models_are_compared_by_shape_and_dtype(pair: Pair) -> None:
    found = pair(_random(1.0), _random(2.0), random=True)
    assert (found.status, found.values_compared, found.bit_identical) == ("same", False, False)
    assert pair(_random(1.0), _random(2.0)).status == "different"
    flat = _model(_node("RandomNormalLike", "x", to="r"), _node("ReduceSum", "r", "a"), a=np.array([1]))
    assert pair(_random(1.0), flat, random=True).status == "different"


def _ill(order: tuple[str, str]) -> onnx.ModelProto:
    """Amplify what is lost when 1e7 is added and taken away."""
    nodes = [_node("Add", "x", order[0], to="a"), _node("Add", "a", order[1], to="b"), _node("Mul", "b", "k")]
    return _model(*nodes, large=np.float32(1e3), minus=np.float32(-1e3), k=np.float32(1))


def test_a_difference_within_the_conditioning_is_accepted_and_said(pair: Pair) -> None:
    # sin(1e5 x): a last place of x moves the result by far more than the tolerance.
    before = _model(_node("Mul", "x", "k", to="a"), _node("Sin", "a"), k=np.float32(1e5))
    halves = [_node("Mul", "x", "k", to="a"), _node("Mul", "a", "l", to="b"), _node("Sin", "b")]
    after = _model(*halves, k=np.float32(1e2), l=np.float32(1e3))
    found = pair(before, after, LOOSE)
    assert (found.status, found.conditioned) == ("same", True)
    assert found.max_relative_error > LOOSE.limit("float32")
    wrong = _model(*halves, k=np.float32(1e2), l=np.float32(1.001e3))
    assert pair(before, _model(_node("Sin", "x")), LOOSE).status == "different" == pair(before, wrong, LOOSE).status


def test_cancellation_beyond_the_conditioning_is_different(pair: Pair) -> None:
    # (x + 1000) - 1000 loses digits that x itself has: the runtime's noise does not excuse it.
    assert pair(_model(_node("Identity", "x")), _ill(("large", "minus")), EXACT).status == "different"


def test_weights_are_nudged_where_no_input_is_a_float(pair: Pair) -> None:
    table = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32) * 1e5
    before = _model(
        _node("Gather", "t", "x", to="a"), _node("Sin", "a"), t=table, shape=(5,), out=(5, 4), kinds=(INT64, FLOAT)
    )
    moved = np.nextafter(table, np.float32(np.inf))
    after = _model(
        _node("Gather", "t", "x", to="a"), _node("Sin", "a"), t=moved, shape=(5,), out=(5, 4), kinds=(INT64, FLOAT)
    )
    assert pair(before, after, LOOSE).status == "different"
    found = pair(before, after, LOOSE, nudgeable={"t": table})
    assert (found.status, found.conditioned) == ("same", True)


def test_given_feeds_are_used(worker: Worker, tmp_path: Path) -> None:
    path = save(ADD, tmp_path / "m.onnx")
    feeds = tuple({"x": np.full((size, 4), size, np.float32)} for size in (1, 5, 6, 7))
    found = verify(worker, path, path, FeedsPlan(given=feeds), EXACT)
    assert (found.status, found.kinds) == ("same", ("given",) * 3)


def test_a_given_feed_that_does_not_fit_is_not_run(worker: Worker, tmp_path: Path) -> None:
    path = save(ADD, tmp_path / "m.onnx")
    found = verify(worker, path, path, FeedsPlan(given=({"z": np.zeros(1, np.float32)},)), EXACT)
    assert found.status == "not-run"


def test_sequences_are_compared_element_by_element(pair: Pair) -> None:
    def split(value: float) -> onnx.ModelProto:
        proto = _model(_node("Add", "x", "c", to="a"), _node("SplitToSequence", "a", axis=0), c=np.float32(value))
        proto.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", FLOAT, None))
        return proto

    assert pair(split(1), split(1)).status == "same"
    found = pair(split(1), split(2))
    assert found.status == "different"
    assert "y[0]" in found.reason


def test_slow_models_are_fed_once(pair: Pair) -> None:
    assert pair(ADD, ADD, budget=Budget(slow_seconds=0)).feeds == 1


def test_the_original_runs_once_for_many_results(worker: Worker, tmp_path: Path) -> None:
    before = save(ADD, tmp_path / "before.onnx")
    wrong = save(_model(_node("Add", "x", "c"), c=np.float32(2)), tmp_path / "wrong.onnx")
    crash = save(_crashing(-1), tmp_path / "crash.onnx")
    verifier = Verifier(worker, before, FeedsPlan(_read_specs(ADD)))
    assert verifier.judge(before, EXACT).status == "same"
    before.rename(tmp_path / "moved.onnx")
    same = tmp_path / "moved.onnx"
    assert verifier.judge(wrong, LOOSE).status == "different"
    assert verifier.judge(same, EXACT).status == "same"
    assert verifier.judge(crash, EXACT).status == "different"
    (tmp_path / "moved.onnx").rename(before)
    # The child may have died with the results: they are made again.
    worker.close()
    assert verifier.judge(before, EXACT).status == "same"


def test_memory_is_bounded(pair: Pair) -> None:
    proto = _model(
        _node("ConstantOfShape", "s", to="b"),
        _node("ReduceMax", "b", to="m", keepdims=0),
        _node("Add", "x", "m"),
        s=np.array([20_000, 20_000]),
    )
    found = pair(proto, proto, budget=Budget(memory_bytes=512 << 20))
    assert found.status == "not-run"
    assert "memory" in found.reason
    assert Budget(seconds=1, memory_bytes=5).limits(10**9) == Limits(5, None, 1)


def test_results_that_can_only_be_empty_are_compared(pair: Pair) -> None:
    nothing = np.array([0])
    before = _model(_node("Slice", "x", "start", "end"), start=nothing, end=nothing)
    found = pair(before, before)
    assert (found.status, found.notes) == ("same", ("all results are empty",))
    after = _model(_node("Slice", "x", "start", "end", "axis"), axis=np.array([1]), start=nothing, end=nothing)
    assert pair(before, after).status == "different"


def test_sizes_that_leave_the_results_empty_are_passed_over(pair: Pair) -> None:
    # Rows from the second on: with one row nothing is left to compare.
    before = _model(_node("Slice", "x", "start", "end"), start=np.array([1]), end=np.array([99]))
    assert pair(before, before).sizes[0]["n"] > 1


def test_the_original_runs_in_the_background_while_others_use_the_child(tmp_path: Path) -> None:
    path = save(_model(_node("Exp", "x")), tmp_path / "a.onnx")
    other = save(_model(_node("Log", "x")), tmp_path / "b.onnx")
    with Worker() as one:
        verifier = Verifier(one, path, FeedsPlan(_specs({"x": (FLOAT, ("n", 4))})))
        verifier.observe_ahead()
        for _ in range(20):
            one.request("ping", {})
        assert verifier.judge(path, EXACT).status == "same"
        assert verifier.judge(other, LOOSE).status == "different"


def test_a_child_that_dies_in_between_costs_a_second_run(tmp_path: Path) -> None:
    path = save(_model(_node("Exp", "x")), tmp_path / "a.onnx")
    for _ in range(5):
        with Worker() as one:
            verifier = Verifier(one, path, FeedsPlan(_specs({"x": (FLOAT, ("n", 4))})))
            verifier.observe_ahead()
            one.request("ping", {})
            one.close()
            assert verifier.judge(path, EXACT).status == "same"


def test_stop_ends_an_original_that_runs(tmp_path: Path) -> None:
    path = save(onnx.load_from_string(endless()), tmp_path / "endless.onnx")
    with Worker() as one:
        verifier = Verifier(one, path, FeedsPlan(_specs({})), Budget(seconds=60))
        verifier.observe_ahead()
        one.request("ping", {})
        verifier.stop()
        assert one.request("ping", {})[0]["pid"] == one.pid
