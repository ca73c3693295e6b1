"""Hold the benchmark of patterns to its catalogue."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.patterns.catalogue import PATTERNS, Pattern
from benchmarks.patterns.records import Run, Site, load, reaches, save, stays_out, table
from graphopt.measure.records import BenchReport, Entry, Latency, RatioRecord

FOLDER = Path(__file__).parents[1] / "benchmarks" / "patterns"


def site(pattern: str, ratio: float, operators: dict[str, int], *, noise: bool = False) -> Site:
    latency = Latency(3, 1.0, 2.0, 3.0, None, 0.1, (1.0, 2.0, 3.0))
    record = RatioRecord("original", ratio, ratio - 0.01, ratio + 0.01, 3, noise)
    entries = (
        Entry("original", "original.onnx", "", "cpu", 1, latency=latency),
        Entry("graphopt", "graphopt.onnx", "", "cpu", 1, latency=latency, ratio=record),
    )
    twin = RatioRecord("original", 1.0, 0.99, 1.01, 3, no_difference=True)
    report = BenchReport(entries, twin, {}, "", {}, "drawn", 1, 0, 1.0, 1.0, "")
    rules = {"cascade-pools": 3, "lift-constants": 2}
    return Site(pattern, "script", "same", rules, operators, {"x": (1, 2)}, (report,))


def test_every_pattern_has_a_module() -> None:
    tree = ast.parse((FOLDER / "modules.py").read_text(encoding="utf-8"))
    listed = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign))
    assert isinstance(listed, ast.Dict)
    names = [ast.literal_eval(key) for key in listed.keys if key is not None]
    assert sorted(names) == sorted(one.name for one in PATTERNS)


def test_names_of_exports_are_unambiguous() -> None:
    names = [f"{one.name}-{way}" for one in PATTERNS for way in one.ways]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("gain", "ratio", "noise", "reached"),
    [
        (2.0, 0.6, False, True),
        (2.0, 0.61, False, False),
        (1.0, 1.0, False, True),
        (1.0, 1.2, True, True),
        (1.0, 1.2, False, False),
    ],
)
def test_four_fifths_are_asked_for(*, gain: float, ratio: float, noise: bool, reached: bool) -> None:
    assert reaches(site("a", ratio, {}, noise=noise), Pattern("a", "", "", gain)) is reached


def test_what_is_left_alone_must_be_there() -> None:
    pattern = Pattern("a", "", "", 1.0, keeps={"MatMul": 2, "Split": 0})
    assert stays_out(site("a", 1.0, {"MatMul": 2}), pattern)
    for operators in ({"MatMul": 1}, {"MatMul": 2, "Split": 1}):
        assert not reaches(site("a", 0.5, operators), pattern)


def test_the_table_is_of_the_file(tmp_path: Path) -> None:
    run = Run("machine", "commit", "2026-01-01", "ort-cpu", {}, 1.0, (site("spp", 0.3, {}), site("focus", 0.95, {})))
    path = tmp_path / "run.json"
    save(run, path)
    assert load(path) == replace(run, sites=load(path).sites)
    rows = table(load(path)).splitlines()[2:]
    assert len(rows) == 2
    assert "cascade-pools (3)" in rows[0]
    assert "lift-constants" not in rows[0]
    assert rows[0].rstrip(" |").endswith("yes")
    assert rows[1].rstrip(" |").endswith("**no**")
