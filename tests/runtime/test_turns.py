from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from graphopt.runtime.process import RequestError
from graphopt.runtime.ratios import estimate
from graphopt.runtime.turns import TWIN, time_paired
from tests.runtime.models import FLOAT, model, save


def _chain(length: int, path: Path) -> Path:
    names = ["x", *(f"t{at}" for at in range(length - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], "w"], [names[at + 1]]) for at in range(length)]
    kind = (FLOAT, [64, 64])
    return save(model(nodes, {"x": kind}, {"y": kind}, {"w": np.eye(64, dtype=np.float32)}), path)


FEED = {"x": np.ones((64, 64), np.float32)}


def test_a_slower_model_is_told_from_the_same_one(tmp_path: Path) -> None:
    paths = {"a": _chain(4, tmp_path / "a.onnx"), "slow": _chain(40, tmp_path / "slow.onnx")}
    found = time_paired({**paths, "again": paths["a"]}, FEED, budget_s=2)
    assert set(found.rounds) == {TWIN, "a", "slow", "again"}
    assert {tuple(map(len, rows)) for rows in found.rounds.values()} == {tuple(map(len, found.rounds["a"]))}
    assert found.count >= 3
    assert len(found.samples["a"]) == found.count * found.batch
    slow = found.ratios["slow"]
    assert 2 < slow.low <= slow.median <= slow.high
    assert not slow.no_difference
    assert 0.5 < found.ratios["again"].median < 2
    assert 0 < found.median_ms("a") < found.median_ms("slow")


def test_the_interval_of_equal_times_covers_one() -> None:
    """Rounds share an offset with their opening, as they do in memory; the interval must know."""
    generator = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        offsets = generator.normal(0, 0.02, (2, 8, 1))
        noise = generator.normal(0, 0.03, (2, 8, 10))
        a, b = np.exp(offsets + noise).tolist()
        found = estimate(a, b, trial)
        covered += found.low <= 1 <= found.high
    assert 180 <= covered < 200


def test_a_few_percent_are_seen() -> None:
    generator = np.random.default_rng(8)
    a, b = np.exp(generator.normal(0, 0.02, (2, 8, 20)))
    found = estimate((1.05 * a).tolist(), b.tolist())
    assert 1 < found.low < 1.05 < found.high < 1.07


def test_a_model_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        time_paired({"a": _chain(1, tmp_path / "a.onnx")}, {"z": FEED["x"]})
