"""Calculate with dimensions: integers, or formulas over named sizes.

A dimension is an `int` or an `Expr`: a polynomial with integer coefficients over atoms. An atom is a symbol (a size that
is not known, an integer >= 0) or one of floordiv, max, min and broadcast of dimensions. Formulas are kept in one normal
form, so that equal formulas compare equal; formulas that compare unequal may still have equal values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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

MAX_TERMS = 256
"""Formulas with more terms are refused with `OverflowError`."""
MAX_SIZE = 2048
"""Formulas with more atoms, nested ones included, are refused with `OverflowError`."""

Bounds = tuple[int | None, int | None]


class Atom:
    """A factor of a term: a symbol (`args` is empty), or a function of other dimensions."""

    __slots__ = ("args", "bounds", "key", "kind", "name", "size")

    def __init__(self, kind: str, name: str, args: tuple[Dim, ...]) -> None:
        self.kind = kind
        self.name = name
        self.args = args
        # Symbols stand quoted in keys, so that no symbol's name can be mistaken for a formula.
        self.key: str = repr(name) if kind == "symbol" else f"{kind}({','.join(_key(arg) for arg in args)})"
        self.size: int = 1 + sum(arg.size for arg in args if isinstance(arg, Expr))
        self.bounds: Bounds = _atom_bounds(kind, args)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Atom) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.name if self.kind == "symbol" else f"{self.kind}({', '.join(str(arg) for arg in self.args)})"


Monomial = tuple[Atom, ...]
Terms = dict[Monomial, int]


class Expr:
    """A formula that is not an integer; immutable and hashable."""

    __slots__ = ("_hash", "bounds", "key", "size", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self.size: int = sum(atom.size for monomial, _ in terms for atom in monomial)
        if len(terms) > MAX_TERMS or self.size > MAX_SIZE:
            msg = "the formula of a dimension grew too large"
            raise OverflowError(msg)
        self.key: str = "+".join(f"{value}*{'*'.join([atom.key for atom in monomial])}" for monomial, value in terms)
        self._hash = hash(self.key)
        self.bounds: Bounds = _bounds(terms)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Expr) and self._hash == other._hash and self.key == other.key

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Dim) -> Dim:
        if isinstance(other, int) and other == 0:
            return self
        terms = dict(self.terms)
        for monomial, value in _terms(other):
            terms[monomial] = terms.get(monomial, 0) + value
        return _normal(terms)

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return self if other == 1 else _normal({monomial: value * other for monomial, value in self.terms})
        if len(self.terms) * len(other.terms) > MAX_TERMS:
            msg = "the formula of a dimension grew too large"
            raise OverflowError(msg)
        terms: Terms = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted(left + right, key=_atom_key))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return _normal(terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return mod(self, other)

    def __rmod__(self, other: Dim) -> Dim:
        return mod(other, self)

    def __str__(self) -> str:
        parts = []
        for monomial, value in self.terms:
            factors = [str(atom) for atom in monomial]
            if not factors or abs(value) != 1:
                factors.insert(0, str(abs(value)))
            parts.append(("- " if value < 0 else "+ ") + "*".join(factors))
        text = " ".join(parts)
        return text[2:] if text.startswith("+ ") else "-" + text[2:]

    def __repr__(self) -> str:
        return f"Expr({str(self)!r})"


Dim = int | Expr


def symbol(name: str) -> Expr:
    """Return the unknown size `name`; two symbols of one name are the same size."""
    return Expr((((Atom("symbol", name, ()),), 1),))


def floordiv(a: Dim, b: Dim) -> Dim:
    """Return the quotient rounded towards minus infinity.

    A formula as divisor is taken to be other than zero: where it is zero the quotient does not exist.
    Raises `ValueError` if `b` is the number zero.
    """
    if isinstance(b, int):
        if b == 0:
            msg = "a dimension is divided by zero"
            raise ValueError(msg)
        if isinstance(a, int):
            return a // b
        return _floordiv_number(a, b) if b > 0 else _floordiv_number(_expr(-a), -b)
    if isinstance(a, int) and a == 0:
        return 0
    exact = _exact_quotient(a, b)
    return _atom("floordiv", (a, b)) if exact is None else exact


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
    return kept[0] if len(kept) == 1 else _atom("broadcast", tuple(sorted(kept, key=_key)))


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of the dimensions; 1 for none."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def known_equal(a: Dim, b: Dim) -> bool:
    """Tell whether both are surely equal."""
    return a == b


def known_at_least(a: Dim, k: int) -> bool:
    """Tell whether `a` is surely `k` or more."""
    if isinstance(a, int):
        return a >= k
    low = a.bounds[0]
    return low is not None and low >= k


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


def _key(dim: Dim) -> str:
    return str(dim) if isinstance(dim, int) else dim.key


def _atom_key(atom: Atom) -> str:
    return atom.key


def _monomial_key(term: tuple[Monomial, int]) -> tuple[int, list[str]]:
    # The highest degree first; numbers last.
    return (-len(term[0]), [atom.key for atom in term[0]])


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return (((), dim),) if isinstance(dim, int) else dim.terms


def _normal(terms: Terms) -> Dim:
    kept = [term for term in terms.items() if term[1] != 0]
    if not kept:
        return 0
    if len(kept) == 1:
        return kept[0][1] if not kept[0][0] else Expr((kept[0],))
    kept.sort(key=_monomial_key)
    return Expr(tuple(kept))


def _expr(dim: Dim) -> Expr:
    return dim if isinstance(dim, Expr) else Expr((((), dim),))


def _atom(kind: str, args: tuple[Dim, ...]) -> Expr:
    return Expr((((Atom(kind, "", args),), 1),))


def _single_atom(dim: Dim) -> Atom | None:
    """Return the atom if `dim` is nothing but one atom."""
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        monomial, value = dim.terms[0]
        if value == 1 and len(monomial) == 1:
            return monomial[0]
    return None


def _members(kind: str, dim: Dim) -> tuple[Dim, ...]:
    atom = _single_atom(dim)
    return atom.args if atom is not None and atom.kind == kind else (dim,)


def _clips(clipped: Dim, whole: Dim) -> bool:
    members = _members("min", clipped)
    return len(members) > 1 and whole in members and all(known_positive(dim) for dim in members if dim != whole)


def _floordiv_number(a: Expr, b: int) -> Dim:
    """Divide by a positive number: whole parts leave the quotient, common factors cancel, quotients unite."""
    if b == 1:
        return a
    whole = {monomial: value // b for monomial, value in a.terms if value % b == 0 or not monomial}
    rest = {monomial: value for monomial, value in a.terms if value % b and monomial}
    number = next((value % b for monomial, value in a.terms if not monomial), 0)
    if not rest:
        return _normal(whole)
    factor = math.gcd(b, *rest.values())
    rest = {monomial: value // factor for monomial, value in rest.items()}
    # floor((g*x + c) / (g*b)) == floor((x + floor(c / g)) / b)
    rest[()] = number // factor
    return _normal(whole) + _small_floordiv(_normal(rest), b // factor)


def _small_floordiv(rest: Dim, b: int) -> Dim:
    if b == 1 or isinstance(rest, int):
        return rest // b
    number = next((value for monomial, value in rest.terms if not monomial), 0)
    atom = _single_atom(rest - number)
    if atom is not None and atom.kind == "floordiv" and isinstance(atom.args[1], int):
        # floor((floor(x / c) + k) / b) == floor((x + k*c) / (b*c))
        return floordiv(atom.args[0] + number * atom.args[1], atom.args[1] * b)
    low, high = rest.bounds
    if low is not None and high is not None and low // b == high // b:
        return low // b
    return _atom("floordiv", (rest, b))


def _exact_quotient(a: Dim, b: Expr) -> Dim | None:
    """Divide polynomials; None if something remains."""
    quotient: Dim = 0
    lead, value = b.terms[0]
    while not (isinstance(a, int) and a == 0):
        monomial, top = _terms(a)[0]
        rest = _without(monomial, lead)
        if rest is None or top % value:
            return None
        part = _normal({rest: top // value})
        quotient = quotient + part
        a = a - part * b
        if len(_terms(a)) > len(b.terms) * MAX_TERMS:
            return None
    return quotient


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    rest = list(monomial)
    for factor in factors:
        if factor not in rest:
            return None
        rest.remove(factor)
    return tuple(rest)


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
    return kept[0] if len(kept) == 1 else _atom(kind, tuple(sorted(kept, key=_key)))


def _beats(kind: str, a: Dim, b: Dim) -> bool:
    """Tell whether `a` is surely the extreme of both."""
    return known_at_least(a - b, 0) if kind == "max" else known_at_least(b - a, 0)


def _span(dim: Dim) -> Bounds:
    return (dim, dim) if isinstance(dim, int) else dim.bounds


def _atom_bounds(kind: str, args: tuple[Dim, ...]) -> Bounds:
    spans = [_span(arg) for arg in args]
    lows = [low for low, _ in spans if low is not None]
    highs = [high for _, high in spans if high is not None]
    if kind == "symbol":
        return 0, None
    if kind == "floordiv":
        return _quotient_bounds(spans[0], args[1])
    if kind == "max":
        return max(lows, default=None), max(highs) if len(highs) == len(args) else None
    if kind == "min":
        return min(lows) if len(lows) == len(args) else None, min(highs, default=None)
    return min(lows) if len(lows) == len(args) else None, max(highs) if len(highs) == len(args) else None


def _quotient_bounds(span: Bounds, divisor: Dim) -> Bounds:
    low, high = span
    if isinstance(divisor, int):
        return None if low is None else low // divisor, None if high is None else high // divisor
    if low is not None and low >= 0 and known_at_least(divisor, 0):
        return 0, high
    return None, None


def _bounds(terms: tuple[tuple[Monomial, int], ...]) -> Bounds:
    low: int | None = 0
    high: int | None = 0
    for monomial, value in terms:
        least, most = _monomial_bounds(monomial)
        if value < 0:
            least, most = most, least
        low = None if low is None or least is None else low + value * least
        high = None if high is None or most is None else high + value * most
    return low, high


def _monomial_bounds(monomial: Monomial) -> Bounds:
    least = 1
    most: int | None = 1
    for atom in monomial:
        low, high = atom.bounds
        if low is None or low < 0:
            return atom.bounds if len(monomial) == 1 else (None, None)
        least *= low
        most = None if most is None or high is None else most * high
    return least, most
