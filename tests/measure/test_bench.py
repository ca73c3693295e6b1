"""The benchmarker: numbers and score beside every latency, and what fails costs only itself."""

from __future__ import annotations

import getpass
import json
import math
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import graphopt.measure.bench as module
from graphopt.cli import main
from graphopt.demo import MODEL
from graphopt.errors import MeasureError, ModelError, TaskError, UnsupportedError, UsageError
from graphopt.graph.load import load
from graphopt.kinds import Exactness
from graphopt.measure.bench import BenchOptions, bench
from graphopt.measure.compare import compare_models, verdict
from graphopt.measure.contenders import contenders, describe
from graphopt.measure.energy import EnergyMeter
from graphopt.measure.environment import environment, environment_hash
from graphopt.measure.scoring import Reference
from graphopt.runtime.process import WorkerDied
from graphopt.runtime.tolerance import Tolerance
from graphopt.runtime.turns import Stand, take_turns
from tests.runtime.models import FLOAT, model, save

QUICK = BenchOptions(budget_s=0.2)
MEBI = 1 << 20

Array = np.ndarray[Any, Any]


def dense(path: Path, weight: Array, *, length: int = 1) -> Path:
    """Save a model that multiplies by a weight, `length` times."""
    names = ["x", *(f"t{at}" for at in range(length - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], "w"], [names[at + 1]]) for at in range(length)]
    kinds = [(FLOAT, ["n", size]) for size in weight.shape]
    return save(model(nodes, {"x": kinds[0]}, {"y": kinds[1]}, {"w": weight}), path)


def foreign(path: Path) -> Path:
    """Save a model that no runtime has a kernel for."""
    text = """<ir_version: 10, opset_import: ["" : 21, "my.ops" : 1]>
    g (float[n, 8] x) => (float[n, 8] y) { y = my.ops.Mine(x) }"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path


EYE = np.eye(8, dtype=np.float32)


def test_a_wrong_model_is_flagged_whatever_its_speed(tmp_path: Path) -> None:
    before = dense(tmp_path / "before.onnx", EYE, length=40)
    wrong = dense(tmp_path / "wrong.onnx", 1.01 * EYE)
    near = dense(tmp_path / "near.onnx", EYE * np.float32(1 + 1e-6))
    report = bench([before, wrong, near], QUICK)
    base, other, third = report.entries
    assert base.quality is not None
    assert other.quality is not None
    assert third.quality is not None
    assert (base.quality.error, base.quality.wrong, base.quality.to) == (0.0, False, "before")
    assert other.quality.wrong
    assert other.quality.error == pytest.approx(0.01, rel=1e-3)
    assert verdict(other).startswith("NOT THE SAME RESULTS: output 'y' is off by 0.01 of its largest magnitude")
    assert not third.quality.wrong
    assert 0 < (third.quality.error or 0) < 1e-5
    assert not verdict(third).startswith("NOT")


def test_everything_is_measured_or_called_unavailable(tmp_path: Path) -> None:
    path = dense(tmp_path / "model.onnx", EYE)
    report = bench([path], replace(QUICK, concurrency=(1, 2), rate=100, load_s=0.1))
    (entry,) = report.entries
    assert entry.latency is not None
    assert entry.memory is not None
    assert entry.open_load is not None
    latency = entry.latency
    assert 1e-4 < latency.min_ms <= latency.median_ms <= latency.p90_ms < 1e3
    assert (latency.p99_ms is None) == (latency.samples < 1000)
    assert sum(latency.openings) == len(latency.rounds_ms)
    assert 1e-3 < (entry.first_ms or 0) < 1e4
    assert 1e-3 < (entry.load_ms or 0) < 1e4
    assert [one.concurrency for one in entry.throughput] == [1, 2]
    assert entry.open_load.rate == 100
    assert (entry.parameters, entry.macs, entry.file_bytes) == (64, 64, path.stat().st_size)
    assert (entry.energy_j is None) == report.energy.startswith("unavailable")
    assert report.twin is not None
    assert report.twin.low <= report.twin.median <= report.twin.high
    assert report.feed == {"x": "float32[1, 8]"} or report.feed["x"].startswith("float32[")


def test_memory_is_that_above_a_process_that_only_loaded_the_runtime(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    small = dense(tmp_path / "small.onnx", generator.normal(size=(2048, 8)).astype("f4"))
    large = dense(tmp_path / "large.onnx", generator.normal(size=(2048, 8192)).astype("f4"))
    first, second = (entry.memory for entry in bench([large, small], replace(QUICK, budget_s=1.5)).entries)
    assert first is not None
    assert second is not None
    assert first.model_bytes - second.model_bytes > 60 * MEBI
    assert second.model_bytes < 40 * MEBI
    # numpy and the runtime are in the baseline, and nothing of the model.
    assert 20 * MEBI < second.empty_bytes < 300 * MEBI
    assert abs(first.empty_bytes - second.empty_bytes) < 10 * MEBI
    assert first.peak_bytes == first.empty_bytes + first.model_bytes


def test_size_and_hash_include_external_data(tmp_path: Path) -> None:
    proto = onnx.load(dense(tmp_path / "inside.onnx", np.ones((64, 64), np.float32)))
    outside = tmp_path / "outside.onnx"
    onnx.save(proto, outside, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (one,) = contenders([outside], BenchOptions())
    entry = describe(one, load(outside))
    assert entry.file_bytes == outside.stat().st_size + 64 * 64 * 4
    raw = bytearray((tmp_path / "weights.bin").read_bytes())
    raw[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(raw)
    assert describe(one, load(outside)).sha256 != entry.sha256


TASK = """
import numpy as np
from pathlib import Path

