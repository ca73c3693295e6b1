"""Choose what models are measured on: a task's data, or drawn inputs of sizes that the model runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from graphopt.calibration.task import Feed
from graphopt.errors import UnsupportedError
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.pipeline.proof import task_feeds
from graphopt.runtime.feeds import draw, undrawable
from graphopt.runtime.harvest import input_specs, plan_feeds
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.sizes import assignments

__all__ = ["candidates", "first_that_runs"]

T = TypeVar("T")
_MOST_SIZES = 200
_MOST_DEATHS = 3


def candidates(
    model: Path, task: str, samples: int, seed: int, custom_ops: Sequence[str] = ()
) -> Iterator[tuple[Feed, ...]]:
    """Yield groups of `samples` feeds: the task's own, or drawn ones of one choice of sizes after another.

    Raises `TaskError` if the task's data does not fit the model, `UnsupportedError` for inputs that cannot be drawn or
    sent.
    """
    loaded = load(model)
    _check(loaded, task)
    if task:
        yield task_feeds(task, samples, loaded)
        return
    plan = plan_feeds(loaded, Facts(loaded), seed=seed, custom_ops=tuple(custom_ops))
    for sizes in itertools.islice(assignments(plan.specs, plan.fixed, {}), _MOST_SIZES):
        yield tuple(draw(plan.specs, seed + at, sizes, "normal", plan.hints) for at in range(samples))


def _check(model: Model, task: str) -> None:
    specs = input_specs(model)
    # A task's arrays may be as large as they like, but not of another kind than can be sent.
    if why := undrawable([replace(spec, dims=None) for spec in specs]):
        advice = "let the model take a tensor of another type, and make of it inside what it needs"
        raise UnsupportedError("no inputs can be made for the model", where=why, advice=advice)
    if not task and (why := undrawable(specs)):
        raise UnsupportedError("no inputs are drawn for the model", where=why, advice="give some with --task")


def first_that_runs(
    groups: Iterator[tuple[Feed, ...]], run: Callable[[tuple[Feed, ...]], T]
) -> tuple[T, tuple[Feed, ...]]:
    """Return what `run` returns for the first group that it does not fail on, and the group.

    Raises `UnsupportedError` if it fails on all, or ends the process that often that there is no hope.
    """
    trouble, deaths = "no input can be drawn", 0
    for group in groups:
        try:
            return run(group), group
        except (RequestError, WorkerDied) as error:
            trouble = error.what
            deaths += isinstance(error, WorkerDied)
        if deaths >= _MOST_DEATHS:
            break
    raise UnsupportedError("no inputs were found that the model runs", where=trouble, advice="give some with --task")
