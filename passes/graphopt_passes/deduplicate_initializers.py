"""Store equal initializers once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.identity import sample_key, tensor_digest
from graphopt.graph.model import Model, Value
from graphopt.graph.pins import is_pinned
from graphopt.graph.scopes import Scope, walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "DeduplicateInitializers"]

Entry = tuple[Scope, Value]


@dataclass(frozen=True)
class DeduplicateInitializers(Pass):
    """Store initializers of equal type, shape and bytes once, whatever their size.

    One in a subgraph is replaced by an equal one of a graph around it; big ones of several subgraphs move to the graph
    around them all. Left unchanged: graph inputs, which a caller may override, and initializers that are graph outputs
    or that annotations name, which keep their names.
    """

    name: ClassVar[str] = "deduplicate-initializers"

    def run(self, model: Model, context: Context) -> int:
        """Compare by type and shape, then by a sample, then by a digest of all bytes that is taken once."""
        entries = [(scope, value) for scope in walk(model) for value in scope.graph.initializers.values()]
        count = 0
        stored = [
            (scope, value)
            for scope, value in entries
            if value.const_value is not None and not value.is_graph_input() and not is_pinned(value)
        ]
        for alike in _split(stored, _cheap_key):
            for similar in _split(alike, lambda value: sample_key(value.const_value)):
                for equal in _split(similar, lambda value: tensor_digest(value.const_value)):
                    count += self._merge(equal, context)
                    if model.ir.ir_version >= 4:
                        count += self._hoist(equal, context)
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

    def _hoist(self, entries: list[Entry], context: Context) -> int:
        """Move one to the innermost graph around all that are left, and let it stand for them."""
        left = [(scope, value) for scope, value in entries if value.is_initializer() and not value.is_graph_output()]
        if len(left) < 2 or _nbytes(left[0][1]) < _WORTH_MOVING:
            return 0
        around = _common_scope([scope for scope, _ in left])
        if around is None or around.in_function or not context.admit(self.name, left[0][1].name or ""):
            return 0
        (scope, first), *others = left
        scope.graph.initializers.pop(first.name or "")
        # What is a name of its own in an inner graph may be taken in another one inside the outer.
        first.name = context.names.fresh(first.name or "")
        around.graph.register_initializer(first)
        for scope, value in others:
            value.replace_all_uses_with(first)
            scope.graph.initializers.pop(value.name or "")
        return len(others)


_WORTH_MOVING = 1 << 12


def _nbytes(value: Value) -> int:
    return 0 if value.const_value is None else int(value.const_value.nbytes)


def _common_scope(scopes: list[Scope]) -> Scope | None:
    """Return the innermost scope around all of `scopes`; None if they belong to different roots."""
    shared = list(scopes[0].outward())
    for scope in scopes[1:]:
        around = set(scope.outward())
        shared = [each for each in shared if each in around]
    return shared[0] if shared else None


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
