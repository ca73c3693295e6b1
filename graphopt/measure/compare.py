"""Say what a measurement means, and compare two models in numbers, time and score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphopt.errors import MeasureError, ModelError, UnsupportedError
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.measure.bench import bench
from graphopt.measure.contenders import BenchOptions
from graphopt.measure.records import BenchReport, Entry, Quality, RatioRecord
from graphopt.pipeline.report import LatencyRecord
from graphopt.tables import Table

__all__ = ["Comparison", "compare_models", "latency_record", "time_models", "verdict"]


def verdict(entry: Entry) -> str:
    """Say in one sentence what an entry is against the first; what is wrong comes before how fast it is."""
    if entry.trouble:
        return f"NOT MEASURED: {entry.trouble}"
    speed = "not timed: a software adapter stands for the device" if entry.software else _speed(entry.ratio)
    faults = _faults(entry.quality)
    if not faults:
        return speed
    return f"NOT THE SAME RESULTS: {'; '.join(faults)}. Its latency is that of another function ({speed})"


def _speed(ratio: RatioRecord | None) -> str:
    if ratio is None:
        return "the first, which others are compared with"
    if ratio.no_difference:
        return "no difference in latency beyond the noise"
    word = "faster" if ratio.median < 1 else "slower"
    factor = 1 / ratio.median if ratio.median < 1 else ratio.median
    return f"{factor:.2f} times {word} (95 % interval of the ratio: {ratio.low:.3f} to {ratio.high:.3f})"


def _faults(quality: Quality | None) -> list[str]:
    found: list[str] = []
    if quality is None:
        return found
    if quality.wrong:
        found.append(f"{quality.detail}, more than rounding explains")
    if quality.score_change is not None and quality.score_change < 0:
        found.append(f"the score drops by {-quality.score_change:.4g} to {quality.score:.4g}")
    return found


@dataclass(frozen=True)
class Comparison:
    """Two models, measured by `report`; its first entry is the one before."""

    report: BenchReport

    def _repr_html_(self) -> str:
        """Return the comparison as a notebook shows it."""
        return self.report._repr_html_()

    @property
    def entries(self) -> tuple[Entry, Entry]:
        """The entries before and after."""
        before, after = self.report.entries
        return before, after

    def table(self) -> Table:
        """Return the figures of both side by side."""
        before, after = self.entries
        twin, quality = self.report.twin, after.quality
        error = "-" if quality is None or quality.error is None else f"{quality.error:.1e}"
        rows = [
            ("latency, median", *(_ms(entry) for entry in (before, after)), _ratio(after.ratio)),
            ("the first against itself", "", "", _ratio(twin)),
            ("largest error", "", error, _judged(quality)),
        ]
        if before.quality is not None and before.quality.score is not None:
            change = "" if quality is None or quality.score_change is None else f"{quality.score_change:+.4g}"
            score = "-" if quality is None or quality.score is None else f"{quality.score:.4g}"
            rows.append(("score", f"{before.quality.score:.4g}", score, change))
        rounds = 0 if after.ratio is None else after.ratio.rounds
        threads = self.report.threads
        title = f"{threads} thread{'s' if threads > 1 else ''}, {rounds} rounds in turns"
        return Table(("", "before", "after", "ratio"), tuple(rows), title, frozenset({1, 2, 3}))

    @property
    def latency(self) -> LatencyRecord:
        """The latencies as a report holds them."""
        return latency_record(self.report)

    @property
    def verdict(self) -> str:
        """Say in one sentence what the second is against the first."""
        return verdict(self.entries[1])


def _ms(entry: Entry) -> str:
    return "-" if entry.latency is None else f"{entry.latency.median_ms:.3f} ms"


def _ratio(ratio: RatioRecord | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _judged(quality: Quality | None) -> str:
    if quality is None:
        return "not compared"
    return "DIFFERENT" if quality.wrong else "same"


def compare_models(
    a: str | Path, b: str | Path, options: BenchOptions | None = None, progress: Callable[[str], None] | None = None
) -> Comparison:
    """Compare the outputs of two models, time them in turns, and score them where the task does.

    Raises `ModelError` if they take or give different things, `UnsupportedError` if one of them cannot be measured,
    and what `bench` raises.
    """
    if (left := _interface(load(a))) != (right := _interface(load(b))):
        raise ModelError(
            "the models cannot be compared",
            where=f"the names of inputs or outputs differ: {', '.join(left)}; {', '.join(right)}",
        )
    comparison = Comparison(bench([a, b], options, progress))
    if trouble := next((f"{entry.label} {entry.trouble}" for entry in comparison.entries if entry.trouble), ""):
        raise UnsupportedError("the models cannot be compared", where=trouble)
    return comparison


def _interface(model: Model) -> list[str]:
    taken = [value.name or "" for value in model.graph.inputs if not value.is_initializer()]
    return [*sorted(taken), *sorted(f"-> {value.name}" for value in model.graph.outputs)]


def time_models(
    a: Path, b: Path, task: str = "", *, seed: int = 0, budget_s: float = 5.0, custom_ops: tuple[str, ...] = ()
) -> LatencyRecord:
    """Time two models in turns on one thread.

    Raises `MeasureError` if they cannot be timed.
    """
    options = BenchOptions(
        task=task, samples=1, evaluate=0, seed=seed, budget_s=budget_s, custom_ops=tuple(map(str, custom_ops))
    )
    try:
        return compare_models(a, b, options).latency
    except UnsupportedError as error:
        raise MeasureError("the models cannot be timed", where=error.where) from error


def latency_record(report: BenchReport) -> LatencyRecord:
    """Return the latencies of the first two entries as a report of an optimization holds them.

    Raises `MeasureError` if they were not timed.
    """
    before, after = report.entries[:2]
    ratio, twin = after.ratio, report.twin
    if before.latency is None or after.latency is None or ratio is None or twin is None:
        raise MeasureError("the models were not timed")
    return LatencyRecord(
        before.latency.median_ms,
        after.latency.median_ms,
        ratio.median,
        ratio.low,
        ratio.high,
        twin.low,
        twin.high,
        threads=report.threads,
        rounds=ratio.rounds,
        no_difference=ratio.no_difference,
    )
