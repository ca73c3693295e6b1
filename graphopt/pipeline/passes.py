"""Say what a pass is."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from graphopt.kinds import Exactness
from graphopt.rewrite.driver import Rewriter
from graphopt.rewrite.rule import Rule

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

    from graphopt.graph.model import Model
    from graphopt.pipeline.context import Context

__all__ = ["EXPLORE", "Pass", "RulesPass", "SurgeonPass"]


@dataclass(frozen=True)
class Pass:
    """A whole-graph pass; its fields are its options, on the command line and in pipeline text alike.

    Contract: valid graph in, valid graph out; names and types of the graph's inputs and outputs unchanged; a second run
    changes nothing. Every single rewrite is first asked for with `context.admit`.
    """

    name: ClassVar[str] = ""
    exactness: ClassVar[Exactness] = Exactness.EXACT

    def run(self, model: Model, context: Context) -> int:
        """Rewrite `model` in place and return the number of rewrites; 0 means no byte changed."""
        raise NotImplementedError

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]


EXPLORE = "explore"
"""The stage of rules that win at some places and lose at others; it runs where a choice by measurement says."""


@dataclass(frozen=True)
class RulesPass(Pass):
    """Apply a set of rules until none applies any more."""

    label: str = ""
    rules: tuple[Rule, ...] = ()

    def run(self, model: Model, context: Context) -> int:
        """Apply the rules that the context's selection admits; of the stage explore those whose places are named."""
        rules = [rule for rule in self.rules if context.selection.admits(rule)]
        if self.label == EXPLORE:
            rules = [rule for rule in rules if context.steps.only.get(rule.name)]
        return Rewriter(rules).run(model, context.facts, context.names, context.steps)


@dataclass(frozen=True)
class SurgeonPass(Pass):
    """A pass written against `onnx_graphsurgeon.Graph`; override `edit`."""

    def edit(self, graph: gs.Graph) -> int:
        """Edit `graph` in place and return the number of edits; 0 means it is untouched."""
        raise NotImplementedError

    def run(self, model: Model, context: Context) -> int:
        """Build the gs graph, let `edit` work, and bring the result back into `model`."""
        from graphopt.graph.surgeon import from_graphsurgeon, to_graphsurgeon

        if not context.admit(self.name, model.graph.name or "main", self.exactness):
            return 0
        graph = to_graphsurgeon(model)
        changes = self.edit(graph)
        if not changes:
            context.steps.retract()
            return 0
        from_graphsurgeon(graph, model)
        context.refresh()
        return changes
