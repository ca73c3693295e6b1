"""Say what a rule is: a pattern, what it becomes, when it may, and how exact that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.kinds import Exactness

__all__ = ["Condition", "Match", "Replacement", "Rule"]

Array = np.ndarray[Any, Any]


@dataclass
class Match:
    """What a pattern found: the values and attributes under their names, the nodes, and what is known of them."""

    root: Node
    facts: Facts
    opset: int
    values: dict[str, Any] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    def __getitem__(self, name: str) -> Any:
        """Return the value (or attribute, or tuple of values for `*name`) bound to `name`."""
        return self.values[name]

    def get(self, name: str) -> Any:
        """Return what `name` is bound to, or None."""
        return self.values.get(name)

    def constant(self, name: str) -> Array | None:
        """Return the constant that `name` holds, or None if it is not a constant."""
        value = self.values.get(name)
        return None if not isinstance(value, Value) else self.facts.constant(value)

    @property
    def result(self) -> Value:
        """The (first) value that the replacement stands for."""
        return self.root.outputs[0]


Replacement = Callable[[Builder, Match], Value | Sequence[Value] | None]


@dataclass(frozen=True)
class Condition:
    """A named fact about a match; `test` is total: whatever is unknown gives False."""

    name: str
    test: Callable[[Match], bool]


@dataclass(frozen=True)
class Rule:
    """A rewrite as data.

    `match` and a textual `replace` are in the language of `graphopt.rewrite.pattern`. A function as `replace` gets a
    `Builder` and the `Match` and returns the value (or values) that take the root's place, or None to decline before it
    has built anything. Inner results must have no reader outside the pattern and not be graph outputs, unless `shared`.

    `stage` names the preset pass that the rule belongs to (empty: it runs only when it is named). `targets` are the
    targets it was measured to win on (empty: all). `fast_math` marks rules that break strict NaN and infinity
    semantics.
    """

    name: str
    doc: str
    match: str
    replace: str | Replacement
    where: tuple[Condition, ...] = ()
    exactness: Exactness = Exactness.EXACT
    stage: str = "simplify"
    min_opset: int = 1
    max_opset: int = 1 << 30
    targets: tuple[str, ...] = ()
    shared: bool = False
    fast_math: bool = False
