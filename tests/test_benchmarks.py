"""Hold the benchmarks to what they say: README's figures are the result file's, failures are told, runs go on."""

from __future__ import annotations

import ast
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import peers, venvs
from benchmarks.peers import Peer, attempt, verified
from benchmarks.records import (
    FAILED,
    GRAPHOPT,
    ORIGINAL,
    RIGHT,
    WRONG,
    Attempt,
    ModelResult,
    Settings,
    SuiteResult,
    json_schema,
    load,
    save,
    summarize,
)
from benchmarks.reproduce import compare
from benchmarks.run import RESULTS, Suite, commit, machine_slug, portable
from benchmarks.table import BEGIN, COMMAND, END, linked, plot_name, section, with_section
from benchmarks.zoo import ZooError, ZooModel
from graphopt import demo
from graphopt.measure.records import BenchReport, Entry, Latency, RatioRecord

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = Settings(threads=(1,), budget_s=0.5, samples=1, evaluate=0, seed=0, limit_s=60)


def tracked_results() -> list[Path]:
    return [path for path in RESULTS.glob("*.json") if path.name != "schema.json" and "-partial" not in path.name]


def entry(label: str, ratio: float | None, *, noise: bool = False) -> Entry:
    latency = Latency(3, 1.0, 2.0, 3.0, None, 0.1, (1.0, 2.0, 3.0))
    record = None if ratio is None else RatioRecord(ORIGINAL, ratio, ratio - 0.01, ratio + 0.01, 3, noise)
    return Entry(label, f"{label}.onnx", "", "cpu", 1, latency=latency, ratio=record)


def report(*entries: Entry) -> BenchReport:
    twin = RatioRecord(ORIGINAL, 1.0, 0.99, 1.01, 3, no_difference=True)
    return BenchReport(entries, twin, {}, "", {}, "drawn", 1, 0, 1.0, 1.0, "")


def suite_result(ratio: float = 0.8) -> SuiteResult:
    attempts = (
        Attempt(GRAPHOPT, RIGHT, 1.0),
        Attempt("a", WRONG, 1.0, max_error=0.02),
        Attempt("b", FAILED, 1.0),
        Attempt("c", RIGHT, 1.0),
    )
    entries = (entry(ORIGINAL, None), entry(GRAPHOPT, ratio), entry("a", 0.5), entry("c", 1.02, noise=True))
    models = (ModelResult("net", "package==1", "", "vision", "float32", attempts, (report(*entries),)),)
    tools = {GRAPHOPT: "graphopt 1", "a": "a 1", "b": "b 1", "c": "c 1"}
    return SuiteResult("a machine", "abc1234", "2026-01-01T", {}, "", SETTINGS, tools, models, summarize(models))


def test_readme_says_what_its_result_file_says() -> None:
    assert with_section(README, section(linked(README))) == README


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_readme_shows_a_result_if_one_is_tracked() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "benchmarks/results/*.json"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {Path(name).name for name in listed.stdout.split()} - {"schema.json"}
    path = linked(README)
    assert (path is None) == (not names)
    assert path is None or path.name in names


def test_a_figure_edited_by_hand_is_found(tmp_path: Path) -> None:
    path = tmp_path / "machine-abc1234.json"
    save(suite_result(), path)
    text = with_section(f"before\n{BEGIN}\n{END}\nafter\n", section(path))
    assert "0.800" in text
    edited = text.replace("0.800", "0.700", 1)
    assert with_section(text, section(path)) == text
    assert with_section(edited, section(path)) != edited


def test_the_command_beside_the_table_exists(tmp_path: Path) -> None:
    program, option, name = COMMAND.split()
    assert (program, option) == ("nox", "-s")
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    (session,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert [ast.unparse(each) for each in session.decorator_list] == ["nox.session"]
    scripts = [text.value for text in ast.walk(session) if isinstance(text, ast.Constant)]
    assert "benchmarks/run.py" in scripts
    assert [text for text in scripts if str(text).startswith("benchmarks/") and not (ROOT / str(text)).exists()] == []
    path = tmp_path / "machine-abc1234.json"
    save(suite_result(), path)
    assert f"`{COMMAND}`" in section(path)
    assert f"`{COMMAND}`" in README


def test_without_a_result_there_is_no_table() -> None:
    assert section(None) == "\n"
    assert linked(f"{BEGIN}\n{END}") is None


def test_the_table_tells_what_went_wrong(tmp_path: Path) -> None:
    path = tmp_path / "machine-abc1234.json"
    save(suite_result(), path)
    (row,) = [line for line in section(path).splitlines() if line.startswith("| net ")]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "net",
        "2 ms",
        "0.800 [0.790, 0.810]",
        "differs by 2e-02",
        "fails",
        "≈1.020",
    ]


