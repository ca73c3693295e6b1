"""Name the kinds that rules, passes and reports speak of: exactness and targets."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EXACTNESS_ORDER", "Exactness", "Target"]


class Exactness(StrEnum):
    """How close a rewrite's result is to the original.

    `exact`: the same value for every input, NaN and infinities included. `reassociates`: the same real-number
    formula, floats rounded in another order. `approximate`: a stated error bound; where an operand is NaN or infinite,
    what is computed together with it may become so as well. `lossy`: judged on data.
    """

    EXACT = "exact"
    REASSOCIATES = "reassociates"
    APPROXIMATE = "approximate"
    LOSSY = "lossy"


EXACTNESS_ORDER: tuple[Exactness, ...] = tuple(Exactness)
"""From the most to the least exact."""


class Target(StrEnum):
    """A runtime that the result is meant for."""

    PORTABLE = "portable"
    ORT_CPU = "ort-cpu"
    ORT_CUDA = "ort-cuda"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    WEBGPU = "webgpu"
