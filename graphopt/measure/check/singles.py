"""Find the nodes that a runtime refuses, by opening each distinct one alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphopt.graph.model import Node
from graphopt.graph.save import save
from graphopt.graph.single import single
from graphopt.measure.check.subject import Subject

__all__ = ["Refusals", "refusals"]


@dataclass(frozen=True)
class Refusals:
    """Nodes that were refused with the reason of each; `tried` of `kinds` distinct nodes were opened."""

    found: tuple[tuple[Node, str], ...]
    tried: int
    kinds: int


def refusals(subject: Subject, reason: Callable[[Path], str], *, ranked: bool = False) -> Refusals:
    """Open one node of each kind alone: operator, version, types, ranks and attributes make a kind.

    `reason` says why the runtime refuses the model in a file; empty if it takes it. With `ranked`, nodes that read a
    value of unknown rank are left out. It stops after the subject's budget.
    """
    kinds: dict[tuple[object, ...], list[Node]] = {}
    for node in subject.nodes:
        if not subject.is_call(node) and not (ranked and _reads_unranked(node, subject)):
            kinds.setdefault(_kind(node, subject), []).append(node)
    end = time.monotonic() + subject.budget_s
    found: list[tuple[Node, str]] = []
    tried = 0
    with tempfile.TemporaryDirectory(prefix="graphopt-check-") as folder:
        for alike in kinds.values():
            if time.monotonic() > end:
                break
            cut = single(alike[0], subject.model, subject.facts)
            if cut is None:
                continue
            path = Path(folder) / "single.onnx"
            save(cut, path)
            tried += 1
            if said := reason(path):
                found += [(node, said) for node in alike]
    return Refusals(tuple(found), tried, len(kinds))


def _reads_unranked(node: Node, subject: Subject) -> bool:
    return any(value is not None and subject.facts.rank(value) is None for value in node.inputs)


def _kind(node: Node, subject: Subject) -> tuple[object, ...]:
    facts = subject.facts
    types = tuple(
        None if value is None else (facts.dtype(value), facts.rank(value)) for value in (*node.inputs, *node.outputs)
    )
    constants = tuple(value is not None and facts.is_constant(value) for value in node.inputs)
    attributes = tuple(sorted((name, str(attr.value)[:200]) for name, attr in node.attributes.items()))
    return node.op_identifier(), facts.opset(node), types, constants, attributes
