"""Find the rewrite that made a result wrong, by halving the number of rewrites."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["first_bad"]


def first_bad(total: int, is_bad: Callable[[int], bool]) -> int | None:
    """Return the smallest number of rewrites whose result is bad, given that `total` of them are.

    `is_bad(n)` judges the model after the first `n` rewrites. None if even 0 rewrites are bad: then no rewrite is to
    blame. The search supposes that a model once bad stays bad, as bisection does.
    """
    if is_bad(0):
        return None
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        if is_bad(middle):
            high = middle
        else:
            low = middle
    return high
