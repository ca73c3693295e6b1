"""Evaluate constant regions by onnxruntime's kernels, in the child."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphopt.runtime.limits import Limits

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array
    from graphopt.runtime.process import Worker

__all__ = ["EVALUATION_LIMITS", "evaluate"]

EVALUATION_LIMITS = Limits(memory_bytes=2 << 30, cpu_seconds=10, wall_seconds=20)


def evaluate(
    worker: Worker,
    model_bytes: bytes,
    outputs: list[str],
    limits: Limits = EVALUATION_LIMITS,
    max_bytes: int = 256 << 20,
) -> dict[str, Array]:
    """Run a model that has no inputs and return its `outputs`, with the optimizer off and one thread.

    Raises `RequestError` if the runtime cannot load or run it (kind `load`, `run`), an output is no tensor of a dtype
    that numpy has (kind `type`), or all outputs together exceed `max_bytes` (kind `size`); `WorkerDied` if the child
    crashed or went over `limits`.
    """
    import numpy as np

    request = {"outputs": outputs, "max_bytes": max_bytes}
    _, arrays = worker.request("evaluate", request, [np.frombuffer(model_bytes, np.uint8)], limits)
    return dict(zip(outputs, arrays, strict=True))
