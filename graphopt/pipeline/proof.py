"""Prove results: choose the feeds, run original and result, and judge by how exact the rewrites claim to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from graphopt.calibration.emulation import runnable
from graphopt.calibration.rounding import rounding_losses
from graphopt.calibration.task import Feed, load_task
from graphopt.errors import ModelError, TaskError, nearest
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.kinds import EXACTNESS_ORDER, Exactness
from graphopt.pipeline.manifest import content_hash, read_manifest
from graphopt.pipeline.options import Options
from graphopt.pipeline.report import VerifyRecord
from graphopt.rewrite.steps import Steps
from graphopt.runtime.harvest import narrowest_float, plan_feeds
from graphopt.runtime.process import Worker
from graphopt.runtime.tolerance import Tolerance
from graphopt.runtime.verdict import Verification
from graphopt.runtime.verify import Budget, Verifier

__all__ = ["Proof", "check_manifest", "checked_feeds", "compare_files", "task_feeds"]


_LOSSY = {"float16": 2e-2, "bfloat16": 1e-1}
"""What a narrower type may cost an output, relative to its largest magnitude."""


class Proof:
    """Judge results of one original; it is run once, however many results are judged."""

    def __init__(self, source: Path, options: Options, worker: Worker) -> None:
        self._source = source
        self.options = options
        self._worker = worker
        self._verifier: Verifier | None = None
        self._narrowest = ""

    def prepare(self, original: Model, facts: Facts) -> None:
        """Choose the feeds by the original, before anything is rewritten; a second call changes nothing.

        Raises `TaskError` if the task's data does not fit the model.
        """
        options = self.options
        if options.verify == "off" or self._verifier is not None:
            return
        plan = plan_feeds(
            original,
            facts,
            seed=options.seed,
            given=task_feeds(options.task, options.samples, original) if options.task else (),
            fixed=options.dims,
            custom_ops=options.custom_ops,
            extremes=options.exact,
        )
        budget = Budget(feeds=options.samples) if options.task else Budget()
        self._narrowest = narrowest_float(original)
        self._verifier = Verifier(self._worker, self._source, plan, budget)

    def observe(self) -> None:
        """Begin to run the original, in the background; a second call changes nothing."""
        if self._verifier is not None:
            self._verifier.observe_ahead()

    def close(self) -> None:
        """Stop what runs in the background."""
        if self._verifier is not None:
            self._verifier.stop()

    def compare(self, steps: Steps, after: Path) -> VerifyRecord:
        """Compare the result in file `after`, made by `steps`, with the original."""
        if self._verifier is None:
            return VerifyRecord("off")
        if not steps.done:
            return VerifyRecord("unchanged")
        tolerance = self._tolerance(steps, after)
        source = "task" if self.options.task else "drawn"
        if tolerance.exactness is not Exactness.LOSSY:
            return record(self._verifier.judge(after, tolerance), tolerance, source)
        with runnable(after) as path:
            found = record(self._verifier.judge(path, tolerance), tolerance, source)
        said = f"{tolerance.narrowest} emulated in float32, every result rounded"
        return found if path == after else replace(found, detail="; ".join(filter(None, (found.detail, said))))

    def _tolerance(self, steps: Steps, after: Path) -> Tolerance:
        """Judge by the least exact rewrite; what was narrowed is judged as a model of the narrower type."""
        exactness = max((step.exactness for step in steps.done), key=EXACTNESS_ORDER.index)
        if exactness != Exactness.LOSSY:
            return Tolerance(exactness, narrowest=self._narrowest)
        narrowest = narrowest_float(load(after))
        return Tolerance(exactness, _LOSSY.get(narrowest), narrowest)

    def compare_saved(self, steps: Steps, model: Path, saved: Path) -> VerifyRecord:
        """Compare what a runtime saved of the result `model` with the original; it may round in another order."""
        if self._verifier is None:
            return VerifyRecord("off")
        reordered = Tolerance(Exactness.REASSOCIATES, narrowest=self._narrowest)
        found = self._tolerance(steps, model) if steps.done else reordered
        tolerance = reordered if found.exactness is Exactness.EXACT else found
        return record(self._verifier.judge(saved, tolerance), tolerance, "task" if self.options.task else "drawn")

    def losses(self, model: Model, to: str) -> Mapping[str, float]:
        """Return by name what rounding to `to` costs the values of `model` on the feeds; empty if that is unknown."""
        return rounding_losses(model, to, self.feeds(), self.options.custom_ops)

    def feeds(self) -> list[Feed]:
        """Return the feeds without special values that the original ran on; none where nothing is verified."""
        return [] if self._verifier is None else [dict(feed) for feed in self._verifier.ordinary_feeds()]


def task_feeds(task: str, samples: int, model: Model) -> tuple[Feed, ...]:
    """Take `samples` feeds of a task and check their names, element types and ranks against the model's inputs.

    Raises `TaskError` with the sample's index.
    """
    needed = [value.name or "" for value in model.graph.inputs if not value.is_initializer()]
    feeds = checked_feeds(load_task(task, needed).calibration(samples), model)
    if not feeds:
        raise TaskError(f"task {task!r} holds no sample")
    return feeds


def checked_feeds(given: Iterable[Feed], model: Model) -> tuple[Feed, ...]:
    """Check the names, element types and ranks of feeds against the model's inputs, and return them.

    Raises `TaskError` with the sample's index.
    """
    inputs = {value.name or "": value for value in model.graph.inputs}
    needed = [name for name, value in inputs.items() if not value.is_initializer()]
    facts = Facts(model)
    feeds: list[Feed] = []
    for index, feed in enumerate(given):
        for name, array in feed.items():
            if name not in inputs:
                raise TaskError(f"sample {index} feeds {name!r}, which is no input", advice=nearest(name, inputs))
            dtype, rank = facts.dtype(inputs[name]), facts.rank(inputs[name])
            if dtype is not None and array.dtype.kind not in "OUS" and dtype.numpy() != array.dtype:
                raise TaskError(f"sample {index}: {name!r} is {array.dtype}, the model takes {dtype.numpy()}")
            if rank is not None and rank != array.ndim:
                raise TaskError(f"sample {index}: {name!r} has rank {array.ndim}, the model takes rank {rank}")
        missing = next((name for name in needed if name not in feed), None)
        if missing is not None:
            raise TaskError(f"sample {index} lacks input {missing!r}")
        feeds.append(feed)
    return tuple(feeds)


def record(found: Verification, tolerance: Tolerance, source: str) -> VerifyRecord:
    """Reduce a verification to what a report holds."""
    if found.status == "not-run":
        return VerifyRecord("not-run", found.reason)
    detail = found.reason
    if not found.values_compared:
        detail = detail or "the model draws random numbers: only types and shapes were compared"
    elif found.conditioned:
        detail = "the difference is within what rounding the inputs changes"
    limits = [tolerance.limit(output.dtype) for output in found.outputs]
    return VerifyRecord(
        found.status,
        "; ".join(filter(None, (detail, *found.notes))),
        max_error=float(np.float64(found.max_relative_error)),
        tolerance=max(limits, default=None),
        bit_identical=found.bit_identical,
        feeds=found.feeds,
        source=source,
    )


def compare_files(
    a: Path, b: Path, task: str, samples: int, seed: int, custom_ops: tuple[str, ...] = ()
) -> VerifyRecord:
    """Compare two models on a task's data or on drawn inputs; floats may be rounded in another order."""
    model = load(a)
    with Worker() as worker:
        given = task_feeds(task, samples, model) if task else ()
        plan = plan_feeds(model, Facts(model), seed=seed, given=given, custom_ops=custom_ops)
        verifier = Verifier(worker, a, plan, Budget(feeds=samples) if task else Budget())
        tolerance = Tolerance(Exactness.REASSOCIATES, narrowest=narrowest_float(model))
        return record(verifier.judge(b, tolerance), tolerance, "task" if task else "drawn")


def check_manifest(path: Path) -> VerifyRecord:
    """Compare the content of a model with the hash in its own manifest.

    Raises `ModelError` if it carries no manifest.
    """
    model = load(path)
    manifest = read_manifest(model)
    if manifest is None or "sha256" not in manifest:
        raise ModelError(f"{str(path)!r} carries no manifest", advice="only models that graphopt changed have one")
    same = content_hash(model) == manifest["sha256"]
    detail = "the content is what its manifest says" if same else "the content is not what its manifest says"
    return VerifyRecord("same" if same else "different", detail, source="manifest")
