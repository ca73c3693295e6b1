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
    `extremes` puts the largest finite numbers into special feeds: only exact rewrites keep what overflows.
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
        feeds[spec.name] = _draw_one(spec, generator, resolve(spec, sizes), kind, hints)
    return feeds


def _draw_one(
    spec: InputSpec,
    generator: np.random.Generator,
    shape: tuple[int, ...],
    kind: FeedKind,
    hints: Mapping[str, Sequence[int]] | None,
) -> Array:
    if spec.dtype == "string":
        words = np.array(["", "a", "graph", "0", "1.5", "\u00e9t\u00e9"], object)
        return words[generator.integers(0, len(words), shape)].reshape(shape)
    dtype = dtype_named(spec.dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return _draw_integers(generator, shape, dtype, None if hints is None else hints.get(spec.name, ()))
    if dtype.kind == "c":
        return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(dtype)
    # An array even for shape ().
    drawn = np.asarray(generator.random(shape) if kind == "positive" else generator.standard_normal(shape))
    drawn = drawn.astype(dtype)
    return _sprinkle(drawn, generator, extremes=kind == "extreme") if kind in {"special", "extreme"} else drawn


def _draw_integers(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], values: Sequence[int] | None
) -> Array:
    info = np.iinfo(dtype)
    able = [value for value in values or () if info.min <= value <= info.max]
    if not able and values is not None and dtype.itemsize == 1:
        return generator.integers(info.min, info.max, shape, endpoint=True, dtype=np.int64).astype(dtype)
    drawn = np.asarray(generator.integers(0, 2, shape))
    if able and len(shape) < 1:
        drawn = np.asarray(able[int(generator.integers(0, len(able)))])
    elif able:
        chosen = np.array(able)[generator.integers(0, len(able), shape)]
        drawn = np.where(generator.random(shape) < 0.75, chosen, drawn)
    return drawn.astype(dtype)


def _sprinkle(array: Array, generator: np.random.Generator, *, extremes: bool) -> Array:
    import ml_dtypes

    info: Any = ml_dtypes.finfo(array.dtype)  # type: ignore[no-untyped-call]
    values = [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, float(info.smallest_subnormal)]
    values += [float(info.max), float(info.min)] if extremes else []
    flat = array.reshape(-1)
    if flat.size == 0:
        return array
    places = generator.choice(flat.size, min(flat.size, len(values)), replace=False)
    first = int(generator.integers(0, len(values)))
    for at, place in enumerate(places):
        flat[place] = values[(first + at) % len(values)]
    return flat.reshape(array.shape)
