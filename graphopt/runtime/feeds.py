"""Draw feeds for a model from the declared types of its inputs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from graphopt.runtime.frames import NARROW, NATIVE, Array, dtype_named
from graphopt.runtime.sizes import InputSpec, assignments, resolve, symbols_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FeedKind", "FeedsPlan", "InputSpec", "assignments", "draw", "undrawable"]

FeedKind = Literal["normal", "positive", "special", "extreme"]

_MAX_FEED_BYTES = 1 << 30


@dataclass(frozen=True)
class FeedsPlan:
    """What verification feeds a model.

    `given` feeds (a task's) replace drawn ones. `fixed` are sizes the user chose, `hints` are integers worth feeding
    to an input (`graphopt.runtime.harvest`), `random` says that the model draws random numbers itself, `nudgeable`
    holds initializers (by name) that are nudged to learn the model's conditioning where no input is a float.
    `weight_bytes` is the size of all weights, external ones too. `extremes` puts the largest finite numbers into
    special feeds: only exact rewrites keep what overflows.
    """

    specs: tuple[InputSpec, ...] = ()
    seed: int = 0
    given: tuple[Mapping[str, Array], ...] = ()
    fixed: Mapping[str, int] = field(default_factory=dict)
    hints: Mapping[str, Sequence[int]] = field(default_factory=dict)
    random: bool = False
    extremes: bool = False
    nudgeable: Mapping[str, Array] = field(default_factory=dict)
    custom_ops: tuple[str | Path, ...] = ()
    weight_bytes: int = 0


def undrawable(specs: Iterable[InputSpec]) -> str:
    """Name the first input that no feed can be drawn for, and why; empty if there is none."""
    for spec in specs:
        if not spec.drawable:
            return f"input {spec.name!r} is no tensor"
        if spec.dtype not in NATIVE and spec.dtype not in NARROW and spec.dtype != "string":
            return f"input {spec.name!r} has dtype {spec.dtype or 'unknown'}"
        least = math.prod(dim for dim in symbols_of(spec) if isinstance(dim, int))
        if least > _MAX_FEED_BYTES:
            return f"input {spec.name!r} has {least} elements"
    return ""


def draw(
    specs: Sequence[InputSpec],
    seed: int,
    sizes: Mapping[str, int],
    kind: FeedKind = "normal",
    hints: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Array]:
    """Draw an array for each input.

    Floats are normal, or uniform in [0, 1) for `positive`; `special` sprinkles NaN, infinities, zeros of both signs,
    and the smallest numbers, `extreme` the largest ones too. Integers are 0 and 1, a valid index nearly everywhere; if
    `hints` is given, the inputs it names draw from its lists, and other 8-bit ones from their whole range.
    """
    feeds = {}
    for spec in specs:
        digest = hashlib.sha256(f"{seed}/{spec.name}/{kind}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        shape = resolve(spec, sizes)
        values = None if hints is None else hints.get(spec.name, ())
        feeds[spec.name] = _draw_flat(spec.dtype, generator, math.prod(shape), kind, values).reshape(shape)
    return feeds


def _draw_flat(
    name: str, generator: np.random.Generator, count: int, kind: FeedKind, values: Sequence[int] | None
) -> Array:
    if name == "string":
        words = np.array(["", "a", "graph", "0", "1.5", "\u00e9t\u00e9"], object)
        return words[generator.integers(0, len(words), count)]
    dtype = dtype_named(name)
    if dtype.kind == "b":
        return generator.integers(0, 2, count).astype(dtype)
    if dtype.kind in "iu":
        return _draw_integers(generator, count, dtype, values)
    if dtype.kind == "c":
        return (generator.standard_normal(count) + 1j * generator.standard_normal(count)).astype(dtype)
    drawn = (generator.random(count) if kind == "positive" else generator.standard_normal(count)).astype(dtype)
    return _sprinkle(drawn, generator, extremes=kind == "extreme") if kind in {"special", "extreme"} else drawn


def _draw_integers(
    generator: np.random.Generator, count: int, dtype: np.dtype[Any], values: Sequence[int] | None
) -> Array:
    info = np.iinfo(dtype)
    able = [value for value in values or () if info.min <= value <= info.max]
    if not able and values is not None and dtype.itemsize == 1:
        return generator.integers(info.min, info.max, count, endpoint=True, dtype=np.int64).astype(dtype)
    drawn = generator.integers(0, 2, count)
    if able:
        chosen = np.array(able)[generator.integers(0, len(able), count)]
        # A single number selects a branch or a mode: 0 and 1 are no use beside the values it is compared with.
        drawn = np.where(generator.random(count) < 0.75, chosen, drawn) if count > 1 else chosen
    return drawn.astype(dtype)


def _sprinkle(array: Array, generator: np.random.Generator, *, extremes: bool) -> Array:
    import ml_dtypes

    info: Any = ml_dtypes.finfo(array.dtype)  # type: ignore[no-untyped-call]
    # Small arrays hold the first ones only.
    values = [float("nan"), float("inf"), float("-inf")]
    values += [float(info.max), float(info.min)] if extremes else []
    values += [-0.0, float(info.smallest_subnormal), 0.0]
    if array.size:
        places = generator.choice(array.size, min(array.size, len(values)), replace=False)
        array[places] = np.array(values[: len(places)]).astype(array.dtype)
    return array
