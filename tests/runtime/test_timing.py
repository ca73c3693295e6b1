from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from graphopt.runtime.process import RequestError
from graphopt.runtime.timing import TWIN, time_paired
from tests.runtime.models import FLOAT, model, save


def _chain(length: int, path: Path) -> Path:
    names = ["x", *(f"t{at}" for at in range(length - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], "w"], [names[at + 1]]) for at in range(length)]
    kind = (FLOAT, [64, 64])
    return save(model(nodes, {"x": kind}, {"y": kind}, {"w": np.eye(64, dtype=np.float32)}), path)


FEED = {"x": np.ones((64, 64), np.float32)}


def test_a_slower_model_is_told_from_the_same_one(tmp_path: Path) -> None:
    paths = {"a": _chain(4, tmp_path / "a.onnx"), "slow": _chain(40, tmp_path / "slow.onnx")}
    found = time_paired({**paths, "again": paths["a"]}, FEED, rounds=7, budget_s=3)
    assert set(found.rounds) == {TWIN, "a", "slow", "again"}
    assert {len(rounds) for rounds in found.rounds.values()} == {len(found.rounds["a"])}
    assert 3 <= len(found.rounds["a"]) <= 7
    slow = found.ratios["slow"]
    assert 2 < slow.low <= slow.median <= slow.high
    assert not slow.no_difference
    assert 0.5 < found.ratios["again"].median < 2
    assert 0 < found.median_ms("a") < found.median_ms("slow")


def test_a_model_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        time_paired({"a": _chain(1, tmp_path / "a.onnx")}, {"z": FEED["x"]})