def test_what_is_wrong_or_fails_counts_as_the_original() -> None:
    found = {one.tool: one for one in suite_result().summary}
    assert [found[tool].geomean for tool in (GRAPHOPT, "a", "b", "c")] == pytest.approx([0.8, 1, 1, 1.02])
    assert [(one.right, one.wrong, one.failed) for one in found.values()] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (1, 0, 0),
    ]
    assert [(one.faster, one.slower) for one in found.values()] == [(1, 0), (0, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize("path", tracked_results(), ids=lambda path: path.stem)
def test_kept_results_are_whole(path: Path) -> None:
    result = load(path)
    assert result.summary == summarize(result.models)
    assert not result.commit.endswith("-dirty")
    assert path.stem.endswith(result.commit)
    assert [model.name for model in result.models if model.trouble] == []
    assert [count for count in result.settings.threads if not path.with_name(plot_name(path, count)).exists()] == []


def test_the_schema_is_that_of_the_records() -> None:
    """`nox -s bench-table` writes it anew."""
    text = (RESULTS / "schema.json").read_bytes()
    assert text == json_schema()
    schema = json.loads(text)
    assert schema["$ref"] == "#/$defs/SuiteResult"
    assert (RESULTS / schema["$defs"]["BenchReport"]["$ref"]).is_file()
    refs = {one.removeprefix("#/$defs/") for one in re.findall(r'"(#/[^"]+)"', text.decode())}
    assert refs <= set(schema["$defs"])


def test_results_survive_a_file(tmp_path: Path) -> None:
    save(suite_result(), tmp_path / "one.json")
    assert load(tmp_path / "one.json") == suite_result()
    save(replace(suite_result(), schema=99), tmp_path / "two.json")
    with pytest.raises(ValueError, match="has version 99"):
        load(tmp_path / "two.json")


def test_a_run_is_reproduced_within_five_percent() -> None:
    assert compare(suite_result(0.8), suite_result(0.83)) == (2, [])
    assert compare(suite_result(0.8), suite_result(0.9)) == (2, ["net, graphopt, 1 thread(s): 0.900, then 0.800"])
    worse = suite_result()
    attempts = tuple(replace(one, status=WRONG) for one in worse.models[0].attempts)
    worse = replace(worse, models=(replace(worse.models[0], attempts=attempts),))
    assert compare(worse, suite_result())[1] == [
        "net, c, 1 thread(s): only in the old result",
        "net, graphopt, 1 thread(s): only in the old result",
    ]


def made_by(code: str, folder: Path, limit_s: float = 60) -> Attempt:
    return attempt(Peer("a", "a", code), Path(sys.executable), demo.MODEL, folder / "a.onnx", limit_s)


@pytest.mark.parametrize(
    ("code", "limit_s", "said"),
    [
        ("raise SystemExit('it broke')", 60, "exit 1: it broke"),
        ("pass", 60, "exit 0: no message"),
        ("import time; time.sleep(60)", 0.5, "took longer than 0.5 s"),
    ],
)
def test_a_tool_that_fails_is_told(code: str, limit_s: float, said: str, tmp_path: Path) -> None:
    made = made_by(code, tmp_path, limit_s)
    assert (made.status, made.detail) == (FAILED, said)


COPY = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
BREAK = """
import sys, onnx
model = onnx.load(sys.argv[1])
weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(2 * weights, model.graph.initializer[0].name))
onnx.save(model, sys.argv[2])
"""
CUT = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read()[:100])"


@pytest.mark.parametrize(
    ("code", "status"), [(COPY, RIGHT), (BREAK, WRONG), (CUT, FAILED)], ids=["right", "wrong", "cut"]
)
def test_results_are_verified(code: str, status: str, tmp_path: Path) -> None:
    (weights, *_) = onnx.load(demo.MODEL).graph.initializer
    assert np.any(onnx.numpy_helper.to_array(weights))
    found = verified(made_by(code, tmp_path), demo.MODEL, tmp_path / "a.onnx", None, 2, 60)
    assert (found.status, found.feeds > 0) == (status, status != FAILED)
    assert str(tmp_path) not in found.detail


def test_peers_are_pinned() -> None:
    versions = peers.pins()
    assert [peer.name for peer in peers.catalogue() if peer.package not in versions] == []
    assert [name for name, version in versions.items() if not version] == []
    installed = {
        line.partition("==")[0] for line in (ROOT / "benchmarks" / "requirements.txt").read_text().splitlines()
    }
    # The runtime that times all is the one that the peers use.
    lines = (ROOT / "benchmarks" / "requirements.txt").read_text().splitlines()
    assert {f"{name}=={versions[name]}" for name in ("onnx", "onnxruntime", "numpy")} <= set(lines)
    assert "pillow" in installed


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str]) -> None:
        commands.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True)

    monkeypatch.setattr(venvs, "_run", run)
    first, again = (venvs.environment(pins, tmp_path) for pins in (["a==1", "b==2"], ["b==2", "a==1"]))
    assert first == again
    assert [("venv" in command, "install" in command) for command in commands] == [(True, False), (False, True)]
    assert venvs.environment(["a==1"], tmp_path) != first


