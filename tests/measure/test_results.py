"""Result files: what they hold, and which of them may be compared."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import graphopt.measure.results as module
from graphopt.cli import main
from graphopt.demo import MODEL
from graphopt.errors import OutputError, TaskError, UsageError
from graphopt.measure.bench import BenchOptions, bench
from graphopt.measure.figures import result_figures
from graphopt.measure.gate import judge, parse_gate
from graphopt.measure.records import BenchReport, Latency
from graphopt.measure.results import compare_results, json_schema, load_result, save_result
from graphopt.report.measured import result_lines

SCHEMA = Path(module.__file__).with_name("bench.schema.json")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BenchReport:
    path = tmp_path_factory.mktemp("models") / "digits.onnx"
    shutil.copyfile(MODEL, path)
    return bench([path], BenchOptions(budget_s=0.2, concurrency=(1,), load_s=0.1))


def timed(report: BenchReport, factor: float, seed: int = 0) -> BenchReport:
    """Return a report whose first entry took about `factor` times 1 ms, in 8 openings of 10 rounds."""
    noise = random.Random(seed)  # noqa: S311 - no secret
    rounds = tuple(factor * noise.gauss(1, 0.01) for _ in range(80))
    latency = Latency(80, min(rounds), factor, max(rounds), None, 0.01, rounds, (10,) * 8)
    twin = None if report.twin is None else replace(report.twin, median=1.0, low=0.99, high=1.01)
    return replace(report, entries=(replace(report.entries[0], latency=latency),), twin=twin)


def test_the_schema_is_shipped() -> None:
    """Write it anew with `json_schema` when the records change, and raise SCHEMA if readers break."""
    assert SCHEMA.read_bytes() == json_schema()
    described = json.loads(SCHEMA.read_text())["$defs"]["BenchReport"]
    assert {"entries", "environment_hash", "twin"} <= set(described["required"])


def test_a_result_is_read_as_it_was_written(measured: BenchReport, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    save_result(measured, path)
    assert load_result(path) == measured
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(path.read_text()), json.loads(SCHEMA.read_text()))


def test_a_result_names_no_folder(measured: BenchReport, tmp_path: Path) -> None:
    save_result(measured, tmp_path / "result.json")
    text = (tmp_path / "result.json").read_text()
    assert str(tmp_path.parent) not in text
    assert str(Path.home()) not in text
    assert measured.entries[0].model == "digits.onnx"


def test_a_result_that_cannot_be_written_leaves_the_old_one(
    measured: BenchReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError):
        save_result(measured, tmp_path / "no_folder" / "result.json")
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(name: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(name))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError) as caught:
        save_result(measured, path)
    assert str(caught.value) == f"cannot write {str(path)!r}\n  No space left on device"
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"entries": 3}', "\x00"])
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(TaskError, match="is no result"):
        load_result(path)
    with pytest.raises(TaskError, match="no such file") as caught:
        load_result(tmp_path / "nothing.json")
    assert str(tmp_path / "nothing.json") in caught.value.where


def test_a_later_version_is_refused(measured: BenchReport, tmp_path: Path) -> None:
    save_result(replace(measured, schema=99), tmp_path / "result.json")
    with pytest.raises(TaskError, match="version 99"):
        load_result(tmp_path / "result.json")


def test_slower_is_told_from_the_same(measured: BenchReport) -> None:
    old = timed(measured, 1.0)
    label = measured.entries[0].label
    same = compare_results(old, timed(measured, 1.0, 1)).ratios[label]
    assert same.no_difference
    slower = compare_results(old, timed(measured, 1.05, 1)).ratios[label]
    assert not slower.no_difference
    assert 1.03 < slower.low < 1.05 < slower.high < 1.07
    # Within what the same model differs from itself in one of both.
    loud = replace(old, twin=None if old.twin is None else replace(old.twin, low=0.9, high=1.1))
    assert compare_results(loud, timed(measured, 1.05, 1)).ratios[label].no_difference


@pytest.mark.parametrize(
    "change", ["environment", "feed", "precision", "threads", "provider", "adapter", "chosen precision", "chosen extra"]
)
def test_results_that_were_not_measured_alike_are_refused(change: str, measured: BenchReport) -> None:
    first = measured.entries[0]
    told = {"precision": "auto", "extra": "1"}
    other = {
        "provider": replace(measured, entries=(replace(first, ep="openvino"),)),
        "adapter": replace(measured, entries=(replace(first, software=True),)),
        **{
            f"chosen {name}": replace(measured, entries=(replace(first, chosen={**first.chosen, name: value}),))
            for name, value in told.items()
        },
        "environment": replace(
            measured, environment={**measured.environment, "processor": "another"}, environment_hash="0"
        ),
        "feed": replace(measured, feed={"pixels": "float32[9, 8, 8, 1]"}),
        "precision": replace(measured, precision="auto"),
        "threads": replace(measured, entries=(replace(measured.entries[0], threads=7),)),
    }[change]
    with pytest.raises(UsageError, match="not measured alike") as caught:
        compare_results(measured, other)
    word = {"environment": "processor", "feed": "feed", "precision": "precision"}.get(change, f"{change} of digits")
    assert word in caught.value.where
    assert caught.value.exit_code == 2
    forced = compare_results(measured, other, force=True)
    assert any(line.startswith(word) for line in forced.unlike)


def test_results_without_a_common_label_are_refused(measured: BenchReport) -> None:
    other = replace(measured, entries=(replace(measured.entries[0], label="other"),))
    with pytest.raises(UsageError, match="no label in common"):
        compare_results(measured, other)
    both = replace(measured, entries=(*measured.entries, *other.entries))
    assert compare_results(measured, both).alone == ("other",)


def test_a_runtime_of_another_version_is_another_environment(measured: BenchReport) -> None:
    """The version is told once; where the environment does not have it, what the runtime says is compared."""
    first = measured.entries[0]
    version = measured.environment["onnxruntime"]
    assert first.chosen["runtime"] == f"onnxruntime {version}"
    chosen = {**first.chosen, "runtime": "onnxruntime 9.9"}
    entries = (replace(first, chosen=chosen),)
    environment = {**measured.environment, "onnxruntime": "9.9"}
    later = replace(measured, entries=entries, environment=environment, environment_hash="0")
    assert compare_results(measured, later, force=True).unlike == (f"onnxruntime: {version}, then 9.9",)
    with pytest.raises(UsageError):
        compare_results(measured, replace(measured, entries=entries))


def test_what_failed_is_compared_by_what_was_asked_for(measured: BenchReport) -> None:
    failed = replace(measured.entries[0], chosen={}, latency=None, trouble="does not load: it broke")
    assert compare_results(measured, replace(measured, entries=(failed,))).unlike == ()


def test_another_model_is_told_and_not_refused(measured: BenchReport) -> None:
    assert compare_results(measured, measured).changed == ()
    other = replace(measured, entries=(replace(measured.entries[0], sha256="0" * 64),))
    found = compare_results(measured, other)
    assert (found.changed, found.unlike) == (("digits",), ())
    assert result_lines(found) == ["the model is another one now: digits"]


def test_what_is_gone_or_failed_misses_every_gate(measured: BenchReport) -> None:
    first = measured.entries[0]
    old = replace(measured, entries=(first, replace(first, label="gone"), replace(first, label="failed")))
    new = replace(
        measured, entries=(first, replace(first, label="failed", trouble="does not load"), replace(first, label="new"))
    )
    for metric in ("latency>+1000%", "memory>+99GB", "size>+99GB", "nodes>99999", "macs>+1000%", "rel_err>0.1"):
        missed = judge([parse_gate(metric)], result_figures(compare_results(old, new)))
        assert [line.partition(":")[0] for line in missed] == ["gone", "failed"], missed
        assert all("was not measured" in line for line in missed)


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_results_are_compared_and_gated(
    measured: BenchReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, far = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "far.json"
    save_result(timed(measured, 1.0), old)
    save_result(timed(measured, 1.06, 1), new)
    save_result(replace(timed(measured, 1.0), environment_hash="0", environment={"processor": "another"}), far)
    assert run("compare", old, new) == 0
    assert "1.06" in capsys.readouterr().out
    assert run("compare", old, new, "--fail-if", "latency>+3%", "--fail-if", "latency>+7%") == 1
    assert "1 missed" in capsys.readouterr().err
    assert run("compare", new, old, "--fail-if", "latency>+3%") == 0
    capsys.readouterr()
    assert run("compare", old, far) == 2
    assert "processor: " in capsys.readouterr().err
    assert run("compare", old, far, "--force") == 0
    assert "NOT MEASURED ALIKE: processor" in capsys.readouterr().out
    assert run("compare", old, new, "-o", tmp_path / "x.json") == 2


def test_two_results_as_data_have_what_their_table_shows(
    measured: BenchReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = timed(measured, 1.0), timed(measured, 1.5, 1)
    save_result(old, tmp_path / "old.json")
    save_result(new, tmp_path / "new.json")
    assert run("compare", tmp_path / "old.json", tmp_path / "new.json", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert row["label"] == "digits"
    assert (row["old"]["median_ms"], row["new"]["median_ms"]) == (1.0, 1.5)
    assert row["ratio"] == found["ratios"]["digits"]
    memory, quality = new.entries[0].memory, new.entries[0].quality
    assert memory is not None
    assert quality is not None
    assert (row["new"]["memory_bytes"], row["new"]["error"]) == (memory.model_bytes, quality.error)
    assert found["changed"] == []


def test_what_cannot_be_compared_is_said_before_any_work(
    measured: BenchReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "a.json"
    save_result(measured, result)
    for argv, code, words in (
        ((tmp_path / "nothing.json", result), 3, "no such file"),
        ((result, MODEL), 2, "two results"),
        ((MODEL, result), 2, "two models"),
        ((MODEL, MODEL, "--force"), 2, "--force is for"),
        ((result, result, "--ep", "cpu"), 2, "--ep: nothing is measured"),
        ((result, result, "--threads", "1", "--budget", "3"), 2, "--budget, --threads: nothing is measured"),
    ):
        assert run("compare", *argv) == code
        assert words in capsys.readouterr().err
    assert run("compare", result, result, "--force", "--fail-if", "nodes>99999", "--format", "csv") == 0


def test_an_output_that_cannot_be_written_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphopt.measure.bench.bench", lambda *_: pytest.fail("it works already"))
    (tmp_path / "folder.json").mkdir()
    for name, why in (("nowhere/a.json", "no folder"), ("folder.json", "it is a folder")):
        assert run("bench", MODEL, "-o", tmp_path / name) == 5
        shown = capsys.readouterr().err
        assert str(tmp_path / name) in shown
        assert why in shown
    monkeypatch.setattr("os.access", lambda *_: False)
    assert run("compare", MODEL, MODEL, "-o", tmp_path / "a.json") == 5
    assert "read-only" in capsys.readouterr().err
