"""Infer attention and rotary embedding."""

from __future__ import annotations

from graphopt.graph.dims import Dim, floordiv
from graphopt.graph.infer.dtypes import first
from graphopt.graph.infer.elementwise import same_shape
from graphopt.graph.infer.site import Dtypes, Operator, Shape, Shapes, Site

__all__ = ["OPERATORS"]


def _dtypes(site: Site) -> Dtypes:
    return [site.dtype(0), site.dtype(1), site.dtype(2), site.dtype(0)]


def _heads(site: Site, index: int, name: str) -> Shape:
    """Return an operand as [batch, heads, steps, size]; of rank 3 it is [batch, steps, heads * size]."""
    shape = site.known_shape(index)
    if len(shape) == 4:
        return shape
    batch, steps, hidden = shape
    heads = site.integer(name, 0)
    return (batch, heads, steps, floordiv(hidden, heads))


def _attention(site: Site) -> Shapes:
    q = _heads(site, 0, "q_num_heads")
    k = _heads(site, 1, "kv_num_heads")
    v = _heads(site, 2, "kv_num_heads")
    total = _total(site, k[2])
    flat = site.rank(0) == 3
    y: Shape = (q[0], q[2], q[1] * v[3]) if flat else (q[0], q[1], q[2], v[3])
    return [y, (*k[:2], total, k[3]), (*v[:2], total, v[3]), (*q[:3], total)]


def _total(site: Site, steps: Dim) -> Dim:
    """Return the number of keys, those of earlier calls included."""
    if not site.has(4):
        return steps
    past = site.shape(4)
    return site.fresh() if past is None or len(past) != 4 else past[2] + steps


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Attention"): Operator(_dtypes, _attention),
    ("", "RotaryEmbedding"): Operator(first, same_shape),
}
