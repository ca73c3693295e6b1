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
from graphopt.measure.records import BenchReport, Latency
from graphopt.measure.results import compare_results, json_schema, load_result, save_result

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

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"result\.json"):
        save_result(measured, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"entries": 3}', "\x00"])
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(TaskError, match="is no result"):
        load_result(path)
    with pytest.raises(TaskError, match="is no result"):
        load_result(tmp_path / "nothing.json")


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


@pytest.mark.parametrize("change", ["environment", "feed", "precision", "threads"])
def test_results_that_were_not_measured_alike_are_refused(change: str, measured: BenchReport) -> None:
    other = {
        "environment": replace(
            measured, environment={**measured.environment, "processor": "another"}, environment_hash="0"
        ),
        "feed": replace(measured, feed={"pixels": "float32[9, 8, 8, 1]"}),
        "precision": replace(measured, precision="auto"),
        "threads": replace(measured, entries=(replace(measured.entries[0], threads=7),)),
    }[change]
    with pytest.raises(UsageError, match="not measured alike") as caught:
        compare_results(measured, other)
    word = {"environment": "processor", "threads": "threads of digits"}.get(change, change)
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
