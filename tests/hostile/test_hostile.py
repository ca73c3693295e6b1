"""Optimize what was made to break an optimizer: refuse it in one sentence, or compute exactly what it says."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from graphopt.cli import main
from graphopt.runtime.process import Worker
from tests.hostile.build import CASES
from tests.hostile.case import CANARY, Array, Case, random_of, write

ROOT = Path(__file__).parents[2]
SECONDS = 20
CONTROL = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
CONTROL -= {"\n"}
BY_PROCESS = (
    "bytes-empty",
    "bytes-nested-5000",
    "file-fifo",
    "file-zero-device",
    "external-fifo",
    "external-sparse-3g",
    "deadly-div-int64-min-by--1",
    "bomb-live-tile",
    "bomb-loop-1e12",
    "name-in-error",
    "number-pad-max-pool",
)


class Borrowed:
    """Lend one worker to every run; only its owner may close it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def close(self) -> None:
        """Leave it running."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as held:
        yield held


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inner = tmp_path / "in"
    inner.mkdir()
    # What writes where a name leads, or unpickles, must not find its way to the checkout.
    monkeypatch.chdir(inner)
    return inner


@pytest.fixture
def bounds(request: pytest.FixtureRequest, worker: Worker) -> Iterator[None]:
    """Bound the time and the memory of this process; the worker was started before."""
    case: Case = CASES[request.node.callspec.params["name"]]
    worker.start()
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)

    def ring(*_: object) -> None:
        msg = f"{case.name} runs for more than {SECONDS} s"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + case.memory_bytes, hard))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("name", CASES)
def test_in_process(
    name: str, folder: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    monkeypatch.setattr("graphopt.pipeline.optimize.Worker", lambda: Borrowed(worker))
    path, out = write(case, folder), folder / "result.onnx"
    before = files(folder.parent)
    argv = ["optimize", str(path), "-o", str(out), "--verify", case.verify]
    with pytest.raises(SystemExit) as caught:
        main(argv if case.group == "name" else [*argv, "--format", "json"])
    shown, error = capsys.readouterr()
    assert judge(case, caught.value.code, shown, error, folder, before)
    if caught.value.code == 0:
        assert_report(case, shown, error)
        assert_result(case, path, out)


@pytest.mark.parametrize("name", BY_PROCESS)
def test_by_process(name: str, folder: Path) -> None:
    case = CASES[name]
    path, out = write(case, folder), folder / "result.onnx"
    before = files(folder.parent)
    done = subprocess.run(
        [sys.executable, "-m", "graphopt", "optimize", str(path), "-o", str(out)],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "passes")])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (case.memory_bytes + (4 << 30),) * 2),
    )
    shown, error = done.stdout.decode(), done.stderr.decode()
    assert judge(case, done.returncode, shown, error, folder, before)


def judge(case: Case, code: object, shown: str, error: str, folder: Path, before: set[str]) -> bool:
    """Assert what holds for every case, whatever becomes of it."""
    codes = {"reject": {3, 4}, "handle": {0}, "either": {0, 3, 4}}[case.expect]
    assert code in codes, error + shown
    assert "Traceback" not in shown + error
    assert not CONTROL & set(shown + error), "control characters on the terminal"
    assert CANARY.decode() not in shown + error
    made = files(folder.parent) - before
    if code != 0:
        assert error.startswith("graphopt: ")
        assert len(error.splitlines()) <= 4
        assert len(error) < 1500
        assert made == set()
        return True
    assert {name for name in made if not name.startswith("in/result.onnx.")} == {"in/result.onnx"}
    for name in made:
        assert CANARY not in (folder.parent / name).read_bytes()[: 1 << 22]
    assert (folder / "result.onnx").stat().st_size <= case.max_bytes
    return True


def assert_report(case: Case, shown: str, error: str) -> None:
    if case.group == "name":
        assert "ROLLED BACK" not in shown
        return
    report = json.loads(shown)
    assert report["rolled_back"] == [], error
    assert report["verification"]["status"] != "different"


def assert_result(case: Case, path: Path, out: Path) -> None:
    after = onnx.load(out, load_external_data=False)
    if is_valid(path):
        onnx.checker.check_model(str(out))
    counts = operators(after)
    for name, least in case.keeps.items():
        assert counts[name] >= least, f"{counts[name]} {name}"
    if case.inputs:
        assert tuple(value.name for value in after.graph.input) == case.inputs
    before = onnx.load(path, load_external_data=False)
    assert {(p.key, p.value) for p in before.metadata_props} <= {(p.key, p.value) for p in after.metadata_props}
    before.DiscardUnknownFields()
    assert list(before.graph.output) == list(after.graph.output)
    if case.differs:
        assert_differs(case, out)
    if case.same:
        assert_same(case, path, out)


def is_valid(path: Path) -> bool:
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError:
        return False
    return True


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Count the operators, those in subgraphs and functions too."""
    found: Counter[str] = Counter()
    todo = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while todo:
        node = todo.pop()
        found[node.op_type] += 1
        todo.extend(inner for attribute in node.attribute for inner in attribute.g.node)
        todo.extend(inner for attribute in node.attribute for held in attribute.graphs for inner in held.node)
    return found


