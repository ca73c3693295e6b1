"""Give new values and nodes names that nothing else in the model has."""

from __future__ import annotations

from graphopt.graph.model import Model

__all__ = ["Names"]


class Names:
    """The names of all values and nodes of a model, of all scopes together.

    One pool for all scopes, because a name in an inner graph that also exists outside would hide the outer value.
    """

    def __init__(self, model: Model) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        for scope in model.scopes():
            self._taken.update(value.name for value in scope.inputs if value.name)
            self._taken.update(scope.initializers)
            for node in scope:
                if node.name:
                    self._taken.add(node.name)
                self._taken.update(value.name for value in node.outputs if value.name)

    def fresh(self, hint: str) -> str:
        """Return `hint`, or `hint` with the lowest free number behind it."""
        if hint and hint not in self._taken:
            self._taken.add(hint)
            return hint
        number = self._next.get(hint, 1)
        while f"{hint}_{number}" in self._taken:
            number += 1
        self._next[hint] = number + 1
        name = f"{hint}_{number}"
        self._taken.add(name)
        return name
