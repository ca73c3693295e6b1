"""The commands that look: what they say as data, what they say when told to be quiet, and what they refuse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnx
import onnx.parser
import pytest

from graphopt.cli import main
from graphopt.demo import MODEL
from graphopt.measure.energy import EnergyMeter


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the demo's network in a folder of its own."""
    path = tmp_path / "net.onnx"
    shutil.copyfile(MODEL, path)
    return path


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def data(capsys: pytest.CaptureFixture[str], *argv: object) -> object:
    assert run(*argv, "--format", "json") == 0
    return json.loads(capsys.readouterr().out)


def test_inspect_is_data(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "inspect", model)
    assert isinstance(found, dict)
    proto = onnx.load(model)
    assert found["properties"]["nodes"] == str(len([n for n in proto.graph.node if n.op_type != "Constant"]))
    assert [row["name"] for row in found["interface"]] == ["pixels", "logits"]
    assert {"operator": "Relu", "nodes": "7"} in found["operators"]


def test_diff_is_data(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(capsys, "diff", model, model) == {"interface": [], "operators": [], "nodes": []}
    other = model.with_name("other.onnx")
    proto = onnx.load(model)
    proto.graph.node[-1].name = "renamed"
    onnx.save(proto, other)
    found = data(capsys, "diff", model, other)
    assert isinstance(found, dict)
    assert found["operators"] == []
    assert "renamed" in [row["node"] for row in found["nodes"]]


def test_env_and_passes_are_data(capsys: pytest.CaptureFixture[str]) -> None:
    machine = data(capsys, "env")
    assert isinstance(machine, dict)
    assert machine["--ep cpu"].startswith("usable: onnxruntime")
    assert machine["--ep cuda"].startswith(("usable: ", "no: "))
    for use, module, extra in (
        ("check --target openvino", "openvino", "openvino"),
        ("check --target tensorrt", "tensorrt_rtx", "tensorrt-check"),
        ("--report FILE.html", "jinja2", "report"),
    ):
        advice = f"no: pip install 'graphopt[{extra}]'"
        assert machine[use] == advice if find_spec(module) is None else machine[use].startswith("installed: ")
    assert machine["energy"] == EnergyMeter().source
    described = data(capsys, "passes", "fold-constants")
    assert isinstance(described, dict)
    assert [row["option"] for row in described["options"]] == ["max-bytes"]
    listed = data(capsys, "passes")
    assert isinstance(listed, list)
    assert {"preset", "stage", "pass", "rule"} == {row["kind"] for row in listed}
    for row in listed:
        assert run("passes", row["name"]) == 0


def test_quiet_prints_nothing(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in (
        ("inspect", model),
        ("inspect", model, "--text"),
        ("check", model),
        ("diff", model, model),
        ("verify", model, model),
        ("passes",),
        ("env",),
        ("demo",),
    ):
        assert run(*command, "--quiet") == 0
        assert capfd.readouterr() == ("", "")


def test_verify_says_one_thing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", model, model) == 0
    assert capsys.readouterr().out.startswith("same: largest error 0.0e+00 on ")
    assert run("verify", model, model, "--manifest") == 2
    assert run("verify", model) == 2
    assert "--manifest" in capsys.readouterr().err


def test_models_of_different_inputs_are_not_timed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = model.with_name("other.onnx")
    text = '<ir_version: 10, opset_import: ["" : 21]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), other)
    assert run("compare", model, other, "--budget", "0.1") == 3
    assert "inputs or outputs" in capsys.readouterr().err


def test_names_beyond_the_encoding_are_shown(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["" : 21]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
    proto = onnx.parser.parse_model(text)
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "größe"
    onnx.save(proto, tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "graphopt", "inspect", str(tmp_path / "model.onnx")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert r"gr\xf6\xdfe" in done.stdout
