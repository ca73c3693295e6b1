"""Measure what this machine reaches now, in a copy and in a matrix product, and hold kernels against it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphopt.errors import MeasureError
from graphopt.graph.costs import Cost
from graphopt.graph.edit import add_initializer, make_tensor
from graphopt.graph.save import save
from graphopt.graph.text import parse_fixture_graph
from graphopt.runtime.frames import Array
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.turns import Contender, Stand

__all__ = ["Peaks", "Roof", "copy_rate", "measure_peaks", "roof"]

SIZE = 1024
"""Rows and columns of the matrices."""
_COPY_BYTES = 128 << 20
_COPIES = 8
_PRODUCTS = 30
_INT8 = {
    "uint8": f"""g (uint8[{SIZE},{SIZE}] x, int8[{SIZE},{SIZE}] w) => (int32[{SIZE},{SIZE}] y) {{
      y = MatMulInteger(x, w)
    }}""",
    "float32": f"""g (float[{SIZE},{SIZE}] x, int8[{SIZE},{SIZE}] w) => (float[{SIZE},{SIZE}] y)
      <float s = {{1.0}}, uint8 zx = {{0}}, int8 zw = {{0}}> {{
      q = QuantizeLinear(x, s, zx)
      a = DequantizeLinear(q, s, zx)
      b = DequantizeLinear(w, s, zw)
      y = MatMul(a, b)
    }}""",
}
"""Products of 8-bit integers by the type of their input: onnxruntime is quick at the first, OpenVINO at the second."""


@dataclass(frozen=True)
class Peaks:
    """What this machine reached just now: 1e9 operations and 1e9 bytes per second, with `threads` threads.

    `copy_gbs` counts bytes read and bytes written of a copy larger than the caches. `gemm_gflops` is a product of two
    float32 matrices of 1024 x 1024 by the runtime itself, `int8_gops` the same of 8-bit integers; None if it was not
    measured or is not supported.
    """

    threads: int
    copy_gbs: float
    gemm_gflops: float
    int8_gops: float | None = None

    def best(self, other: Peaks) -> Peaks:
        """Return the better of both of each: what was reached at any time is within reach."""
        quick = [each for each in (self.int8_gops, other.int8_gops) if each is not None]
        return Peaks(
            self.threads,
            max(self.copy_gbs, other.copy_gbs),
            max(self.gemm_gflops, other.gemm_gflops),
            max(quick, default=None),
        )


@dataclass(frozen=True)
class Roof:
    """The least seconds that the peaks allow, and which of them binds: `compute` or `memory`."""

    seconds: float
    bound: str


def roof(cost: Cost, peaks: Peaks, *, int8: bool = False) -> Roof | None:
    """Return the roof over a cost; None if nothing is computed or moved."""
    peak = peaks.int8_gops if int8 and peaks.int8_gops else peaks.gemm_gflops
    compute, memory = cost.flops / (peak * 1e9), cost.nbytes / (peaks.copy_gbs * 1e9)
    if not compute and not memory:
        return None
    return Roof(max(compute, memory), "compute" if compute >= memory else "memory")


def copy_rate(threads: int, nbytes: int = _COPY_BYTES) -> float:
    """Return bytes per second, read and written, of the best of some copies by `threads` threads at once."""
    source = np.ones(nbytes // 8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    best = min(_copy_seconds(parts) for _ in range(_COPIES))
    return 2 * source.nbytes / best


def _copy_seconds(parts: list[tuple[Array, Array]]) -> float:
    """Copy all parts at once; numpy lets go of the interpreter's lock meanwhile."""
    ready = threading.Barrier(len(parts) + 1)

    def copy(source: Array, target: Array) -> None:
        ready.wait()
        np.copyto(target, source)
        ready.wait()

    workers = [threading.Thread(target=copy, args=part, daemon=True) for part in parts]
    for worker in workers:
        worker.start()
    ready.wait()
    begin = time.perf_counter()
    ready.wait()
    seconds = time.perf_counter() - begin
    for worker in workers:
        worker.join()
    return seconds


def measure_peaks(ep: str, options: Mapping[str, Any], folder: Path, *, int8: bool) -> Peaks:
    """Measure the peaks of `ep`; models are written to `folder`.

    Raises `MeasureError` if the provider does not run a product of matrices.
    """
    threads = int(options["threads"])
    flops = 2 * SIZE**3 * 1e-9
    try:
        gemm = flops / _product_seconds(ep, options, _float_model(folder), np.float32)
    except (RequestError, WorkerDied) as error:
        raise MeasureError(f"{ep} does not run a product of matrices", where=error.what) from error
    quick = _int8_seconds(ep, options, folder) if int8 else None
    return Peaks(threads, copy_rate(threads) * 1e-9, gemm, None if quick is None else flops / quick)


def _int8_seconds(ep: str, options: Mapping[str, Any], folder: Path) -> float | None:
    """Return the seconds of the quicker form of a product of integers; None if neither runs."""
    found = []
    for dtype, text in _INT8.items():
        try:
            found.append(_product_seconds(ep, options, _int8_model(text, folder / f"int8-{dtype}"), np.dtype(dtype)))
        except (MeasureError, RequestError, WorkerDied):
            continue
    return min(found, default=None)


def _product_seconds(ep: str, options: Mapping[str, Any], path: Path, dtype: Any) -> float:
    x = np.random.default_rng(0).integers(0, 100, (SIZE, SIZE)).astype(dtype)
    with Stand(Contender("peak", path, ep, options)) as stand:
        stand.open()
        stand.feed({"x": x})
        stand.first()
        return float(stand.batch(_PRODUCTS).min())


def _float_model(folder: Path) -> Path:
    text = f"g (float[{SIZE},{SIZE}] x, float[{SIZE},{SIZE}] w) => (float[{SIZE},{SIZE}] y) {{ y = MatMul(x, w) }}"
    return _with_weight(text, np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.float32), folder / "f32")


def _int8_model(text: str, stem: Path) -> Path:
    weight = np.random.default_rng(1).integers(-100, 100, (SIZE, SIZE)).astype(np.int8)
    return _with_weight(text, weight, stem)


def _with_weight(text: str, weight: Array, stem: Path) -> Path:
    """Write the model with its input `w` as a constant, which runtimes arrange to their liking once."""
    model = parse_fixture_graph(text)
    declared = next(value for value in model.graph.inputs if value.name == "w")
    stored = add_initializer(model.graph, make_tensor(weight), "w0")
    declared.replace_all_uses_with(stored)
    model.graph.inputs.remove(declared)
    path = stem.with_suffix(".onnx")
    save(model, path)
    return path
