"""Hold formulas over sizes in one normal form, and divide them."""

from __future__ import annotations

import math

__all__ = ["Atom", "Dim", "Expr", "floordiv", "key_of", "known_at_least", "of_atom", "single_atom", "symbol"]

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
        self.key: str = repr(name) if kind == "symbol" else f"{kind}({','.join(key_of(arg) for arg in args)})"
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
        return self - other * floordiv(self, other)

    def __rmod__(self, other: Dim) -> Dim:
        return other - self * floordiv(other, self)

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
    return of_atom("floordiv", (a, b)) if exact is None else exact


def known_at_least(a: Dim, k: int) -> bool:
    """Tell whether `a` is surely `k` or more."""
    if isinstance(a, int):
        return a >= k
    low = a.bounds[0]
    return low is not None and low >= k


def key_of(dim: Dim) -> str:
    """Return the text that only equal dimensions have."""
    return str(dim) if isinstance(dim, int) else dim.key


def of_atom(kind: str, args: tuple[Dim, ...]) -> Expr:
    """Return the function `kind` of dimensions as a formula."""
    return Expr((((Atom(kind, "", args),), 1),))


def single_atom(dim: Dim) -> Atom | None:
    """Return the atom if `dim` is nothing but one atom."""
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        monomial, value = dim.terms[0]
        if value == 1 and len(monomial) == 1:
            return monomial[0]
    return None


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
    atom = single_atom(rest - number)
    if atom is not None and atom.kind == "floordiv" and isinstance(atom.args[1], int):
        # floor((floor(x / c) + k) / b) == floor((x + k*c) / (b*c))
        return floordiv(atom.args[0] + number * atom.args[1], atom.args[1] * b)
    low, high = rest.bounds
    if low is not None and high is not None and low // b == high // b:
        return low // b
    return of_atom("floordiv", (rest, b))


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
