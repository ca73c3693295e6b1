"""A narrowed model is held to the original and to the task's score, widened where it must be, and given up else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import graphopt
from graphopt.calibration.emulation import emulate
from graphopt.calibration.rounding import rounding_losses, site_losses
from graphopt.errors import VerificationError
from graphopt.graph.load import from_proto
from graphopt.graph.model import DataType
from tests.library.fixture import model_of

TEXT = """g (float[n, 16] x) => (float[n, 16] y) {
  # w is drawn: [16, 16]
  a = MatMul(x, w)
  y = Tanh(a)
}"""
SENSITIVE = """g (float[n, 16] x) => (float[n, 16] y) {
  # w is drawn: [16, 16]
  much = Constant<value = float[1] {3000.0}>()
  a = MatMul(x, w)
  r = Relu(a)
  b = Mul(x, much)
  c = Sin(b)
  y = Add(c, r)
}"""
CANCELS = """g (float[n, 16] x) => (float[n, 16] y) {
  # w is drawn: [16, 16]
  much = Constant<value = float[1] {3000.0}>()
  a = Add(x, much)
  b = Abs(a)
  c = Relu(b)
  d = Sub(c, much)
  e = MatMul(d, w)
  f = MatMul(e, w)
  y = MatMul(f, w)
}"""
TASK = '''"""Score by how far results lie from {}."""
import numpy as np

def calibration(n):
    for seed in range(n):
        yield {{"x": np.random.default_rng(seed).standard_normal((4, 16), np.float32)}}

def evaluation(n):
    for seed in range(min(n, 5)):
        yield {{"x": np.random.default_rng(1000 + seed).standard_normal((4, 16), np.float32)}}

def score(outputs):
    {}
'''
EVEN = "return float(np.mean([one[0] for one in outputs]))"
PICKY = """import onnxruntime
    from pathlib import Path
    float32 = onnxruntime.InferenceSession(Path(__file__).with_name("in.onnx"), providers=["CPUExecutionProvider"])
    errors = [abs(one[0] - float32.run(None, item)[0]).max() for item, one in zip(evaluation(5), outputs)]
    return float(1 - 1e4 * max(errors))"""


def model_and_task(text: str, scoring: str, folder: Path) -> tuple[Path, str]:
    onnx.save(model_of(text), folder / "in.onnx")
    (folder / "task.py").write_text(TASK.format("nothing", scoring), encoding="utf-8")
    return folder / "in.onnx", str(folder / "task.py")


def stored(path: Path) -> set[int]:
    return {tensor.data_type for tensor in onnx.load(path).graph.initializer}


def test_the_score_is_told(tmp_path: Path) -> None:
    model, task = model_and_task(TEXT, EVEN, tmp_path)
    report = graphopt.optimize(model, tmp_path / "out.onnx", precision="fp16", task=task).report
    assert any(note.startswith("score ") and note.endswith("on 5 items") for note in report.notes)
    assert stored(tmp_path / "out.onnx") == {TensorProto.FLOAT16}


def test_a_score_that_drops_too_much_keeps_float32(tmp_path: Path) -> None:
    model, task = model_and_task(TEXT, PICKY, tmp_path)
    report = graphopt.optimize(model, tmp_path / "out.onnx", precision="fp16", task=task).report
    assert report.notes[0].startswith("float32 kept: score ")
    assert stored(tmp_path / "out.onnx") == {TensorProto.FLOAT}
    assert "narrow-precision" not in report.rules


def test_an_explicit_bound_that_cannot_be_held_fails(tmp_path: Path) -> None:
    model, task = model_and_task(TEXT, PICKY, tmp_path)
    with pytest.raises(VerificationError, match=r"--max-drop 0\.2") as caught:
        graphopt.optimize(model, tmp_path / "out.onnx", precision="fp16", task=task, max_drop=0.2)
    assert caught.value.exit_code == 6
    assert not (tmp_path / "out.onnx").exists()
    graphopt.optimize(model, tmp_path / "out.onnx", precision="fp16", task=task, max_drop=1000.0)
    assert stored(tmp_path / "out.onnx") == {TensorProto.FLOAT16}


def test_a_task_without_a_score_is_told(tmp_path: Path) -> None:
    model, _ = model_and_task(TEXT, EVEN, tmp_path)
    report = graphopt.optimize(model, tmp_path / "out.onnx", precision="fp16").report
    assert "no task with a score: judged by the difference from the original alone" in report.notes


def test_what_costs_most_is_widened(tmp_path: Path) -> None:
    onnx.save(model_of(CANCELS), tmp_path / "in.onnx")
    report = graphopt.optimize(
        tmp_path / "in.onnx", tmp_path / "out.onnx", precision="fp16", pipeline="lift-constants"
    ).report
    assert report.verification.status == "same"
    assert report.verification.max_error is not None
    assert report.verification.max_error <= 0.02
    assert "kept in float32 to agree with the original: 4 of 7" in report.notes
    operators = [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node]
    assert operators == ["Add", "Abs", "Sub", "Cast", "MatMul", "MatMul", "MatMul", "Cast"]
    assert not report.rolled_back


def test_float32_is_kept_if_nothing_else_agrees(tmp_path: Path) -> None:
    text = CANCELS.replace("  e = MatMul(d, w)\n  f = MatMul(e, w)\n  y = MatMul(f, w)\n", "  y = Identity(d)\n")
    onnx.save(model_of(text), tmp_path / "in.onnx")
    report = graphopt.optimize(
        tmp_path / "in.onnx", tmp_path / "out.onnx", precision="fp16", pipeline="lift-constants"
    ).report
    assert report.notes[0].startswith("float32 kept: ")
    assert "narrow-precision" not in report.rules


def test_losses_are_those_of_numpy() -> None:
    model = from_proto(model_of(TEXT))
    feed = {"x": np.random.default_rng(1).standard_normal((3, 16), np.float32)}
    found = rounding_losses(model, "float16", [feed])
    rounded = feed["x"].astype(np.float16).astype(np.float32)
    expected = np.sqrt(np.square(feed["x"] - rounded).sum() / np.square(feed["x"]).sum())
    assert found["x"] == pytest.approx(expected, rel=1e-4)
    assert set(found) == {"x", "a", "y"}


def test_overflow_is_an_infinite_loss_and_an_infinity_none() -> None:
    model = from_proto(model_of(TEXT))
    feed = {"x": np.ones((1, 16), np.float32)}
    assert rounding_losses(model, "float16", [feed])["x"] == 0
    feed["x"][0, 0] = 1e5
    assert rounding_losses(model, "float16", [feed])["x"] == np.inf
    assert rounding_losses(model, "bfloat16", [feed])["x"] < 1e-2
    feed["x"][0, 0] = np.inf
    assert rounding_losses(model, "float16", [feed])["x"] == 0


def test_the_sensitive_node_costs_most() -> None:
    model = from_proto(model_of(SENSITIVE))
    names = {}
    for node in model.graph:
        node.name = node.name or f"the {node.op_type}"
        names[node.op_type] = node.name
    feed = {"x": np.random.default_rng(1).standard_normal((3, 16), np.float32)}
    found = site_losses(model, "float16", [feed], [*names.values(), "w"])
    assert max(found, key=lambda name: found[name]) == names["Sin"]
    assert found[names["Sin"]] > 0.1
    assert 0 < found["w"] < 1e-3


def test_emulation_rounds_every_result() -> None:
    proto = model_of("""g (float[n, 4] x) => (float[n, 4] y) {
      h = Cast<to = 16>(x)
      a = Mul(h, h)
      y = Cast<to = 1>(a)
    }""")
    model = from_proto(proto)
    assert emulate(model, DataType.BFLOAT16) == 1
    assert [node.op_type for node in model.graph] == ["Cast", "Cast", "Mul", "Cast", "Cast", "Cast"]
    assert emulate(from_proto(model_of(TEXT)), DataType.BFLOAT16) == 0
