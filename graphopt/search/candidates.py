"""Find where a model could be rewritten one way or another, by trying each rule of choice alone."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from graphopt.graph.changes import Change, Digests, changes
from graphopt.graph.cut import detached
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import Model, Node
from graphopt.pipeline.attempt import Attempts
from graphopt.pipeline.options import Options
from graphopt.pipeline.passes import EXPLORE
from graphopt.pipeline.proof import Proof
from graphopt.pipeline.registry import Registry
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.pattern import NodePattern, parse
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Site, label
from graphopt.runtime.process import Worker

__all__ = ["BLIND", "CHOICES", "CLEANUP", "Alternative", "Ground", "Spot", "choice_rules", "find_spots"]

CHOICES = ("steer", EXPLORE)
"""The stages whose rules are chosen place by place."""

BLIND = ("store-narrow",)
"""Passes that come last, as rules do not see through what they do."""

CLEANUP = "simplify, deduplicate-initializers, eliminate-common, eliminate-dead"
"""What follows every choice, to its fixpoint."""


@dataclass(frozen=True)
class Alternative:
    """What could be made of a part of the model: by the stage steer as it decides itself, or by one explored rule.

    `label` names the stage or rule, `sites` are the rewrites of choice that do it.
    """

    label: str
    sites: tuple[Site, ...]
    change: Change


@dataclass(frozen=True)
class Spot:
    """Nodes of the model for which there are alternatives, at most one of which can be taken."""

    alternatives: tuple[Alternative, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that any of the alternatives replaces."""
        return tuple(dict.fromkeys(node for each in self.alternatives for node in each.change.before))


@dataclass(frozen=True)
class Ground:
    """A model without any choice made, and the places where one can be made."""

    path: Path
    model: Model
    facts: Facts
    spots: tuple[Spot, ...]


def choice_rules(registry: Registry, options: Options, stages: Sequence[str] = CHOICES) -> list[Rule]:
    """List the rules of these stages that may run under these options."""
    selection = Selection(options.target, fast_math=options.fast_math, allowed=options.allowed)
    found = [rule for stage in stages for rule in registry.stages.get(stage, ())]
    return [rule for rule in found if selection.admits(rule) and rule.name not in options.skip]


def find_spots(base: Path, options: Options, registry: Registry, worker: Worker, tell: Callable[[str], None]) -> Ground:
    """Apply the stage steer, and each explored rule alone, to the model in file `base`; gather their changes."""
    model = load(base, freeze=options.freeze)
    digests = Digests()
    operators = {(node.domain, node.op_type) for graph in model.scopes() for node in graph}
    choices = {rule.name for rule in choice_rules(registry, options)}
    explored = [rule for rule in choice_rules(registry, options, (EXPLORE,)) if operators & _roots(rule)]
    texts = {"steer": f"fixpoint(steer, {CLEANUP})", **{rule.name: f"{rule.name}, {CLEANUP}" for rule in explored}}
    found: list[Alternative] = []
    for name, text in texts.items():
        tell(f"try {name}")
        chosen = replace(options, pipeline=text, dims={}, verify="off", precision="")
        attempt = Attempts(base, chosen, worker, Proof(base, chosen, worker), lambda _: None).run()
        sites = [(step.rule, step.node) for step in attempt.steps.done if step.rule in choices]
        if sites:
            found.extend(_alternatives(name, sites, changes(model, attempt.model, digests)))
        del attempt
        # Models are full of circles and large: without this, one for each rule waits in memory.
        gc.collect()
    return Ground(base, model, Facts(model), tuple(_spots(found)))


def _roots(rule: Rule) -> set[tuple[str, str]]:
    """Return the operators that the root of the rule's pattern can be."""
    roots = [root for root in parse(rule.match) if isinstance(root, NodePattern)]
    return set(roots[-1].ops)


def _alternatives(name: str, sites: Sequence[Site], found: Sequence[Change]) -> list[Alternative]:
    alternatives = []
    for change in found:
        labels = {label(node) for node in (*change.before, *change.after)}
        here = tuple(dict.fromkeys(site for site in sites if site[1] in labels))
        if here and change.before:
            # Nodes of the rewritten model would keep all of it in memory.
            alternatives.append(Alternative(name, here, replace(change, after=tuple(detached(change.after)))))
    return alternatives


def _spots(alternatives: Sequence[Alternative]) -> list[Spot]:
    """Gather alternatives that replace the same node, directly or through others."""
    groups: list[tuple[set[Node], list[Alternative]]] = []
    for each in alternatives:
        nodes, members = set(each.change.before), [each]
        apart = []
        for other, others in groups:
            if other & nodes:
                nodes |= other
                members = [*others, *members]
            else:
                apart.append((other, others))
        groups = [*apart, (nodes, members)]
    return [Spot(tuple(members)) for _, members in groups]
