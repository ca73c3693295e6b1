"""A wrong rule is found, named, rolled back and reduced to its node; the rest of the work is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser

import graphopt
from graphopt.errors import PassError, VerificationError
from graphopt.graph.model import Model
from graphopt.kinds import Exactness
from graphopt.pipeline import attempt
from graphopt.pipeline.bisect import bisect_model
from graphopt.pipeline.context import Context
from graphopt.pipeline.options import Options
from graphopt.pipeline.passes import Pass
from graphopt.pipeline.reduce import reduce_model
from graphopt.pipeline.registry import Registry, installed
from graphopt.pipeline.rollback import first_bad
from graphopt.rewrite.rule import Rule

WRONG = Rule("tanh-to-sigmoid", "Replace what is not equal.", "Tanh(x)", "Sigmoid(x)", stage="")
CLOSE = Rule(
    "tanh-by-sigmoid",
    "Replace tanh(x) by 2 sigmoid(2 x) - 1, which rounds otherwise.",
    "Tanh(x)",
    "Sub(Mul(2, Sigmoid(Mul(2, x))), 1)",
    exactness=Exactness.REASSOCIATES,
    stage="",
)
ENDLESS = Rule("double-relu", "Add to its own match.", "Relu(x)", "Relu(Relu(x))", stage="")


@dataclass(frozen=True)
class Raises(Pass):
    """Raise at the second rewrite."""

    name: ClassVar[str] = "raises"

    def run(self, model: Model, context: Context) -> int:
        """Drop names, and stumble."""
        for number, node in enumerate(model.graph):
            if context.admit(self.name, node):
                node.doc_string = f"{1 // (1 - number)}"
        return 1


TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[n, 4] x) => (float[n, 4] y) {
  a = Identity(x)
  b = Relu(a)
  c = Tanh(b)
  d = Neg(c)
  e = Neg(d)
  f = Abs(e)
  g = Tanh(f)
  h = Exp(g)
  y = Identity(h)
}"""
PIPELINE = "fixpoint(simplify, tanh-to-sigmoid, eliminate-dead)"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the model, and register the wrong rule."""
    path = tmp_path / "net.onnx"
    onnx.save(parser.parse_model(TEXT), path)
    known = installed()
    entries: list[tuple[str, Rule | type[Pass]]] = [("graphopt", entry) for entry in known.passes.values()]
    entries += [("graphopt", rule) for rule in known.rules.values()]
    registry = Registry([*entries, ("test", WRONG), ("test", CLOSE), ("test", ENDLESS), ("test", Raises)])
    monkeypatch.setattr(attempt, "installed", lambda: registry)
    return path


def results(path: Path) -> np.ndarray[Any, Any]:
    feed = {"x": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)}
    outputs: list[np.ndarray[Any, Any]] = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)
    return outputs[0]


@pytest.mark.parametrize("verify", ["end", "each"])
def test_each_wrong_rewrite_is_rolled_back_and_named(model: Path, verify: str) -> None:
    output = model.with_name("out.onnx")
    report = graphopt.optimize(model, output, pipeline=PIPELINE, verify=verify).report
    assert report.verification.status == "same"
    assert [each.step.rule for each in report.rolled_back] == ["tanh-to-sigmoid", "tanh-to-sigmoid"]
    np.testing.assert_array_equal(results(output), results(model))
    assert report.after.operators == {"Tanh": 2, "Abs": 1, "Exp": 1, "Relu": 1}


def test_the_reproducer_shows_the_rewrite_alone(model: Path) -> None:
    report = graphopt.optimize(model, model.with_name("out.onnx"), pipeline=PIPELINE).report
    folder = Path(report.rolled_back[0].reproducer)
    before, after = (onnx.load(folder / name) for name in ("before.onnx", "after.onnx"))
    assert [node.op_type for node in before.graph.node].count("Tanh") == 2
    assert [node.op_type for node in after.graph.node].count("Tanh") == 1


def test_on_mismatch_fail_writes_nothing(model: Path) -> None:
    output = model.with_name("out.onnx")
    with pytest.raises(VerificationError, match="tanh-to-sigmoid") as caught:
        graphopt.optimize(model, output, pipeline=PIPELINE, on_mismatch="fail")
    assert caught.value.exit_code == 6
    assert [path.name for path in model.parent.iterdir()] == ["net.onnx"]


def test_without_verification_the_wrong_result_stands(model: Path) -> None:
    output = model.with_name("out.onnx")
    report = graphopt.optimize(model, output, pipeline=PIPELINE, verify="off").report
    assert report.verification.status == "off"
    assert not np.allclose(results(output), results(model))


def test_skip_and_stop_after_withhold_rewrites(model: Path) -> None:
    report = graphopt.optimize(model, pipeline=PIPELINE, skip=("tanh-to-sigmoid",)).report
    assert report.rolled_back == ()
    assert "tanh-to-sigmoid" not in report.rules
    assert sum(graphopt.optimize(model, pipeline=PIPELINE, stop_after=1).report.rules.values()) == 1


def test_a_rounding_difference_is_no_mismatch(model: Path) -> None:
    report = graphopt.optimize(model, pipeline="tanh-by-sigmoid").report
    assert report.rules == {"tanh-by-sigmoid": 2}
    assert report.verification.status == "same"
    assert report.verification.bit_identical is False


def test_rules_that_never_settle_are_named(model: Path) -> None:
    with pytest.raises(PassError, match="double-relu"):
        graphopt.optimize(model, pipeline="double-relu")


def test_a_pass_that_raises_leaves_the_model_right_before_it(model: Path) -> None:
    output = model.with_name("out.onnx")
    with pytest.raises(PassError, match="'raises' raised ZeroDivisionError") as caught:
        graphopt.optimize(model, output, pipeline="simplify, raises")
    kept = output.with_name(f"out.onnx.error-{caught.value.done + 1}") / "before.onnx"
    assert str(kept) in str(caught.value)
    assert not output.exists()
    assert [node.op_type for node in onnx.load(kept).graph.node] == ["Relu", "Tanh", "Abs", "Tanh", "Exp"]
    with pytest.raises(PassError, match="'raises' raised ZeroDivisionError"):
        graphopt.optimize(kept, pipeline="raises")


def test_bisect_names_the_first_wrong_step(model: Path) -> None:
    step = bisect_model(model, Options(pipeline=PIPELINE), lambda _: None)
    assert step is not None
    assert step.rule == "tanh-to-sigmoid"
    assert bisect_model(model, Options(pipeline="simplify"), lambda _: None) is None


def test_reduce_keeps_the_guilty_node_alone(model: Path) -> None:
    output = model.with_name("small.onnx")
    found = reduce_model(model, output, Options(pipeline=PIPELINE), lambda _: None)
    assert (found.rule, found.nodes_after) == ("tanh-to-sigmoid", 1)
    assert [node.op_type for node in onnx.load(output).graph.node] == ["Tanh"]
    with pytest.raises(VerificationError, match="nothing to reduce"):
        reduce_model(model, output, Options(pipeline="simplify"), lambda _: None)


@pytest.mark.parametrize("bad", [1, 2, 7, 63, 64])
def test_bisection_asks_few_questions(bad: int) -> None:
    asked: list[int] = []

    def is_bad(count: int) -> bool:
        asked.append(count)
        return count >= bad

    assert first_bad(64, is_bad) == bad
    assert len(asked) <= 7
    assert first_bad(64, lambda _: True) is None


def test_the_manifest_names_version_pipeline_and_size_only(model: Path) -> None:
    output = model.with_name("out.onnx")
    graphopt.optimize(model, output, pipeline="simplify")
    props = {prop.key: prop.value for prop in onnx.load(output).metadata_props}
    manifest = json.loads(props["graphopt.manifest"])
    assert set(manifest) == {"graphopt", "pipeline", "sha256", "weights"}
    assert manifest["pipeline"] == "simplify"