def calibration(n):
    for i in range(n):
        yield {'x': np.full((1, 8), i + 1, 'f4')}

def evaluation(n):
    with Path(__file__).with_suffix('.read').open('a') as log:
        log.write('read\\n')
    for i in range(min(n, 5)):
        yield {'x': np.full((2, 8), i, 'f4')}

def score(outputs):
    assert len(outputs) == 5 and outputs[0][0].shape == (2, 8)
    return 1 - float(np.mean([np.abs(one[0] - i).mean() for i, one in enumerate(outputs)]))
"""


def task(folder: Path, text: str = TASK) -> str:
    path = folder / "task.py"
    path.write_text(text)
    return str(path)


def test_the_score_stands_beside_each_latency_and_evaluation_is_read_once(tmp_path: Path) -> None:
    models = [dense(tmp_path / "good.onnx", EYE), dense(tmp_path / "worse.onnx", np.float32(1.05) * EYE)]
    report = bench(models, replace(QUICK, task=task(tmp_path)))
    base, other = (entry.quality for entry in report.entries)
    assert base is not None
    assert other is not None
    assert (base.score, base.score_change, base.items) == (1.0, 0.0, 5)
    assert other.score == pytest.approx(1 - 0.05 * 2, abs=1e-6)
    assert other.score_change == pytest.approx(-0.1, abs=1e-6)
    assert "the score drops by 0.1 to 0.9" in verdict(report.entries[1])
    assert (tmp_path / "task.read").read_text() == "read\n"
    assert report.source == "task.py"
    without = bench(models[:1], replace(QUICK, task=task(tmp_path), evaluate=0))
    assert without.entries[0].quality is not None
    assert without.entries[0].quality.score is None


def test_items_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    path = dense(tmp_path / "model.onnx", EYE)
    misnamed = TASK.replace("yield {'x': np.full((2", "yield {'z': np.full((2")
    for text, words in ((misnamed, "sample 0 feeds 'z'"), (TASK.replace("(2, 8)", "(2, 9)"), "evaluation items")):
        with pytest.raises(TaskError, match=words):
            bench([path], replace(QUICK, task=task(tmp_path, text)))


def test_a_model_that_cannot_run_costs_only_itself(tmp_path: Path) -> None:
    good, bad = dense(tmp_path / "good.onnx", EYE), foreign(tmp_path / "bad.onnx")
    for models in ([good, bad], [bad, good]):
        entries = {entry.label: entry for entry in bench(models, QUICK).entries}
        assert [entry.label for entry in bench(models, QUICK).entries] == [path.stem for path in models]
        assert entries["good"].latency is not None
        assert entries["good"].trouble == ""
        assert entries["bad"].latency is None
        assert "my.ops" in entries["bad"].trouble
        assert str(tmp_path) not in entries["bad"].trouble
        assert verdict(entries["bad"]).startswith("NOT MEASURED: does not load")
    with pytest.raises(UnsupportedError, match="nothing could be measured") as caught:
        bench([bad], QUICK)
    assert caught.value.exit_code == 4
    assert "bad: does not load" in caught.value.where


def test_one_that_takes_other_inputs_costs_only_itself(tmp_path: Path) -> None:
    good, other = dense(tmp_path / "good.onnx", EYE), dense(tmp_path / "other.onnx", np.ones((4, 4), np.float32))
    entries = bench([good, other], QUICK).entries
    assert entries[0].latency is not None
    assert entries[1].trouble.startswith("does not run: ")
    with pytest.raises(ModelError, match="cannot be compared"):
        compare_models(good, MODEL, QUICK)
    with pytest.raises(UnsupportedError, match="cannot be compared"):
        compare_models(good, other, QUICK)


def test_one_that_dies_in_the_middle_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def dying(stands: Mapping[str, Any], **given: Any) -> Any:
        calls.append(list(stands))
        if len(calls) == 1:
            monkeypatch.setattr(stands["b"], "open", lambda: (_ for _ in ()).throw(WorkerDied("signal", "killed")))
            raise WorkerDied("signal", "killed by SIGSEGV")
        return take_turns(stands, **given)

    monkeypatch.setattr(module, "take_turns", dying)
    paths = [dense(tmp_path / f"{name}.onnx", EYE) for name in "abc"]
    report = bench(paths, QUICK)
    assert [each[:-1] for each in calls] == [["a", "b", "c"], ["a", "c"]]
    assert [bool(entry.latency) for entry in report.entries] == [True, False, True]
    assert report.entries[1].trouble == "fails while it is timed: killed by SIGSEGV"


def test_a_provider_that_would_not_run_gives_no_number(tmp_path: Path) -> None:
    path = dense(tmp_path / "model.onnx", EYE)
    with pytest.raises(UsageError, match="unknown execution provider 'cpi'"):
        BenchOptions(eps=("cpi",))
    with pytest.raises(MeasureError) as caught:
        bench([path], replace(QUICK, eps=("cpu", "cuda")))
    assert caught.value.exit_code == 7


def test_the_first_inference_is_that_of_a_process_that_ran_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feeds that do not run are tried in a process that is then replaced."""
    good = {"x": np.ones((1, 8), np.float32)}

    def groups(*_: object) -> Iterator[tuple[dict[str, Array], ...]]:
        yield ({"x": np.ones((1, 9), np.float32)},)
        yield (good,)

    restarted: list[str] = []
    real = Stand.restart

    def restart(stand: Stand) -> None:
        restarted.append(stand.contender.label)
        real(stand)

    monkeypatch.setattr(module, "candidates", groups)
    monkeypatch.setattr(Stand, "restart", restart)
    report = bench([dense(tmp_path / "model.onnx", EYE)], QUICK)
    assert report.feed == {"x": "float32[1, 8]"}
    assert restarted == ["model"]


