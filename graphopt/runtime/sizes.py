"""Propose sizes for symbolic dimensions, likely ones first."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

__all__ = ["InputSpec", "assignments", "resolve", "symbols_of"]

_SPATIAL = (64, 32, 128, 224, 256, 320, 512, 16, 8, 48, 640)
_PLAIN = (8, 16, 32, 64, 128, 256, 512, 576, 4, 2, 3, 1, 5, 7, 24, 48, 80, 96, 160, 384, 768, 1024, 288, 1536, 16000)
_BATCHES = (1, 2, 3)


@dataclass(frozen=True)
class InputSpec:
    """An input of a graph: `dtype` is numpy's name or `string`; a dim is a size, a symbol, or None if unknown.

    A negative size is unknown too: some exporters write -1, and runtimes take any size there.
    `dims` is None where the rank is unknown, `drawable` False for sequences, optionals and maps.
    """

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None
    drawable: bool = True


def symbols_of(spec: InputSpec) -> tuple[int | str, ...]:
    """Return the dims with a name for each unknown one; a rank that is unknown counts as 1."""
    dims = (None,) if spec.dims is None else spec.dims
    named = (f"{spec.name}@{axis}" for axis in range(len(dims)))
    return tuple(dim if _is_known(dim) else name for dim, name in zip(dims, named, strict=True))


def _is_known(dim: int | str | None) -> TypeGuard[int | str]:
    return dim >= 0 if isinstance(dim, int) else bool(dim)


def _evaluate(text: str, sizes: Mapping[str, int]) -> int | None:
    """Evaluate a dim that is written as sums and products of other dims; None if it is not."""
    if not re.fullmatch(r"[\w\s+*()/-]{1,200}", text):
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _fold(tree, sizes)


def _fold(tree: ast.expr, sizes: Mapping[str, int]) -> int | None:
    if isinstance(tree, ast.Name):
        return sizes.get(tree.id)
    if isinstance(tree, ast.Constant):
        return tree.value if type(tree.value) is int else None
    if not isinstance(tree, ast.BinOp):
        return None
    left, right = _fold(tree.left, sizes), _fold(tree.right, sizes)
    if left is None or right is None:
        return None
    if isinstance(tree.op, ast.Add):
        return left + right
    if isinstance(tree.op, ast.Sub):
        return left - right
    if isinstance(tree.op, ast.Mult):
        return left * right
    return left // right if isinstance(tree.op, ast.FloorDiv) and right else None


def resolve(spec: InputSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape of `spec` under `sizes`; a symbol without a size counts as 1."""
    shape = []
    for dim in symbols_of(spec):
        size = dim if isinstance(dim, int) else sizes.get(dim)
        if size is None:
            size = _evaluate(str(dim), sizes)
        shape.append(1 if size is None else max(size, 0))
    return tuple(shape)


@dataclass(frozen=True)
class _Roles:
    batch: tuple[str, ...]
    spatial: tuple[str, ...]
    other: tuple[str, ...]


def _roles(specs: Sequence[InputSpec]) -> _Roles:
    """Guess what each symbol means from where it stands first."""
    named = [symbols_of(spec) for spec in specs]
    atoms = {dim for dims in named for dim in dims if isinstance(dim, str)}
    batch: dict[str, None] = {}
    spatial: dict[str, None] = {}
    other: dict[str, None] = {}
    for spec, dims in zip(specs, named, strict=True):
        free = [(axis, dim) for axis, dim in enumerate(dims) if isinstance(dim, str)]
        for at, (axis, dim) in enumerate(free):
            if _evaluate(dim, dict.fromkeys(atoms - {dim}, 1)) is not None:
                continue
            leading = at == 0 and len(dims) > 1 and axis < len(dims) - 1 and not (len(dims) >= 4 and axis >= 2)
            image = len(dims) >= 4 and axis >= 1 and spec.dtype.startswith(("float", "uint8", "bfloat"))
            (batch if leading else spatial if image else other).setdefault(dim)
    rest = [dim for dim in other if dim not in batch]
    return _Roles(tuple(batch), tuple(dim for dim in spatial if dim not in batch and dim not in rest), tuple(rest))


def assignments(
    specs: Sequence[InputSpec], fixed: Mapping[str, int], avoid: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """Yield sizes for all symbols, likely ones first; `fixed` ones are kept, no other equals its size in `avoid`.

    Yields one empty assignment if there is nothing to choose.
    """
    roles = _roles(specs)
    seen: set[tuple[tuple[str, int], ...]] = set()
    for sizes in _proposals(roles, avoid):
        sizes |= {name: size for name, size in fixed.items() if name in sizes}
        if any(size == avoid.get(name) for name, size in sizes.items() if name not in fixed):
            continue
        key = tuple(sorted(sizes.items()))
        if key not in seen:
            seen.add(key)
            yield sizes


def _proposals(roles: _Roles, avoid: Mapping[str, int]) -> Iterator[dict[str, int]]:
    batches = [size for size in _BATCHES if size not in {avoid.get(name) for name in roles.batch}] or [4]
    inner = (*roles.spatial, *roles.other)
    if not inner:
        yield from (dict.fromkeys(roles.batch, size) for size in (*batches, 4, 8, 16))
        return
    wide = [size for size in _SPATIAL if size not in {avoid.get(name) for name in roles.spatial}]
    long = [size for size in _PLAIN if size not in {avoid.get(name) for name in roles.other}]
    for batch, shift in itertools.product(batches[:2], range(max(len(wide), len(long)))):
        size, length = wide[shift % len(wide)], long[shift % len(long)]
        base = (
            dict.fromkeys(roles.batch, batch) | dict.fromkeys(roles.spatial, size) | dict.fromkeys(roles.other, length)
        )
        yield base
        yield from _bent(base, inner, absent=bool(roles.other)) if shift < 3 else ()


def _bent(base: dict[str, int], inner: Sequence[str], *, absent: bool) -> Iterator[dict[str, int]]:
    """Yield variants of `base`: all lengths alike, one the sum of two others, one 1, and one 0 if `absent`."""
    if len(inner) < 2 or len(inner) > 8:
        return
    alike = base | dict.fromkeys(inner, max(base[name] for name in inner))
    yield alike
    yield from (alike | {name: 2 * alike[name]} for name in inner)
    yield from (base | {name: 2 * base[name]} for name in inner)
    yield from (base | {name: 1} for name in inner)
    yield from (base | {name: 0} for name in inner if absent)
