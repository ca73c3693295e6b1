"""Run the demo as a user does, and look at what it found."""

from __future__ import annotations

from pathlib import Path

import onnx

from graphopt.demo import run


def test_demo_is_smaller_and_reads_the_same_digits(tmp_path: Path) -> None:
    outcome = run(tmp_path / "kept", budget_s=0.2)
    report = outcome.report
    assert report.verification.status == "same"
    assert report.verification.source != "drawn"
    assert report.rolled_back == ()
    assert outcome.samples == 300
    assert outcome.accuracy_before > 0.97
    assert outcome.accuracy_after >= outcome.accuracy_before - 0.005
    assert outcome.agreement > 0.99
    # What the exporter left and nobody needs at run time.
    habits = {"BatchNormalization", "Expand", "Gather", "Shape", "Unsqueeze"}
    assert habits <= set(report.before.operators)
    assert habits & set(report.after.operators) == set()
    assert outcome.table().rows[0][1] == "99.00%"
    kept = onnx.load(tmp_path / "kept" / "digits.opt.onnx")
    assert len(kept.graph.node) == report.after.nodes
    onnx.checker.check_model(kept, full_check=True)
