"""Runs over many models: what a TOML file may say, where results go, and what resuming leaves out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from graphopt.demo import MODEL
from graphopt.errors import ModelError, PipelineError, UsageError
from graphopt.graph.load import load
from graphopt.pipeline.batch import Outcome, run_file
from graphopt.pipeline.manifest import read_manifest
from graphopt.pipeline.toml import read_run

QUICK = '[options]\nverify = "off"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two models in a folder of their own."""
    (tmp_path / "models").mkdir()
    for name in ("a", "b"):
        shutil.copyfile(MODEL, tmp_path / "models" / f"{name}.onnx")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def outcomes(outcome: Outcome) -> list[str]:
    return [row[1] for row in outcome.rows]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx"))


def test_results_stand_beside_their_models(folder: Path) -> None:
    path = write(folder, f'models = ["models/*.onnx"]\n{QUICK}')
    assert outcomes(run_file(path)) == ["off", "off"]
    assert names(folder) == [f"models/{name}.onnx" for name in ("a", "a.opt", "b", "b.opt")]


def test_results_stand_where_the_pattern_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "results").mkdir()
    write(folder, f'models = "models/a.onnx"\noutput = "results/{{stem}}.small.onnx"\n{QUICK}')
    monkeypatch.chdir(folder.parent)
    run_file(Path(folder.name, "run.toml"))
    assert names(folder / "results") == ["a.small.onnx"]


def test_models_may_be_given_from_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "configuration").mkdir()
    write(folder / "configuration", QUICK)
    monkeypatch.chdir(folder)
    run_file(Path("configuration", "run.toml"), ["models/a.onnx"])
    assert "models/a.opt.onnx" in names(folder)


def test_results_are_no_models(folder: Path) -> None:
    path = write(folder, f'models = ["models/*.onnx"]\noutput = "{{folder}}/{{stem}}.small.onnx"\n{QUICK}')
    run_file(path)
    before = names(folder)
    assert len(run_file(path).rows) == 2
    assert names(folder) == before


def test_resuming_leaves_out_what_is_done(folder: Path) -> None:
    path = write(folder, 'models = ["models/*.onnx"]\n[options]\nverify = "off"\ntarget = "ort-cpu"\n')
    run_file(path)
    (folder / "models" / "b.opt.onnx").unlink()
    assert outcomes(run_file(path, resume=True)) == ["done before", "off"]
    source = folder / "models" / "a.onnx"
    later = (folder / "models" / "a.opt.onnx").stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    assert outcomes(run_file(path, resume=True)) == ["off", "done before"]
    path.write_text(path.read_text().replace('"ort-cpu"', '"portable"'))
    assert outcomes(run_file(path, resume=True)) == ["off", "off"]


def test_resuming_leaves_out_what_needed_no_change(folder: Path) -> None:
    path = write(folder, f'models = ["models/a.onnx"]\npipeline = "inline-functions"\n{QUICK}')
    run_file(path)
    assert read_manifest(load(folder / "models" / "a.opt.onnx")) is None
    assert outcomes(run_file(path, resume=True)) == ["done before"]


def test_a_failing_model_costs_only_itself(folder: Path) -> None:
    (folder / "models" / "a.onnx").write_bytes(b"no model")
    path = write(folder, f'models = ["models/*.onnx", "models/none.onnx"]\n{QUICK}')
    outcome = run_file(path)
    assert [text.partition(":")[0] for text in outcomes(outcome)] == ["failed", "off", "failed"]
    assert all(isinstance(failure, ModelError) for failure in outcome.failures)
    assert names(folder) == ["models/a.onnx", "models/b.onnx", "models/b.opt.onnx"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = 3", "models"),
        ('models = ["*.onnx"]\npipeline = 3', "pipeline"),
        ('models = ["*.onnx"]\noutput = "{name}.onnx"', "cannot be filled in"),
        ('models = ["*.onnx"]\noutput = "{stem"', "cannot be filled in"),
        ('models = ["*.onnx"]\nmodel = 3', "did you mean 'models'"),
        ('models = ["*.onnx"]\noptions = 3', "expected a table"),
        ('models = ["*.onnx"]\n[options]\nverifi = "off"', "did you mean 'verify'"),
        ('models = ["*.onnx"]\n[options]\nstop-after = "x"', "stop_after"),
        ('models = ["*.onnx"]\n[options]\nverify = "of"', "did you mean 'off'"),
        ("models = [", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(folder: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_run(write(folder, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no model"),
        ('models = ["none/*.onnx"]', "names no model"),
        ('models = ["models/*.onnx"]\noutput = "{folder}/{stem}.onnx"', "is the input"),
        ('models = ["models/*.onnx"]\noutput = "one.onnx"', "both be written"),
    ],
)
def test_nothing_is_written_where_places_collide(folder: Path, text: str, words: str) -> None:
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    with pytest.raises(PipelineError, match=words):
        run_file(write(folder, text))
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_paths_among_the_options_are_relative_to_the_file(folder: Path) -> None:
    run = read_run(write(folder, '[options]\ntask = "samples"\nsnapshots = "kept"\ncustom-ops = ["ops.so"]\n'))
    assert run.options.task == str(folder / "samples")
    assert run.options.snapshots == str(folder / "kept")
    assert run.options.custom_ops == (str(folder / "ops.so"),)
