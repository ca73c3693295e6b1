"""Judge measured differences against a tolerance and against the model's own conditioning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphopt.runtime.difference import Difference
from graphopt.runtime.tolerance import EPSILON, Tolerance

__all__ = ["OutputCheck", "Status", "Verification", "fault", "summarize"]

Status = Literal["same", "different", "not-run"]

_NOISE_FACTOR = 4.0
_FLOATS = frozenset(EPSILON) | {"complex64", "complex128", "float"}


@dataclass(frozen=True)
class OutputCheck:
    """How far one output lies from the original, at worst over all feeds without special values.

    `relative` is relative to the output's largest finite magnitude, `ulp` counts representable numbers, `changed` is
    the share of elements that differ (0..1).
    """

    name: str
    dtype: str
    relative: float
    ulp: float
    changed: float
    bit_identical: bool


@dataclass(frozen=True)
class Verification:
    """The verdict on a result: `same`, `different`, or `not-run` if the runtime could not run the original.

    `feeds` counts the feeds that both ran, `sizes` holds the sizes of the symbolic dims for each, `conditioned` says
    that the difference is above the tolerance but within what the smallest change of the inputs does to the original,
    `values_compared` is False for models that draw random numbers. `inference_seconds` is the time spent in inference.
    """

    status: Status
    reason: str = ""
    outputs: tuple[OutputCheck, ...] = ()
    feeds: int = 0
    sizes: tuple[Mapping[str, int], ...] = ()
    kinds: tuple[str, ...] = ()
    conditioned: bool = False
    values_compared: bool = True
    notes: tuple[str, ...] = ()
    inference_seconds: float = 0.0

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of any output."""
        return max((output.relative for output in self.outputs), default=0.0)

    @property
    def max_ulp(self) -> float:
        """The largest distance of any output, in representable numbers."""
        return max((output.ulp for output in self.outputs), default=0.0)

    @property
    def bit_identical(self) -> bool:
        """Whether every output has the original's bits."""
        return self.values_compared and all(output.bit_identical for output in self.outputs)


def fault(found: Difference, tolerance: Tolerance, kind: str, noise: Sequence[Difference] = ()) -> str:
    """Say what is wrong with an output; empty if nothing is.

    `kind` is that of the feed; `noise` are the differences of the same output when the original's inputs are nudged.
    """
    special = kind in {"special", "extreme"}
    if found.problem:
        excused = any(one.problem for one in noise) or (special and not tolerance.places and "shape" in found.problem)
        return "" if excused else f"output {found.name!r} {found.problem}"
    if found.identical:
        return ""
    if found.dtype not in _FLOATS:
        return "" if special else _changed(found, noise)
    return _misplaced(found, tolerance, noise, special=special) or ("" if special else _far(found, tolerance, noise))


def _worst(noise: Iterable[Difference], field: str) -> float:
    seen = [float(getattr(one, field)) for one in noise]
    # Noise on an output of zeros has no scale and excuses nothing.
    return max((value for value in seen if value != float("inf")), default=0.0)


def _changed(found: Difference, noise: Sequence[Difference]) -> str:
    if found.changed <= _NOISE_FACTOR * _worst(noise, "changed"):
        return ""
    return f"output {found.name!r} ({found.dtype}) differs in {found.changed:.3%} of its elements"


def _misplaced(found: Difference, tolerance: Tolerance, noise: Sequence[Difference], *, special: bool) -> str:
    some = "lost" if special and tolerance.spreads else "nonfinite"
    fields = ("nan", "infinite") if tolerance.places else (some,)
    for field in fields:
        count = getattr(found, field)
        if count > _NOISE_FACTOR * _worst(noise, field):
            what = {"nan": "NaN", "infinite": "an infinity", "nonfinite": "NaN or an infinity", "lost": "a number"}[
                field
            ]
            where = "where it had none" if field == "lost" else "in other places"
            return f"output {found.name!r} has {what} {where} ({count} of {found.elements})"
    return ""


def _far(found: Difference, tolerance: Tolerance, noise: Sequence[Difference]) -> str:
    limit = max(tolerance.limit(found.dtype), _NOISE_FACTOR * _worst(noise, "relative"))
    if found.relative <= limit:
        return ""
    return f"output {found.name!r} is off by {found.relative:.3g} of its largest magnitude (limit {limit:.3g})"


def summarize(differences: Iterable[tuple[str, Difference]]) -> tuple[OutputCheck, ...]:
    """Take for each output the worst over the feeds; `differences` are (kind of feed, difference)."""
    worst: dict[str, dict[str, Any]] = {}
    for kind, one in differences:
        row = worst.setdefault(one.name, {"relative": 0.0, "ulp": 0.0, "changed": 0.0, "bit_identical": True})
        row["dtype"] = one.dtype
        row["bit_identical"] = row["bit_identical"] and one.identical
        if kind not in {"special", "extreme"}:
            row |= {key: max(row[key], getattr(one, key)) for key in ("relative", "ulp", "changed")}
    return tuple(OutputCheck(name=name, **row) for name, row in worst.items())
