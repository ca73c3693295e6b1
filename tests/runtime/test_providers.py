"""Ask for providers that cannot run here, and see that nothing else runs in their place.

`nox -s providers` runs this with onnxruntime's builds for CUDA and for OpenVINO too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from graphopt.errors import MeasureError, UsageError
from graphopt.measure import machine
from graphopt.runtime.process import RequestError, Worker
from graphopt.runtime.providers import NAMES, provider
from graphopt.runtime.providers.binding import bound
from graphopt.runtime.providers.interface import NotUsable, RunOptions
from graphopt.runtime.providers.nvidia import TensorRt
from graphopt.runtime.providers.ort import OrtOpened, session_options
from graphopt.runtime.providers.reasons import reason
from graphopt.runtime.turns import Contender, Stand
from tests.runtime.models import BOOL, FLOAT, INT64, Array, Shape, model, save

STRING = onnx.TensorProto.STRING
BFLOAT16 = onnx.TensorProto.BFLOAT16
CUDA = "CUDAExecutionProvider"


def relu(path: Path) -> Path:
    kind = (FLOAT, ["n"])
    return save(model([helper.make_node("Relu", ["x"], ["y"])], {"x": kind}, {"y": kind}), path)


def why_not(name: str) -> str:
    with Worker("graphopt.runtime.station:Station") as worker:
        return str(worker.request("why_not", {"ep": name})[0]["reason"])


def graphopt(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "graphopt", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "ort-openvino"])
def test_what_cannot_run_is_refused_with_one_message(name: str, tmp_path: Path) -> None:
    why = why_not(name)
    if not why:
        pytest.skip(f"{name} is usable here")
    for form in ("table", "json"):
        done = graphopt("bench", relu(tmp_path / "m.onnx"), "--ep", name, "--format", form)
        assert (done.returncode, done.stdout) == (7, "")
        assert (
            done.stderr
            == f"graphopt: {name} would not run m.onnx\n  {why}\n  `graphopt env` lists what is usable here\n"
        )


def test_a_usable_one_beside_it_is_not_measured_either(tmp_path: Path) -> None:
    name = next(name for name in ("cuda", "ort-openvino") if why_not(name))
    done = graphopt("bench", relu(tmp_path / "m.onnx"), "--ep", f"cpu,{name}", "--format", "json")
    assert (done.returncode, done.stdout) == (7, "")


def test_a_misspelt_name_is_told_the_nearest(tmp_path: Path) -> None:
    done = graphopt("bench", relu(tmp_path / "m.onnx"), "--ep", "cpu,tensort")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "graphopt: unknown execution provider 'tensort'\n  did you mean 'tensorrt'?\n"


def test_a_session_that_fell_back_is_refused(tmp_path: Path) -> None:
    """Where onnxruntime is built with CUDA and there is no GPU, it does so by itself."""
    asked = CUDA if CUDA in ort.get_available_providers() and why_not("cuda") else "CPUExecutionProvider"
    options = RunOptions()
    with pytest.raises(NotUsable, match="falls back to CPUExecutionProvider"):
        OrtOpened(str(relu(tmp_path / "m.onnx")), options, session_options(options), [asked], {}, CUDA)


def env_row(name: str) -> str:
    return next(text for key, text in machine.machine_table().rows if key == f"--ep {name}")


def test_env_names_every_provider() -> None:
    told = {key.removeprefix("--ep "): text for key, text in machine.machine_table().rows if key.startswith("--ep ")}
    assert tuple(told) == NAMES
    assert told["cpu"].startswith("usable: onnxruntime")
    for name, text in told.items():
        assert text.startswith("usable: ") or text == f"no: {why_not(name)}"


def test_a_provider_whose_process_ends_costs_env_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_STATION", "tests.runtime.test_providers:Crashing")
    assert env_row("cuda").startswith("no: the runtime's process ended")


class Crashing:
    """A service that ends its process."""

    def why_not(self, _: dict[str, Any], __: list[Array]) -> None:
        import os

        os.abort()


def test_options_of_one_provider_do_not_reach_another(tmp_path: Path) -> None:
    given = RunOptions(config={"cuda:use_tf32": "1", "session.intra_op.allow_spinning": "0"})
    assert given.of("cuda").config == {"use_tf32": "1", "session.intra_op.allow_spinning": "0"}
    assert given.of("cpu").config == {"session.intra_op.allow_spinning": "0"}
    with pytest.raises(UsageError, match="'cudo'"):
        RunOptions(config={"cudo:use_tf32": "1"}).of("cuda")
    for ep, key in (("cpu", "use_tf32"), ("cpu", "cpu:use_tf32"), ("openvino", "session.intra_op.allow_spinning")):
        with pytest.raises(UsageError, match=f"^{ep} takes no .*'{key.rpartition(':')[2]}'"):
            RunOptions(config={key: "1"}).of(ep)
    assert RunOptions(config={"cuda:use_tf32": "1"}).of("cpu").config == {}
    with pytest.raises(UsageError):
        provider("cpu").open(str(relu(tmp_path / "m.onnx")), RunOptions(config={"use_tf32": "1"}))


def test_tensorrt_is_asked_for_what_was_said_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is needed to see what the runtime would be given."""
    seen: list[Any] = []
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setattr("graphopt.runtime.providers.nvidia._OnGpu", lambda *given: seen.append(given))
    TensorRt().open("m.onnx", RunOptions(cache=str(tmp_path), config={"trt_max_workspace_size": "1", "device_id": "1"}))
    TensorRt().open("m.onnx", RunOptions(precision="auto"))
    (cached, plain), folder = seen, str(tmp_path / "f32")
    assert cached[2] == [
        (
            "TensorrtExecutionProvider",
            {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": folder,
                "trt_max_workspace_size": "1",
                "device_id": "1",
            },
        ),
        (CUDA, {"device_id": "1"}),
    ]
    assert plain[2] == [("TensorrtExecutionProvider", {}), (CUDA, {})]
    assert (cached[3], plain[3]) == ({"precision": "f32, without TF32"}, {"precision": "auto"})


