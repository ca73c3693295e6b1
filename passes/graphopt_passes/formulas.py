"""Recognise a function of one value whatever way its formula is spelled out.

Both the graph and a formula given as text (in the language of patterns) are multiplied out: to a sum of products of x
and of functions of such sums, with a number before each product. The two are the same real function if these sums
agree, whichever way round factors stand and wherever a constant was multiplied in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from functools import cache
from typing import Any

from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.rewrite.matcher import match_rule
from graphopt.rewrite.pattern import Bind, Literal, NodePattern, Pattern, parse
from graphopt.rewrite.replacement import expand
from graphopt.rewrite.rule import Condition, Match, Replacement

__all__ = ["respell", "spelled_otherwise", "spells"]

Product = tuple[Any, ...]
"""Factors: "x", or (name of a function, sum that it is applied to)."""
Sum = tuple[tuple[Product, float], ...]
"""Products, sorted, each with the number before it; no number is zero."""

X: Sum = ((("x",), 1.0),)
MOST_VALUES = 12
NEAR = 5
MOST_TERMS = 16
TOLERANCE = {DataType.FLOAT: 4e-6, DataType.DOUBLE: 1e-13, DataType.FLOAT16: 1e-3, DataType.BFLOAT16: 4e-3}
"""How far, relative to the constants of the formula, those of a graph may be off: by how they were rounded."""
LARGEST = 1e6
"""Constants beyond this, or below its inverse, are there for how they round."""


class _NoFormulaError(Exception):
    """The expression is not of the kind that is understood."""


def _sum(terms: list[tuple[Product, float]]) -> Sum:
    """Add products up. What cancels is there to round, and so is no sum of real numbers."""
    found: dict[Product, float] = {}
    for product, number in terms:
        before = found.get(product, 0.0)
        found[product] = after = before + number
        if abs(after) < max(abs(before), abs(number)) / 2 or not 1 / LARGEST < abs(after) < LARGEST:
            raise _NoFormulaError
    if len(found) > MOST_TERMS:
        raise _NoFormulaError
    return tuple(sorted(found.items(), key=repr))


def _number(number: float) -> Sum:
    return (((), number),) if number else ()


def _times(a: Sum, b: Sum) -> Sum:
    return _sum([(tuple(sorted((*p, *q), key=repr)), m * n) for p, m in a for q, n in b])


def _plus(a: Sum, b: Sum) -> Sum:
    return _sum([*a, *b])


def _constant(a: Sum) -> float:
    if len(a) > 1 or (a and a[0][0]):
        raise _NoFormulaError
    return a[0][1] if a else 0.0


def _function(name: str) -> Callable[[Sum], Sum]:
    return lambda a: ((((name, a),), 1.0),)


def _inverse(a: Sum) -> Sum:
    """Invert a number, or 1 + exp(p), which is the sigmoid of -p."""
    if len(a) == 1 and not a[0][0]:
        return _number(1 / a[0][1])
    if (exponent := _softplus_operand(a)) is not None:
        return _sigmoid(_times(_number(-1), exponent))
    return _function("Reciprocal")(a)


def _softplus_operand(a: Sum) -> Sum | None:
    """Return p if `a` is 1 + exp(p)."""
    terms = dict(a)
    if terms.pop((), 0.0) != 1 or list(terms.values()) != [1]:
        return None
    (product,) = terms
    return product[0][1] if len(product) == 1 and product[0][0] == "Exp" else None


def _log(a: Sum) -> Sum:
    exponent = _softplus_operand(a)
    return _function("Log")(a) if exponent is None else _function("Softplus")(exponent)


def _sigmoid(a: Sum) -> Sum:
    half = _number(0.5)
    return _plus(half, _times(half, _function("Tanh")(_times(half, a))))


def _power(a: Sum, exponent: Sum) -> Sum:
    times = _constant(exponent)
    if times not in {2.0, 3.0, 4.0}:
        raise _NoFormulaError
    made = a
    for _ in range(int(times) - 1):
        made = _times(made, a)
    return made


def _clip(a: Sum, low: Sum, high: Sum) -> Sum:
    """Express limits by those to the interval from 0 to 1."""
    bottom, height = _number(_constant(low)), _constant(high) - _constant(low)
    if height <= 0:
        raise _NoFormulaError
    inner = _times(_number(1 / height), _plus(a, _times(_number(-1), bottom)))
    return _plus(bottom, _times(_number(height), _function("Clip")(inner)))


FUNCTIONS: dict[str, Callable[..., Sum]] = {
    "Add": _plus,
    "Sub": lambda a, b: _plus(a, _times(_number(-1), b)),
    "Neg": lambda a: _times(_number(-1), a),
    "Mul": _times,
    "Div": lambda a, b: _times(a, _inverse(b)),
    "Pow": _power,
    "Reciprocal": _inverse,
    "Sigmoid": _sigmoid,
    "Log": _log,
    "Clip": _clip,
    "HardSigmoid": lambda a, alpha, beta: _clip(_plus(_times(alpha, a), beta), (), _number(1)),
    **{name: _function(name) for name in ("Abs", "Erf", "Exp", "Softplus", "Tanh")},
}
PARAMETERS = {"Clip": ("min", "max"), "HardSigmoid": ("alpha", "beta")}
"""Attributes that are further operands; Clip has operands instead from opset 11 on."""
MAKES = {"Sigmoid": "Tanh", "HardSigmoid": "Clip", "Log": "Softplus"}
"""Operators that become other functions when they are multiplied out."""


@cache
def _formula(text: str) -> Sum:
    """Multiply out a formula given as text, of the name x."""

    def read(pattern: Pattern) -> Sum:
        if isinstance(pattern, NodePattern):
            return FUNCTIONS[pattern.ops[0][1]](*map(read, pattern.inputs))
        return _number(pattern.number or 0.0) if isinstance(pattern, Literal) else X

    (root,) = parse(text)
    if isinstance(root, Bind):
        return X
    return read(root)


@cache
def _functions(a: Sum) -> frozenset[str]:
    """Name the functions in a sum, but for inverses, which quotients make."""
    found = set[str]()
    for product, _ in a:
        for factor in product:
            if not isinstance(factor, str):
                found |= {factor[0], *_functions(factor[1])} - {"Reciprocal"}
    return frozenset(found)


@cache
def _occurrences(a: Sum) -> int:
    return sum(1 if isinstance(factor, str) else _occurrences(factor[1]) for product, _ in a for factor in product)


def _same(a: Sum, b: Sum, tolerance: float) -> bool:
    """Tell whether two sums have the same products, with nearly the same numbers everywhere."""
    if len(a) != len(b):
        return False
    return all(
        abs(m - n) <= tolerance * abs(n) and len(p) == len(q) and all(map(lambda s, t: _alike(s, t, tolerance), p, q))
        for (p, m), (q, n) in zip(sorted(a, key=_outline), sorted(b, key=_outline), strict=True)
    )


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b)
    return a[0] == b[0] and _same(a[1], b[1], tolerance)


def _outline(term: tuple[Product, float]) -> list[str]:
    """Name the factors of a product, as what it is sorted by."""
    return [factor if isinstance(factor, str) else f"{factor[0]}{len(factor[1])}" for factor in term[0]]


class _Expression:
    """The nodes from which a value is computed, as far as they are understood, and how often they read each operand."""

    def __init__(self, root: Node, facts: Facts) -> None:
        self.root, self.facts = root, facts
        self.reads: dict[Value, int] = {}
        self.values: list[Value] = [root.outputs[0]]
        self.functions: set[str] = set()
        for value in self.values:
            for operand in self.operands(value):
                self.reads[operand] = self.reads.get(operand, 0) + 1
                if self.reads[operand] == 1 and len(self.values) < MOST_VALUES:
                    self.values.append(operand)

    def operands(self, value: Value) -> tuple[Value, ...]:
        """Return the operands of the node that makes `value` that are no constants."""
        node = value.producer()
        if node is None or node.domain or node.op_type not in FUNCTIONS or node.graph is not self.root.graph:
            return ()
        self.functions.add(MAKES.get(node.op_type, node.op_type))
        return tuple(each for each in node.inputs if each is not None and not self.facts.is_constant(each))

    def candidates(self, formula: Sum) -> list[Value]:
        """Return what the x of the formula may be: read often if the formula has it often, else near the root."""
        if not _functions(formula) <= self.functions:
            return []
        inner = self.values[1:]
        often = _occurrences(formula) > 1
        return [value for value in inner if self.reads[value] > 1] if often else inner[:NEAR]

    def of(self, x: Value) -> Sum | None:
        """Multiply out the root's result as a function of `x`; None if it is none."""
        try:
            return self._read(self.values[0], {x: X})
        except (_NoFormulaError, OverflowError, TypeError):
            return None

    def _read(self, value: Value, known: dict[Value, Sum]) -> Sum:
        if value not in known:
            known[value] = self._constant(value) if self.facts.is_constant(value) else self._computed(value, known)
        return known[value]

    def _computed(self, value: Value, known: dict[Value, Sum]) -> Sum:
        node = value.producer()
        if node is None or value not in self.values or not self.operands(value) or has_reference(node):
            raise _NoFormulaError
        inputs = [self._read(each, known) for each in node.inputs if each is not None]
        numbers = [attribute(node, name, self.facts.opset(node)) for name in PARAMETERS.get(node.op_type, ())]
        inputs += [_number(number) for number in numbers if number is not None]
        return FUNCTIONS[node.op_type](*inputs)

    def _constant(self, value: Value) -> Sum:
        array = self.facts.constant(value) if self.facts.element_count(value) == 1 else None
        if array is None:
            raise _NoFormulaError
        return _number(float(array.reshape(-1)[0]))

    def is_closed(self, x: Value) -> bool:
        """Tell whether all between `x` and the root is read there alone."""
        inner, todo = set[Value](), [self.values[0]]
        while todo:
            value = todo.pop()
            if value is not x and value not in inner:
                inner.add(value)
                todo.extend(self.operands(value))
        nodes = {each.producer() for each in inner}
        inner.discard(self.values[0])
        return not any(v.is_graph_output() or any(user not in nodes for user, _ in v.uses()) for v in inner)


