"""Drive rules over a model: one index over all of them, and a worklist that revisits only what changed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphopt.errors import PassError
from graphopt.graph.edit import Builder, can_forward, forward, remove_dead
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node, Value, subgraphs
from graphopt.graph.names import Names
from graphopt.kinds import Exactness
from graphopt.rewrite.matcher import match_rule
from graphopt.rewrite.pattern import NodePattern, parse
from graphopt.rewrite.replacement import expand
from graphopt.rewrite.rule import Match, Rule
from graphopt.rewrite.steps import Steps

__all__ = ["Rewriter", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Which rules may run: for a target, with or without `fast_math`, at most this inexact."""

    target: str = "portable"
    fast_math: bool = False
    allowed: tuple[Exactness, ...] = (Exactness.EXACT, Exactness.REASSOCIATES)

    def admits(self, rule: Rule) -> bool:
        """Tell whether `rule` may run."""
        if rule.targets and self.target not in rule.targets:
            return False
        return rule.exactness in self.allowed and (self.fast_math or not rule.fast_math)


@dataclass(frozen=True)
class _Compiled:
    rule: Rule
    roots: tuple[NodePattern, ...]


class Rewriter:
    """A set of rules, compiled once: an index from (domain, operator) to the rules whose root it can be."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._index: dict[tuple[str, str], list[_Compiled]] = {}
        for rule in rules:
            roots = tuple(root for root in parse(rule.match) if isinstance(root, NodePattern))
            for operator in roots[-1].ops:
                self._index.setdefault(operator, []).append(_Compiled(rule, roots))

    def run(self, model: Model, facts: Facts, names: Names, steps: Steps) -> int:
        """Apply the rules until none applies any more; return how often one did.

        Raises `PassError` if the rules undo each other: more than twenty rewrites for every node and a thousand on top.
        """
        return _Run(self._index, model, facts, names, steps).drain()


class _Run:
    def __init__(
        self, index: dict[tuple[str, str], list[_Compiled]], model: Model, facts: Facts, names: Names, steps: Steps
    ) -> None:
        self.index, self.model, self.facts, self.names, self.steps = index, model, facts, names, steps
        self.functions = {id(function.graph) for function in model.functions()}
        self.queue: deque[Node] = deque()
        self.queued: set[Node] = set()
        self.applied: Counter[str] = Counter()
        for scope in model.scopes():
            self.push(scope)
        self.bound = 20 * len(self.queue) + 1000

    def push(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node not in self.queued and (node.domain, node.op_type) in self.index:
                self.queued.add(node)
                self.queue.append(node)

    def drain(self) -> int:
        while self.queue:
            node = self.queue.popleft()
            self.queued.discard(node)
            if node.graph is not None and self.visit(node):
                self.push([node] if node.graph is not None else [])
            if self.applied.total() > self.bound:
                raise self.endless()
        return self.applied.total()

    def visit(self, node: Node) -> bool:
        """Apply the first rule that fits `node`; False if none does."""
        opset = self.facts.opset(node)
        for compiled in self.index.get((node.domain, node.op_type), ()):
            rule = compiled.rule
            if not rule.min_opset <= opset <= rule.max_opset:
                continue
            match = match_rule(compiled.roots, node, self.facts, opset, shared=rule.shared)
            if match is not None and self.allowed(rule, match) and self.apply(rule, match):
                return True
        return False

    def allowed(self, rule: Rule, match: Match) -> bool:
        for condition in rule.where:
            if not condition.test(match):
                self.steps.missed(rule.name, match.root, condition.name)
                return False
        return True

    def apply(self, rule: Rule, match: Match) -> bool:
        root = match.root
        if not self.steps.admit(rule.name, root, rule.exactness):
            return False
        builder = Builder(self.model, root, self.names, in_function=id(root.graph) in self.functions)
        results = self.results(rule, builder, match)
        if results is None:
            self.steps.retract()
            self.steps.missed(rule.name, root, "the replacement declines")
            return False
        self.applied[rule.name] += 1
        self.replace(root, results, builder)
        return True

    def results(self, rule: Rule, builder: Builder, match: Match) -> list[Value] | None:
        made = expand(rule.replace, builder, match) if isinstance(rule.replace, str) else rule.replace(builder, match)
        if made is None:
            return None
        values = [made] if isinstance(made, Value) else list(made)
        outputs = match.root.outputs
        if any(value.uses() or value.is_graph_output() for value in outputs[len(values) :]):
            remove_dead(builder.nodes)
            return None
        unchanged = not builder.nodes and match.root.op_type == "Identity"
        if unchanged and not can_forward(outputs[0], values[0]):
            return None
        return values

    def replace(self, root: Node, results: Sequence[Value], builder: Builder) -> None:
        """Let the users of the root's results read the replacement; remove what is dead; queue what changed."""
        sources = [value for value in root.inputs if value is not None]
        users = [user for value in root.outputs for user, _ in value.uses()]
        inherit(root, builder.nodes)
        for old, new in zip(root.outputs, results, strict=False):
            forward(old, new, self.names)
        remove_dead([root])
        if root.graph is None:
            keep_names(root, results, builder.nodes)
        builder.reclaim_names()
        self.push(builder.nodes)
        for value in (*results, *sources):
            producer = value.producer()
            if producer is not None and producer.graph is not None:
                self.push([producer])
        for user in users:
            self.push([user])
            self.push(inner for graph in subgraphs(user) for inner in graph)

    def endless(self) -> PassError:
        often = ", ".join(f"{name} ({count} times)" for name, count in self.applied.most_common(3))
        return PassError(
            "the rules do not settle",
            where=f"{len(self.queue)} nodes still wait; most often applied: {often}",
            advice="these rules undo each other: leave one of them out with --skip",
        )


def keep_names(root: Node, results: Sequence[Value], made: Sequence[Node]) -> None:
    """Give values that were made for the results of a removed node the names of those results."""
    for old, new in zip(root.outputs, results, strict=False):
        if new.producer() in made and not new.is_graph_output() and old.name:
            new.name, old.name = old.name, None


def inherit(root: Node, made: Sequence[Node]) -> None:
    """Give the last node made the name, doc string and metadata of the node that it replaces."""
    if not made:
        return
    last = made[-1]
    last.name, root.name = root.name, None
    last.doc_string = root.doc_string
    last.metadata_props.update(root.metadata_props)
