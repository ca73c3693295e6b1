from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from graphopt.runtime.feeds import FeedKind, InputSpec, assignments, draw, undrawable
from graphopt.runtime.frames import NARROW, NATIVE
from graphopt.runtime.sizes import resolve, symbols_of

X = InputSpec("x", "float32", ("n", 3, 16))


@pytest.mark.parametrize("dtype", [*sorted(NATIVE | NARROW - {"float8_e8m0fnu"}), "string"])
@pytest.mark.parametrize("kind", ["normal", "positive", "special", "extreme"])
def test_a_drawn_array_has_the_declared_dtype_and_shape(dtype: str, kind: FeedKind) -> None:
    for dims in ((), (0,), ("n", 3), (None, "m")):
        array = draw([InputSpec("x", dtype, dims)], 1, {"n": 5, "m": 2, "x@0": 7}, kind)["x"]
        assert isinstance(array, np.ndarray)
        assert array.dtype.name == ("object" if dtype == "string" else dtype)
        assert array.shape == {(): (), (0,): (0,), ("n", 3): (5, 3), (None, "m"): (7, 2)}[dims]


def test_draws_repeat_by_seed_and_differ_by_input_kind_and_seed() -> None:
    specs = [X, InputSpec("z", "float32", ("n", 3, 16))]
    first, again = (draw(specs, 4, {"n": 2}) for _ in range(2))
    assert np.array_equal(first["x"], again["x"])
    others = [first["z"], draw(specs, 5, {"n": 2})["x"], draw(specs, 4, {"n": 2}, "positive")["x"]]
    assert not any(np.array_equal(first["x"], other) for other in others)


def test_special_feeds_hold_every_special_value() -> None:
    array = draw([X], 0, {"n": 1}, "special")["x"]
    zeros = array[array == 0]
    assert np.isnan(array).any()
    assert np.isposinf(array).any()
    assert np.isneginf(array).any()
    assert {bool(sign) for sign in np.signbit(zeros)} == {True, False}
    assert (array == np.float32(1e-45)).any()
    assert np.isfinite(array).mean() > 0.9
    largest = np.finfo(np.float32).max
    assert not (np.abs(array) == largest).any()
    assert (np.abs(draw([X], 0, {"n": 1}, "extreme")["x"]) == largest).sum() == 2


def test_integers_are_safe_indices_unless_hinted() -> None:
    spec = InputSpec("i", "int64", (100,))
    assert set(draw([spec], 0, {})["i"].tolist()) == {0, 1}
    assert {7, 9} < set(draw([spec], 0, {}, hints={"i": [7, 9]})["i"].tolist()) <= {0, 1, 7, 9}
    scalar = InputSpec("i", "int64", ())
    assert draw([scalar], 0, {}, hints={"i": [16000]})["i"].tolist() == 16000


def test_bytes_use_their_whole_range_when_hints_are_asked_for() -> None:
    spec = InputSpec("i", "uint8", (500,))
    assert draw([spec], 0, {})["i"].max() == 1
    assert draw([spec], 0, {}, hints={})["i"].max() > 200
    assert draw([spec], 0, {}, hints={"i": [300]})["i"].max() > 200


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (InputSpec("x", "", None, drawable=False), "no tensor"),
        (InputSpec("x", "int4", (2,)), "dtype int4"),
        (InputSpec("x", "float32", (2**40, "n")), "elements"),
    ],
)
def test_what_cannot_be_drawn_is_named(spec: InputSpec, why: str) -> None:
    assert why in undrawable([X, spec])
    assert not undrawable([X])


def _first(specs: list[InputSpec], accept: object) -> int:
    """Count the tries until `accept` (a function of shapes) holds."""
    for count, sizes in enumerate(assignments(specs, {}, {}), 1):
        if accept(*(resolve(spec, sizes) for spec in specs)):  # type: ignore[operator]
            return count
    return 10**9


def test_likely_sizes_come_early() -> None:
    image = [InputSpec("x", "float32", ("b", 3, "h", "w"))]
    assert _first(image, lambda x: x[2] % 32 == 0 and x[3] % 32 == 0) == 1
    text = [InputSpec("i", "int64", ("b", "s")), InputSpec("m", "int64", ("b", "s"))]
    assert _first(text, lambda i, m: i == m and i[1] > 1) == 1
    audio = [InputSpec("x", "float32", (None, None)), InputSpec("h", "float32", (2, None, 128))]
    assert _first(audio, lambda x, h: x[0] == h[1] and x[1] in {512, 576}) < 10
    past = [*text[:1], InputSpec("m", "int64", ("b", "t")), InputSpec("k", "float32", ("b", 4, "p", 8))]
    assert _first(past, lambda i, m, k: i[0] == m[0] == k[0] and m[1] == i[1] + k[2]) < 20


def test_dims_written_as_sums_follow_the_others() -> None:
    specs = [InputSpec("i", "int64", ("b", "s")), InputSpec("m", "int64", ("b", "past + s"))]
    specs.append(InputSpec("k", "float32", ("b", 4, "past", 8)))
    for sizes in itertools.islice(assignments(specs, {}, {}), 10):
        assert resolve(specs[1], sizes)[1] == sizes["past"] + sizes["s"]


def test_a_second_assignment_changes_every_free_size() -> None:
    specs = [InputSpec("x", "float32", ("b", 3, "h", "w")), InputSpec("i", "int64", ("b", "s"))]
    first = next(assignments(specs, {"h": 48}, {}))
    assert first["h"] == 48
    free = {name: size for name, size in first.items() if name != "h"}
    second = next(assignments(specs, {"h": 48}, free))
    assert second["h"] == 48
    assert all(second[name] != size for name, size in free.items())


def test_there_is_one_assignment_without_symbols_and_few_with_many() -> None:
    assert list(assignments([InputSpec("x", "float32", (1, 3))], {}, {})) == [{}]
    many = [InputSpec(f"x{at}", "float32", (f"a{at}", f"b{at}", f"c{at}")) for at in range(30)]
    found = list(assignments(many, {}, {}))
    assert 0 < len(found) < 200
    assert all(math.prod(resolve(spec, sizes)) < 2**32 for sizes in found for spec in many)


def test_a_negative_size_is_any_size() -> None:
    spec = InputSpec("x", "float32", (-1, 3, 0))
    assert symbols_of(spec) == ("x@0", 3, 0)
    assert [sizes["x@0"] for sizes in itertools.islice(assignments([spec], {}, {}), 2)] == [1, 2]
    assert draw([spec], 0, {"x@0": 5})["x"].shape == (5, 3, 0)
