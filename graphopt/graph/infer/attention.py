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


def _linear_dtypes(site: Site) -> Dtypes:
    return [site.dtype(0), site.dtype(3) if site.has(3) else None]


def _linear_attention(site: Site) -> Shapes:
    q, k, v = (site.known_shape(index) for index in range(3))
    heads = site.integer("kv_num_heads", 0)
    key_size, value_size = floordiv(k[2], heads), floordiv(v[2], heads)
    y = (q[0], q[1], value_size * site.integer("q_num_heads", 0))
    return [y, (q[0], heads, key_size, value_size)]


def _causal_conv_dtypes(site: Site) -> Dtypes:
    return [site.dtype(0), site.dtype(0)]


def _causal_conv(site: Site) -> Shapes:
    x, w = site.known_shape(0), site.known_shape(1)
    return [x, (*x[:2], w[2] - 1)]


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Attention"): Operator(_dtypes, _attention),
    ("", "CausalConvWithState"): Operator(_causal_conv_dtypes, _causal_conv),
    ("", "LinearAttention"): Operator(_linear_dtypes, _linear_attention),
    ("", "RotaryEmbedding"): Operator(first, same_shape),
}