def test_a_failed_install_is_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(command: list[str]) -> None:
        tried.append(command)
        raise venvs.InstallError("no network")

    monkeypatch.setattr(venvs, "_run", fail)
    for _ in range(2):
        with pytest.raises(venvs.InstallError, match="no network"):
            venvs.environment(["a==1"], tmp_path)
    assert len(tried) == 2


def test_reports_name_no_folder_of_this_machine(tmp_path: Path) -> None:
    one = replace(entry(GRAPHOPT, 0.8), model=str(tmp_path / "graphopt.onnx"))
    cleaned = portable(replace(report(one), source=str(tmp_path / "task.py")))
    assert str(tmp_path) not in str(cleaned)
    assert cleaned.source == "task"


def test_the_machine_names_a_file() -> None:
    assert machine_slug().replace("-", "").isalnum()
    assert machine_slug().endswith("-cores")


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    model = ZooModel("demo", "graphopt", "1", "", "0" * 64, "Apache-2.0", "the network of `graphopt demo`", "vision")
    path = tmp_path / "result.json"
    suite = Suite(path, SETTINGS, [], tmp_path / "cache", fresh=False)
    assert not suite.has(model)
    found = suite.measure(model, demo.MODEL)
    assert [one.status for one in found.attempts] == [RIGHT]
    assert [entry.label for entry in found.reports[0].entries] == [ORIGINAL, GRAPHOPT]
    kept = load(path)
    assert kept.commit == commit()
    assert math.isclose(kept.summary[0].geomean, found.reports[0].entries[1].ratio.median)  # type: ignore[union-attr]
    assert Suite(path, SETTINGS, [], tmp_path / "cache", fresh=False).has(model)
    assert not Suite(path, SETTINGS, [], tmp_path / "cache", fresh=True).has(model)
    with pytest.raises(ZooError, match="was measured with other settings; --fresh"):
        Suite(path, replace(SETTINGS, seed=1), [], tmp_path / "cache", fresh=False)


def test_plots_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="`nox -s bench` installs it")
    from benchmarks.plots import draw

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        draw(suite_result(), 1, tmp_path / name / "plot.svg")
    drawn = (tmp_path / "one" / "plot.svg").read_bytes()
    assert drawn == (tmp_path / "two" / "plot.svg").read_bytes()
    texts = [element.text for element in ET.fromstring(drawn).iter() if element.tag.endswith("text")]  # noqa: S314
    assert {"net", GRAPHOPT, "a", "b", "c"} <= set(texts)
