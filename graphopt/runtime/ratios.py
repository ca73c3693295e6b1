"""Estimate how much slower one model is than another, and how sure that is."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Ratio", "estimate", "estimate_apart", "flag"]

_RESAMPLES = 1000
FEW_OPENINGS = 4
"""With fewer openings than this, their spread cannot be told and rounds are resampled as one group."""
_T_QUANTILES = (3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""97.5 % quantile of Student's t from 3 degrees of freedom on."""


@dataclass(frozen=True)
class Ratio:
    """A model's time over another's: median over the rounds, and its 95 % interval.

    `no_difference` is True where the interval covers 1, or where the twin's own interval, the noise floor, covers the
    median.
    """

    median: float
    low: float
    high: float
    no_difference: bool = False

    @property
    def half_width(self) -> float:
        """Half of the interval, as a share of the median."""
        return (self.high - self.low) / (2 * self.median)


def estimate(times: Sequence[Sequence[float]], base: Sequence[Sequence[float]], seed: int = 0) -> Ratio:
    """Estimate the ratio of `times` to `base`, both by opening and round.

    Rounds of one opening share the memory that the models happened to get, so that whole openings are resampled, and
    rounds within them: the two-stage cluster bootstrap (Davison and Hinkley, Bootstrap Methods and their Application,
    1997, section 3.8). With g openings the interval is widened by sqrt(g / (g - 1)) and by t / 1.96 with g - 1 degrees
    of freedom, as resampling a few groups understates their spread.
    """
    groups = [
        [math.log(one / other) for one, other in zip(row, base_row, strict=True)]
        for row, base_row in zip(times, base, strict=True)
    ]
    count = len(groups)
    if count < FEW_OPENINGS:
        groups = [[value for group in groups for value in group]]
    median = statistics.median(value for group in groups for value in group)
    generator = random.Random(seed)  # noqa: S311 - no secret
    return _interval(median, [_resampled(groups, generator) for _ in range(_RESAMPLES)], count)


def estimate_apart(times: Sequence[Sequence[float]], base: Sequence[Sequence[float]], seed: int = 0) -> Ratio:
    """Estimate the ratio of `times` to `base`, by opening and round, that were not taken in turns.

    Both are resampled independently, as in `estimate`; what changed on the machine between them is in the ratio.
    """
    sides = [[[math.log(value) for value in row] for row in side] for side in (times, base)]
    count = min(map(len, sides))
    if count < FEW_OPENINGS:
        sides = [[[value for row in side for value in row]] for side in sides]
    one, other = (statistics.median(value for row in side for value in row) for side in sides)
    generator = random.Random(seed)  # noqa: S311 - no secret
    apart = [_resampled(sides[0], generator) - _resampled(sides[1], generator) for _ in range(_RESAMPLES)]
    return _interval(one - other, apart, count)


def _interval(median: float, resampled: Sequence[float], openings: int) -> Ratio:
    """Take the 95 % interval of resampled logarithms, wider where `openings` are few."""
    ordered = sorted(resampled)
    low, high = ordered[int(0.025 * _RESAMPLES)], ordered[int(0.975 * _RESAMPLES)]
    wider = 1.0
    if openings >= FEW_OPENINGS:
        at = min(openings - FEW_OPENINGS, len(_T_QUANTILES) - 1)
        wider = math.sqrt(openings / (openings - 1)) * _T_QUANTILES[at] / 1.96
    return Ratio(
        math.exp(median), math.exp(median - wider * (median - low)), math.exp(median + wider * (high - median))
    )


def flag(ratio: Ratio, noise: Ratio) -> Ratio:
    """Say whether noise alone explains a ratio."""
    same = ratio.low <= 1 <= ratio.high or noise.low <= ratio.median <= noise.high
    return Ratio(ratio.median, ratio.low, ratio.high, no_difference=same)


def _resampled(groups: Sequence[Sequence[float]], generator: random.Random) -> float:
    chosen = generator.choices(groups, k=len(groups)) if len(groups) > 1 else groups
    return statistics.median([value for group in chosen for value in generator.choices(group, k=len(group))])
