"""Run a pipeline over a model, with instruments around every pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graphopt.errors import GraphOptError, PassError, PipelineError, nearest
from graphopt.graph.model import Model
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt.pipeline.presets import PRESETS
from graphopt.pipeline.registry import Registry
from graphopt.pipeline.text import Fixpoint, Item, PipelineTree, parse_pipeline

__all__ = ["Instrument", "PassRecord", "Pipeline", "Timer", "Watch"]

MAX_ROUNDS = 30
"""A fixpoint that has not settled after so many rounds has rules that undo each other."""


class Instrument(Protocol):
    """Watch every pass."""

    def before(self, name: str, model: Model) -> None:
        """Be told that a pass is about to run."""

    def after(self, name: str, model: Model, changes: int) -> None:
        """Be told that a pass has run and how much it changed."""


@dataclass(frozen=True)
class PassRecord:
    """What one pass did over the whole run: rewrites, seconds of wall time and how often it ran."""

    name: str
    changes: int
    seconds: float
    runs: int


class Timer:
    """Count and time the passes."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[int, float, int]] = {}
        self._start = 0.0

    def before(self, name: str, model: Model) -> None:
        """Start the clock."""
        del name, model
        self._start = time.perf_counter()

    def after(self, name: str, model: Model, changes: int) -> None:
        """Add up."""
        del model
        total, seconds, runs = self._sums.get(name, (0, 0.0, 0))
        self._sums[name] = (total + changes, seconds + time.perf_counter() - self._start, runs + 1)

    def records(self) -> tuple[PassRecord, ...]:
        """Return one record for each pass, in the order of their first run."""
        return tuple(PassRecord(name, *sums) for name, sums in self._sums.items())


@dataclass(frozen=True)
class Watch:
    """Call a function after every pass."""

    then: Callable[[str, Model, int], None]

    def before(self, name: str, model: Model) -> None:
        """Do nothing."""

    def after(self, name: str, model: Model, changes: int) -> None:
        """Call the function."""
        self.then(name, model, changes)


class Pipeline:
    """A pipeline whose names are resolved: presets expanded, passes made, rules compiled on first use."""

    def __init__(self, text: str, registry: Registry, leave_out: Iterable[str] = ()) -> None:
        self.text = text
        self._registry = registry
        self._leave_out = frozenset(leave_out)
        for name in sorted(self._leave_out - registry.names()):
            hint = nearest(name, registry.names())
            raise PipelineError(f"unknown pass or rule {name!r} to skip", advice=hint or "see `graphopt passes`")
        self._plan = self._resolve(parse_pipeline(text), ())

    def _resolve(self, tree: PipelineTree, inside: tuple[str, ...]) -> tuple[object, ...]:
        plan: list[object] = []
        for item in tree:
            if isinstance(item, Fixpoint):
                plan.append(self._resolve(item.items, inside))
            elif item.name in PRESETS and not item.options:
                if item.name in inside:
                    raise PipelineError(f"preset {item.name!r} contains itself")
                plan.extend(self._resolve(parse_pipeline(PRESETS[item.name]), (*inside, item.name)))
            elif item.name not in self._leave_out:
                plan.append(self._step(item))
        return tuple(plan)

    def _step(self, item: Item) -> tuple[str, Pass]:
        return item.name, self._registry.make(item.name, item.options, self._leave_out)

    def run(self, model: Model, context: Context, instruments: Sequence[Instrument] = ()) -> int:
        """Run the passes in order; return the number of rewrites."""
        return self._run(self._plan, model, context, instruments)

    def _run(self, plan: tuple[object, ...], model: Model, context: Context, instruments: Sequence[Instrument]) -> int:
        total = 0
        for step in plan:
            if isinstance(step, tuple) and len(step) == 2 and isinstance(step[1], Pass):
                total += self._run_pass(step[0], step[1], model, context, instruments)
            elif isinstance(step, tuple):
                total += self._settle(step, model, context, instruments)
        return total

    def _settle(
        self, plan: tuple[object, ...], model: Model, context: Context, instruments: Sequence[Instrument]
    ) -> int:
        total = 0
        for _ in range(MAX_ROUNDS):
            changes = self._run(plan, model, context, instruments)
            total += changes
            if not changes or context.exhausted:
                return total
            context.refresh()
        often = ", ".join(sorted({step.rule for step in context.steps.done[-20:]}))
        raise PassError(
            f"the fixpoint did not settle in {MAX_ROUNDS} rounds",
            where=f"still applied: {often}",
            advice="these undo each other: leave one of them out with --skip",
        )

    def _run_pass(
        self, name: str, step: Pass, model: Model, context: Context, instruments: Sequence[Instrument]
    ) -> int:
        if context.exhausted:
            return 0
        for instrument in instruments:
            instrument.before(name, model)
        begun = context.steps.count
        try:
            # A weight may be infinite: rules judge the value, and no warning belongs on the terminal.
            with np.errstate(all="ignore"):
                changes = step.run(model, context)
        except PassError as error:
            error.running, error.done = name, begun
            raise
        except GraphOptError:
            raise
        except Exception as error:
            failure = PassError(
                f"pass {name!r} raised {type(error).__name__}: {error}",
                where=f"reproduce: --pipeline {self.text!r} --stop-after {context.steps.count + 1}",
                advice=f"report it with the model and these lines; go on without the pass: --skip {name}",
            )
            failure.running, failure.done = name, begun
            raise failure from error
        for instrument in instruments:
            instrument.after(name, model, changes)
        return changes
