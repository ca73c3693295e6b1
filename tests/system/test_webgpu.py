"""Run models on WebGPU over the software adapter that a browser brings; CI has one, elsewhere it may be missing."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from graphopt.cli import main
from graphopt.runtime.providers.webgpu import SOFTWARE_DRIVERS
from graphopt.runtime.turns import Contender, Stand
from tests.runtime.models import FLOAT, Array, model, save

DRIVERS = [os.environ.get("VK_ICD_FILENAMES", ""), *SOFTWARE_DRIVERS]
DRIVER = next((path for path in DRIVERS if Path(path).is_file()), "")
pytestmark = pytest.mark.skipif(
    not os.environ.get("CI") and not (DRIVER and importlib.util.find_spec("onnxruntime_ep_webgpu")),
    reason="needs graphopt[webgpu], and chromium's software adapter",
)


def _drawn(seed: int, *shape: int) -> Array:
    generator = np.random.default_rng(seed)
    return generator.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)


def cnn() -> onnx.ModelProto:
    weights = {"w1": _drawn(1, 8, 3, 3, 3), "b1": _drawn(2, 8), "w2": _drawn(3, 16, 8, 3, 3), "w3": _drawn(4, 10, 16)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    return model(nodes, {"x": (FLOAT, [1, 3, 16, 16])}, {"y": (FLOAT, [1, 10])}, weights)


def mlp() -> onnx.ModelProto:
    weights = {"w1": _drawn(5, 32, 64), "b1": _drawn(6, 64), "w2": _drawn(7, 64, 64), "w3": _drawn(8, 64, 10)}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], ["a1"]),
        helper.make_node("Gelu", ["a1"], ["g1"]),
        helper.make_node("MatMul", ["g1", "w2"], ["m2"]),
        helper.make_node("Tanh", ["m2"], ["t2"]),
        helper.make_node("Gemm", ["t2", "w3"], ["h"]),
        helper.make_node("Softmax", ["h"], ["y"], axis=-1),
    ]
    return model(nodes, {"x": (FLOAT, ["n", 32])}, {"y": (FLOAT, ["n", 10])}, weights)


def int4() -> onnx.ModelProto:
    generator = np.random.default_rng(9)
    packed = generator.integers(0, 256, (64, 4, 16), dtype=np.uint8)
    scales = generator.uniform(0.01, 0.02, 64 * 4).astype(np.float32)
    nodes = [
        helper.make_node(
            "MatMulNBits", ["x", "w", "s"], ["m"], domain="com.microsoft", K=128, N=64, bits=4, block_size=32
        ),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    proto = model(nodes, {"x": (FLOAT, [2, 128])}, {"y": (FLOAT, [2, 64])}, {"w": packed, "s": scales})
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


@pytest.mark.parametrize(("made", "bound"), [(cnn, 1e-5), (mlp, 1e-5), (int4, 1e-4)])
def test_models_run_wholly_on_it(
    made: Callable[[], onnx.ModelProto], bound: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(save(made(), tmp_path / "m.onnx"))
    given = ["bench", path, "--ep", "cpu,webgpu", "--software-adapter", "--budget", "0.2"]
    with pytest.raises(SystemExit) as end:
        main([*given, "--format", "json"])
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (0, "")
    base, webgpu = json.loads(out)["entries"]
    assert base["latency"]["median_ms"] > 0
    assert [(share["provider"], share["node_share"]) for share in webgpu["shares"]] == [("WebGpuExecutionProvider", 1)]
    assert 0 <= webgpu["quality"]["error"] < bound
    assert webgpu["software"] is True
    assert "(software)" in webgpu["chosen"]["adapter"]
    assert (webgpu["latency"], webgpu["ratio"], webgpu["first_ms"]) == (None, None, None)


def test_the_table_says_that_nothing_is_timed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(save(mlp(), tmp_path / "m.onnx"))
    with pytest.raises(SystemExit) as end:
        main(["bench", path, "--ep", "webgpu,cpu", "--software-adapter", "--budget", "0.2"])
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (0, "")
    row = next(line for line in out.splitlines() if "on webgpu" in line)
    assert "webgpu (software adapter)" in row
    assert "not timed" in row


def test_without_leave_a_software_adapter_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The only driver that Vulkan may know is one that imitates a GPU.
    monkeypatch.setenv("VK_ICD_FILENAMES", DRIVER)
    path = str(save(mlp(), tmp_path / "m.onnx"))
    with pytest.raises(SystemExit) as end:
        main(["bench", path, "--ep", "webgpu"])
    out, err = capfd.readouterr()
    assert (end.value.code, out) == (7, "")
    assert "which imitates one; --software-adapter" in err
    assert err.count("graphopt: ") == 1


def _opened(path: Path, **options: Any) -> Stand:
    return Stand(Contender("m", path, "webgpu", {"software": True, **options}))


def test_strict_refuses_what_is_left_to_the_processor(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Det", ["r"], ["y"])]
    path = save(model(nodes, {"x": (FLOAT, [3, 3])}, {"y": (FLOAT, [])}), tmp_path / "m.onnx")
    with _opened(path) as stand:
        assert {name: len(nodes) for name, nodes in stand.open()["placement"].items()} == {
            "WebGpuExecutionProvider": 1,
            "CPUExecutionProvider": 1,
        }
    with pytest.raises(SystemExit) as end:
        main(["bench", str(path), "--ep", "cpu,webgpu", "--software-adapter", "--strict"])
    assert end.value.code == 7
    assert "which --strict forbids" in capfd.readouterr().err


def test_a_model_that_it_runs_nothing_of_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    proto = model([helper.make_node("Det", ["x"], ["y"])], {"x": (FLOAT, [3, 3])}, {"y": (FLOAT, [])})
    path = str(save(proto, tmp_path / "m.onnx"))
    with pytest.raises(SystemExit) as end:
        main(["bench", path, "--ep", "webgpu", "--software-adapter"])
    assert end.value.code == 7
    assert "no node of it would run on WebGpuExecutionProvider (1 on CPUExecutionProvider)" in capfd.readouterr().err


def test_a_bound_inference_is_over_when_it_returns(tmp_path: Path) -> None:
    """The device works on after the runtime's own call has returned, in a hundredth of the time."""
    names = ["x", *(f"t{at}" for at in range(2)), "y"]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    kind = (FLOAT, [256, 256])
    path = save(model(nodes, {"x": kind}, {"y": kind}, {"w": np.eye(256, dtype=np.float32)}), tmp_path / "m.onnx")
    small = save(
        model(nodes[:1], {"x": (FLOAT, [2, 256])}, {"t0": (FLOAT, [2, 256])}, {"w": np.eye(256, dtype=np.float32)}),
        tmp_path / "small.onnx",
    )
    seconds = {}
    for name, one, rows in (("big", path, 256), ("small", small, 2)):
        with _opened(one) as stand:
            stand.open()
            stand.feed({"x": np.ones((rows, 256), np.float32)})
            stand.first()
            seconds[name] = float(np.median(stand.batch(3)))
    assert seconds["big"] > 5 * seconds["small"]
