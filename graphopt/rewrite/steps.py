"""Number every single rewrite, so that each can be withheld, found by bisection and named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from graphopt.graph.model import Node
from graphopt.kinds import Exactness

__all__ = ["Remark", "Site", "Step", "Steps"]


@dataclass(frozen=True)
class Step:
    """One rewrite that was done: its number from 1, the rule or pass, and the node (by name) where."""

    number: int
    rule: str
    node: str
    exactness: Exactness


@dataclass(frozen=True)
class Remark:
    """What a rule has to say: kind is `passed`, `missed` (with the condition that failed) or `analysis`."""

    kind: str
    rule: str
    node: str
    text: str


Site = tuple[str, str]
"""A rule and the node where it applies, by name."""


class Steps:
    """Admit rewrites one by one; `limit` stops after that many, numbers in `skip` and sites in `withheld` are left out.

    A rule that `only` names is admitted at the nodes listed there and nowhere else. Numbers count what was asked for,
    in an order that depends on model and pipeline alone.
    """

    def __init__(
        self,
        limit: int | None = None,
        skip: Collection[int] = (),
        withheld: Collection[Site] = (),
        *,
        remarks: bool = False,
        only: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.limit = limit
        self.skip = frozenset(skip)
        self.withheld = frozenset(withheld)
        self.only = {name: frozenset(nodes) for name, nodes in (only or {}).items()}
        self.count = 0
        self.done: list[Step] = []
        self.remarks: list[Remark] = []
        self._keep_remarks = remarks

    def admit(self, rule: str, node: Node | str, exactness: Exactness = Exactness.EXACT) -> bool:
        """Count a rewrite that is about to happen; False means it must not."""
        self.count += 1
        if self.count in self.skip or (self.limit is not None and self.count > self.limit):
            return False
        if self.withheld and (rule, label(node)) in self.withheld:
            return False
        if rule in self.only and label(node) not in self.only[rule]:
            return False
        self.done.append(Step(self.count, rule, label(node), exactness))
        return True

    def retract(self) -> None:
        """Take back the last admitted rewrite: it did not happen."""
        self.count -= 1
        self.done.pop()

    def missed(self, rule: str, node: Node, condition: str) -> None:
        """Note that a rule's pattern fits at `node` but a condition does not hold."""
        if self._keep_remarks:
            self.remarks.append(Remark("missed", rule, label(node), condition))

    def note(self, rule: str, text: str, node: Node | str = "") -> None:
        """Note something that the user should know."""
        self.remarks.append(Remark("analysis", rule, label(node), text))


def label(node: Node | str) -> str:
    """Name a node for a user: its own name, or operator and first result."""
    if isinstance(node, str):
        return node
    return node.name or f"{node.op_type}({node.outputs[0].name if node.outputs else ''})"
