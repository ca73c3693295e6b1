"""Places keep what wins there, nothing slower is written, and settings are said where the runtime reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from graphopt.errors import MeasureError, UsageError
from graphopt.graph.load import load
from graphopt.graph.save import save
from graphopt.graph.text import parse_fixture_graph
from graphopt.kinds import Exactness
from graphopt.pipeline import attempt
from graphopt.pipeline.options import Options
from graphopt.pipeline.passes import Pass
from graphopt.pipeline.registry import Registry, installed
from graphopt.report.views import report_tables
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Steps
from graphopt.runtime.ratios import Ratio
from graphopt.search import autotune as module
from graphopt.search import settings as settings_module
from graphopt.search import trials as trials_module
from graphopt.search.autotune import ORIGINAL, autotune
from graphopt.search.cache import Cache, cache_folder
from graphopt.search.candidates import Alternative, Ground, Spot
from graphopt.search.choice import choose
from graphopt.search.settings import Setting, combined
from graphopt.search.sidecar import declare, settings_path, write_settings
from graphopt.search.trials import Trial
from graphopt.tables import render

NEAR = {"exactness": Exactness.REASSOCIATES, "stage": "explore"}
FAST = Rule("cancel-inverse", "Cancel what undoes itself.", "Asinh(Sinh(x))", "x", **NEAR)  # type: ignore[arg-type]
SLOW = Rule("negate-detour", "Negate slowly.", "Neg(x)", "Sub(0, Asinh(Sinh(x)))", **NEAR)  # type: ignore[arg-type]
TEXT = """g (float[n, 4096] x) => (float[n, 4096] y) {
  a = Abs(x)
  s = Sinh(a)
  b = Asinh(s)
  c = Sqrt(b)
  y = Neg(c)
}"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    save(parse_fixture_graph(TEXT), path)
    return path


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    np.savez(folder / "0.npz", x=np.random.default_rng(0).standard_normal((64, 4096)).astype(np.float32))
    return folder


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Add the two rules, try no settings, time in any noise, and keep the cache to the test."""
    known = installed()
    entries: list[Rule | type[Pass]] = [*known.passes.values(), *known.rules.values(), FAST, SLOW]
    more = Registry(("graphopt", entry) for entry in entries)
    for place in (attempt, module):
        monkeypatch.setattr(place, "installed", lambda: more)
    monkeypatch.setattr(module, "SETTINGS", {})
    # What these rules save or cost is seen through any noise.
    monkeypatch.setattr(trials_module, "_NOISY", float("inf"))
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_places_keep_what_wins(model: Path, task: Path, rules: None, tmp_path: Path) -> None:
    del rules
    output = tmp_path / "out.onnx"
    options = Options(pipeline="explore", task=str(task))
    steps: list[str] = []
    result = autotune(model, output, options=options, budget_s=3, progress=steps.append)
    tuning = result.report.tuning
    assert tuning is not None
    assert tuning.chosen == "choices"
    assert {each.label: each.taken for each in tuning.trials} == {FAST.name: True, SLOW.name: False}
    assert operators(output) == ["Abs", "Sqrt", "Neg"]
    assert result.report.verification.status == "same"
    assert result.report.latency is not None
    assert result.report.latency.high < 1
    assert result.report.rules == {FAST.name: 1}
    assert "time whole models" in steps
    shown = "".join(render([table], "markdown") for table in report_tables(result.report))
    assert f"| {FAST.name} | 1 | 1 |" in shown
    assert f"| {SLOW.name} | 1 | 0 | 0.000 ms |" in shown
    assert "| original | itself | 1 |" in shown
    again = autotune(model, tmp_path / "again.onnx", options=options, budget_s=3).report.tuning
    assert again is not None
    assert [each.cached for each in again.trials] == [True, True]
    assert (tmp_path / "again.onnx").read_bytes() == output.read_bytes()


def test_times_taken_in_noise_are_neither_used_nor_kept(
    model: Path, task: Path, rules: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rules
    monkeypatch.setattr(trials_module, "_NOISY", -1.0)
    report = autotune(
        model, tmp_path / "out.onnx", options=Options(pipeline="explore", task=str(task)), budget_s=1
    ).report
    assert report.tuning is not None
    assert report.tuning.trials == ()
    assert report.rules == {}
    assert not (tmp_path / "cache").exists()


def test_what_is_slower_is_not_written(model: Path, task: Path, rules: None, tmp_path: Path) -> None:
    del rules
    output = tmp_path / "out.onnx"
    options = Options(pipeline=SLOW.name, task=str(task), skip=(FAST.name,))
    report = autotune(model, output, options=options, budget_s=2).report
    assert report.tuning is not None
    assert report.tuning.chosen == ORIGINAL
    assert operators(output) == operators(model)
    assert report.verification.status == "unchanged"
    assert any("nothing was faster" in note for note in report.notes)


def test_only_the_cpu_is_timed(model: Path) -> None:
    with pytest.raises(UsageError, match="not on tensorrt"):
        autotune(model, options=Options(target="tensorrt"))


def test_a_model_that_does_not_run_is_not_tuned(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "foreign" : 1]>\n'
        "net (float[4] x) => (float[4] y) {\n  t = foreign.Unknown(x)\n  y = Abs(t)\n}"
    )
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(MeasureError, match="does not run"):
        autotune(path, tmp_path / "out.onnx", budget_s=1)
    assert not (tmp_path / "out.onnx").exists()


# Choices.


def trial(spot: Spot, at: int, median: float, high: float, before_ms: float = 1.0, *, same: bool = False) -> Trial:
    ratio = Ratio(median, median - (high - median), high, no_difference=same)
    return Trial(spot, spot.alternatives[at], ratio, before_ms, cached=False)


def spot_of(*labels: str) -> Spot:
    return Spot(tuple(Alternative(name, ((name, f"node of {name}"),), None) for name in labels))  # type: ignore[arg-type]


def chosen(spot: Spot, *trials: Trial) -> list[str]:
    choice = choose(Ground(Path(), None, None, (spot,)), trials)  # type: ignore[arg-type]
    assert {*choice.taken, *choice.left} == set(spot.alternatives)
    return [each.label for each in choice.taken]


def test_the_most_time_is_saved_among_winners() -> None:
    spot = spot_of("steer", "one", "two")
    assert chosen(spot, trial(spot, 0, 0.9, 0.95), trial(spot, 1, 0.8, 0.85), trial(spot, 2, 0.7, 1.01)) == ["one"]
    assert chosen(spot, trial(spot, 0, 0.9, 0.95, same=True), trial(spot, 1, 1.1, 1.2), trial(spot, 2, 1, 1.1)) == []


def test_steer_decides_what_was_not_timed() -> None:
    assert chosen(spot_of("one", "steer")) == ["steer"]
    assert chosen(spot_of("one", "two")) == []


def test_a_choice_is_options_of_a_run() -> None:
    spots = (spot_of("steer"), spot_of("one"), spot_of("two"))
    trials = [trial(spots[0], 0, 1.1, 1.2), trial(spots[1], 0, 0.5, 0.6), trial(spots[2], 0, 1.5, 1.6)]
    choice = choose(Ground(Path(), None, None, spots), trials)  # type: ignore[arg-type]
    options = choice.options(Options(), ["one", "two"])
    assert options.pipeline == "default"
    assert options.sites == {"one": ("node of one",), "two": ()}
    assert options.withheld == {"steer": ("node of steer",)}


def test_rules_apply_where_sites_say() -> None:
    steps = Steps(withheld=[("two", "b")], only={"one": ["a"]})
    asked = [(rule, node) for rule in ("one", "two") for node in ("a", "b")]
    assert [steps.admit(rule, node, Exactness.EXACT) for rule, node in asked] == [True, False, True, False]
    assert [(step.number, step.rule, step.node) for step in steps.done] == [(1, "one", "a"), (3, "two", "a")]


# Settings.


def test_settings_together_disable_what_each_disables() -> None:
    key = "optimization.disable_specified_optimizers"
    both = combined([Setting({key: "A", "b": "1"}), Setting({key: "C"}, {"graph_optimization_level": 2})])
    assert both == Setting({key: "A;C", "b": "1"}, {"graph_optimization_level": 2})


def test_known_settings_are_known_to_the_runtime(model: Path) -> None:
    import onnxruntime as ort

    for setting in settings_module.SETTINGS.values():
        options = ort.SessionOptions()
        for key, value in setting.config.items():
            options.add_session_config_entry(key, value)
        ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def test_the_runtime_reads_what_a_model_declares(model: Path, tmp_path: Path) -> None:
    loaded = load(model)
    loaded.ir.metadata_props["ort_config"] = '{"session_options": {"inter_op_num_threads": 1}, "other": 5}'
    declare(loaded, {"intra_op_num_threads": 3, "graph_optimization_level": 2})
    declared = json.loads(loaded.ir.metadata_props["ort_config"])
    assert declared["other"] == 5
    save(loaded, tmp_path / "declared.onnx")
    text = (
        "import onnxruntime as ort, sys; o = ort.InferenceSession(sys.argv[1]).get_session_options(); "
        "print(o.intra_op_num_threads, o.inter_op_num_threads, o.graph_optimization_level)"
    )
    found = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "declared.onnx")],
        env={**os.environ, "ORT_LOAD_CONFIG_FROM_MODEL": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found.split() == ["3", "1", "GraphOptimizationLevel.ORT_ENABLE_EXTENDED"]


def test_settings_that_win_are_written(
    model: Path, task: Path, rules: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rules
    slow = {"session.intra_op.allow_spinning": "0"}
    wins = Setting(slow, {"graph_optimization_level": 1})
    monkeypatch.setattr(settings_module.SettingTrials, "run", lambda *_: wins)
    output = tmp_path / "out.onnx"
    report = autotune(model, output, options=Options(pipeline="eliminate-dead", task=str(task)), budget_s=1).report
    beside: dict[str, Any] = json.loads(settings_path(output).read_text())
    assert (beside["session_config_entries"], beside["session_options"]) == (slow, {"graph_optimization_level": 1})
    props = {prop.key: prop.value for prop in onnx.load(output).metadata_props}
    assert json.loads(props["ort_config"]) == {"session_options": {"graph_optimization_level": 1}}
    assert sum("session entries" in note or "declares" in note for note in report.notes) == 2


def test_settings_of_an_earlier_run_are_removed_and_those_of_others_kept(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours.onnx", tmp_path / "others.onnx"
    write_settings(ours, {"session_options": {}})
    settings_path(others).write_text("{}")
    for output in (ours, others):
        write_settings(output, {})
    assert [settings_path(output).exists() for output in (ours, others)] == [False, True]


# The cache.


def test_the_cache_keeps_records_by_key(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.get("a", "b") is None
    cache.put({"x": 1}, "a", "b")
    assert Cache(tmp_path / "cache").get("a", "b") == {"x": 1}
    assert cache.get("a", "c") is None
    next((tmp_path / "cache").glob("*/*.json")).write_text("cut sho")
    assert cache.get("a", "b") is None


def test_a_cache_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    cache.put({"x": 1}, "a")
    assert cache.get("a") is None


@pytest.mark.parametrize(
    ("system", "variable", "expected"),
    [("linux", "XDG_CACHE_HOME", "graphopt"), ("win32", "LOCALAPPDATA", "graphopt"), ("linux", "GRAPHOPT_CACHE", "")],
)
def test_the_cache_is_where_the_system_keeps_such(
    system: str, variable: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.delenv("GRAPHOPT_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert cache_folder() == tmp_path / expected