def _operand(match: Match, text: str) -> Value | None:
    """Return the x of which the root's result is this formula; None if there is none."""
    tolerance = TOLERANCE.get(match.facts.dtype(match.result) or DataType.UNDEFINED)
    formula, expression = _formula(text), _Expression(match.root, match.facts)
    candidates = expression.candidates(formula)
    shape = match.facts.shape(match.result) if candidates and tolerance is not None else None
    for x in candidates:
        found = None if shape is None or shape != match.facts.shape(x) else expression.of(x)
        if found is not None and _same(found, formula, tolerance or 0) and expression.is_closed(x):
            return x
    return None


def spells(text: str) -> Condition:
    """Require that the root's result is this formula of some x of its shape, in whatever spelling."""
    return Condition(f"it computes {text}", lambda match: _operand(match, text) is not None)


def spelled_otherwise(text: str) -> Condition:
    """Require that the root's result is not just what the text says, operator by operator."""
    roots = tuple(root for root in parse(text) if isinstance(root, NodePattern))

    def check(match: Match) -> bool:
        return match_rule(roots, match.root, match.facts, match.opset, shared=True) is None

    return Condition(f"it is not spelled {text}", check)


def respell(text: str, to: str) -> Replacement:
    """Return a replacement that builds `to`, of the x of which the root's result is the formula `text`."""

    def build(builder: Any, match: Match) -> Value | None:
        x = _operand(match, text)
        return None if x is None else expand(to, builder, replaced(match, values={"x": x}))

    return build
