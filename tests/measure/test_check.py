"""Hold `graphopt check --target` to what the runtimes themselves say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from graphopt.errors import MeasureError, UnsupportedError, UsageError
from graphopt.kinds import Target
from graphopt.measure.check.checker import TARGETS, check, require
from graphopt.measure.check.opening import one_line
from graphopt.measure.check.records import CheckReport, TargetReport
from graphopt.measure.check.station import Compilers
from graphopt.measure.check.subject import Subject
from graphopt.measure.check.tensorrt_rules import rules

RANDOM = np.random.default_rng(0)
IMAGE, ROWS = (1, 3, 16, 16), (4, 32)
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True}
FLOAT_BIAS = {"QuantizeBias": False}
# Name, options of onnxruntime's quantizer, and whether TensorRT takes the CNN and the MLP.
LAYOUTS: list[tuple[str, dict[str, Any], bool, bool]] = [
    ("default", {}, False, False),
    ("asymmetric", {"extra_options": FLOAT_BIAS}, False, False),
    ("symmetric", {"extra_options": SYMMETRIC | FLOAT_BIAS}, True, True),
    ("per channel", {"per_channel": True, "extra_options": SYMMETRIC | FLOAT_BIAS}, True, True),
    ("pairs on weights", {"extra_options": SYMMETRIC | FLOAT_BIAS | {"AddQDQPairToWeight": True}}, True, True),
    # The MLP's bias is an operand of Add, which is quantized to int8.
    ("symmetric, int32 bias", {"extra_options": SYMMETRIC}, False, True),
    ("uint8", {"activation_type": "QUInt8", "extra_options": SYMMETRIC | FLOAT_BIAS}, False, False),
    (
        "uint16",
        {"activation_type": "QUInt16", "extra_options": FLOAT_BIAS | {"UseQDQContribOps": True}},
        False,
        False,
    ),
    ("QOperator", {"quant_format": "QOperator"}, False, False),
]
PAIRS = [(kind, layout) for kind in ("cnn", "mlp") for layout in LAYOUTS]
NAMES = [f"{kind}, {layout[0]}" for kind, layout in PAIRS]


def value(name: str, dtype: int, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array((RANDOM.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("f4"), name)


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
    domains: Sequence[str] = (),
) -> Path:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(constants))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def cnn(path: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], "conv", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], "gemm", transB=1),
    ]
    constants = [weight("w1", 8, 3, 3, 3), weight("b1", 8), weight("w2", 4, 8), weight("b2", 4)]
    return write(path, nodes, [value("x", 1, IMAGE)], [value("y", 1, [1, 4])], constants)


def mlp(path: Path, opset: int = 17) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m"], "first"),
        helper.make_node("Add", ["m", "b"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
    ]
    constants = [weight("w1", 32, 64), weight("b", 64), weight("w2", 64, 32)]
    return write(path, nodes, [value("x", 1, ["n", 32])], [value("y", 1, ["n", 32])], constants, opset)


MAKERS: dict[str, tuple[Callable[[Path], Path], tuple[int, ...]]] = {"cnn": (cnn, IMAGE), "mlp": (mlp, ROWS)}


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    folder = tmp_path_factory.mktemp("quantized")
    made: dict[tuple[str, str], Path] = {}

    def make(kind: str, layout: str) -> Path:
        if (kind, layout) not in made:
            maker, shape = MAKERS[kind]
            options = next(given for name, given, _, _ in LAYOUTS if name == layout)
            path = folder / f"{kind}-{layout.replace(' ', '-')}.onnx"
            quantize(maker(folder / f"{kind}.onnx"), path, shape, options)
            made[kind, layout] = path
        return made[kind, layout]

    return make


def quantize(source: Path, path: Path, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[Any] = iter([{"x": RANDOM.standard_normal(shape).astype("f4")} for _ in range(3)])

        def get_next(self) -> Any:
            return next(self.rest, None)

    given = dict(options)
    if "activation_type" in given:
        given["activation_type"] = quantization.QuantType[given["activation_type"]]
    if "quant_format" in given:
        given["quant_format"] = quantization.QuantFormat[given["quant_format"]]
    quantization.quantize_static(str(source), str(path), Reader(), **given)


def run(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "graphopt", "check", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )


def one(path: Path, target: str) -> TargetReport:
    return check(path, [target], budget_s=20).targets[0]


def ruled(path: Path) -> bool:
    return not list(rules(Subject(path)))


def taken(layout: tuple[str, dict[str, Any], bool, bool], kind: str) -> bool:
    return layout[2] if kind == "cnn" else layout[3]


@pytest.mark.parametrize(("kind", "layout"), PAIRS, ids=NAMES)
def test_rules_know_which_layouts_tensorrt_takes(
    kind: str, layout: tuple[str, dict[str, Any], bool, bool], quantized: Callable[[str, str], Path]
) -> None:
    assert ruled(quantized(kind, layout[0])) is taken(layout, kind)


@pytest.mark.parametrize(("kind", "layout"), PAIRS, ids=NAMES)
def test_tensorrt_itself_agrees(
    kind: str, layout: tuple[str, dict[str, Any], bool, bool], quantized: Callable[[str, str], Path]
) -> None:
    pytest.importorskip("tensorrt_rtx")
    found = one(quantized(kind, layout[0]), "tensorrt")
    assert found.verdict == ("runs" if taken(layout, kind) else "fails"), found.why
    assert found.versions["parser"].startswith("TensorRT-RTX")


def quantizer(folder: Path, **how: Any) -> Path:
    """Write Q and DQ around nothing, with the given zero point, scale or type changed."""
    zero = numpy_helper.from_array(np.array(how.get("zero", 0), how.get("dtype", "i1")), "z")
    scale = numpy_helper.from_array(np.array(how.get("scale", 0.1), "f4"), "s")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "d"),
    ]
    return write(folder / "m.onnx", nodes, [value("x", 1, [2, 2])], [value("y", 1, [2, 2])], [scale, zero], 21)


def weight_reader(folder: Path, *, close: bool) -> Path:
    """Write an int8 weight that a DequantizeLinear reads, or a Transpose before it."""
    constants = [numpy_helper.from_array(np.ones((4, 5), "i1"), "w"), numpy_helper.from_array(np.array(0.1, "f4"), "s")]
    nodes = [
        helper.make_node("DequantizeLinear", ["w" if close else "t", "s"], ["d"], "d"),
        helper.make_node("MatMul", ["x", "d" if not close else "dt"], ["y"], "mm"),
    ]
    move = helper.make_node("Transpose", ["d"], ["dt"], "t") if close else helper.make_node("Transpose", ["w"], ["t"])
    nodes.insert(1 if close else 0, move)
    return write(folder / "m.onnx", nodes, [value("x", 1, [2, 5])], [value("y", 1, [2, 4])], constants)


def loop(folder: Path, *, condition: bool) -> Path:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["s", "s"], ["t"])],
        "body",
        [value("i", 7, []), value("go", 9, []), value("s", 1, [2])],
        [value("on", 9, []), value("t", 1, [2])],
    )
    constants = [numpy_helper.from_array(np.array(3), "n"), numpy_helper.from_array(np.array(True), "c")]
    node = helper.make_node("Loop", ["n", "c" if condition else "", "x"], ["y"], "loop", body=body)
    return write(folder / "m.onnx", [node], [value("x", 1, [2])], [value("y", 1, [2])], constants[: 1 + condition])


def simple(folder: Path, kind: str, *, dtype: int = 1, shape: Sequence[int] = (1, 1, 8, 8), **attributes: Any) -> Path:
    node = helper.make_node(kind, ["x"], ["y"], "n", **attributes)
    return write(folder / "m.onnx", [node], [value("x", dtype, shape)], [value("y", dtype, None)])


MAKES: list[tuple[str, Callable[[Path], Path], bool]] = [
    ("int8", quantizer, True),
    ("a zero point", lambda folder: quantizer(folder, zero=3), False),
    ("a negative scale", lambda folder: quantizer(folder, scale=-0.1), False),
    ("int16", lambda folder: quantizer(folder, dtype="i2"), False),
    ("uint16", lambda folder: quantizer(folder, dtype="u2"), False),
    ("a weight behind DequantizeLinear", lambda folder: weight_reader(folder, close=True), True),
    ("a weight behind Transpose", lambda folder: weight_reader(folder, close=False), False),
    ("a loop with a condition", lambda folder: loop(folder, condition=True), True),
    ("a loop without one", lambda folder: loop(folder, condition=False), False),
    ("a pool", lambda folder: simple(folder, "MaxPool", kernel_shape=[2, 2]), True),
    ("a dilated pool", lambda folder: simple(folder, "MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), False),
    ("norm 2", lambda folder: simple(folder, "LpPool", kernel_shape=[2, 2], p=2), True),
    ("norm 3", lambda folder: simple(folder, "LpPool", kernel_shape=[2, 2], p=3), False),
    ("uint32", lambda folder: simple(folder, "Identity", dtype=TensorProto.UINT32), False),
    ("an operator without importer", lambda folder: simple(folder, "Det", shape=[4, 4]), False),
]


@pytest.mark.parametrize(("make", "good"), [case[1:] for case in MAKES], ids=[case[0] for case in MAKES])
def test_each_rule_has_a_model_that_only_it_refuses(
    make: Callable[[Path], Path], *, good: bool, tmp_path: Path
) -> None:
    assert ruled(make(tmp_path)) is good


@pytest.mark.parametrize(("make", "good"), [case[1:] for case in MAKES], ids=[case[0] for case in MAKES])
def test_tensorrt_itself_agrees_with_each_rule(make: Callable[[Path], Path], *, good: bool, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    found = one(make(tmp_path), "tensorrt")
    assert found.verdict == ("runs" if good else "fails"), found.why


def blocked(path: Path) -> Path:
    """Write a weight of int4 in blocks of 16 behind a DequantizeLinear."""
    constants = [
        helper.make_tensor("w", TensorProto.INT4, [32, 16], RANDOM.integers(-8, 8, 512).tolist()),
        numpy_helper.from_array(np.full((2, 16), 0.1, "f4"), "s"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], "dq", axis=0, block_size=16),
        helper.make_node("MatMul", ["x", "d"], ["y"], "mm"),
    ]
    return write(path, nodes, [value("x", 1, [2, 32])], [value("y", 1, [2, 16])], constants, 21)


def nbits(path: Path) -> Path:
    constants = [
        numpy_helper.from_array(RANDOM.integers(0, 255, (16, 2, 8), endpoint=True).astype("u1"), "w"),
        weight("s", 32),
    ]
    sizes: dict[str, Any] = {"K": 32, "N": 16, "bits": 4, "block_size": 16}
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], "nbits", domain="com.microsoft", **sizes)
    return write(path, [node], [value("x", 1, [2, 32])], [value("y", 1, [2, 16])], constants, domains=["com.microsoft"])


def test_int4_in_blocks_is_taken_by_tensorrt_and_matmulnbits_is_not(tmp_path: Path) -> None:
    assert ruled(blocked(tmp_path / "blocked.onnx"))
    assert not ruled(nbits(tmp_path / "nbits.onnx"))
    pytest.importorskip("tensorrt_rtx")
    assert one(tmp_path / "blocked.onnx", "tensorrt").verdict == "runs"
    found = one(tmp_path / "nbits.onnx", "tensorrt")
    assert found.verdict == "fails"
    assert found.findings[0].node == "nbits"


def test_all_faults_are_named_not_the_first(quantized: Callable[[str, str], Path]) -> None:
    found = one(quantized("cnn", "default"), "tensorrt")
    nodes = {each.node: each for each in found.findings}
    assert {"b1_DequantizeLinear", "b2_DequantizeLinear", "x_QuantizeLinear"} <= set(nodes)
    assert "QuantizeBias=False" in nodes["b1_DequantizeLinear"].advice
    assert found.native_share is not None
    assert 0 < found.native_share < 1


def test_dynamic_sizes_get_a_profile_and_large_weights_a_path(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    path = mlp(tmp_path / "in.onnx")
    onnx.save(onnx.load(path), tmp_path / "out.onnx", save_as_external_data=True, size_threshold=0)
    assert one(tmp_path / "out.onnx", "tensorrt").verdict == "runs"


def without_kernel(path: Path) -> Path:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Cast", ["r"], ["d"], "cast", to=TensorProto.DOUBLE),
        helper.make_node("Acos", ["d"], ["a"], "first"),
        helper.make_node("Acos", ["a"], ["b"], "second"),
        helper.make_node("Foo", ["b"], ["y"], "foreign", domain="my.domain"),
    ]
    outputs = [value("y", TensorProto.DOUBLE, [2])]
    return write(path, nodes, [value("x", 1, [2])], outputs, domains=["my.domain"])


def test_onnxruntime_names_every_node_that_it_has_no_kernel_for(tmp_path: Path) -> None:
    found = one(without_kernel(tmp_path / "m.onnx"), "ort-cpu")
    assert found.verdict == "fails"
    named = {each.node: each for each in found.findings}
    assert set(named) == {"first", "second", "foreign"}
    assert named["first"].what.startswith("Acos(double) of opset 17: Could not find an implementation for Acos(7)")
    assert "my.domain:Foo" in named["foreign"].what
    assert found.native_share == pytest.approx(2 / 5)


def test_a_valid_model_runs_on_onnxruntime(tmp_path: Path) -> None:
    found = one(cnn(tmp_path / "m.onnx"), "portable")
    assert (found.verdict, found.native_share, found.findings) == ("runs", 1.0, ())


def test_openvino_names_every_node_that_it_cannot_convert(
    tmp_path: Path, quantized: Callable[[str, str], Path]
) -> None:
    pytest.importorskip("openvino")
    assert one(cnn(tmp_path / "cnn.onnx"), "openvino").verdict == "runs"
    found = one(quantized("cnn", "QOperator"), "openvino")
    assert found.verdict == "fails"
    assert {each.operator for each in found.findings} == {
        "com.microsoft.QGemm",
        "com.microsoft.QLinearGlobalAveragePool",
    }
    notes = one(quantized("cnn", "uint16"), "openvino").findings
    assert {each.kind for each in notes} == {"note"}


def test_webgpu_leaves_int8_to_the_cpu_with_copies(tmp_path: Path, quantized: Callable[[str, str], Path]) -> None:
    alone, int8 = one(cnn(tmp_path / "cnn.onnx"), "webgpu"), one(quantized("cnn", "default"), "webgpu")
    assert (alone.verdict, alone.native_share, alone.copies) == ("runs", 1.0, 0)
    assert int8.verdict == "runs-with-fallback"
    assert int8.copies
    assert "x_QuantizeLinear" in {each.node for each in int8.findings}
    assert one(nbits(tmp_path / "nbits.onnx"), "webgpu").verdict == "runs"


def test_half_precision_fails_on_no_gpu_because_a_software_adapter_lacks_it(tmp_path: Path) -> None:
    node = helper.make_node("Transpose", ["x"], ["y"], "t", perm=[1, 0])
    ends = [value("x", TensorProto.FLOAT16, [4, 5])], [value("y", TensorProto.FLOAT16, [5, 4])]
    assert one(write(tmp_path / "m.onnx", [node], *ends), "webgpu").verdict == "runs"


def test_web_knows_kernels_versions_and_types(tmp_path: Path) -> None:
    assert one(cnn(tmp_path / "cnn.onnx"), "ort-web").verdict == "runs"
    refused = one(without_kernel(tmp_path / "m.onnx"), "ort-web")
    assert {each.node for each in refused.findings if each.kind == "fails"} == {"first", "second", "foreign"}
    newer = write(
        tmp_path / "new.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", 1, [2])],
        [value("y", 1, [2])],
        opset=27,
    )
    assert "opset 27 is newer than 26" in one(newer, "ort-web").why
    narrow = simple(tmp_path, "Identity", dtype=TensorProto.BFLOAT16)
    assert "which JavaScript's tensors are not" in one(narrow, "ort-web").why
    wide = one(simple(tmp_path, "Identity", dtype=TensorProto.INT64), "ort-web")
    assert any("BigInt64Array" in each.what for each in wide.findings)


def report(*verdicts: Any) -> CheckReport:
    targets = tuple(TargetReport(f"t{at}", verdict) for at, verdict in enumerate(verdicts))
    return CheckReport("m.onnx", "", {}, targets)


def test_exit_codes_follow_the_gravest_verdict() -> None:
    require(report("runs", "runs-with-fallback"))
    with pytest.raises(MeasureError):
        require(report("runs", "unknown"))
    with pytest.raises(UnsupportedError):
        require(report("unknown", "fails"))


def test_an_unknown_target_is_a_usage_error_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'tensorrt'"):
        check(cnn(tmp_path / "m.onnx"), ["tensorrtt"])


def test_a_target_that_needs_its_device_points_to_bench(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    done = run(model, "--target", "ort-cpu,ort-cuda")
    assert done.returncode == 7
    assert "bench m.onnx --ep cuda" in done.stderr
    assert "did you mean" not in done.stderr
    for target in Target:
        if target not in TARGETS:
            with pytest.raises(MeasureError, match=target):
                check(model, [target])


def test_one_input_is_enough_for_a_check(tmp_path: Path) -> None:
    done = run(cnn(tmp_path / "m.onnx"), "--target", "ort-cpu", "--samples", "2")
    assert done.returncode == 2
    assert "--samples" in done.stderr


def test_one_target_needs_no_list(tmp_path: Path) -> None:
    assert [each.target for each in check(cnn(tmp_path / "m.onnx"), "ort-web").targets] == ["ort-web"]


def test_the_command_prints_the_table_and_then_one_message(tmp_path: Path) -> None:
    good, bad = cnn(tmp_path / "good.onnx"), without_kernel(tmp_path / "bad.onnx")
    done = run(good, "--target", "ort-cpu,ort-web", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert [each["verdict"] for each in json.loads(done.stdout)["targets"]] == ["runs", "runs"]
    done = run(bad, "--target", "ort-cpu")
    assert done.returncode == 4
    assert "first and 1 more" in done.stdout
    assert done.stderr.startswith("graphopt: ")
    assert done.stderr.count("graphopt: ") == 1
    assert len(done.stderr.splitlines()) <= 3
    for form in ("csv", "markdown"):
        assert "fails" in run(bad, "--target", "ort-cpu", "--format", form).stdout
    assert run(good, "--target", "nowhere").returncode == 2
    assert run(good).stdout == f"{good}: valid\n"


def hide(folder: Path, *names: str) -> dict[str, str]:
    """Make packages that cannot be imported, before those that are installed."""
    return [fake(folder, name, "raise ImportError('it is not here')\n") for name in names][-1]


def test_a_missing_package_is_exit_7_and_says_what_to_install(tmp_path: Path) -> None:
    model, environment = cnn(tmp_path / "m.onnx"), hide(tmp_path, "openvino", "tensorrt_rtx")
    for target, extra in (("openvino", "graphopt[openvino]"), ("tensorrt", "graphopt[tensorrt-check]")):
        done = run(model, "--target", target, environment=environment)
        assert done.returncode == 7, done.stdout
        assert f"pip install '{extra}'" in done.stderr
        assert "unknown" in done.stdout


def test_rules_speak_where_tensorrt_is_missing(tmp_path: Path, quantized: Callable[[str, str], Path]) -> None:
    environment = hide(tmp_path, "tensorrt_rtx")
    done = run(quantized("cnn", "default"), "--target", "tensorrt", environment=environment)
    assert done.returncode == 4
    assert "QuantizeBias=False" in done.stdout


NOISE = "os.write(2, b'noise of a library'), os.write(1, b'noise too'), os.abort()"


def fake(folder: Path, package: str, text: str) -> dict[str, str]:
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_a_crash_of_a_compiler_costs_one_message(tmp_path: Path) -> None:
    text = f"import os\n__version__ = '0'\nclass Core:\n    def compile_model(self, *_):\n        {NOISE}\n"
    done = run(cnn(tmp_path / "m.onnx"), "--target", "openvino", environment=fake(tmp_path, "openvino", text))
    assert done.returncode == 4, done.stderr
    assert "process ended" in done.stderr
    assert "noise" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("target", "package"), [("openvino", "openvino"), ("tensorrt", "tensorrt_rtx")])
def test_a_package_that_crashes_by_itself_says_nothing_of_the_model(target: str, package: str, tmp_path: Path) -> None:
    environment = fake(tmp_path, package, f"import os\n{NOISE}\n")
    done = run(cnn(tmp_path / "m.onnx"), "--target", target, environment=environment)
    assert done.returncode == 7, done.stderr
    assert "noise" not in done.stdout + done.stderr


def test_what_a_message_keeps_is_one_line() -> None:
    text = (
        "Exception from src/inference/src/cpp/core.cpp:132:\nCheck 'false' failed at src/frontends/x.cpp:151:\n"
        "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.\nSummary:\n"
        "-- No conversion rule found for operations: Det-17\n\n"
    )
    assert one_line(text) == "No conversion rule found for operations: Det-17"
    text = "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Acos(7) node with name 'a'"
    assert one_line(text) == "Could not find an implementation for Acos(7) node with name 'a'"


def test_the_child_serves_what_the_targets_ask_for() -> None:
    assert {"openvino", "tensorrt", "copies"} <= set(vars(Compilers))
    assert set(TARGETS) == {"portable", "ort-cpu", "openvino", "tensorrt", "webgpu", "ort-web"}
