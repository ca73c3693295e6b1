"""Map values to places on a picture, and choose where ticks stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "number", "spanning"]


@dataclass(frozen=True)
class Scale:
    """Values `low` to `high` on places `start` to `end`, in equal steps or (`log`) equal factors."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies outside is put on the border."""
        low, high, here = (self._bend(each) for each in (self.low, self.high, min(max(value, self.low), self.high)))
        return self.start + (self.end - self.start) * (here - low) / (high - low)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round values; on a logarithmic scale powers of ten."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            stride = max(1, math.ceil((last - first + 1) / count))
            return [10.0**power for power in range(first, last + 1, stride)]
        step = self._step(count)
        first = math.ceil(self.low / step - 1e-9)
        return [step * index for index in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def text(self, tick: float, count: int = 5) -> str:
        """Print a tick with as many digits as tell it from the next."""
        if self.log or tick == 0:
            return f"{tick:.0e}" if tick else "0"
        digits = -math.floor(math.log10(self._step(count)) + 1e-9)
        return f"{tick:.3e}" if digits > 6 or abs(tick) >= 1e6 else f"{tick:.{max(0, digits)}f}"

    def _step(self, count: int) -> float:
        raw = (self.high - self.low) / max(count, 1)
        unit = 10.0 ** math.floor(math.log10(raw))
        return unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)

    def _bend(self, value: float) -> float:
        return math.log10(value) if self.log else value


def spanning(
    values: Iterable[float], start: float, end: float, *, margin: float = 0.05, zero: bool = False, log: bool = False
) -> Scale:
    """Return a scale that spans all finite values with a `margin` (share of the span) on both sides.

    With `zero` it begins at 0. `log` needs positive values. Where all are equal, or none is given, the span is made up.
    """
    finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = (0.0 if zero else min(finite)), max(finite)
    if log:
        # Whole powers of ten, so that there are at least two ticks.
        bottom, top = math.floor(math.log10(low) - 0.1), math.ceil(math.log10(high) + 0.1)
        return Scale(10.0**bottom, 10.0**top, start, end, log=True)
    span = (high - low) or abs(high) or 1.0
    return Scale(low if zero else low - span * margin, high + span * margin, start, end)


def number(value: float) -> str:
    """Print a value with three significant digits and no exponent where that stays short."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.1e}"
