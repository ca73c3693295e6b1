"""Calculate with dimensions: integers, or formulas over named sizes.

A dimension is an `int` or an `Expr`: a polynomial with integer coefficients over atoms. An atom is a symbol (a size
that is not known, an integer >= 0) or one of floordiv, max, min and broadcast of dimensions. Formulas are kept in one
normal form, so that equal formulas compare equal; formulas that compare unequal may still have equal values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphopt.graph.formula import Atom, Dim, Expr, floordiv, key_of, known_at_least, of_atom, single_atom, symbol

__all__ = [
    "Dim",
    "Expr",
    "broadcast",
    "ceildiv",
    "floordiv",
    "known_at_least",
    "known_equal",
    "known_positive",
    "maximum",
    "minimum",
    "mod",
    "product",
    "substitute",
    "symbol",
    "symbols",
]


def ceildiv(a: Dim, b: Dim) -> Dim:
    """Return the quotient of `a` and a positive `b`, rounded towards plus infinity."""
    return floordiv(a + b - 1, b)


def mod(a: Dim, b: Dim) -> Dim:
    """Return the remainder of `floordiv`; it has the sign of `b`."""
    return a - b * floordiv(a, b)


def maximum(*dims: Dim) -> Dim:
    """Return the largest of the dimensions."""
    return _extreme("max", dims)


def minimum(*dims: Dim) -> Dim:
    """Return the smallest of the dimensions."""
    return _extreme("min", dims)


def broadcast(a: Dim, b: Dim) -> Dim:
    """Return the size that `a` and `b` broadcast to, provided that they do: the one that is not 1.

    Raises `ValueError` if two numbers do not broadcast.
    """
    if a is b or a == b or (isinstance(b, int) and b == 1):
        return a
    if isinstance(a, int) and a == 1:
        return b
    for one, other in ((a, b), (b, a)):
        # What is not 1 decides; the other is 1 or equal to it.
        if (isinstance(one, int) and one == 0) or known_at_least(one, 2):
            if isinstance(one, int) and isinstance(other, int):
                msg = f"{a} and {b} do not broadcast"
                raise ValueError(msg)
            if not isinstance(other, int) or other == 0:
                return one
    members = {part for dim in (a, b) for part in _members("broadcast", dim)}
    # min(n, 512) broadcasts with n only where it is n (or 1), and then n is the result.
    kept = [dim for dim in members if not any(_clips(dim, other) for other in members)]
    return kept[0] if len(kept) == 1 else of_atom("broadcast", tuple(sorted(kept, key=key_of)))


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of the dimensions; 1 for none."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def known_equal(a: Dim, b: Dim) -> bool:
    """Tell whether both are surely equal."""
    return a == b


def known_positive(a: Dim) -> bool:
    """Tell whether `a` is surely 1 or more."""
    return known_at_least(a, 1)


def symbols(dim: Dim) -> set[str]:
    """Return the names of the symbols in `dim`."""
    found: set[str] = set()
    todo = [dim]
    while todo:
        dim = todo.pop()
        if isinstance(dim, Expr):
            for monomial, _ in dim.terms:
                for atom in monomial:
                    if atom.kind == "symbol":
                        found.add(atom.name)
                    todo.extend(atom.args)
    return found


def substitute(dim: Dim, mapping: Mapping[str, Dim]) -> Dim:
    """Replace symbols by dimensions; a symbol that `mapping` lacks stays.

    Raises `ValueError` where the values divide by zero or do not broadcast.
    """
    if isinstance(dim, int):
        return dim
    result: Dim = 0
    for monomial, value in dim.terms:
        term: Dim = value
        for atom in monomial:
            term = term * _substitute_atom(atom, mapping)
        result = result + term
    return result


def _substitute_atom(atom: Atom, mapping: Mapping[str, Dim]) -> Dim:
    if atom.kind == "symbol":
        return mapping[atom.name] if atom.name in mapping else Expr((((atom,), 1),))
    args = [substitute(arg, mapping) for arg in atom.args]
    if atom.kind == "floordiv":
        return floordiv(args[0], args[1])
    if atom.kind == "broadcast":
        result = args[0]
        for arg in args[1:]:
            result = broadcast(result, arg)
        return result
    return _extreme(atom.kind, args)


def _members(kind: str, dim: Dim) -> tuple[Dim, ...]:
    atom = single_atom(dim)
    return atom.args if atom is not None and atom.kind == kind else (dim,)


def _clips(clipped: Dim, whole: Dim) -> bool:
    members = _members("min", clipped)
    return len(members) > 1 and whole in members and all(known_positive(dim) for dim in members if dim != whole)


def _extreme(kind: str, dims: Iterable[Dim]) -> Dim:
    members = list(dict.fromkeys(part for dim in dims for part in _members(kind, dim)))
    if not members:
        msg = f"{kind} of nothing"
        raise ValueError(msg)
    kept: list[Dim] = []
    for dim in members:
        if any(_beats(kind, other, dim) for other in kept):
            continue
        kept = [other for other in kept if not _beats(kind, dim, other)]
        kept.append(dim)
    return kept[0] if len(kept) == 1 else of_atom(kind, tuple(sorted(kept, key=key_of)))


def _beats(kind: str, a: Dim, b: Dim) -> bool:
    """Tell whether `a` is surely the extreme of both."""
    return known_at_least(a - b, 0) if kind == "max" else known_at_least(b - a, 0)
