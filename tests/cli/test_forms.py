"""The forms that a result can be had in: fixed sizes, 16 bits, and as onnxruntime optimizes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from graphopt.cli.choices import parse_dims
from graphopt.demo import MODEL
from graphopt.errors import UsageError
from tests.cli.test_contract import run

INPUTS = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 4] x, float[batch, ?] z) => (float[batch, 4] y, float[batch, k] t) { y = Relu(x) t = Abs(z) }"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the demo's network in a folder of its own."""
    path = tmp_path / "net.onnx"
    shutil.copyfile(MODEL, path)
    return path


@pytest.fixture
def open_model(tmp_path: Path) -> Path:
    """Return a model with a dimension that has a name and one that has none."""
    proto = onnx.parser.parse_model(INPUTS.replace("?", "gone"))
    proto.graph.input[1].type.tensor_type.shape.dim[1].Clear()
    onnx.save(proto, tmp_path / "open.onnx")
    return tmp_path / "open.onnx"


def shapes(path: Path) -> dict[str, list[int | str]]:
    graph = onnx.load(path).graph
    return {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


def test_sizes_may_stand_in_one_option_or_in_several(open_model: Path, tmp_path: Path) -> None:
    for given in (["--dim", "batch=2,z.1=7"], ["--dim", "batch=2", "--dim", "z.1=7"]):
        assert run("optimize", open_model, "-o", tmp_path / "out.onnx", *given) == 0
        assert shapes(tmp_path / "out.onnx") == {"x": [2, 4], "z": [2, 7], "y": [2, 4], "t": [2, "k"]}


def test_a_wrong_name_is_answered_with_those_there_are(open_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("optimize", open_model, "--dim", "bach=2") == 2
    shown = capsys.readouterr().err
    assert "no dimension 'bach'" in shown
    assert "did you mean 'batch'" in shown
    assert "batch, z.1, k" in shown


def test_names_may_hold_commas() -> None:
    assert parse_dims(("f(a, b)=3,c=4", "d=5")) == {"f(a, b)": 3, "c": 4, "d": 5}


@pytest.mark.parametrize("given", ["batch", "batch=", "=1", "batch=x", "batch=1,seq", "batch=-1", ""])
def test_what_is_no_size_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=N"):
        parse_dims((given,))


def test_half_the_bits_make_half_the_file(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in ("portable", "ort-cpu"):
        out = tmp_path / f"{target}.onnx"
        assert run("optimize", model, "-o", out, "--target", target, "--precision", "fp16", "--format", "json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["verification"]["status"] == "same"
        assert report["after_bytes"] < 0.6 * report["before_bytes"]


def test_precision_must_be_known(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("optimize", model, "--precision", "fp61") == 2
    assert "did you mean 'fp16'" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["onnx", "ort"])
def test_what_onnxruntime_made_is_saved_too(suffix: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = model.with_name(f"fast.{suffix}")
    assert run("optimize", model, "--target", "ort-cpu", "--offline", saved) == 0
    shown = capsys.readouterr().out
    assert f"is for onnxruntime {ort.__version__} on" in shown
    assert "alone; verified" in shown
    after = ort.InferenceSession(saved, providers=["CPUExecutionProvider"])
    before = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    made = json.loads(after.get_modelmeta().custom_metadata_map["graphopt.offline"])
    assert made["onnxruntime"] == ort.__version__
    assert {"processor", "system", "vector extensions"} <= set(made)
    entry = before.get_inputs()[0]
    shape = [size if isinstance(size, int) else 2 for size in entry.shape]
    feed = {entry.name: np.random.default_rng(0).random(shape, np.float32)}
    np.testing.assert_allclose(after.run(None, feed)[0], before.run(None, feed)[0], rtol=1e-4, atol=1e-5)
    assert sorted(path.name for path in model.parent.iterdir()) == sorted(["net.onnx", "net.opt.onnx", saved.name])


@pytest.mark.parametrize(
    "given",
    [("--offline", "x.bin"), ("--offline", "x.ort", "--target", "openvino"), ("--offline", "x.ort", "--dry-run")],
)
def test_an_offline_form_that_makes_no_sense_is_refused(given: tuple[str, ...], model: Path) -> None:
    assert run("optimize", model, *given) == 2
    assert [path.name for path in model.parent.iterdir()] == ["net.onnx"]


def test_an_offline_form_without_a_place_fails(model: Path, tmp_path: Path) -> None:
    assert run("optimize", model, "--offline", tmp_path / "nowhere" / "x.ort") == 5
    assert [path.name for path in model.parent.iterdir()] == ["net.onnx"]
