"""Results to show: measured ones, made up ones, and those of a model whose every name is hostile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import graphopt
from graphopt.measure.check.records import CheckReport, Finding, TargetReport
from graphopt.measure.profile_records import Change, Group, KernelTime, ModelProfile, ProfileReport, Work
from graphopt.measure.records import BenchReport, Entry, Latency, Memory, Quality, RatioRecord, Share, Throughput
from graphopt.measure.roofline import Peaks
from graphopt.pipeline.report import LatencyRecord, Report

HOSTILE = (
    '</script><img src=x onerror="window.executed=1;alert(1)">',
    "'\"><svg onload=alert(2)><script>window.executed=1</script>",
    "{{ 7*7 }}{% raw %}{# #}${7*7}<!--",
    "admin\u202etxt.exe\u2066\u200b",
    "first line\nsecond\r\n\u2028third\u2029",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{FAMILY}\u0301",
    "long" * 2500,
    "]]></style><style>*{display:none}</style>&lt;b&gt;&amp;",
    "javascript:alert(3)//https://example.com/@everyone #1",
    "\\u003c/script\\u003e|pipe|`code`",
)

LATENCY = LatencyRecord(2.0, 1.0, 0.5, 0.49, 0.52, 0.98, 1.02, threads=1, rounds=20, no_difference=False)


def hostile_model() -> onnx.ModelProto:
    """Make a network of which rewrites remove, fold and keep nodes, with hostile names everywhere."""
    names = iter(f"{text}{number}" for number in range(20) for text in HOSTILE)
    draw = np.random.default_rng(5)
    nodes, weights, flowing = [], [], "x" + next(names)
    graph_input = helper.make_tensor_value_info(flowing, TensorProto.FLOAT, ["n" + next(names)[:40], 4, 8, 8])
    for _ in range(5):
        conv, normed, same, positive = (next(names) for _ in range(4))
        parts = {next(names): draw.normal(size=(4, 4, 3, 3)).astype(np.float32)}
        scales = {next(names): draw.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4)}
        weights += [numpy_helper.from_array(value, name) for name, value in (parts | scales).items()]
        nodes += [
            helper.make_node("Conv", [flowing, *parts], [conv], name=next(names), pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", [conv, *scales], [normed], name=next(names)),
            helper.make_node("Identity", [normed], [same], name=next(names)),
            helper.make_node("Relu", [same], [positive], name=next(names)),
        ]
        flowing = positive
    graph_output = helper.make_tensor_value_info(flowing, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, HOSTILE[0], [graph_input], [graph_output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {HOSTILE[1]: HOSTILE[2]})
    return model


def optimized(model: onnx.ModelProto | Path, folder: Path, name: str = "net") -> Report:
    """Optimize a model in `folder`, both of whose files stay there."""
    before = folder / f"{name}.onnx"
    before.write_bytes(model.read_bytes() if isinstance(model, Path) else model.SerializeToString())
    return graphopt.optimize(before, folder / f"{name}.opt.onnx", target="ort-cpu", remarks=True).report


def measured(names: tuple[str, ...] = ("base", "fast", "same", "wrong")) -> BenchReport:
    """Make a measurement up: a base, one that is faster, one like it, one that is wrong, and more like it."""
    return BenchReport(
        entries=tuple(_entry(name, index, names[0]) for index, name in enumerate(names)),
        twin=RatioRecord(names[0], 1.001, 0.99, 1.01, 20, no_difference=True),
        environment={"processor": names[-1], "cores": "2"},
        environment_hash="0123456789abcdef",
        feed={names[0]: "float32[1, 4]"},
        source="drawn",
        threads=1,
        seed=0,
        budget_s=1.0,
        seconds=1.5,
        created="2026-01-01T00:00:00+00:00",
        versions={"graphopt": "0.0"},
    )


def _entry(name: str, index: int, base: str) -> Entry:
    median = (1.0, 0.5, 1.0, 0.25)[index % 4]
    rounds = tuple(median * (1 + 0.01 * (turn % 5)) for turn in range(20))
    ratio = RatioRecord(base, median, median * 0.98, median * 1.02, 20, no_difference=median == 1.0)
    quality = Quality(base, 0.3 if index % 4 == 3 else 1e-7, 3, score=0.9, detail=name, wrong=index % 4 == 3)
    return Entry(
        label=name,
        model=f"{name[:40]}.onnx",
        sha256="0" * 64,
        ep="cpu",
        threads=1,
        chosen={"runtime": name},
        shares=(Share("CPUExecutionProvider", 3, 0.75, 75, 0.75), Share(name, 1, 0.25, 25, 0.25)),
        load_ms=5.0,
        first_ms=2.0,
        latency=Latency(100, median, median, median, None, 0.01, rounds),
        ratio=ratio if index else None,
        throughput=(Throughput(2, 100.0, 1.0, 2.0),),
        memory=Memory(3 << 20, 1 << 20, 2 << 20),
        quality=quality if index else None,
        file_bytes=1000,
        parameters=10,
        nodes=4,
        macs=100,
        notes=(name,),
    )


def profiled(names: tuple[str, ...] = ("Conv", "Relu", "Gemm")) -> ProfileReport:
    """Make a profile up, of a model before and after."""
    work = [Work(3.0 / 2**index, 0.5 / 2**index, 1.0) for index in range(len(names))]
    kernels = tuple(KernelTime(name, name, "cpu", name, (name,), each) for name, each in zip(names, work, strict=True))
    groups = tuple(Group(name, 1, each) for name, each in zip(names, work, strict=True))
    models = tuple(
        ModelProfile(f"{names[0]} {side}", "net.onnx", "0" * 64, "cpu", 9, 6.0, 5.0, 1.0, kernels, groups, groups)
        for side in ("before", "after")
    )
    changes = tuple(Change(name, 3.0, 2.0, -1.0, 1, 1) for name in names)
    peaks = Peaks(threads=1, copy_gbs=10.0, gemm_gflops=100.0)
    return ProfileReport(
        models,
        changes,
        changes,
        peaks,
        {"cores": "2"},
        "0" * 16,
        {},
        "drawn",
        1,
        3,
        0,
        1.0,
        "2026-01-01T00:00:00+00:00",
    )


def checked(names: tuple[str, ...] = ("one", "two", "three")) -> CheckReport:
    """Make a check up, of a model that runs, fails and is not known to run."""
    findings = tuple(Finding("fails", name, name, name, name) for name in names)
    targets = (
        TargetReport("ort-cpu", "runs", names[0], nodes=3, native_share=1.0, versions={"onnxruntime": names[0]}),
        TargetReport("openvino", "fails", names[-1], findings, 3, 0.5),
        TargetReport("webgpu", "unknown", names[1]),
    )
    return CheckReport(f"{names[0]}.onnx", "0" * 64, {"": 17}, targets, names)
