"""State how far a result may lie from the original, by the exactness of what was done."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.kinds import Exactness

__all__ = ["EPSILON", "Tolerance"]

EPSILON = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3,
    "float8_e4m3fnuz": 2.0**-3,
    "float8_e5m2": 2.0**-2,
    "float8_e5m2fnuz": 2.0**-2,
}
"""Distance from 1 to the next number."""

_PARTS = {"complex64": "float32", "complex128": "float64", "float": "float64"}

# An exact rewrite may still lead the runtime to another kernel of the same mathematics: a few units in the last place.
_EXACT = {"float64": 4e-15, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
_REASSOCIATES = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-2}
_APPROXIMATE = 1e-3


@dataclass(frozen=True)
class Tolerance:
    """The largest accepted relative error, for each dtype of an output.

    Errors are relative to the largest finite magnitude of the output. `bound` replaces the default of `approximate`
    and `lossy`. `narrowest` names the least precise float dtype inside the model: a float32 output of float16
    arithmetic is judged as float16.
    """

    exactness: Exactness
    bound: float | None = None
    narrowest: str = ""

    def limit(self, dtype: str) -> float:
        """Return the accepted relative error of an output of `dtype`."""
        own = self._limit(_PARTS.get(dtype, dtype))
        return max(own, self._limit(self.narrowest)) if self.narrowest else own

    def epsilon(self, dtype: str) -> float:
        """Return the relative step by which an input is nudged to learn how well conditioned the model is."""
        return EPSILON.get(self.narrowest, 0.0) if EPSILON.get(self.narrowest, 0.0) > EPSILON.get(dtype, 0.0) else 0.0

    @property
    def places(self) -> bool:
        """Whether NaN and each infinity must stand exactly where they stood, and not merely some of them."""
        return self.exactness is Exactness.EXACT

    @property
    def spreads(self) -> bool:
        """Whether what a NaN or infinity of the inputs reaches may become one as well; none may become a number."""
        return self.exactness in {Exactness.APPROXIMATE, Exactness.LOSSY}

    def _limit(self, dtype: str) -> float:
        coarse = 4 * EPSILON.get(dtype, 0.0)
        if self.exactness is Exactness.EXACT:
            return _EXACT.get(dtype, 0.0)
        strict = _REASSOCIATES.get(dtype, coarse)
        if self.exactness is Exactness.REASSOCIATES:
            return strict
        if self.exactness is Exactness.LOSSY and self.bound is None:
            return float("inf")
        return max(strict, _APPROXIMATE if self.bound is None else self.bound)
