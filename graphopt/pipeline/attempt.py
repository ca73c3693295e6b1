"""Run a pipeline over a freshly loaded model, as often as verification and bisection need it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from graphopt.graph.interface import false_declarations
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.graph.specialize import specialize
from graphopt.graph.stats import GraphStats, stats
from graphopt.pipeline.context import Context
from graphopt.pipeline.manifest import original_weights
from graphopt.pipeline.options import Options
from graphopt.pipeline.proof import Proof
from graphopt.pipeline.registry import installed
from graphopt.pipeline.runner import Instrument, Pipeline, Timer
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.steps import Site, Steps
from graphopt.runtime.evaluate import evaluate
from graphopt.runtime.process import Worker

__all__ = ["Attempt", "Attempts"]


@dataclass
class Attempt:
    """A model after a pipeline, with the context that it ran in; growth counted from `weights` bytes."""

    model: Model
    context: Context
    timer: Timer
    before: GraphStats
    weights: int

    @property
    def steps(self) -> Steps:
        """The rewrites that were done."""
        return self.context.steps


class Attempts:
    """Make attempts from one file: each loads it anew, so that withheld steps leave no trace."""

    def __init__(
        self, source: Path, options: Options, worker: Worker, proof: Proof, progress: Callable[[str], None]
    ) -> None:
        self.source = source
        self.options = options
        self.worker = worker
        self.proof = proof
        self._progress = progress
        self.registry = installed()
        self.pipeline = Pipeline(options.whole_pipeline, self.registry, options.skip)

    def load(self) -> Model:
        """Load the model and apply what is chosen about its interface."""
        model = load(self.source, freeze=self.options.freeze)
        specialize(model, self.options.dims)
        return model

    def run(
        self,
        limit: int | None = None,
        withheld: Collection[Site] = (),
        instruments: tuple[Callable[[Attempt], Instrument], ...] = (),
    ) -> Attempt:
        """Run the pipeline with at most `limit` rewrites and without those at the sites `withheld`.

        `instruments` are made for the attempt and watch every pass.
        """
        options = self.options
        model = self.load()
        steps = self._steps(limit, withheld)
        context = Context(
            model,
            steps,
            Selection(options.target, fast_math=options.fast_math, allowed=options.allowed),
            functools.partial(evaluate, self.worker),
            losses=self.proof.losses,
            tensor_limit=options.max_tensor_bytes,
        )
        before = stats(model, context.facts)
        model.remarks.extend(false_declarations(model, context.facts))
        self.proof.prepare(model, context.facts)
        weights = original_weights(model)
        growth = weights // 10 + (1 << 20) if options.max_growth_bytes is None else options.max_growth_bytes
        context.size_limit = weights + growth
        timer = Timer()
        attempt = Attempt(model, context, timer, before, weights)
        watchers = [watch(attempt) for watch in instruments]
        opset = model.opset()
        self.pipeline.run(model, context, (timer, _Progress(self._progress), *watchers))
        if model.opset() != opset:
            model.remarks.append(f"opset {opset} became {model.opset()}, for target {options.target}")
        return attempt

    def _steps(self, limit: int | None, withheld: Collection[Site]) -> Steps:
        """Make the counter of rewrites, which admits what the user and the caller do."""
        options = self.options
        bounds = [bound for bound in (limit, options.stop_after) if bound is not None]
        chosen = ((rule, node) for rule, nodes in options.withheld.items() for node in nodes)
        return Steps(
            min(bounds, default=None),
            options.skip_steps,
            {*withheld, *chosen},
            remarks=options.remarks,
            only=options.sites,
        )


class _Progress:
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def before(self, name: str, model: Model) -> None:
        del model
        self._tell(name)

    def after(self, name: str, model: Model, changes: int) -> None:
        del name, model, changes
