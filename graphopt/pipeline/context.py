"""Carry what a pass may ask for while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphopt.graph.facts import Facts
from graphopt.graph.model import Model
from graphopt.graph.names import Names
from graphopt.kinds import Exactness
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.steps import Steps

__all__ = ["Context", "Evaluate", "Losses"]

Evaluate = Callable[[bytes, list[str]], Mapping[str, np.ndarray[Any, Any]]]
"""Run a model (serialised, without inputs) under guard and return the outputs of these names."""

Losses = Callable[[Model, str], Mapping[str, float]]
"""Tell for a model, by name, what rounding its values to float16 or bfloat16 costs on the feeds of the run."""


@dataclass
class Context:
    """What a pass may ask for: the facts, fresh names, the step counter, guarded evaluation, the user's choices.

    `size_limit` is the number of bytes that the model may grow to; `tensor_limit` is the same for one folded tensor.
    """

    model: Model
    steps: Steps
    selection: Selection = field(default_factory=Selection)
    evaluate: Evaluate | None = None
    losses: Losses | None = None
    tensor_limit: int = 64 << 20
    size_limit: int | None = None
    facts: Facts = field(init=False)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Forget what was derived, so that later passes see what earlier ones made constant."""
        self.facts = Facts(self.model)
        self.names = Names(self.model)

    @property
    def exhausted(self) -> bool:
        """Tell whether the step limit is reached: nothing more will be admitted."""
        return self.steps.limit is not None and self.steps.count >= self.steps.limit

    def admit(self, rule: str, node: Any, exactness: Exactness = Exactness.EXACT) -> bool:
        """Count a rewrite that is about to happen; False means it must not."""
        return self.steps.admit(rule, node, exactness)
