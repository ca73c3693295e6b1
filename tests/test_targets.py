"""Test the table of models on OpenVINO and TensorRT, and hold the kept one to its file."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.run import ROOT
from benchmarks.targets.records import Outcome, Run, Verdict, geomean, load, save, table
from benchmarks.targets.run import HERE, PAGE, TARGETS, main, page

RUN = Run(
    machine="a processor, 2 cores",
    commit="0123456",
    created="2026-01-01T00:00:00+00:00",
    versions={"openvino": "2026.4.1"},
    budget_s=1.0,
    outcomes=(
        Outcome("one", "00", "tensorrt", "same", {}, Verdict("runs", ""), Verdict("runs", "")),
        Outcome(
            "two",
            "11",
            "tensorrt",
            "same",
            {"lower-lstm-step": 2, "dequantize-weight": 1},
            Verdict("fails", "the parser refuses it", ("NonMaxSuppression",)),
            Verdict("fails", "the builder refuses it: no reason"),
        ),
    ),
)


def test_the_table_counts_what_is_taken_and_names_what_is_refused() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(RUN, "tensorrt").splitlines()]
    assert rows[2:] == [
        ["one", "✓", "✓", ""],
        [
            "two",
            "fails: NonMaxSuppression",
            "fails: the builder refuses it: no reason",
            "lower-lstm-step (2), dequantize-weight",
        ],
        ["all", "1 of 2", "1 of 2", ""],
    ]
    assert geomean(RUN.outcomes) is None


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(RUN, tmp_path / "run.json")
    assert load(tmp_path / "run.json") == RUN
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_the_page_is_that_of_its_file() -> None:
    if not PAGE.is_file():
        pytest.skip("no table is kept")
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"\]\(results/([^/)]+\.json)\)", text)
    assert found is not None
    path = HERE / "results" / found[1]
    assert text == page(load(path), path)


def test_a_model_is_tried_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "models" / "small").mkdir(parents=True)
    shutil.copy(ROOT / "graphopt" / "demo" / "digits.onnx", tmp_path / "models" / "small" / "model.onnx")
    given = ["--models", "models", "--targets", "openvino", "--budget", "0.1", "--cache", "cache", "--output", "out"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", *given])
    assert main() == 0
    run = load(next((tmp_path / "out").glob("*.json")))
    (outcome,) = run.outcomes
    assert (outcome.model, outcome.status) == ("small", "same")
    assert (outcome.before.verdict, outcome.after.verdict) == ("runs", "runs")
    mean = geomean(run.outcomes)
    assert mean is not None
    assert f"{mean:.3f}" in table(run, TARGETS[0]).splitlines()[-1]
