"""Show how weights changed: histograms of the values before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphopt.graph.model import Model

__all__ = ["WeightHistogram", "weight_histograms"]

BINS = 48
MOST = 12
"""Tensors that are shown, those that changed most."""
LARGEST = 1 << 26
"""Values of a tensor that are looked at; larger ones are left out."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WeightHistogram:
    """Counts of the values of the weight `name` between `edges`, one more than the counts.

    `change` is the norm of the difference relative to that of the weight before.
    """

    name: str
    edges: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    change: float = 0.0


def weight_histograms(before: Model, after: Model, most: int = MOST) -> tuple[WeightHistogram, ...]:
    """Return histograms of the floating-point initializers that both have and whose values differ, most changed first.

    A weight whose shape or type changed, or that holds a value that is not finite, is left out.
    """
    found: list[WeightHistogram] = []
    for name, value in before.graph.initializers.items():
        other = after.graph.initializers.get(name)
        old, new = (None if each is None else each.const_value for each in (value, other))
        if old is None or new is None or not 2 <= old.size <= LARGEST:
            continue
        if old.dtype != new.dtype or not old.dtype.is_floating_point() or old.size != new.size:
            continue
        histogram = _histogram(name, old.numpy(), new.numpy())
        if histogram is not None:
            found.append(histogram)
    return tuple(sorted(found, key=lambda each: (-each.change, each.name))[:most])


def _histogram(name: str, before: Array, after: Array) -> WeightHistogram | None:
    if np.array_equal(before.reshape(-1), after.reshape(-1)):
        return None
    old, new = (each.astype(np.float64).reshape(-1) for each in (before, after))
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        return None
    low, high = min(old.min(), new.min()), max(old.max(), new.max())
    edges = np.linspace(low, high, BINS + 1)
    counts = [tuple(map(int, np.histogram(each, edges)[0])) for each in (old, new)]
    change = float(np.linalg.norm(new - old) / (np.linalg.norm(old) or 1.0))
    return WeightHistogram(name, tuple(map(float, edges)), counts[0], counts[1], change)
