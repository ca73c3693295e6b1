"""Formulas over sizes: normal form, and agreement with Python's integers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphopt.graph.dims import (
    Dim,
    Expr,
    broadcast,
    ceildiv,
    floordiv,
    known_at_least,
    known_equal,
    known_positive,
    maximum,
    minimum,
    mod,
    product,
    substitute,
    symbol,
    symbols,
)

N, M = symbol("n"), symbol("m")
Env = dict[str, int]
Formula = tuple[Dim, Callable[[Env], int]]


class UndefinedError(Exception):
    """The formula has no value here: a division by zero, or sizes that do not broadcast."""


def divide(a: int, b: int) -> int:
    if b == 0:
        raise UndefinedError
    return a // b


def joined(a: int, b: int) -> int:
    if a != b and 1 not in {a, b}:
        raise UndefinedError
    return b if a == 1 else a


def binary(function: Callable[[Dim, Dim], Dim], meaning: Callable[[int, int], int], a: Formula, b: Formula) -> Formula:
    try:
        return function(a[0], b[0]), lambda env: meaning(a[1](env), b[1](env))
    except (ValueError, OverflowError):
        # Two numbers that cannot be divided or broadcast, or a formula out of bounds: keep what there was.
        return a


def leaves() -> st.SearchStrategy[Formula]:
    numbers = st.integers(-6, 12).map(lambda k: (k, lambda _env: k))
    names = st.sampled_from(["n", "m", "k"]).map(lambda name: (symbol(name), lambda env: env[name]))
    return st.one_of(numbers, names, names)


OPERATIONS: list[tuple[Callable[[Dim, Dim], Dim], Callable[[int, int], int]]] = [
    (lambda a, b: a + b, lambda a, b: a + b),
    (lambda a, b: a - b, lambda a, b: a - b),
    (lambda a, b: a * b, lambda a, b: a * b),
    (floordiv, divide),
    (mod, lambda a, b: a - b * divide(a, b)),
    (maximum, max),
    (minimum, min),
]


def formulas() -> st.SearchStrategy[Formula]:
    def extend(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
        return st.builds(
            lambda operation, a, b: binary(operation[0], operation[1], a, b), st.sampled_from(OPERATIONS), inner, inner
        )

    return st.recursive(leaves(), extend, max_leaves=7)


ENVS = st.fixed_dictionaries({name: st.integers(0, 9) for name in ("n", "m", "k")})


def value(formula: Dim, env: Env) -> int:
    found = substitute(formula, env)
    assert isinstance(found, int)
    return found


@given(formulas(), ENVS)
def test_a_formula_has_the_value_of_the_integers(formula: Formula, env: Env) -> None:
    dim, meaning = formula
    try:
        expected = meaning(env)
    except UndefinedError:
        return
    try:
        assert value(dim, env) == expected
    except ValueError:
        pytest.fail(f"{dim} is undefined at {env}, and should be {expected}")


@given(formulas(), ENVS, st.integers(-20, 40))
def test_bounds_hold(formula: Formula, env: Env, k: int) -> None:
    dim, meaning = formula
    try:
        expected = meaning(env)
    except UndefinedError:
        return
    if known_at_least(dim, k):
        assert expected >= k


@given(formulas(), formulas(), ENVS)
def test_broadcast_is_the_size_that_is_not_one(a: Formula, b: Formula, env: Env) -> None:
    try:
        both = broadcast(a[0], b[0])
        left, right = a[1](env), b[1](env)
        expected = joined(left, right)
    except (ValueError, UndefinedError, OverflowError):
        return
    if left >= 0 and right >= 0:
        assert value(both, env) == expected


@given(formulas(), formulas())
def test_the_order_of_operands_does_not_matter(a: Formula, b: Formula) -> None:
    assert a[0] + b[0] == b[0] + a[0]
    assert a[0] * b[0] == b[0] * a[0]
    assert maximum(a[0], b[0]) == maximum(b[0], a[0])
    assert hash(a[0] + b[0]) == hash(b[0] + a[0])


@given(formulas(), formulas(), formulas())
def test_sums_and_products_are_one_normal_form(a: Formula, b: Formula, c: Formula) -> None:
    assert (a[0] + b[0]) - b[0] == a[0]
    assert a[0] * (b[0] + c[0]) == a[0] * b[0] + a[0] * c[0]


@given(formulas(), st.integers(1, 9))
def test_exact_quotients_leave_no_division(a: Formula, k: int) -> None:
    assert floordiv(a[0] * k, k) == a[0]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (N * 2 // 2, N),
        ((N + 4) - 4, N),
        (floordiv(4 * N, 2), 2 * N),
        (N - N, 0),
        (floordiv(floordiv(N, 2), 3), floordiv(N, 6)),
        (floordiv(6 * N + 3, 9), floordiv(2 * N + 1, 3)),
        (floordiv(4 * (N + 1) * M, N + 1), 4 * M),
        (mod(4 * N, 2), 0),
        (ceildiv(4 * N, 4), N),
        (maximum(N, 0), N),
        (maximum(N, N + 2, M), maximum(M, N + 2)),
        (minimum(N, N + 1), N),
        (broadcast(N, 1), N),
        (broadcast(N, N), N),
        (broadcast(N, 3), 3),
        (broadcast(N, 0), 0),
        (broadcast(N + 2, M), N + 2),
        (broadcast(minimum(512, N), N), N),
        (broadcast(broadcast(N, M), N), broadcast(M, N)),
        (product([N, 2, M, 3]), 6 * N * M),
        (product([]), 1),
    ],
)
def test_equal_formulas_compare_equal(found: Dim, expected: Dim) -> None:
    assert known_equal(found, expected)


def test_sizes_are_never_assumed_equal_or_positive() -> None:
    assert not known_equal(N, M)
    assert not known_positive(N)
    assert known_positive(N + 1)
    assert broadcast(N, M) not in {N, M}
    assert floordiv(N, 2) * 2 != N


def test_a_symbol_named_like_a_formula_stays_a_symbol() -> None:
    assert symbol("floordiv(n, 2)") != floordiv(N, 2)
    assert symbols(symbol("n*m") + N) == {"n*m", "n"}


def test_formulas_print_as_a_reader_writes_them() -> None:
    assert str(2 * N * M - floordiv(N, 2) + 3) == "2*m*n - floordiv(n, 2) + 3"
    assert str(-N) == "-n"
    assert repr(N + 1) == "Expr('n + 1')"


def test_what_can_not_be_divided_or_broadcast_is_refused() -> None:
    with pytest.raises(ValueError, match="zero"):
        floordiv(N, 0)
    with pytest.raises(ValueError, match="broadcast"):
        broadcast(2, 3)
    with pytest.raises(ValueError, match="broadcast"):
        broadcast(0, 3)


def test_formulas_are_bounded() -> None:
    dims = [symbol(f"s{number}") + 1 for number in range(20)]
    with pytest.raises(OverflowError, match="too large"):
        product(dims)
    within = product(dims[:8])
    assert isinstance(within, Expr)
    assert len(within.terms) == 256