def test_labels_tell_models_providers_and_threads_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    options = BenchOptions(eps=("cpu", "openvino"), threads=(1, 2))
    labels = [(one.label, one.ep, one.options["threads"]) for one in contenders(paths, options)]
    assert len(set(labels)) == 8
    assert labels[0] == ("a on cpu, 1 thread", "cpu", 1)
    assert [one.label for one in contenders(paths, BenchOptions())] == ["a", "b"]
    assert [one.label for one in contenders([paths[0]] * 2, BenchOptions())] != ["a", "a"]
    with pytest.raises(UsageError, match="twice"):
        BenchOptions(threads=(2, 2))


def reference(expected: Array, nudged: Array) -> Reference:
    return Reference("a", [{"x": np.ones(2, np.float32)}], [{"y": expected}], lambda _: {"y": nudged})


def test_what_rounding_the_inputs_changes_is_not_wrong() -> None:
    tolerance = Tolerance(Exactness.REASSOCIATES)
    ones, off = np.ones(4, np.float32), np.full(4, 1.001, np.float32)
    assert reference(ones, ones).compare([{"y": off}], tolerance).wrong
    assert not reference(ones, off).compare([{"y": off}], tolerance).wrong
    narrow = Tolerance(Exactness.REASSOCIATES, narrowest="float16")
    assert not reference(ones, ones).compare([{"y": off}], narrow).wrong


def test_outputs_that_are_no_floats_count_what_differs() -> None:
    classes, other = np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])
    found = reference(classes, classes).compare([{"y": other}], Tolerance(Exactness.REASSOCIATES))
    assert (found.error, found.wrong) == (0.25, True)


def test_results_that_cannot_be_compared_are_wrong() -> None:
    ones, tolerance = np.ones(4, np.float32), Tolerance(Exactness.REASSOCIATES)
    lone = reference(ones, ones)
    for found in ({"z": ones}, {"y": ones[:2]}, {"y": ones.astype("f8")}):
        quality = lone.compare([found], tolerance)
        assert (quality.error, quality.wrong) == (None, True)
        assert quality.detail
    nan = lone.compare([{"y": np.full(4, np.nan, np.float32)}], tolerance)
    assert (nan.error, nan.wrong) == (math.inf, True)


def test_the_environment_names_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "lib.so"))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = environment("1 2 3", "4 5 6")
    text = json.dumps(found)
    names = [platform.node(), str(Path.home()), str(tmp_path)]
    assert [name for name in names if name and len(name) > 3 and name in text] == []
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text
    assert "OMP_NUM_THREADS=3" in found["variables"]
    assert "LD_PRELOAD=(sha256 " in found["variables"]
    assert {"governor", "turbo", "huge pages", "quota of cores", "caches", "hypervisor"} <= set(found)
    assert all(found.values())


