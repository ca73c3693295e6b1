"""Hold what all targets look at: the model, its nodes, its facts, and inputs of sizes that it runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from graphopt.calibration.task import Feed
from graphopt.errors import MeasureError, UnsupportedError
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import Model, Node
from graphopt.measure.feeds import candidates, first_that_runs
from graphopt.runtime.feeds import undrawable
from graphopt.runtime.harvest import input_specs
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.turns import Contender, Stand

__all__ = ["Subject"]

_MOST_FEEDS = 40
_FEED_SECONDS = Limits(wall_seconds=60)


@dataclass
class Subject:
    """A model that is checked; `budget_s` bounds each search for the nodes that a runtime refuses."""

    path: Path
    task: str = ""
    seed: int = 0
    budget_s: float = 30.0
    custom_ops: tuple[str, ...] = ()
    model: Model = field(init=False)
    facts: Facts = field(init=False)

    def __post_init__(self) -> None:
        self.model = load(self.path)
        self.facts = Facts(self.model)

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes of all graphs and function bodies, but for constants."""
        return [
            node for scope in self.model.scopes() for node in scope if node.op_type != "Constant" or node.domain != ""
        ]

    def is_call(self, node: Node) -> bool:
        """Tell whether a node calls a function of the model, whose body is looked at instead."""
        return node.op_identifier() in self.model.ir.functions

    @cached_property
    def feed(self) -> Feed | None:
        """An input that onnxruntime runs the model on: the task's first, or a drawn one; None if none was found."""
        if not self.task and undrawable(input_specs(self.model)):
            return None
        options = {"custom_ops": [str(Path(path).resolve()) for path in self.custom_ops]}
        with Stand(Contender("feed", self.path, options=options), _FEED_SECONDS) as stand:
            try:
                stand.open()
                return first_that_runs(self._candidates(), lambda group: stand.outputs(group[0]))[1][0]
            except (RequestError, WorkerDied, MeasureError, UnsupportedError):
                return None

    def _candidates(self) -> Iterator[tuple[Feed, ...]]:
        return itertools.islice(candidates(self.path, self.task, 1, self.seed, self.custom_ops), _MOST_FEEDS)
