"""Store equal initializers once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.identity import sample_key, tensor_digest
from graphopt.graph.model import Model, Value
from graphopt.graph.scopes import Scope, walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "DeduplicateInitializers"]

Entry = tuple[Scope, Value]


@dataclass(frozen=True)
class DeduplicateInitializers(Pass):
    """Store initializers of equal type, shape and bytes once, whatever their size.

    One in a subgraph is replaced by an equal one of a graph around it. Left unchanged: graph inputs, which a caller may
    override, and initializers that are graph outputs, which keep their names.
    """

    name: ClassVar[str] = "deduplicate-initializers"

    def run(self, model: Model, context: Context) -> int:
        """Compare by type and shape, then by a sample, then by a digest of all bytes that is taken once."""
        entries = [(scope, value) for scope in walk(model) for value in scope.graph.initializers.values()]
        count = 0
        stored = [entry for entry in entries if entry[1].const_value is not None and not entry[1].is_graph_input()]
        for alike in _split(stored, _cheap_key):
            for similar in _split(alike, lambda value: sample_key(value.const_value)):
                for equal in _split(similar, lambda value: tensor_digest(value.const_value)):
                    count += self._merge(equal, context)
        return count

    def _merge(self, entries: list[Entry], context: Context) -> int:
        """Let the first of each scope stand for all equal ones in it and in the scopes inside it."""
        kept: dict[int, Value] = {}
        count = 0
        # A graph output can't be replaced, but may well stand for the others.
        for scope, value in sorted(entries, key=lambda entry: not entry[1].is_graph_output()):
            around = (kept[id(outer.graph)] for outer in scope.outward() if id(outer.graph) in kept)
            first = next(around, None)
            if first is None or value.is_graph_output():
                kept.setdefault(id(scope.graph), value)
                continue
            if context.admit(self.name, value.name or ""):
                value.replace_all_uses_with(first)
                scope.graph.initializers.pop(value.name or "")
                count += 1
        return count


def _cheap_key(value: Value) -> Hashable:
    tensor = value.const_value
    return None if tensor is None else (tensor.dtype, tuple(tensor.shape))


def _split(entries: Iterable[Entry], key: Callable[[Value], Hashable]) -> list[list[Entry]]:
    """Group entries by a key; those that are alone in theirs are dropped."""
    groups: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[key(entry[1])].append(entry)
    return [group for group in groups.values() if len(group) > 1]


PASSES = (DeduplicateInitializers,)
