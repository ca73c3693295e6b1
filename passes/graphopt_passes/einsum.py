"""Lower Einsum of two operands to MatMul, and of one to Transpose, where no Reshape is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import FLOATS, dtype_in
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

_FLOATS = FLOATS - {DataType.BFLOAT16}
"""onnxruntime has Einsum of bfloat16 on the CPU, and no MatMul of it."""


@dataclass(frozen=True)
class Contraction:
    """A sum over `k` of products: `left` holds `batch`, `m` and `k`, `right` holds `batch`, `k` and `n`."""

    left: str
    right: str
    output: str
    batch: str
    m: str
    k: str
    n: str


def _terms(equation: str) -> tuple[list[str], str] | None:
    """Split an equation into operands and output; None with an ellipsis or a label twice in one term."""
    text = equation.replace(" ", "")
    found = re.fullmatch(r"([A-Za-z]+(?:,[A-Za-z]+)*)(?:->([A-Za-z]*))?", text)
    if found is None:
        return None
    operands = found.group(1).split(",")
    joined = "".join(operands)
    output = found.group(2)
    if output is None:
        output = "".join(sorted(label for label in set(joined) if joined.count(label) == 1))
    repeated = any(len(set(term)) != len(term) for term in (*operands, output))
    return None if repeated or not set(output) <= set(joined) else (operands, output)


def _contraction(equation: str) -> Contraction | None:
    """Read an equation that is a matrix product of at most one row, one column and one summed label."""
    terms = _terms(equation)
    if terms is None or len(terms[0]) != 2:
        return None
    (left, right), output = terms
    batch = "".join(label for label in output if label in left and label in right)
    m = "".join(label for label in left if label in output and label not in right)
    n = "".join(label for label in right if label in output and label not in left)
    k = "".join(label for label in left if label in right and label not in output)
    complete = set(left) == set(batch + m + k) and set(right) == set(batch + n + k)
    if not complete or len(k) != 1 or len(n) != 1 or not m or (batch and len(m) != 1):
        return None
    return Contraction(left, right, output, batch, m, k, n)


def _same_size(facts: Facts, match: Match, found: Contraction) -> bool:
    """Tell whether all shared labels have the same size on both sides: Einsum would broadcast a 1, MatMul would not."""
    sizes: list[dict[str, Any]] = []
    for value, term in ((match["a"], found.left), (match["b"], found.right)):
        shape = facts.shape(value)
        if shape is None or len(shape) != len(term):
            return False
        sizes.append(dict(zip(term, shape, strict=True)))
    left, right = sizes
    return all(left[label] == right[label] for label in found.batch + found.k)


def _permuted(build: Builder, value: Value, labels: str, wanted: str) -> Value:
    if labels == wanted:
        return value
    made: Value = build.op("Transpose", value, perm=[labels.index(label) for label in wanted])
    return made


def _to_matmul(build: Builder, match: Match) -> Value | None:
    found = _contraction(match["equation"]) if isinstance(match["equation"], str) else None
    if found is None or not _same_size(match.facts, match, found):
        return None
    a = _permuted(build, match["a"], found.left, found.batch + found.m + found.k)
    b = _permuted(build, match["b"], found.right, found.batch + found.k + found.n)
    product = build.op("MatMul", a, b)
    return _permuted(build, product, found.batch + found.m + found.n, found.output)


def _to_transpose(build: Builder, match: Match) -> Value | None:
    terms = _terms(match["equation"]) if isinstance(match["equation"], str) else None
    if terms is None or len(terms[0]) != 1 or len(terms[0][0]) != len(terms[1]):
        return None
    return _permuted(build, match["x"], terms[0][0], terms[1])


EINSUM_TO_MATMUL = Rule(
    name="einsum-to-matmul",
    doc="Lower Einsum to the MatMul, with transpositions, that it is.",
    match="Einsum(a, b, equation=equation)",
    replace=_to_matmul,
    where=(dtype_in("a", _FLOATS),),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=12,
)

EINSUM_TO_TRANSPOSE = Rule(
    name="einsum-to-transpose",
    doc="Lower Einsum of one operand that sums nothing to the Transpose that it is.",
    match="Einsum(x, equation=equation)",
    replace=_to_transpose,
    min_opset=12,
)

PASSES = (EINSUM_TO_MATMUL, EINSUM_TO_TRANSPOSE)