def test_bound_inferences_give_the_same_results(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Shape", ["x"], ["s"])]
    proto = model(nodes, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2]), "s": (INT64, [2])})
    session = ort.InferenceSession(save(proto, tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    for read_back in (False, True):
        run: Any = bound(session, {"x": np.array([[-1, 2]], np.float32)}, read_back=read_back)
        run()
        first = [value.numpy().tolist() for value in run.binding.get_outputs()]
        run()
        assert [value.numpy().tolist() for value in run.binding.get_outputs()] == first == [[[0, 2]], [1, 2]]


def test_bound_takes_what_is_no_number(tmp_path: Path) -> None:
    kind = (STRING, ["n"])
    proto = model([helper.make_node("Identity", ["x"], ["y"])], {"x": kind}, {"y": kind})
    session = ort.InferenceSession(save(proto, tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    found: Any = bound(session, {"x": np.array(["a", "b"], object)}, read_back=False)()
    assert found[0].tolist() == ["a", "b"]


def test_reasons_are_one_line() -> None:
    text = (
        "Exception from src/core.cpp:132:\nCheck 'false' failed at src/report.cpp:151:\nFrontEnd API failed with "
        "OpConversionFailure:\nModel wasn't fully converted.\nSummary:\n"
        "-- No conversion rule found for operations: d.Foo\n-- Conversion is failed for: Conv-16\n"
    )
    assert reason(text) == "No conversion rule found for operations: d.Foo"
    assert reason("[ONNXRuntimeError] : 1 : FAIL : Load\n it") == "Load it"
    assert reason("\n") == "it does not say why"
    assert len(reason("x" * 1000)) == 300


def opened(path: Path, **options: Any) -> Stand:
    pytest.importorskip("openvino")
    return Stand(Contender("m", path, "openvino", options))


def outputs(path: Path, feed: dict[str, Array], **options: Any) -> dict[str, Array]:
    with opened(path, **options) as stand:
        stand.open()
        return stand.outputs(feed)


def refusal(path: Path, **options: Any) -> str:
    with opened(path, **options) as stand, pytest.raises(MeasureError) as found:
        stand.open()
    return found.value.where


def test_openvino_runs_every_shape_and_names_every_output(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["b"]), helper.make_node("Identity", ["b"], ["a"])]
    kind: tuple[int, Shape] = (FLOAT, ["n", 2])
    path = save(
        model(nodes, {"unused": (BOOL, [1]), "x": kind}, {"b": kind, "a": kind, "x": kind}), tmp_path / "m.onnx"
    )
    with opened(path) as stand:
        stand.open()
        for rows in (1, 5, 0):
            x = np.full((rows, 2), -1, np.float32)
            found = stand.outputs({"unused": np.array([True]), "x": x})
            assert list(found) == ["b", "a", "x"]
            assert [array.tolist() for array in found.values()] == [(0 * x).tolist()] * 2 + [x.tolist()]


def test_openvino_takes_strings_and_bfloat16(tmp_path: Path) -> None:
    import ml_dtypes

    kinds = {"x": (STRING, ["n"]), "z": (BFLOAT16, ["n"])}
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["z"], ["w"])]
    path = save(model(nodes, kinds, {"y": kinds["x"], "w": kinds["z"]}), tmp_path / "m.onnx")
    found = outputs(path, {"x": np.array(["a", "größe"], object), "z": np.array([1.5, -2], ml_dtypes.bfloat16)})
    assert found["y"].tolist() == ["a", "größe"]
    assert found["w"].dtype == ml_dtypes.bfloat16
    assert found["w"].astype(float).tolist() == [1.5, -2]


def test_openvino_takes_a_scalar(tmp_path: Path) -> None:
    path = save(
        model([helper.make_node("Neg", ["x"], ["y"])], {"x": (FLOAT, [])}, {"y": (FLOAT, [])}), tmp_path / "m.onnx"
    )
    found = outputs(path, {"x": np.array(2.5, np.float32)})["y"]
    assert found.shape == ()
    assert found == -2.5


def test_openvino_says_in_one_line_why_it_does_not_compile(tmp_path: Path) -> None:
    nodes = [helper.make_node("Foo", ["x"], ["y"], domain="d")]
    kind = (FLOAT, ["n"])
    path = save(model(nodes, {"x": kind}, {"y": kind}), tmp_path / "m.onnx")
    with opened(path) as stand, pytest.raises(RequestError) as found:
        stand.open()
    assert found.value.what == "OpenVINO does not compile it: No conversion rule found for operations: d.Foo"


def test_openvino_runs_on_the_device_that_was_asked_for(tmp_path: Path) -> None:
    path = relu(tmp_path / "m.onnx")
    assert (
        refusal(path, config={"device": "AUTO"}) == "OpenVINO would run it on CPU, not on AUTO; name that as the device"
    )
    assert "NOPE" in refusal(path, config={"device": "NOPE"})


@pytest.mark.parametrize("name", ["cpu", "openvino"])
def test_floats_are_computed_as_such_unless_told_otherwise(name: str, tmp_path: Path) -> None:
    """Left alone, both quantize what meets int8 weights, and OpenVINO takes bfloat16 where the processor has it."""
    if name == "openvino":
        pytest.importorskip("openvino")
    generator = np.random.default_rng(3)
    w, x = generator.integers(-127, 128, (64, 64)).astype(np.int8), generator.normal(size=(8, 64)).astype(np.float32)
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), helper.make_node("MatMul", ["x", "d"], ["y"])]
    kind: tuple[int, Shape] = (FLOAT, ["n", 64])
    path = save(model(nodes, {"x": kind}, {"y": kind}, {"w": w, "s": np.array(0.01, np.float32)}), tmp_path / "m.onnx")
    with Stand(Contender("m", path, name, {"threads": 2})) as stand:
        chosen = stand.open()["chosen"]
        found = stand.outputs({"x": x})["y"]
    exact = x.astype(np.float64) @ (w * 0.01)
    assert np.abs(found - exact).max() < 1e-6 * np.abs(exact).max()
    assert (chosen["precision"], chosen.get("threads", "2")) in {("f32", "2"), ("as the model says", "2")}
    with Stand(Contender("m", path, name, {"precision": "auto"})) as stand:
        assert stand.open()["chosen"]["precision"] in {"auto", "f32", "bf16", "f16"}


def test_onnxruntimes_own_openvino_runs_what_it_is_asked_for(tmp_path: Path) -> None:
    if why := why_not("ort-openvino"):
        pytest.skip(why)
    path, feed = relu(tmp_path / "m.onnx"), {"x": np.array([-1, 2], np.float32)}
    with Stand(Contender("m", path, "ort-openvino", {"strict": True})) as stand:
        facts = stand.open()
        assert list(facts["placement"]) == ["OpenVINOExecutionProvider"]
        assert (facts["chosen"]["device"], facts["chosen"]["precision"]) == ("CPU", "FP32")
        assert stand.outputs(feed)["y"].tolist() == [0, 2]
    with Stand(Contender("m", path, "ort-openvino", {"config": {"device_type": "GPU"}})) as stand:
        with pytest.raises(MeasureError) as found:
            stand.open()
        assert "falls back to CPUExecutionProvider" in found.value.where
