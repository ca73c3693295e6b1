"""Measure on an NVIDIA GPU; `nox -s gpu` runs this where one is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from graphopt.cli import main
from graphopt.runtime.turns import Contender, Stand
from tests.runtime.models import FLOAT, Array, Shape, model, save

pytestmark = pytest.mark.skipif("GRAPHOPT_GPU" not in os.environ, reason="`nox -s gpu` runs it where a GPU is")

BOTH = pytest.mark.parametrize(
    ("name", "full_name"), [("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)


def chain(length: int, size: int, path: Path) -> Path:
    weight = np.random.default_rng(1).normal(0, size**-0.5, (size, size)).astype(np.float32)
    nodes = [helper.make_node("MatMul", [f"t{at}", "w"], [f"t{at + 1}"]) for at in range(length)]
    kind: tuple[int, Shape] = (FLOAT, ["n", size])
    return save(model(nodes, {"t0": kind}, {f"t{length}": kind}, {"w": weight}), path)


def feed(rows: int, size: int) -> dict[str, Array]:
    return {"t0": np.random.default_rng(2).normal(size=(rows, size)).astype(np.float32)}


@BOTH
def test_it_is_measured_beside_the_cpu(
    name: str, full_name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = chain(4, 256, tmp_path / "m.onnx")
    with pytest.raises(SystemExit) as end:
        main(["bench", str(path), "--ep", f"cpu,{name}", "--budget", "3", "--format", "json"])
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (0, "")
    _, gpu = json.loads(out)["entries"]
    assert {share["provider"] for share in gpu["shares"]} == {full_name}
    assert gpu["quality"]["error"] < 1e-5
    assert gpu["latency"]["median_ms"] > 0
    assert gpu["chosen"]["precision"] == "f32, without TF32"
    assert gpu["chosen"]["device"]


@BOTH
def test_a_bound_inference_is_over_when_it_returns(name: str, full_name: str, tmp_path: Path) -> None:
    """32 products of 4096 x 4096 take a thousand times as long as the call that starts them."""
    seconds = {}
    for length in (1, 32):
        with Stand(Contender("m", chain(length, 4096, tmp_path / f"{length}.onnx"), name)) as stand:
            assert set(stand.open()["placement"]) == {full_name}
            stand.feed(feed(4096, 4096))
            stand.first()
            seconds[length] = float(np.median(stand.batch(5)))
    assert 20 < seconds[32] / seconds[1] < 40


def test_engines_are_kept(tmp_path: Path) -> None:
    options: dict[str, Any] = {"cache": str(tmp_path / "cache")}
    first = []
    for _ in range(2):
        with Stand(Contender("m", chain(16, 512, tmp_path / "m.onnx"), "tensorrt", options)) as stand:
            stand.open()
            stand.feed(feed(64, 512))
            first.append(stand.first()[0])
    assert list((tmp_path / "cache" / "f32").glob("*.engine"))
    assert first[1] < first[0] / 2
