"""Open onnxruntime sessions with stated options."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from graphopt.runtime.frames import Array

__all__ = ["ONNX_CODES", "open_session", "ort_value", "plain", "runner", "save_optimized"]

ONNX_CODES = {
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
}
"""Element types of ONNX that numpy has only with ml_dtypes."""

_NARROW_TYPES = {f"tensor({name.replace('_', '')})": name for name in ONNX_CODES}


def open_session(
    model: str | bytes,
    *,
    threads: int = 1,
    optimize: bool = False,
    spare_memory: bool = True,
    pack: bool = True,
    custom_ops: Sequence[str] = (),
    initializers: Mapping[str, Array] | None = None,
) -> ort.InferenceSession:
    """Open `model` on the CPU.

    `spare_memory` does without the arena, `pack` lets kernels keep rearranged copies of weights. `initializers`
    replace the model's own.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    if spare_memory:
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not pack:
        # Weights then stay mapped from their file instead of being copied.
        options.add_session_config_entry("session.disable_prepacking", "1")
    for path in custom_ops:
        options.register_custom_ops_library(path)
    kept = {name: ort_value(array) for name, array in (initializers or {}).items()}
    for name, value in kept.items():
        options.add_initializer(name, value)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    # The session borrows the memory of the initializers it was given.
    session.graphopt_initializers = kept
    return session


def save_optimized(model: str, output: str, custom_ops: Sequence[str] = ()) -> None:
    """Save what the runtime makes of `model` for this processor; in its own format if `output` ends in .ort."""
    options = ort.SessionOptions()
    # It warns that the result is for this machine, which the caller says.
    options.log_severity_level = 4
    options.optimized_model_filepath = output
    options.add_session_config_entry("session.save_model_format", "ORT" if output.endswith(".ort") else "ONNX")
    for path in custom_ops:
        options.register_custom_ops_library(path)
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def ort_value(array: Array) -> ort.OrtValue:
    """Wrap `array`, of any dtype but strings."""
    code = ONNX_CODES.get(array.dtype.name)
    if code is None:
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
    raw = np.ascontiguousarray(array).view(np.uint16 if array.dtype.itemsize == 2 else np.uint8)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, code)


def _copy_out(value: ort.OrtValue, dtype: str) -> Array:
    import ctypes

    import ml_dtypes

    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(raw, getattr(ml_dtypes, dtype)).reshape(value.shape())


def plain(session: ort.InferenceSession, feed: Mapping[str, Array], names: Sequence[str] | None = None) -> list[Any]:
    """Run `session` and return its outputs as arrays of their own dtype, lists, dicts or None."""
    kinds = {output.name: output.type for output in session.get_outputs()}
    wanted = [output.name for output in session.get_outputs()] if names is None else list(names)
    ready = {name: ort_value(array) if array.dtype.name in ONNX_CODES else array for name, array in feed.items()}
    narrow = {name: _NARROW_TYPES[kinds[name]] for name in wanted if kinds.get(name) in _NARROW_TYPES}
    if not narrow:
        return list(session.run(wanted, ready))
    found: list[Any] = _run_narrow(session, ready, wanted, narrow)
    return found


def runner(session: ort.InferenceSession, feed: Mapping[str, Array]) -> Callable[[], Any]:
    """Return what runs `session` on `feed` with the least work around it; results may be the runtime's own values."""
    if any(output.type in _NARROW_TYPES for output in session.get_outputs()):
        values = {name: ort_value(array) for name, array in feed.items()}
        return functools.partial(session.run_with_ort_values, None, values)
    ready = {name: ort_value(array) if array.dtype.name in ONNX_CODES else array for name, array in feed.items()}
    return functools.partial(session.run, None, ready)


def _run_narrow(session: ort.InferenceSession, feed: dict[str, Any], wanted: list[str], narrow: dict[str, str]) -> Any:
    # `run` has no numpy type for these; only `run_with_ort_values` hands out their bytes.
    values = {name: array if isinstance(array, ort.OrtValue) else ort_value(array) for name, array in feed.items()}
    found = session.run_with_ort_values(wanted, values)
    return [
        _copy_out(value, narrow[name]) if name in narrow else value.numpy()
        for name, value in zip(wanted, found, strict=True)
    ]
