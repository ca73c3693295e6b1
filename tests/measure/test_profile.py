"""Where the time goes: what is read from the runtime's profiler, what it stands for, and how it adds up."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from graphopt.cli import main
from graphopt.errors import MeasureError, UsageError
from graphopt.graph.costs import Cost, Costs
from graphopt.graph.facts import Facts
from graphopt.graph.load import from_proto
from graphopt.graph.model import Model
from graphopt.measure.origins import NO_REGION, OWN, Origins, name_nodes, region_of
from graphopt.measure.profile import ProfileOptions, profile
from graphopt.measure.profile_records import ProfileReport
from graphopt.measure.roofline import Peaks, copy_rate, roof
from graphopt.measure.shares import mac_shares
from graphopt.report.page.blocks import TableBlock
from graphopt.report.page.profiled import profile_chapter
from graphopt.report.profiled import profile_lines, profile_tables, providers
from graphopt.runtime.providers.interface import Kernel
from graphopt.runtime.providers.ort_profile import kernels_of
from tests.graph.protos import parse
from tests.report.results import profiled
from tests.runtime.models import FLOAT, model, save


def net(path: Path, channels: int = 16) -> Path:
    """Write a small network whose names tell modules."""
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "/stem/conv/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "/stem/act/Relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "/head/pool/GlobalAveragePool"),
        helper.make_node("Flatten", ["p"], ["f"], "/head/Flatten"),
        helper.make_node("MatMul", ["f", "v"], ["y"], "/head/fc/MatMul"),
    ]
    weights = {"w": (channels, 3, 3, 3), "v": (channels, 5)}
    drawn = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in weights.items()}
    return save(model(nodes, {"x": (FLOAT, ["n", 3, 32, 32])}, {"y": (FLOAT, ["n", 5])}, drawn), path)


def event(name: str, operator: str, begin: int, took: int, **args: Any) -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": begin,
        "dur": took,
        "tid": 1,
        "args": {"op_name": operator, "provider": "CPUExecutionProvider", "node_index": "0", **args},
    }


def run_of(begin: int, took: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": begin, "dur": took, "tid": 1, "args": {}}


def test_warm_ups_are_dropped_and_the_median_is_taken() -> None:
    events = []
    for at, took in enumerate([900, 800, 10, 30, 14]):
        events += [run_of(1000 * at, 950), event("a", "Add", 1000 * at + 1, took)]
    (found,) = kernels_of(events, {}, skip=2)
    assert (found.name, found.operator, found.calls) == ("a", "Add", 1)
    assert found.seconds == pytest.approx(14e-6)


def test_a_loop_counts_with_its_own_time_and_its_body_with_all_calls() -> None:
    shape = {"input_type_shape": [{"float": [2]}], "output_type_shape": [{"float": [2]}]}
    events = [
        run_of(0, 200),
        event("loop", "Loop", 10, 100),
        *(event("body", "Relu", 20 + 20 * at, 15, **shape) for at in range(4)),
        event("after", "Relu", 110, 5, **shape),
    ]
    loop, body, after = kernels_of(events, {}, skip=0)
    assert (loop.name, body.name, body.calls) == ("loop", "body", 4)
    assert loop.seconds == pytest.approx(40e-6)
    assert body.seconds == pytest.approx(60e-6)
    assert body.inputs == (("float32", (2,)),)
    assert after.seconds == pytest.approx(5e-6)


def test_operands_that_differ_from_call_to_call_are_not_told() -> None:
    events = [run_of(0, 200)]
    events += [event("b", "Relu", 20 * at, 5, output_type_shape=[{"float": [at]}]) for at in (1, 2)]
    (found,) = kernels_of(events, {}, skip=0)
    assert found.calls == 2
    assert found.outputs == ()


def test_weights_that_a_kernel_packed_are_put_back() -> None:
    proto = parse(
        "g (float[7, 2, 3] x, float[1, 2, 4] h) => (float[7, 1, 2, 4] y)"
        " <float[1, 4, 3] w = {0,0,0,0,0,0,0,0,0,0,0,0}, float[1, 4, 4] r = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}>"
        " { [rnn] y = RNN<hidden_size = 4>(x, w, r, , , h) }"
    )
    node = next(iter(from_proto(proto).graph))
    told = {
        "input_type_shape": [{"float": [7, 2, 3]}, {"float": [1, 2, 4]}],
        "output_type_shape": [{"float": [7, 1, 2, 4]}],
    }
    (found,) = kernels_of([run_of(0, 9), event("rnn", "RNN", 1, 5, **told)], {("rnn", "RNN"): node}, skip=0)
    x, w, r = ("float32", (7, 2, 3)), ("float32", (1, 4, 3)), ("float32", (1, 4, 4))
    assert found.inputs == (x, w, r, None, None, ("float32", (1, 2, 4)))
    assert found.attributes["hidden_size"] == 4


def origins(loaded: Model, *kernels: Kernel, **sizes: int) -> Origins:
    return Origins(loaded, Costs(Facts(loaded), sizes), kernels)


def kernel(name: str, operator: str, values: tuple[str, ...] = (), nodes: tuple[str, ...] = ()) -> Kernel:
    return Kernel(name, operator, "CPUExecutionProvider", 1e-6, nodes, values=values)


def test_a_fused_kernel_stands_for_what_no_other_does(tmp_path: Path) -> None:
    loaded = from_proto(onnx.load(net(tmp_path / "net.onnx")))
    fused, rest = kernel("c1", "FusedConv", ("r",)), kernel("/head/fc/MatMul", "MatMul", ("y",))
    found = origins(loaded, fused, rest, n=2)
    assert found.names(0) == ("/stem/conv/Conv", "/stem/act/Relu")
    assert found.names(1) == ("/head/pool/GlobalAveragePool", "/head/Flatten", "/head/fc/MatMul")
    # The region is that of the products, not of the result.
    assert [found.region(at, 9) for at in (0, 1)] == ["stem/conv", "head/fc"]
    once = found.cost(0, fused)
    conv = 2 * 16 * 32 * 32
    assert once == Cost(conv * 27, conv * (2 * 27 + 1), 4 * (2 * 3 * 32 * 32 + 16 * 27 + conv))


def test_names_that_a_runtime_decorates_are_known(tmp_path: Path) -> None:
    loaded = from_proto(onnx.load(net(tmp_path / "net.onnx")))
    for name in ("r_nchwc", "InsertedPrecisionFreeCast_r_nchwc", "/stem/act/Relu/SomeFusion/", "r_nchwc_token_3"):
        assert origins(loaded, kernel(name, "Conv")).names(0)[-1] == "/stem/act/Relu"


@pytest.mark.parametrize("name", ["Transpose_token_2", "reorder", "Relu", "/stem/act/Relu_1", "BiasGelu"])
def test_what_cannot_be_known_is_the_runtimes_own(tmp_path: Path, name: str) -> None:
    loaded = from_proto(onnx.load(net(tmp_path / "net.onnx")))
    found = origins(loaded, kernel(name, "Transpose", ("r",)), kernel(name, "Gelu"))
    assert [found.names(at) for at in (0, 1)] == [(), ()]
    assert [found.region(at, 2) for at in (0, 1)] == [OWN, OWN]
    assert found.cost(1, kernel(name, "Gelu")) is None


def test_a_node_that_two_kernels_could_stand_for_is_given_to_none() -> None:
    loaded = from_proto(
        parse("g (float[4] x) => (float[4] a, float[4] b) { [e] t = Exp(x) [p] a = Neg(t) [q] b = Abs(t) }")
    )
    found = origins(loaded, kernel("p", "Neg"), kernel("q", "Abs"))
    assert [found.names(at) for at in (0, 1)] == [("p",), ("q",)]
    assert found.cost(0, kernel("p", "Neg")) is None


def test_regions_come_from_names_and_from_metadata() -> None:
    loaded = from_proto(parse("g (float[4] x) => (float[4] y) { y = Relu(x) }"))
    node = next(iter(loaded.graph))
    node.name = "/encoder/layer.0/act/Relu"
    assert [region_of(node, depth) for depth in (1, 2, 9)] == ["encoder", "encoder/layer.0", "encoder/layer.0/act"]
    node.metadata_props["namespace"] = ": a.Net/layer2: b.Sequential/layer2.1: c.Block/relu_7: aten.relu"
    assert region_of(node, 9) == "layer2/layer2.1"
    node.metadata_props["pkg.torch.onnx.name_scopes"] = "['', 'm', 'm.encoder', 'm.encoder.layer.0', 'linear_3']"
    assert region_of(node, 9) == "m/encoder/layer.0"
    node.metadata_props.clear()
    node.name = "Relu_3"
    assert region_of(node, 3) == NO_REGION


def test_nodes_without_a_name_get_that_of_their_result() -> None:
    loaded = from_proto(parse("g (float[4] x) => (float[4] y) { t = Relu(x) [same] u = Neg(t) [same] y = Abs(u) }"))
    assert name_nodes(loaded) == 3
    assert [node.name for node in loaded.graph] == ["t", "u", "y"]
    assert name_nodes(loaded) == 0


def test_the_roof_is_the_later_of_computing_and_moving() -> None:
    peaks = Peaks(threads=1, copy_gbs=10.0, gemm_gflops=100.0, int8_gops=400.0)
    assert roof(Cost(0, 0, 0), peaks) is None
    computing = roof(Cost(10**9, 2 * 10**9, 10**6), peaks)
    assert computing is not None
    assert computing.bound == "compute"
    assert computing.seconds == pytest.approx(0.02)
    quick = roof(Cost(10**9, 2 * 10**9, 10**6), peaks, int8=True)
    assert quick is not None
    assert quick.seconds == pytest.approx(0.005)
    moving = roof(Cost(0, 10**6, 10**9), peaks)
    assert moving is not None
    assert moving.bound == "memory"
    assert moving.seconds == pytest.approx(0.1)


def test_the_better_of_two_peaks_counts() -> None:
    found = Peaks(2, 10.0, 100.0).best(Peaks(2, 20.0, 50.0, 400.0))
    assert found == Peaks(2, 20.0, 100.0, 400.0)
    assert Peaks(1, 1.0, 1.0).best(Peaks(1, 1.0, 1.0)).int8_gops is None


def test_a_copy_is_timed_whole() -> None:
    """No memory reads and writes 10 TB/s, and none that runs this is slower than 10 MB/s."""
    for threads in (1, 3):
        assert 1e7 < copy_rate(threads, 8 << 20) < 1e13


def leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("graphopt-profile-*"))


def by_region(report: ProfileReport, at: int = 0) -> Mapping[str, Any]:
    return {group.name: group for group in report.models[at].regions}


def test_a_profile_of_a_network(tmp_path: Path) -> None:
    before = leftovers()
    path = net(tmp_path / "net.onnx")
    report = profile(path, options=ProfileOptions(runs=10, depth=1))
    assert leftovers() <= before
    assert list(tmp_path.iterdir()) == [path]
    (found,) = report.models
    assert found.runs == 10
    assert found.kernels_ms == pytest.approx(sum(each.work.ms for each in found.kernels))
    assert found.outside_ms == pytest.approx(found.latency_ms - found.kernels_ms)
    assert sum(each.work.share for each in found.kernels) == pytest.approx(1)
    for groups in (found.operators, found.regions):
        assert sum(group.work.ms for group in groups) == pytest.approx(found.kernels_ms)
        assert sum(group.kernels for group in groups) == len(found.kernels)
    n = int(report.feed["x"].removeprefix("float32[").partition(",")[0])
    regions = by_region(report)
    assert set(regions) <= {"stem", "head", OWN}
    assert regions["stem"].work.macs == n * 16 * 32 * 32 * 27
    conv = next(each for each in found.kernels if "Conv" in each.operator)
    assert set(conv.nodes) == {"/stem/conv/Conv", "/stem/act/Relu"}
    assert conv.work.flops is not None
    assert conv.work.gflops == pytest.approx(conv.work.flops / conv.work.ms * 1e-6)
    assert conv.work.bound in {"compute", "memory"}
    assert msgspec.json.decode(msgspec.json.encode(report), type=ProfileReport) == report


def test_a_profile_of_two_networks_tells_what_changed(tmp_path: Path) -> None:
    small, large = net(tmp_path / "small.onnx", 16), net(tmp_path / "large.onnx", 512)
    report = profile(small, large, ProfileOptions(runs=10, depth=1))
    assert [one.label for one in report.models] == ["small", "large"]
    changes = {each.name: each for each in report.regions}
    stem = changes["stem"]
    assert stem.before_ms < stem.after_ms
    assert stem.delta_ms == pytest.approx(stem.after_ms - stem.before_ms)
    assert list(report.regions) == sorted(report.regions, key=lambda each: each.delta_ms)
    ratio = by_region(report, 1)["stem"].work.macs / by_region(report)["stem"].work.macs
    assert ratio == 512 / 16
    keys = [table.key for table in profile_tables(report)]
    assert keys[-2:] == ["operators compared", "regions compared"]
    assert any("outside kernels" in line for line in profile_lines(report))
    assert "the slowest 1 of" in profile_tables(report, top=1)[0].title


def test_control_flow_and_nodes_without_names(tmp_path: Path) -> None:
    text = """g (float[2] x, bool more) => (float[2] y) {
      t = Exp(x)
      y = If(more) <
        then_branch = a () => (float[2] p) { u = Neg(t) p = Sin(u) },
        else_branch = b () => (float[2] q) { q = Cos(t) }
      >
    }"""
    path = save(parse(text), tmp_path / "net.onnx")
    feeds = tmp_path / "feeds"
    feeds.mkdir()
    np.savez(feeds / "0.npz", x=np.ones(2, np.float32), more=np.array(True))
    report = profile(path, options=ProfileOptions(runs=5, task=str(feeds)))
    found = {each.name: each for each in report.models[0].kernels}
    assert set(found) == {"t", "y", "u", "p"}
    assert found["p"].nodes == ("p",)
    assert found["p"].work.flops == 2
    assert any("without a name" in note for note in report.models[0].notes)


def test_openvino_tells_its_kernels_too(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    report = profile(net(tmp_path / "net.onnx"), options=ProfileOptions(ep="openvino", runs=5, depth=1))
    conv = next(each for each in report.models[0].kernels if each.operator == "Convolution")
    assert (conv.region, conv.provider) == ("stem", "openvino")
    assert conv.implementation.endswith("f32")
    assert "/stem/conv/Conv" in conv.nodes
    n = int(report.feed["x"].removeprefix("float32[").partition(",")[0])
    assert conv.work.macs == n * 16 * 32 * 32 * 27


def test_shares_of_products_are_told_only_where_certain(tmp_path: Path) -> None:
    loaded = from_proto(onnx.load(net(tmp_path / "net.onnx")))
    feed = {"x": np.ones((2, 3, 32, 32), np.float32)}
    conv, product = 2 * 16 * 32 * 32 * 27, 2 * 16 * 5
    (only,) = mac_shares(loaded, feed, {"A": ["what", "ever"]})
    assert (only.provider, only.nodes, only.node_share, only.macs, only.mac_share) == ("A", 2, 1.0, conv + product, 1.0)
    a, b = mac_shares(loaded, feed, {"A": ["/stem/conv/Conv", "/stem/act/Relu"], "B": ["/head/fc/MatMul"]})
    assert (a.macs, b.macs) == (conv, product)
    assert a.mac_share == pytest.approx(conv / (conv + product))
    unsure = mac_shares(loaded, feed, {"A": ["/stem/conv/Conv"], "B": ["fused_7"]})
    assert [(each.macs, each.mac_share) for each in unsure] == [(None, None)] * 2
    assert mac_shares(loaded, feed, None) == ()


def test_providers_are_named_where_more_than_one_ran() -> None:
    report = profiled(("Conv", "Relu", "Gemm"))
    assert all("provider" not in table.header for table in profile_tables(report))
    first, *others = report.models
    kernels = (replace(first.kernels[0], provider="Device"), *first.kernels[1:])
    shares = {"Conv": 0.5, "Relu": 0.25, "Gemm": 0.125}
    assert providers(replace(first, kernels=kernels)) == {"Device": shares["Conv"], "cpu": 0.375}
    mixed = replace(report, models=(replace(first, kernels=kernels), *others))
    nodes = profile_tables(mixed)[0]
    assert [dict(zip(nodes.header, row, strict=True))["provider"] for row in nodes.rows] == ["Device", "cpu", "cpu"]
    assert nodes.numeric == frozenset(range(4, 4 + len(nodes.header) - 5))
    lines = profile_lines(mixed)
    assert f"{first.label}: time of kernels: 50.0% on Device, 37.5% on cpu" in lines
    assert f"{others[0].label}: time of kernels: 87.5% on cpu" in lines
    chapter = profile_chapter(mixed)
    assert any("50.0% on Device, 37.5% on cpu" in each.text for each in chapter.loud)
    tables = [block.table for section in chapter.sections for block in section.blocks if isinstance(block, TableBlock)]
    (slowest,) = (table for table in tables if "provider" in table.header)
    assert [row[-1] for row in slowest.rows] == ["Device", "cpu", "cpu"]


def test_options_reach_the_runtime(tmp_path: Path) -> None:
    path = net(tmp_path / "net.onnx")
    given = ProfileOptions(runs=5, precision="auto", config={"session.intra_op.allow_spinning": "0"})
    (found,) = profile(path, options=given).models
    assert (found.chosen["precision"], found.chosen["session.intra_op.allow_spinning"]) == ("auto", "0")
    assert ProfileOptions(strict=True).contender()["strict"] is True


def test_the_command_reads_options_for_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[ProfileOptions] = []

    def pretend(_: str, __: str | None, options: ProfileOptions, *___: object) -> ProfileReport:
        taken.append(options)
        return profiled()

    monkeypatch.setattr("graphopt.measure.profile.profile", pretend)
    argv = [
        "profile",
        str(tmp_path / "net.onnx"),
        "-q",
        "--config",
        "s.a=b=c",
        "--config",
        "s.d=",
        "--precision",
        "auto",
    ]
    for more, code in ((["--strict"], 0), (["--config", "e"], 2), (["--samples", "2"], 2)):
        with pytest.raises(SystemExit) as caught:
            main([*argv, *more])
        assert caught.value.code == code
    (options,) = taken
    assert (options.config, options.precision, options.strict) == ({"s.a": "b=c", "s.d": ""}, "auto", True)


def test_what_would_not_run_gives_no_profile(tmp_path: Path) -> None:
    path = net(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="openvinno"):
        profile(path, options=ProfileOptions(ep="openvinno"))
    with pytest.raises(UsageError, match="openvinno"):
        ProfileOptions(config={"openvinno:KEY": "1"})
    with pytest.raises(MeasureError):
        profile(path, options=ProfileOptions(ep="tensorrt"))


def test_the_command_prints_the_report_as_data(tmp_path: Path) -> None:
    path = net(tmp_path / "net.onnx")
    argv = [sys.executable, "-m", "graphopt", "profile", str(path), "--runs", "5", "--depth", "1"]
    done = subprocess.run([*argv, "--format", "json"], capture_output=True, text=True, check=True)
    assert msgspec.json.decode(done.stdout, type=ProfileReport).depth == 1
