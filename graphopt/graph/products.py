"""Count the multiply-accumulates of the operators that multiply and accumulate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ["PRODUCTS", "Formula"]

Shape = tuple[int, ...]


class Sized(Protocol):
    """A call at known sizes; `input` and `output` raise `LookupError` for shapes that are not known."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes that are given."""
        ...

    def input(self, index: int) -> Shape:
        """Return the shape of an input."""
        ...

    def output(self, index: int = 0) -> Shape:
        """Return the shape of an output."""
        ...

    def has(self, index: int) -> bool:
        """Tell whether an input is known."""
        ...


Formula = Callable[[Sized], int]


def _conv(weight: int) -> Formula:
    """Each result element is a dot product with one filter `[m, c / groups, ...]`."""
    return lambda call: math.prod(call.output()) * math.prod(call.input(weight)[1:])


def _conv_transpose(call: Sized) -> int:
    """Each input element is multiplied with the filters `[c, m / groups, ...]` of its channel."""
    return math.prod(call.input(0)) * math.prod(call.input(1)[1:])


def _gemm(call: Sized) -> int:
    """`[m, k]` or, transposed, `[k, m]`; the result is `[m, n]`."""
    return math.prod(call.input(0)) * call.output()[1]


def _matmul(second: int = 1) -> Formula:
    def count(call: Sized) -> int:
        a = call.input(0)
        call.input(second)
        return math.prod(call.output()) * a[-1]

    return count


def _fused_matmul(call: Sized) -> int:
    """Find the inner axis of the first operand: the first of the matrix, and of the batch, where attributes say so."""
    a = call.input(0)
    swapped, batch = (bool(call.attributes.get(name)) for name in ("transA", "transBatchA"))
    inner = (0 if batch else -2) if swapped and len(a) > 1 else -1
    return math.prod(call.output()) * a[inner]


def _matmul_n_bits(call: Sized) -> int:
    return math.prod(call.output()) * call.input(0)[-1]


def _recurrent(call: Sized) -> int:
    """`x` is `[steps, batch, inputs]`, `w` and `r` are `[directions, gates * hidden, inputs or hidden]`."""
    steps, batch, _ = call.input(0)
    return steps * batch * (math.prod(call.input(1)) + math.prod(call.input(2)))


def _einsum(call: Sized) -> int:
    """Count the operands contracted two by two from the left."""
    terms, result = _einsum_terms(call)
    sizes: dict[Any, int] = {}
    for at, term in enumerate(terms):
        for label, size in zip(term, call.input(at), strict=True):
            sizes[label] = max(size, sizes.get(label, 1)) if size else 0
    total, held = 0, set(terms[0])
    for at, term in enumerate(terms[1:], 1):
        held |= set(term)
        total += math.prod(sizes[label] for label in held)
        held &= {label for other in terms[at + 1 :] for label in other} | set(result)
    return total


def _einsum_terms(call: Sized) -> tuple[list[list[Any]], list[Any]]:
    """Return the labels of each operand and of the result; axes of an ellipsis are numbered from the right."""
    left, arrow, right = str(call.attributes["equation"]).replace(" ", "").partition("->")
    texts = left.split(",")
    terms = [_labels(text, len(call.input(at))) for at, text in enumerate(texts)]
    if arrow:
        return terms, _labels(right, len(call.output()))
    once = [label for label in set(left) - {",", "."} if left.count(label) == 1]
    return terms, [*once, *{label for term in terms for label in term if isinstance(label, int)}]


def _labels(text: str, rank: int) -> list[Any]:
    before, dots, after = text.partition("...")
    hidden = rank - len(before) - len(after) if dots else 0
    return [*before, *range(hidden - 1, -1, -1), *after]


def _attention(call: Sized) -> int:
    """Operator of ai.onnx: scores and their product with the values, for `[b, h, s, d]` or `[b, s, h * d]`."""
    keys = call.input(1)
    length = keys[2] if len(keys) == 4 else keys[1]
    if call.has(4):
        length += call.input(4)[2]
    return length * (math.prod(call.input(0)) + math.prod(call.output()))


def _packed_attention(past: int) -> Formula:
    """Operator of com.microsoft: the projection of `[b, s, i]` by `[i, 3 * h]`, then attention."""

    def count(call: Sized) -> int:
        batch, length, _ = call.input(0)
        total = length + (call.input(past)[3] if call.has(past) else 0)
        return batch * length * math.prod(call.input(1)) + 2 * total * math.prod(call.output())

    return count


def _multi_head_attention(call: Sized) -> int:
    """Operator of com.microsoft: keys `[b, l, h]`, `[b, n, l, d]`, or packed with the queries."""
    result = math.prod(call.output())
    if not call.has(1):
        return 2 * call.input(0)[1] * result
    keys = call.input(1)
    length = keys[2] if len(keys) == 4 else keys[1]
    length += call.input(6)[2] if call.has(6) else 0
    queries = result if len(call.input(0)) != 3 else math.prod(call.input(0))
    return length * (queries + result)


def _group_query_attention(call: Sized) -> int:
    """Operator of com.microsoft: the second result is the keys `[b, n, l, d]` with those of the past."""
    return 2 * call.output(1)[2] * math.prod(call.output())


PRODUCTS: dict[str | tuple[str, str], Formula] = {
    **dict.fromkeys(("Conv", "ConvInteger", "DeformConv", "FusedConv", "NhwcConv", "NhwcFusedConv"), _conv(1)),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(("Gemm", "FusedGemm", "QGemm"), _gemm),
    **dict.fromkeys(("MatMul", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), _matmul()),
    "QLinearMatMul": _matmul(3),
    **dict.fromkeys(("FusedMatMul", "TransposeMatMul"), _fused_matmul),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4"), _matmul_n_bits),
    "Einsum": _einsum,
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    ("", "Attention"): _attention,
    ("com.microsoft", "Attention"): _packed_attention(4),
    "QAttention": _packed_attention(8),
    "MultiHeadAttention": _multi_head_attention,
    "GroupQueryAttention": _group_query_attention,
}
"""Formulas by operator; where two domains have one of the same name, by domain and operator."""
