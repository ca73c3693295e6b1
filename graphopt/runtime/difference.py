"""Measure how far two results of a model lie apart."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from graphopt.runtime.frames import NARROW, Array

__all__ = ["Difference", "differ", "nudge"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Difference:
    """How one array of a result differs.

    `relative` is the largest finite difference over the largest finite magnitude before, `ulp` the largest distance
    in representable numbers, `changed` the share of elements (0..1) that are not the same, `nan`, `infinite` and
    `nonfinite` the number of places where one has a NaN, the same infinity, or any of both, and the other does not,
    `lost` that of places where only the result has a number. `problem` says what cannot be measured: another type,
    dtype or shape.
    """

    name: str
    dtype: str = ""
    problem: str = ""
    elements: int = 0
    finite: int = 0
    relative: float = 0.0
    ulp: float = 0.0
    changed: float = 0.0
    nan: int = 0
    infinite: int = 0
    nonfinite: int = 0
    lost: int = 0
    identical: bool = True

    def packed(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def differ(name: str, before: Any, after: Any) -> list[Difference]:
    """Compare two outputs: arrays, sequences, maps or absent optionals, element by element."""
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return [_differ_arrays(name, before, after)]
    if type(before) is not type(after):
        return [_trouble(name, f"is a {type(after).__name__}, was a {type(before).__name__}")]
    if isinstance(before, list):
        return _differ_lists(name, before, after)
    if isinstance(before, dict):
        return _differ_maps(name, before, after)
    same = before == after or (before != before and after != after)  # noqa: PLR0124 - NaN
    return [] if same else [Difference(name, type(before).__name__, elements=1, changed=1.0, identical=False)]


def _trouble(name: str, problem: str) -> Difference:
    return Difference(name, problem=problem, identical=False)


def _differ_lists(name: str, before: list[Any], after: list[Any]) -> list[Difference]:
    if len(before) != len(after):
        return [_trouble(name, f"has {len(after)} elements, had {len(before)}")]
    pairs = (differ(f"{name}[{at}]", *pair) for at, pair in enumerate(zip(before, after, strict=True)))
    return list(itertools.chain.from_iterable(pairs))


def _differ_maps(name: str, before: dict[Any, Any], after: dict[Any, Any]) -> list[Difference]:
    if before.keys() != after.keys():
        return [_trouble(name, "has other keys")]
    keys = list(before)
    if keys and isinstance(before[keys[0]], float):
        # A score for each class: measured like one tensor.
        return [_differ_arrays(name, *(np.array([side[key] for key in keys]) for side in (before, after)))]
    return list(itertools.chain.from_iterable(differ(f"{name}[{key!r}]", before[key], after[key]) for key in keys))


def _differ_arrays(name: str, before: Array, after: Array) -> Difference:
    if before.dtype.name != after.dtype.name and {before.dtype.kind, after.dtype.kind} - set("OUT"):
        return _trouble(name, f"has dtype {after.dtype.name}, had {before.dtype.name}")
    if before.shape != after.shape:
        return _trouble(name, f"has shape {list(after.shape)}, had {list(before.shape)}")
    found = Difference(name, before.dtype.name, elements=before.size, finite=before.size)
    if before.dtype.kind == "c":
        halves = (np.ascontiguousarray(side).view(f"f{side.dtype.itemsize // 2}") for side in (before, after))
        return replace(_differ_floats(found, *halves), dtype=before.dtype.name)
    if before.dtype.kind == "f" or before.dtype.name in NARROW:
        return _differ_floats(found, before, after)
    other = int(np.count_nonzero(before != after))
    return replace(found, changed=other / max(before.size, 1), identical=not other)


def _ordered(array: Array) -> Array:
    """Map floats to integers that count representable numbers; -0 and +0 coincide."""
    bits = array.view(f"i{array.dtype.itemsize}")
    if array.dtype.itemsize == 8:
        magnitude = (bits & np.int64(0x7FFFFFFFFFFFFFFF)).astype(np.float64)
        return np.where(bits < 0, -magnitude, magnitude)
    wide = bits.astype(np.int64)
    lowest = -(1 << (8 * array.dtype.itemsize - 1))
    return np.where(wide < 0, lowest - wide, wide)


def _differ_floats(found: Difference, before: Array, after: Array) -> Difference:
    left, right = (np.ascontiguousarray(side).reshape(-1) for side in (before, after))
    unsigned = f"u{left.dtype.itemsize}"
    if np.array_equal(left.view(unsigned), right.view(unsigned)):
        return replace(found, finite=_count_finite(left))
    sums: dict[str, Any] = dict.fromkeys(("finite", "changed", "nan", "infinite", "nonfinite", "lost"), 0)
    magnitude = distance = ulp = 0.0
    for start in range(0, left.size, _CHUNK):
        a, b = left[start : start + _CHUNK], right[start : start + _CHUNK]
        counts, largest, apart, steps = _differ_chunk(a, b)
        sums = {key: sums[key] + counts[key] for key in sums}
        magnitude, distance, ulp = max(magnitude, largest), max(distance, apart), max(ulp, steps)
    changed = sums.pop("changed")
    relative = 0.0 if distance == 0 else distance / magnitude if magnitude else float("inf")
    return replace(found, **sums, changed=changed / left.size, relative=relative, ulp=ulp, identical=False)


def _count_finite(array: Array) -> int:
    chunks = range(0, array.size, _CHUNK)
    return sum(int(np.count_nonzero(np.isfinite(array[start : start + _CHUNK]))) for start in chunks)


def _differ_chunk(a: Array, b: Array) -> tuple[dict[str, int], float, float, float]:
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite_x, nan_x, nan_y = np.isfinite(x), np.isnan(x), np.isnan(y)
    both = finite_x & np.isfinite(y)
    infinite = (np.isinf(x) | np.isinf(y)) & (x != y) & ~nan_x & ~nan_y
    counts = {
        "finite": int(np.count_nonzero(finite_x)),
        "changed": int(np.count_nonzero((x != y) & ~(nan_x & nan_y))),
        "nan": int(np.count_nonzero(nan_x != nan_y)),
        "infinite": int(np.count_nonzero(infinite)),
        "nonfinite": int(np.count_nonzero(finite_x != np.isfinite(y))),
        "lost": int(np.count_nonzero(~finite_x & np.isfinite(y))),
    }
    largest = float(np.max(np.abs(x), where=finite_x, initial=0.0))
    apart = float(np.max(np.abs(x[both] - y[both]), initial=0.0))
    steps = float(np.max(np.abs(_ordered(a)[both] - _ordered(b)[both]), initial=0)) if apart else 0.0
    return counts, largest, apart, steps


def nudge(array: Array, epsilon: float, seed: int) -> Array:
    """Move each finite float of `array` up or down by `epsilon` of itself, and at least to a neighbouring number."""
    if array.dtype.kind != "f" and array.dtype.name not in NARROW:
        return array
    generator = np.random.default_rng(seed)
    up = generator.integers(0, 2, array.shape).astype(bool)
    with np.errstate(all="ignore"):
        target = np.where(up, np.inf, -np.inf).astype(array.dtype)
        near = np.nextafter(array, target) if array.dtype.kind == "f" else array
        far = (array.astype(np.float64) * np.where(up, 1 + epsilon, 1 - epsilon)).astype(array.dtype)
        moved = np.where(far == array, near, far) if epsilon else near
        # NaN, infinities and the largest numbers stay: a step from or to infinity is not small.
        return np.where(np.isfinite(array) & np.isfinite(moved), moved, array)