class Runner:
    """A model in onnxruntime without its optimizer, or where `reference` in the reference evaluator."""

    def __init__(self, path: Path, *, reference: bool = False) -> None:
        self.session: Any = ReferenceEvaluator(str(path)) if reference else None
        if reference:
            return
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, feeds: dict[str, Array]) -> list[Any]:
        """Return the outputs."""
        with np.errstate(all="ignore"):
            return list(self.session.run(None, feeds))


def runners(case: Case, path: Path, out: Path) -> tuple[Runner, Runner] | None:
    """Return original and result; None if the case may be broken and nothing runs it."""
    for reference in (False, True):
        try:
            one = Runner(path, reference=reference)
            one.run(draws(case, path, special=False))
        except Exception:  # the runtimes' exceptions have no common base
            if case.expect == "handle" and reference:
                raise
            continue
        return one, Runner(out, reference=reference)
    return None


def draws(case: Case, path: Path, *, special: bool) -> dict[str, Array]:
    model = onnx.load(path, load_external_data=False)
    held = {tensor.name for tensor in model.graph.initializer}
    rng = random_of(f"{case.name}/{special}")
    found: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name not in held:
            kind = value.type.tensor_type
            shape = [dim.dim_value if not dim.dim_param else case.sizes.get(dim.dim_param, 2) for dim in kind.shape.dim]
            found[value.name] = draw(helper.tensor_dtype_to_np_dtype(kind.elem_type), shape, rng, special=special)
    return found


def draw(dtype: Any, shape: list[int], rng: np.random.Generator, *, special: bool) -> Array:
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind == "O":
        return np.asarray(rng.choice(["a", "é", ""], shape), object)
    if dtype.kind == "f":
        array = np.asarray(rng.standard_normal(shape) * 3, dtype)
        odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 3e38, 1e-3], dtype)
        return np.where(rng.random(shape) < 0.5, rng.choice(odd, shape), array).astype(dtype) if special else array
    return np.asarray(rng.integers(0, 100 if special else 2, shape), dtype)


def assert_same(case: Case, path: Path, out: Path) -> None:
    pair = runners(case, path, out)
    if pair is None:
        return
    for special in (False, True) if case.special else (False,):
        feeds = draws(case, path, special=special)
        for want, got in zip(pair[0].run(feeds), pair[1].run(feeds), strict=True):
            assert_equal(want, got)


def assert_equal(want: Any, got: Any) -> None:
    if isinstance(want, list):
        assert len(want) == len(got)
        for pair in zip(want, got, strict=True):
            assert_equal(*pair)
        return
    assert type(want) is type(got)
    if want is None:
        return
    assert want.dtype == got.dtype
    assert want.shape == got.shape
    if want.dtype.kind != "f":
        assert want.tolist() == got.tolist()
        return
    rtol = 1e-5 if want.dtype == np.float32 else 1e-12
    scale = np.abs(want, where=np.isfinite(want), out=np.zeros_like(want)).max(initial=0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale if scale < 1e6 else 0, equal_nan=True)


def assert_differs(case: Case, out: Path) -> None:
    one, other = Runner(out).run(draws(case, out, special=False))
    assert not np.array_equal(one, other), "two draws became one"


def test_there_are_enough() -> None:
    assert len(CASES) >= 300
    assert set(BY_PROCESS) <= set(CASES)
