"""What a report says beyond counts: the machine, fast math, and where the model came from."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

import graphopt
from graphopt.errors import UsageError
from graphopt.pipeline import attempt
from graphopt.pipeline.registry import Registry
from graphopt.report.views import loud_lines
from graphopt.rewrite.rule import Rule

RULES = (
    Rule("square-of-root", "Undo a root, which hides NaN.", "Mul(Sqrt(x), Sqrt(x))", "x", fast_math=True, shared=True),
    Rule("drop-double-negation", "Undo a negation.", "Neg(Neg(x))", "x"),
)
TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[n, 4] x) => (float[n, 4] y) {
  e = Exp(x)
  r = Sqrt(e)
  m = Mul(r, r)
  a = Neg(m)
  b = Neg(a)
  y = Abs(b)
}"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    registry = Registry([("test", rule) for rule in RULES])
    monkeypatch.setattr(attempt, "installed", lambda: registry)
    path = tmp_path / "net.onnx"
    onnx.save(parser.parse_model(TEXT), path)
    return path


def test_fast_math_is_named(model: Path) -> None:
    strict = graphopt.optimize(model, pipeline="simplify").report
    assert strict.rules == {"drop-double-negation": 1}
    assert strict.fast_math == ()
    fast = graphopt.optimize(model, pipeline="simplify", fast_math=True).report
    assert fast.fast_math == ("square-of-root",)
    said = [line for line in loud_lines(fast) if line.startswith("FAST MATH")]
    assert len(said) == 1
    assert "square-of-root" in said[0]
    assert not any(line.startswith("FAST MATH") for line in loud_lines(strict))


def test_a_model_in_memory_has_the_name_of_its_file(model: Path) -> None:
    loaded = graphopt.load(model)
    assert graphopt.optimize(loaded, pipeline="simplify").report.model == str(model)
    loaded.path = None
    assert graphopt.optimize(loaded, pipeline="simplify").report.model == ""


def test_models_of_other_kinds_are_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="ModelProto") as caught:
        graphopt.optimize(onnx.load(model))  # type: ignore[arg-type]
    assert "graphopt.load" in str(caught.value)


def test_the_report_names_machine_and_versions(model: Path) -> None:
    report = graphopt.optimize(model, pipeline="simplify").report
    assert {"system", "processor", "cores", "memory"} <= report.machine.keys()
    assert int(report.machine["cores"]) >= 1
    assert report.versions["onnx"] == onnx.__version__
