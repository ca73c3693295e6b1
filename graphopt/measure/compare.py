"""Compare two models in numbers and in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphopt.errors import MeasureError, ModelError
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.pipeline.proof import compare_files, task_feeds
from graphopt.pipeline.report import LatencyRecord, VerifyRecord
from graphopt.runtime.feeds import draw
from graphopt.runtime.harvest import plan_feeds
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.ratios import Ratio
from graphopt.runtime.sizes import assignments
from graphopt.runtime.turns import Timing, time_paired
from graphopt.tables import Table

__all__ = ["Comparison", "compare_models", "time_models"]


@dataclass(frozen=True)
class Comparison:
    """Latencies in milliseconds, the ratio B / A with its 95 % interval, the same of A against itself, and the numbers.

    A ratio below 1 says that B is faster.
    """

    a: str
    b: str
    a_ms: float
    b_ms: float
    ratio: Ratio
    twin: Ratio
    threads: int
    rounds: int
    numbers: VerifyRecord

    def table(self) -> Table:
        """Return the table of latencies."""
        rows = (
            ("latency, median of rounds", f"{self.a_ms:.3f} ms", f"{self.b_ms:.3f} ms", _ratio(self.ratio)),
            ("the first against itself", f"{self.a_ms:.3f} ms", "", _ratio(self.twin)),
            (
                "largest error",
                "",
                "" if self.numbers.max_error is None else f"{self.numbers.max_error:.1e}",
                self.numbers.status,
            ),
        )
        title = f"{self.threads} thread{'s' if self.threads > 1 else ''}, {self.rounds} rounds in turns"
        return Table(("", "before", "after", "ratio"), rows, title, frozenset({1, 2, 3}))

    @property
    def latency(self) -> LatencyRecord:
        """The latencies as a report holds them."""
        return _latency(self.a_ms, self.b_ms, self.ratio, self.twin, threads=self.threads, rounds=self.rounds)

    @property
    def verdict(self) -> str:
        """Say in one sentence whether B is faster."""
        if self.ratio.no_difference:
            return "no difference in latency beyond the noise"
        word = "faster" if self.ratio.median < 1 else "slower"
        factor = 1 / self.ratio.median if self.ratio.median < 1 else self.ratio.median
        return f"{factor:.2f} times {word} (95 % interval of the ratio: {self.ratio.low:.3f} to {self.ratio.high:.3f})"


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def compare_models(
    a: Path,
    b: Path,
    task: str = "",
    *,
    threads: int = 1,
    budget_s: float = 10.0,
    samples: int = 3,
    seed: int = 0,
    custom_ops: tuple[str, ...] = (),
) -> Comparison:
    """Compare the outputs of two models, then time them in turns, with A opened twice as the noise floor.

    Raises `ModelError` if they take or give different things, and `MeasureError` if no input can be found that both
    run.
    """
    numbers = compare_files(a, b, task, samples, seed, custom_ops)
    if numbers.status == "different" and not numbers.feeds:
        raise ModelError("the models cannot be compared", where=numbers.detail)
    timing = _time(a, b, task, threads, budget_s, seed, custom_ops)
    rounds = timing.count
    return Comparison(
        str(a),
        str(b),
        timing.median_ms("a"),
        timing.median_ms("b"),
        timing.ratios["b"],
        timing.noise,
        threads,
        rounds,
        numbers,
    )


def time_models(
    a: Path, b: Path, task: str = "", *, seed: int = 0, budget_s: float = 5.0, custom_ops: tuple[str, ...] = ()
) -> LatencyRecord:
    """Time two models in turns on one thread.

    Raises `MeasureError` if no input can be found that both run.
    """
    timing = _time(a, b, task, 1, budget_s, seed, custom_ops)
    medians = timing.median_ms("a"), timing.median_ms("b")
    return _latency(*medians, timing.ratios["b"], timing.noise, threads=1, rounds=timing.count)


def _latency(a_ms: float, b_ms: float, ratio: Ratio, twin: Ratio, *, threads: int, rounds: int) -> LatencyRecord:
    return LatencyRecord(
        a_ms,
        b_ms,
        ratio.median,
        ratio.low,
        ratio.high,
        twin.low,
        twin.high,
        threads=threads,
        rounds=rounds,
        no_difference=ratio.no_difference,
    )


def _time(a: Path, b: Path, task: str, threads: int, budget_s: float, seed: int, custom_ops: tuple[str, ...]) -> Timing:
    model = load(a)
    plan = plan_feeds(model, Facts(model), seed=seed)
    feeds = (
        task_feeds(task, 1, model)
        if task
        else (draw(plan.specs, seed, sizes, "normal", plan.hints) for sizes in assignments(plan.specs, plan.fixed, {}))
    )
    trouble = "no input can be drawn"
    for feed in feeds:
        try:
            return time_paired(
                {"a": a, "b": b}, feed, threads=threads, budget_s=budget_s, seed=seed, custom_ops=custom_ops
            )
        except (RequestError, WorkerDied) as error:
            trouble = error.what
    raise MeasureError("the models cannot be timed", where=trouble, advice="give inputs that they run with --task")
