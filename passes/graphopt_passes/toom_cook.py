"""Make the transforms of minimal filtering algorithms, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

__all__ = ["Transforms", "transforms"]

Array = np.ndarray[Any, Any]

_POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")))
"""Small numbers whose powers are cheap to tell apart; the point at infinity comes on top."""


@dataclass(frozen=True)
class Transforms:
    """Matrices with y = result @ ((kernel @ g) * (data @ d)), a correlation of n = m + k - 1 samples d with k taps g.

    `data` is [n, n], `kernel` [n, k], `result` [m, n], all float64. What is added to the product of the index `one` is
    added to every result.
    """

    data: Array
    kernel: Array
    result: Array

    @property
    def one(self) -> int:
        """The index of the point 1, or of the only point."""
        return min(1, len(self.data) - 1)


@cache
def transforms(outputs: int, taps: int) -> Transforms:
    """Return the transforms of F(`outputs`, `taps`), which needs outputs + taps - 1 multiplications.

    The Toom-Cook construction over the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity, transposed: Blahut, Fast
    Algorithms for Signal Processing, 2010, section 5.2; as Lavin and Gray, Fast Algorithms for Convolutional Neural
    Networks, 2015, equation 5, use it. Rows of `data` are scaled by powers of two to a largest entry near 1, and
    `kernel` against it, which costs no rounding.

    Raises `ValueError` for more than eight multiplications: their error is of no use in float32.
    """
    count = outputs + taps - 2
    if count > len(_POINTS):
        raise ValueError(f"F({outputs}, {taps}) needs {count} finite points")
    points = _POINTS[:count]
    data = [[*_product([other for other in points if other != point]), Fraction(0)] for point in points]
    data.append(_product(points))
    kernel = [[point**power / _spread(point, points) for power in range(taps)] for point in points]
    kernel.append([Fraction(int(power == taps - 1)) for power in range(taps)])
    result = [[point**power for point in points] + [Fraction(int(power == outputs - 1))] for power in range(outputs)]
    scale = np.array([2.0 ** round(np.log2(float(max(map(abs, row))))) for row in data])
    return Transforms(_floats(data) / scale[:, None], _floats(kernel) * scale[:, None], _floats(result))


def _product(roots: Any) -> list[Fraction]:
    """Return the coefficients of the polynomial with these roots, the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def _spread(point: Fraction, points: tuple[Fraction, ...]) -> Fraction:
    found = Fraction(1)
    for other in points:
        found *= point - other if other != point else 1
    return found


def _floats(rows: list[list[Fraction]]) -> Array:
    return np.array([[float(value) for value in row] for row in rows])
