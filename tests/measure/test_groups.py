"""Several providers or numbers of threads: what a ratio is to, and what each contender is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from graphopt.cli import main
from graphopt.demo import MODEL
from graphopt.errors import UnsupportedError, UsageError
from graphopt.measure.bench import BenchOptions, bench
from graphopt.measure.contenders import contenders
from graphopt.measure.feeds import candidates
from graphopt.measure.figures import bench_figures
from graphopt.measure.records import BenchReport, base_of
from graphopt.measure.results import rounds
from graphopt.report.measured import bench_lines, bench_tables
from graphopt.runtime.ratios import Ratio, estimate
from graphopt.runtime.turns import Timing


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BenchReport:
    paths = [tmp_path_factory.mktemp("models") / f"{name}.onnx" for name in "ab"]
    for path in paths:
        path.write_bytes(MODEL.read_bytes())
    return bench(paths, BenchOptions(budget_s=0.2, threads=(1, 2)))


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_ratio_is_to_the_first_of_its_group(measured: BenchReport) -> None:
    assert [(entry.label, entry.ratio.to if entry.ratio else "") for entry in measured.entries] == [
        ("a, 1 thread", ""),
        ("b, 1 thread", "a, 1 thread"),
        ("a, 2 threads", "a, 1 thread"),
        ("b, 2 threads", "a, 2 threads"),
    ]
    last, base = measured.entries[3], measured.entries[2]
    assert last.ratio is not None
    expected = estimate(rounds(last), rounds(base))
    assert last.ratio.median == pytest.approx(expected.median)
    assert (last.ratio.low, last.ratio.high) == pytest.approx((expected.low, expected.high))


def test_the_ratio_of_any_two_is_held_against_the_noise() -> None:
    rows = {"a": 1.0, "b": 2.0, "c": 2.02}
    held = {label: ((value, value, value),) for label, value in rows.items()}
    timing = Timing(held, {}, {}, Ratio(1.0, 0.9, 1.1), 1)
    assert timing.ratio("b", "a") == Ratio(2.0, 2.0, 2.0, no_difference=False)
    assert timing.ratio("c", "b").median == pytest.approx(1.01)
    assert timing.ratio("c", "b").no_difference


def test_the_table_says_what_a_ratio_is_to(measured: BenchReport) -> None:
    table = bench_tables(measured)[0]
    assert table.title == "inputs drawn"
    assert table.header[-1] == "ratio to"
    assert [row[-1] for row in table.rows] == ["-", "a, 1 thread", "a, 1 thread", "a, 2 threads"]
    assert any(
        line.startswith("b, 2 threads: ") and line.endswith(", against a, 2 threads") for line in bench_lines(measured)
    )
    plain = replace(measured, entries=measured.entries[:2])
    assert bench_tables(plain)[0].title == "1 thread, inputs drawn"
    assert "ratio to" not in bench_tables(plain)[0].header
    assert not any("against a, " in line for line in bench_lines(plain))


def test_gates_judge_against_what_the_ratio_is_to(measured: BenchReport) -> None:
    sized = [replace(one, file_bytes=size) for one, size in zip(measured.entries, (100, 200, 300, 330), strict=True)]
    figures = bench_figures(replace(measured, entries=tuple(sized)))
    found = {label: find("size") for label, find in figures.items()}
    assert {label: figure.base for label, figure in found.items() if figure} == {
        "b, 1 thread": 100,
        "a, 2 threads": 100,
        "b, 2 threads": 300,
    }
    latency = figures["b, 2 threads"]("latency")
    base = measured.entries[2].latency
    assert latency is not None
    assert base is not None
    assert latency.base == base.median_ms
    assert latency.ratio == (measured.entries[3].ratio.median if measured.entries[3].ratio else None)


def test_a_gate_is_not_held_against_another_base_than_its_own(measured: BenchReport) -> None:
    """Where the first of a group failed, ratios are to the next, and gates on changes are missed."""
    first, second, third, last = measured.entries
    failed = replace(third, latency=None, ratio=None, trouble="does not load")
    moved = replace(last, ratio=replace(last.ratio, to=first.label) if last.ratio else None)
    figure = bench_figures(replace(measured, entries=(first, second, failed, moved)))[last.label]("latency")
    assert figure is not None
    assert (figure.base, figure.ratio) == (None, None)
    assert base_of(last, (first, second, last)) == first


def test_more_threads_than_cores_are_told(measured: BenchReport) -> None:
    def told(cores: str) -> list[str]:
        report = replace(measured, environment={**measured.environment, "cores": cores})
        return [line for line in bench_lines(report) if "threads were asked for" in line]

    assert told("1") == ["2 threads were asked for where 1 core is available: they share them"]
    assert told("2") == []


def test_an_option_that_a_provider_does_not_take_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", MODEL, "--config", "foo=bar") == 2
    shown = capsys.readouterr().err
    assert "'foo'" in shown
    assert "dot" in shown
    assert "EP:KEY=VALUE" in shown
    for config in ({"cpu:foo": "1"}, {"cdua:foo": "1"}):
        with pytest.raises(UsageError):
            BenchOptions(config=config)
    assert BenchOptions(eps=("cpu", "cuda"), config={"cuda:foo": "1", "session.x": "1"})


def narrow(path: Path, kind: str) -> Path:
    text = f"""<ir_version: 11, opset_import: ["" : 23]>
    g ({kind}[4] x) => (float[4] y) {{ y = Cast<to = 1>(x) }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.parametrize("kind", ["int4", "uint4"])
def test_inputs_that_cannot_be_sent_are_one_message(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = narrow(tmp_path / "m.onnx", kind)
    with pytest.raises(UnsupportedError, match="no inputs can be made"):
        next(candidates(path, "", 1, 0))
    assert run("bench", path, "--budget", "0.1") == 4
    shown = capsys.readouterr().err
    assert kind in shown
    assert "let the model take" in shown
    assert len(shown.splitlines()) <= 3


def test_compare_shows_costs_and_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(MODEL.read_bytes())
    assert run("compare", path, path, "--budget", "0.1", "--concurrency", "1", "--rate", "50/s") == 0
    shown = capsys.readouterr().out
    for words in ("the first against itself", "above the runtime", "inferences/s", "began late"):
        assert words in shown


def test_only_engines_of_tensorrt_are_kept_and_each_contender_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BenchOptions(eps=("cpu", "tensorrt"))
    found = [one.options["cache"] for one in contenders([Path("a.onnx"), Path("b.onnx")], options, str(tmp_path))]
    assert found[:2] == ["", ""]
    assert len(set(found[2:])) == 2
    assert all(Path(folder).parent == tmp_path for folder in found[2:])
    seen: list[Path] = []

    class Watched:
        def __init__(self, *given: object) -> None:
            seen.append(Path(str(given[-1])))

        def run(self) -> str:
            assert seen[0].is_dir()
            return "done"

    monkeypatch.setattr("graphopt.measure.bench._Bench", Watched)
    assert bench(["a.onnx"]) == "done"  # type: ignore[comparison-overlap]
    assert not seen[0].exists()
