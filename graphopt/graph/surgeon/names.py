"""Give every value of an edited graph a name that is its own, and keep the names that the model's users rely on."""

from __future__ import annotations

from graphopt.graph.model import Value
from graphopt.graph.surgeon.scopes import Plan, Scope

__all__ = ["Pool", "chosen_names"]

_ANNOTATION = "quant_parameter_tensor_names"
"""Where the IR keeps a value's quantization annotation: roles to names of initializers."""


class Pool:
    """Names that are taken, and free ones made from hints."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self._next: dict[str, int] = {}

    def fresh(self, hint: str) -> str:
        """Return `hint`, or `hint` with the lowest number behind it that makes it free, and take it."""
        hint = hint or "tensor"
        name, number = hint, self._next.get(hint, 1)
        while name in self.taken:
            name, number = f"{hint}_{number}", number + 1
        self._next[hint] = number
        self.taken.add(name)
        return name


def chosen_names(plan: Plan) -> dict[Value, str]:
    """Choose a name for every value, and point quantization annotations at the new names.

    Inputs and outputs of the model and of functions get the name they ask for; a value that nobody renamed keeps its
    own, unless one of those asks for it; any other that asks for a taken name gets a number behind it.
    """
    names: dict[Value, str] = {}
    for root, family in plan.families().items():
        found = _family_names(plan, root, family)
        _reannotate(family, found)
        names.update(found)
    return names


def _family_names(plan: Plan, root: Scope, family: list[Scope]) -> dict[Value, str]:
    wanted = {value: tensor.name for scope in family for tensor, value in scope.defined}
    wanted.update({item.output: item.output.name or "" for scope in family for item in scope.passed})
    kept = {value: name for value, name in wanted.items() if value in plan.kept and value.name == name}
    fixed = {value.name or "" for scope in family for value in scope.idle}
    interface = dict.fromkeys([*root.inputs, *root.outputs])
    fixed.update(kept[value] for value in interface if value in kept)
    names: dict[Value, str] = {}
    claimed: set[str] = set()
    for value in interface:
        name = wanted.get(value, "")
        if value not in kept and name and name not in fixed and name not in claimed:
            names[value] = name
            claimed.add(name)
    pool = Pool({*kept.values(), *fixed, *claimed, *_annotated(family)})
    for value, name in wanted.items():
        if value in names:
            continue
        if value in kept:
            names[value] = pool.fresh(name) if name in claimed else name
        else:
            names[value] = pool.fresh(name)
    return names


def _values(family: list[Scope]) -> list[Value]:
    return [value for scope in family for _, value in scope.defined] + [v for scope in family for v in scope.idle]


def _annotated(family: list[Scope]) -> set[str]:
    return {name for value in _values(family) for name in value.meta.get(_ANNOTATION, {}).values()}


def _reannotate(family: list[Scope], names: dict[Value, str]) -> None:
    renamed = {value.name: name for value, name in names.items() if value.name and value.name != name}
    if not renamed:
        return
    for value in _values(family):
        roles = value.meta.get(_ANNOTATION)
        if roles and any(name in renamed for name in roles.values()):
            value.meta[_ANNOTATION] = {role: renamed.get(name, name) for role, name in roles.items()}
