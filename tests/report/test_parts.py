"""The parts of a page: scales, areas, layers, weights, regions, and the reading of results."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from graphopt.demo import MODEL
from graphopt.errors import TaskError
from graphopt.graph.load import load
from graphopt.report.exhibits import exhibits
from graphopt.report.page.layers import lay_out
from graphopt.report.page.scale import spanning
from graphopt.report.page.svg import fit, shown
from graphopt.report.page.treemap import squarify
from graphopt.report.regions import Part, regions
from graphopt.report.results import read_results
from graphopt.report.weights import weight_histograms
from tests.report.results import HOSTILE, measured, optimized, profiled

values = st.lists(st.floats(-1e6, 1e6), max_size=9)


@given(values, st.booleans())
def test_a_scale_keeps_its_values_inside_and_its_ticks_apart(found: list[float], zero: bool) -> None:
    scale = spanning([abs(each) for each in found] if zero else found, 10.0, 90.0, zero=zero)
    assert all(10 <= scale(each) <= 90 for each in found)
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert len({scale.text(tick) for tick in ticks}) == len(ticks)
    assert all(scale.low - 1e-9 * abs(scale.low) <= tick <= scale.high + 1e-9 * abs(scale.high) for tick in ticks)


@given(st.lists(st.floats(1e-12, 1e9), min_size=1, max_size=9))
def test_a_logarithmic_scale_has_two_ticks_at_least(found: list[float]) -> None:
    scale = spanning(found, 0.0, 100.0, log=True)
    assert len(scale.ticks()) >= 2
    assert all(0 <= scale(each) <= 100 for each in found)


def test_a_scale_ends_where_it_is_told() -> None:
    scale = spanning([2.0, 4.0], 100.0, 0.0, margin=0.0)
    assert (scale(2.0), scale(3.0), scale(4.0), scale(9.0)) == (100.0, 50.0, 0.0, 0.0)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_areas_are_in_proportion_and_do_not_overlap(amounts: list[float]) -> None:
    amounts.sort(reverse=True)
    boxes = squarify(amounts, (0.0, 0.0, 300.0, 200.0))
    for amount, (x, y, width, height) in zip(amounts, boxes, strict=True):
        assert math.isclose(width * height, 60_000 * amount / sum(amounts), rel_tol=1e-6, abs_tol=1e-6)
        assert min(x, y) >= 0
        assert x + width <= 300.001
        assert y + height <= 200.001
    for index, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:index]:
            across, along = min(x + width, x2 + width2) - max(x, x2), min(y + height, y2 + height2) - max(y, y2)
            assert min(across, along) < 1e-6


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 12))
    pairs = [(tail, head) for head in range(count) for tail in range(head)]
    return count, draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []


@given(graphs())
def test_edges_lead_down_through_every_layer(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    layout = lay_out(count, edges)
    assert len(set(layout.places)) == count
    assert all(0 <= column <= layout.columns - 1 and 0 <= row < layout.layers for column, row in layout.places)
    for (tail, head), route in zip(edges, layout.routes, strict=True):
        assert (route[0], route[-1]) == (layout.places[tail], layout.places[head])
        assert [row for _, row in route] == list(range(route[0][1], route[-1][1] + 1))
        # Between its ends an edge passes no box.
        assert not set(route[1:-1]) & set(layout.places)


def test_an_edge_that_leads_up_is_refused() -> None:
    with pytest.raises(ValueError, match="lower to higher"):
        lay_out(2, [(1, 0)])


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_short_and_without_effect(name: str) -> None:
    text = shown(name)
    assert len(text) <= 300 * 6
    assert not any(char in text for char in "\n\r\u2028\u2029\u202e\u2066\u200b\u200d")
    assert len(fit(name, 100.0)) <= 100 / 7 + 1


def pruned(folder: Path) -> tuple[Path, Path, str]:
    """Write the demo's network, and it with half of one weight cleared."""
    model = onnx.load(MODEL)
    before, after = folder / "before.onnx", folder / "after.onnx"
    onnx.save(model, before)
    tensor = max(
        (each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT),
        key=lambda each: math.prod(each.dims),
    )
    array = numpy_helper.to_array(tensor).copy()
    array[np.abs(array) < np.median(np.abs(array))] = 0
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, after)
    return before, after, tensor.name


def test_only_weights_that_changed_have_a_histogram(tmp_path: Path) -> None:
    before, after, name = pruned(tmp_path)
    found = weight_histograms(load(before), load(after))
    assert [each.name for each in found] == [name]
    (one,) = found
    old = numpy_helper.to_array(next(each for each in onnx.load(before).graph.initializer if each.name == name))
    assert sum(one.before) == sum(one.after) == old.size
    assert list(one.before) == np.histogram(old.astype(np.float64), one.edges)[0].tolist()
    assert max(one.after) >= old.size // 2
    assert 0 < one.change < 1
    assert weight_histograms(load(before), load(before)) == ()


def operators(part: Part, change: str) -> set[str]:
    return {box.operator for box in part.boxes if box.change == change}


def test_regions_tell_what_a_rewrite_took_and_what_it_changed(tmp_path: Path) -> None:
    report = optimized(MODEL, tmp_path)
    found = regions(load(report.model), load(report.output), report.steps)
    # These name no node: one speaks of the model, the other of weights.
    rules = {step.rule for step in report.steps} - {"upgrade-opset", "deduplicate-initializers"}
    assert {region.rule for region in found} == rules
    fused = next(region for region in found if region.rule == "fuse-batchnorm-into-conv")
    assert operators(fused.before, "removed") & {"Conv", "BatchNormalization"}
    assert "BatchNormalization" not in {box.operator for box in fused.after.boxes}
    for region in found:
        for part in (region.before, region.after):
            assert len(part.boxes) <= 12
            assert all(tail < head < len(part.boxes) for tail, head, _ in part.edges)


def test_a_file_that_is_another_by_now_is_not_shown(tmp_path: Path) -> None:
    report = optimized(MODEL, tmp_path)
    args = report.before_sha256, report.output, report.after_sha256, report.steps
    assert exhibits(report.model, *args).missing == ""
    assert exhibits(report.model, *args).regions
    Path(report.model).write_bytes(Path(report.output).read_bytes())
    changed = exhibits(report.model, *args)
    assert "before" in changed.missing
    assert (changed.before, changed.regions, changed.histograms) == ((), (), ())
    assert changed.after


def test_results_are_read_back_as_they_were(tmp_path: Path) -> None:
    report = optimized(MODEL, tmp_path)
    for result in (report, measured(HOSTILE), profiled(HOSTILE)):
        path = tmp_path / "result.json"
        path.write_bytes(msgspec.json.encode(result))
        assert read_results(path) == [result]
        path.write_bytes(msgspec.json.encode({"models": [], "reports": [result], "report": result}))
        assert read_results(path) == [result, result]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"steps": [], "verification": 1}', '{"report": {"entries": 1}}']
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(TaskError):
        read_results(path)
    with pytest.raises(TaskError, match="no result can be read"):
        read_results(tmp_path / "absent.json")


def test_a_wrong_entry_is_not_called_the_fastest() -> None:
    from graphopt.report.page.bench import bench_verdict

    text, tone = bench_verdict(measured())
    assert text.startswith("fast is 2.00 times as fast as base")
    assert text.endswith("Not the same results: wrong.")
    assert tone == "bad"
    report = measured()
    alone = replace(report, entries=(report.entries[0], report.entries[3]))
    assert bench_verdict(alone) == ("Nothing else computes the same as base.", "bad")
