"""Judge how good results are: against the first model's, and by the task's own score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from graphopt.calibration.task import Feed, Task, load_task
from graphopt.errors import TaskError
from graphopt.graph.model import Model
from graphopt.measure.records import Quality
from graphopt.pipeline.proof import checked_feeds
from graphopt.runtime.difference import Difference, differ, nudge
from graphopt.runtime.frames import Array
from graphopt.runtime.tolerance import EPSILON, Tolerance
from graphopt.runtime.verdict import fault

__all__ = ["Reference", "Scorer", "scorer"]

Outputs = Mapping[str, Array]
_DRAWS = 2


@dataclass(frozen=True)
class Scorer:
    """A task's items for the verdict, read once, and its score."""

    task: Task
    items: tuple[Feed, ...]

    def score(self, names: Sequence[str], run: Callable[[Feed], Outputs]) -> float:
        """Return the score of what `run` returns for each item; `names` are the model's outputs in order.

        Raises `TaskError` if the task cannot score it.
        """
        found = [run(item) for item in self.items]
        if missing := [name for name in names if any(name not in one for one in found)]:
            raise TaskError(f"output {missing[0]!r} is no array, so that {self.task.name!r} cannot score it")
        return self.task.score([[one[name] for name in names] for one in found])


def scorer(task: str, count: int, model: Model) -> Scorer | None:
    """Read at most `count` evaluation items of a task, if it defines a score.

    Raises `TaskError` if they do not fit the model, or there are none.
    """
    if not task or not count:
        return None
    opened = load_task(task, [value.name or "" for value in model.graph.inputs if not value.is_initializer()])
    if not opened.has_score:
        return None
    items = checked_feeds(opened.evaluation(count), model)
    if not items:
        raise TaskError(f"task {task!r} holds no evaluation item")
    return Scorer(opened, items)


class Reference:
    """The first model's results, which those of others are compared with.

    `run` runs the first model, to learn what rounding its inputs changes, where a difference is to be explained.
    """

    def __init__(
        self, label: str, feeds: Sequence[Feed], expected: Sequence[Outputs], run: Callable[[Feed], Outputs]
    ) -> None:
        self.label = label
        self._feeds = feeds
        self._expected = expected
        self._run = run
        self._noise: dict[tuple[int, float], list[Outputs]] = {}

    def itself(self, score: float | None, items: int) -> Quality:
        """Return the quality of the first model itself."""
        return Quality(self.label, 0.0, len(self._feeds), score, limit=0.0, items=items, score_change=score and 0.0)

    def compare(self, found: Sequence[Outputs], tolerance: Tolerance) -> Quality:
        """Compare outputs on the same feeds; what `tolerance` and rounded inputs do not explain is wrong."""
        first, count = self._expected[0], len(self._feeds)
        names = sorted({*first, *found[0]})
        if missing := [name for name in names if name not in first or name not in found[0]]:
            return Quality(self.label, None, count, detail=f"only one of both has output {missing[0]!r}", wrong=True)
        every = [
            (at, name, one)
            for at, (expected, given) in enumerate(zip(self._expected, found, strict=True))
            for name in names
            for one in differ(name, expected[name], given[name])
        ]
        limit = max((tolerance.limit(one.dtype) for *_, one in every), default=0.0)
        if trouble := next((f"output {one.name!r} {one.problem}" for *_, one in every if one.problem), ""):
            return Quality(self.label, None, count, detail=trouble, limit=limit, wrong=True)
        reasons = (self._fault(at, name, one, tolerance) for at, name, one in every)
        detail = next(filter(None, reasons), "")
        worst = max((_error(one) for *_, one in every), default=0.0)
        return Quality(self.label, worst, count, detail=detail, limit=limit, wrong=bool(detail))

    def _fault(self, at: int, name: str, found: Difference, tolerance: Tolerance) -> str:
        """Say what rounding does not explain; the first model runs on rounded inputs only if something is left."""
        if not fault(found, tolerance, "normal"):
            return ""
        noise = [
            one
            for nudged in self._nudged(at, tolerance)
            for one in differ(name, self._expected[at][name], nudged[name])
            if one.name == found.name
        ]
        return fault(found, tolerance, "normal", noise)

    def _nudged(self, at: int, tolerance: Tolerance) -> list[Outputs]:
        feed = self._feeds[at]
        epsilon = max((tolerance.epsilon(array.dtype.name) for array in feed.values()), default=0.0)
        if (at, epsilon) not in self._noise:
            self._noise[at, epsilon] = [self._run(one) for one in _rounded(feed, tolerance)]
        return self._noise[at, epsilon]


def _rounded(feed: Feed, tolerance: Tolerance) -> Iterator[Feed]:
    for seed in range(_DRAWS):
        yield {name: nudge(array, tolerance.epsilon(array.dtype.name), seed) for name, array in feed.items()}


def _error(found: Difference) -> float:
    if found.nonfinite:
        return math.inf
    return found.relative if found.dtype in EPSILON or found.dtype.startswith("complex") else found.changed


def with_score(quality: Quality, score: float, base: float | None, items: int) -> Quality:
    """Add a score and its change from the first model's."""
    return replace(quality, score=score, items=items, score_change=None if base is None else score - base)