def test_the_hash_is_of_what_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment_hash(environment("0.1 0.1 0.1", ""))
    assert environment_hash(environment("9 9 9", "8 8 8")) == before
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert environment_hash(environment()) != before


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Return a model and one that takes many times as long."""
    return dense(tmp_path / "a.onnx", EYE), dense(tmp_path / "b.onnx", np.eye(8, dtype="f4"), length=60)


def test_gates_fail_after_the_output_was_written(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "result.json"
    timed = (*pair, "--budget", "0.3")
    gates = [part for gate in ("latency>+5%", "size>+1%", "nodes>99") for part in ("--fail-if", gate)]
    assert run("bench", *timed, "-o", out, *gates) == 1
    shown = capsys.readouterr()
    assert out.exists()
    assert "times slower" in shown.out
    assert "--fail-if: 2 missed" in shown.err
    assert "b: latency is +" in shown.err
    assert run("compare", *timed, "--fail-if", "latency<-5%", "--fail-if", "rel_err>0.01") == 0
    assert "slower" in capsys.readouterr().out


def test_gates_that_cannot_be_judged_are_refused_before_any_work(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "result.json"
    for argv, words in (
        (("bench", pair[0], "--fail-if", "latency>+5%"), "nothing to compare it with"),
        (("bench", *pair, "--fail-if", "latncy>+5%"), "did you mean 'latency'?"),
        (("bench", *pair, "--fail-if", "score<-0.1"), "--task"),
        (("optimize", pair[0], "--fail-if", "latency>+5%"), "add --latency"),
        (("bench", *pair, "-o", tmp_path / "result.txt"), "no .json file"),
        (("bench", *pair, "--threads", "0"), "--threads '0'"),
        (("bench", *pair, "--rate", "fast"), "requests per second"),
        (("compare", *pair, "--ep", "cpu,openvino"), "one provider"),
    ):
        assert run(*argv, *(() if "optimize" in argv or "-o" in argv else ("-o", out))) == 2
        assert words in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "a.opt.onnx").exists()


def test_optimize_is_gated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(onnx.load(MODEL), tmp_path / "net.onnx")
    assert run("optimize", path, "--fail-if", "nodes>-1%", "--fail-if", "size>+1%", "--fail-if", "rel_err>1e-3") == 0
    assert run("optimize", path, "--quiet", "--fail-if", "nodes>-99%") == 1
    assert "nodes is -" in capsys.readouterr().err
    assert (tmp_path / "net.opt.onnx").exists()


def test_a_wrong_model_is_loud_even_when_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, wrong = dense(tmp_path / "good.onnx", EYE), dense(tmp_path / "wrong.onnx", 2 * EYE)
    assert run("bench", good, wrong, "--budget", "0.2", "--quiet") == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "wrong: NOT THE SAME RESULTS" in shown.err
    assert run("compare", good, wrong, "--budget", "0.2", "--format", "json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["entries"][1]["quality"]["wrong"] is True
    assert "NOT THE SAME RESULTS" in shown.err


def test_a_model_that_openvino_does_not_take_costs_only_itself(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    made = model([helper.make_node("Det", ["x"], ["y"])], {"x": (FLOAT, [4, 4])}, {"y": (FLOAT, [])})
    first, second = bench([save(made, tmp_path / "m.onnx")], replace(QUICK, eps=("cpu", "openvino"))).entries
    assert first.latency is not None
    assert second.trouble.startswith("does not load: OpenVINO does not compile it: ")
    assert second.latency is None


def test_energy_is_that_of_one_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "max_energy_range_uj").write_text("999999999\n")
    (zone / "energy_uj").write_text("0\n")
    real, counts = Stand.ask, []

    def ask(stand: Stand, op: str, *arrays: Any, **request: Any) -> Any:
        found = real(stand, op, *arrays, **request)
        if op == "batch":
            # As if each inference took 3 mJ.
            counts.append(request["count"] + found[0]["extra"])
            (zone / "energy_uj").write_text(f"{int((zone / 'energy_uj').read_text()) + 3000 * counts[-1]}\n")
        return found

    monkeypatch.setattr(Stand, "ask", ask)
    monkeypatch.setattr(module, "EnergyMeter", lambda: EnergyMeter(zone.parent))
    (entry,) = bench([dense(tmp_path / "model.onnx", EYE)], QUICK).entries
    assert entry.energy_j == pytest.approx(3e-3)


def test_one_path_is_one_model(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    shutil.copyfile(MODEL, path)
    assert [entry.label for entry in bench(str(path), BenchOptions(budget_s=0.1)).entries] == ["digits"]
