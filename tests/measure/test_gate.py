"""Gates: what they read, and that noise never fails one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphopt.errors import UsageError
from graphopt.measure.figures import median_interval
from graphopt.measure.gate import METRICS, Figure, Gate, judge, parse_gate


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("latency>+5%", ("latency", 1, 0.05, "share", False)),
        (" latency >= -10 % ", ("latency", 1, -0.1, "share", True)),
        ("latency>5ms", ("latency", 1, 5.0, "absolute", False)),
        ("latency > 50 us", ("latency", 1, 0.05, "absolute", False)),
        ("size>10MB", ("size", 1, 10e6, "absolute", False)),
        ("size>+1KiB", ("size", 1, 1024.0, "change", False)),
        ("memory>+10%", ("memory", 1, 0.1, "share", False)),
        ("rel_err>1e-2", ("rel_err", 1, 0.01, "absolute", False)),
        ("score<-0.01", ("score", -1, -0.01, "change", False)),
        ("score<.9", ("score", -1, 0.9, "absolute", False)),
        ("macs<=2M", ("macs", -1, 2e6, "absolute", True)),
    ],
)
def test_expressions_are_read(text: str, gate: tuple[str, int, float, str, bool]) -> None:
    found = parse_gate(text)
    assert (found.metric, found.sign, found.kind, found.closed) == (gate[0], gate[1], gate[3], gate[4])
    assert math.isclose(found.bound, gate[2])
    assert found.text == text


@pytest.mark.parametrize(
    ("text", "words", "advice"),
    [
        ("latncy>5ms", "unknown metric 'latncy' at column 1", "did you mean 'latency'?"),
        ("", "no metric at column 1", "known: latency"),
        ("latency=5", "expected <, >, <= or >= at column 8", "for example"),
        ("latency>fast", "expected a number at column 9", "for example"),
        ("latency>5%", "needs a sign at column 10", "latency>+5%"),
        ("latency>5 parsecs", "unknown unit 'parsecs' of latency at column 10", "ms"),
        ("rel_err>+0.1", "against the base already at column 9", "leave out the sign"),
        ("score<0.9 and more", "unknown unit 'and more' of score at column 10", "known: none"),
    ],
)
def test_what_is_wrong_is_named_with_its_column(text: str, words: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gate(text)
    assert words in caught.value.what
    assert advice in caught.value.advice
    assert caught.value.exit_code == 2


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_gate(text)
    except UsageError:
        return
    assert found.metric in METRICS
    assert math.isfinite(found.bound)


def missed(text: str, figure: Figure | None) -> bool:
    return bool(judge([parse_gate(text)], {"new": lambda _: figure}))


SLOWER = Figure(10.6, 10.0, 10.4, 10.8, 1.06, 1.051, 1.07)
UNSURE = Figure(10.6, 10.0, 10.4, 10.8, 1.06, 1.049, 1.07)


def test_a_latency_gate_needs_the_whole_interval_beyond_its_bound() -> None:
    assert missed("latency>+5%", SLOWER)
    assert not missed("latency>+5%", UNSURE)
    assert missed("latency>10.3ms", SLOWER)
    assert not missed("latency>10.5ms", SLOWER)
    # Demanding 10 % less time: a model that is surely no faster misses it.
    assert missed("latency>-10%", SLOWER)
    assert not missed("latency>-10%", Figure(9.2, 10.0, 9.1, 9.3, 0.92, 0.89, 0.95))
    assert missed("latency<+8%", SLOWER)
    assert not missed("latency<+6.5%", SLOWER)


def test_other_gates() -> None:
    assert missed("size>+1kB", Figure(3001, 2000))
    assert not missed("size>+1kB", Figure(3000, 2000))
    assert missed("size>=+1kB", Figure(3000, 2000))
    assert missed("size>+49%", Figure(3000, 2000))
    assert not missed("size>+50%", Figure(3000, 2000))
    assert missed("score<-0.01", Figure(0.97, 0.99))
    assert not missed("score<-0.01", Figure(0.985, 0.99))
    assert missed("size>+1%", Figure(1, 0))
    assert not missed("size>+1%", Figure(0, 0))
    assert missed("memory>+10%", Figure(130, 100, 115, 145))
    assert not missed("memory>+10%", Figure(130, 100, 105, 155))


def test_what_was_not_measured_misses_its_gate() -> None:
    assert missed("latency>5ms", None)
    assert missed("score<-0.1", Figure(0.9, None))
    assert missed("rel_err>0.1", Figure(math.nan))
    assert judge([Gate("x", "score", -1, 0.5)], {"new": lambda _: None}) == [
        "new: score was not measured, so that 'x' is not known to hold"
    ]


def test_a_missed_gate_says_figure_and_bound() -> None:
    (line,) = judge([parse_gate("latency>+5%")], {"new": lambda _: SLOWER})
    assert line == "new: latency is +6.00%, at least +5.10%; the bound is 'latency>+5%'"
    (line,) = judge([parse_gate("size>1kB")], {"new": lambda _: Figure(2048)})
    assert line == "new: size is 2048 B; the bound is 'size>1kB'"


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=60))
def test_the_interval_of_a_median_holds_it(values: list[float]) -> None:
    low, high = median_interval(values)
    ordered = sorted(values)
    assert ordered[0] <= low <= ordered[len(values) // 2] <= high <= ordered[-1]
