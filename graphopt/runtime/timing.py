"""Compare the latency of models on this machine, in turns, with the noise measured beside it."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphopt.runtime.limits import Limits
from graphopt.runtime.process import Worker

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array

__all__ = ["TWIN", "Ratio", "Timing", "time_paired"]

TWIN = "twin"
"""The label of the first model, opened a second time: what differs between the two is noise."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """A model's time over the first model's: median over the rounds, and its bootstrap 95 % interval.

    `no_difference` is True where the interval covers 1 or the median lies within the twin's own interval.
    """

    median: float
    low: float
    high: float
    no_difference: bool


@dataclass(frozen=True)
class Timing:
    """Median seconds of an inference, by label and round; ratios to the first label.

    `noise` is the ratio of the first model to itself. `batch` is the number of inferences in a round.
    """

    rounds: Mapping[str, tuple[float, ...]]
    ratios: Mapping[str, Ratio]
    noise: Ratio
    batch: int

    def median_ms(self, label: str) -> float:
        """Return the median latency of `label` over the rounds, in milliseconds."""
        return statistics.median(self.rounds[label]) * 1e3


def _interval(logs: Sequence[float], seed: int) -> tuple[float, float, float]:
    """Return the median of `logs` and its bootstrap 95 % interval, as ratios; rounds are resampled whole."""
    generator = random.Random(seed)  # noqa: S311 - no secret
    medians = sorted(statistics.median(generator.choices(logs, k=len(logs))) for _ in range(_RESAMPLES))
    low, high = medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES)]
    return math.exp(statistics.median(logs)), math.exp(low), math.exp(high)


def _logs(rounds: Sequence[float], base: Sequence[float]) -> list[float]:
    return [math.log(one / other) for one, other in zip(rounds, base, strict=True)]


def _ratio(rounds: Sequence[float], base: Sequence[float], noise: Ratio, seed: int) -> Ratio:
    median, low, high = _interval(_logs(rounds, base), seed)
    return Ratio(median, low, high, no_difference=low <= 1 <= high or noise.low <= median <= noise.high)


def time_paired(
    paths: Mapping[str, str | Path],
    feed: Mapping[str, Array],
    *,
    threads: int = 1,
    rounds: int = 15,
    budget_s: float = 10.0,
    seed: int = 0,
    custom_ops: Sequence[str | Path] = (),
) -> Timing:
    """Time the models of `paths` on one feed in a fresh child, with the runtime's optimizations on.

    The first label is the base of all ratios; it is opened twice. At least three rounds are run.

    Raises `RequestError` if a model does not run, `WorkerDied` if it ends the child.
    """
    base = next(iter(paths))
    models = [(label, str(Path(path).resolve())) for label, path in ((TWIN, paths[base]), *paths.items())]
    request = {
        "models": models,
        "names": list(feed),
        "threads": threads,
        "rounds": rounds,
        "budget_seconds": budget_s,
        "seed": seed,
        "custom_ops": [str(Path(path).resolve()) for path in custom_ops],
    }
    with Worker() as worker:
        reply, _ = worker.request("time", request, list(feed.values()), Limits(wall_seconds=600 + 20 * budget_s))
    medians: dict[str, tuple[float, ...]] = {label: tuple(row) for label, row in reply["medians"].items()}
    median, low, high = _interval(_logs(medians[TWIN], medians[base]), seed)
    noise = Ratio(median, low, high, no_difference=True)
    ratios = {label: _ratio(medians[label], medians[base], noise, seed) for label in paths if label != base}
    return Timing(medians, ratios, noise, reply["batch"])
