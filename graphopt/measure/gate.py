"""Fail on a threshold of the user's: read expressions such as `latency>+5%`, and judge what was measured by them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphopt.errors import GraphOptError, UsageError, nearest

__all__ = ["METRICS", "Figure", "Gate", "ThresholdMissed", "judge", "parse_gate", "parse_gates"]

_UNITS: Mapping[str, Mapping[str, float]] = {
    "time": {"ms": 1.0, "us": 1e-3, "s": 1e3, "": 1.0},
    "bytes": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1},
    "count": {"": 1, "k": 1e3, "M": 1e6, "G": 1e9},
    "plain": {"": 1},
}

METRICS: Mapping[str, str] = {
    "latency": "time",
    "memory": "bytes",
    "size": "bytes",
    "parameters": "count",
    "macs": "count",
    "nodes": "count",
    "rel_err": "plain",
    "score": "plain",
}
"""What can be gated, and the kind of its unit."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w*")
_EXAMPLE = "for example latency>+5%, rel_err>0.01, size>10MB or score<-0.01"


class ThresholdMissed(GraphOptError):  # noqa: N818 - it names an event
    """Report thresholds of the user's that were missed."""

    exit_code = 1


@dataclass(frozen=True)
class Gate:
    """A condition that must not hold: `metric` above (`sign` 1) or below (-1) `bound`.

    `kind` is `absolute`, `change` (difference from the base, in the metric's unit) or `share` (of the base, as a
    ratio less 1). `closed` counts the bound itself as missed. `text` is as written.
    """

    text: str
    metric: str
    sign: int
    bound: float
    kind: str = "absolute"
    closed: bool = False


@dataclass(frozen=True)
class Figure:
    """What was measured of one metric: its `value`, `base` that of the base, None where there is none.

    Noise leaves open what lies between `low` and `high`, and for the ratio to the base between `ratio_low` and
    `ratio_high`; all None where the figure is exact.
    """

    value: float
    base: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Parse expressions; raises `UsageError` for the first that is wrong."""
    return tuple(parse_gate(text) for text in texts)


def parse_gate(text: str) -> Gate:
    """Parse `METRIC OP VALUE`; a sign makes the value one of the change from the base, `%` a share of it.

    Raises `UsageError` with the column of what is wrong, from 1.
    """
    name, at = _take(_NAME, text, 0)
    if name not in METRICS:
        known = f"known: {', '.join(METRICS)}"
        raise _wrong(
            text, at - len(name), f"unknown metric {name!r}" if name else "no metric", nearest(name, METRICS) or known
        )
    operator, at = _take(re.compile(r"[<>]=?"), text, at)
    if not operator:
        raise _wrong(text, at, "expected <, >, <= or >=", _EXAMPLE)
    number, at = _take(_NUMBER, text, at)
    if not number or not math.isfinite(float(number)):
        raise _wrong(text, at, "expected a number", _EXAMPLE)
    unit = text[at:].strip()
    signed = number[0] in "+-"
    if signed and name == "rel_err":
        raise _wrong(text, at - len(number), "rel_err is measured against the base already", "leave out the sign")
    if unit == "%" and signed:
        scale, kind = 0.01, "share"
    else:
        scale, kind = _scale(text, at, name, unit), "change" if signed else "absolute"
    return Gate(text, name, 1 if operator[0] == ">" else -1, float(number) * scale, kind, operator.endswith("="))


def _scale(text: str, at: int, name: str, unit: str) -> float:
    units = _UNITS[METRICS[name]]
    if unit in units:
        return float(units[unit])
    if unit == "%":
        raise _wrong(text, at, "a percentage is of the base and needs a sign", f"for example {name}>+5%")
    known = ", ".join(filter(None, units)) or "none"
    raise _wrong(text, at, f"unknown unit {unit!r} of {name}", nearest(unit, units) or f"known: {known}")


def _take(pattern: re.Pattern[str], text: str, at: int) -> tuple[str, int]:
    """Return what matches at `at` after blanks, and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    found = pattern.match(text, at)
    return (found[0], found.end()) if found else ("", at)


def _wrong(text: str, at: int, what: str, advice: str) -> UsageError:
    return UsageError(f"--fail-if {text!r}: {what} at column {at + 1}", advice=advice)


def judge(gates: Sequence[Gate], figures: Mapping[str, Callable[[str], Figure | None]]) -> list[str]:
    """Say in one line each which gates are missed; `figures` finds a metric of each entry that is judged.

    A gate is missed only if what noise leaves open lies beyond its bound as a whole. A figure that is not there
    misses every gate on it, as nothing shows that it holds.
    """
    lines = []
    for gate in gates:
        for label, find in figures.items():
            if line := _judge(gate, find(gate.metric)):
                lines.append(f"{label}: {line}")
    return lines


def _judge(gate: Gate, figure: Figure | None) -> str:
    if figure is None or (gate.kind != "absolute" and figure.base is None):
        return f"{gate.metric} was not measured, so that {gate.text!r} is not known to hold"
    value, near = _ends(gate, figure)
    beyond = gate.sign * (near - gate.bound)
    if not (beyond > 0 or (gate.closed and beyond == 0) or math.isnan(value)):
        return ""
    spread = (
        ""
        if near == value
        else f", at least {_shown(gate, near)}"
        if gate.sign > 0
        else f", at most {_shown(gate, near)}"
    )
    return f"{gate.metric} is {_shown(gate, value)}{spread}; the bound is {gate.text!r}"


def _ends(gate: Gate, figure: Figure) -> tuple[float, float]:
    """Return a figure as the gate sees it, and the end of what noise leaves open that is nearest to fulfilling it."""
    low, high = (figure.value if end is None else end for end in (figure.low, figure.high))
    near = low if gate.sign > 0 else high
    if gate.kind == "absolute":
        return figure.value, near
    base = figure.base or 0.0
    if gate.kind == "share" and figure.ratio is not None:
        end = figure.ratio_low if gate.sign > 0 else figure.ratio_high
        return figure.ratio - 1, (figure.ratio if end is None else end) - 1
    if gate.kind == "change":
        return figure.value - base, near - base
    return tuple(
        (end / base - 1) if base else math.copysign(math.inf, end) if end else 0.0 for end in (figure.value, near)
    )  # type: ignore[return-value]


def _shown(gate: Gate, value: float) -> str:
    if gate.kind == "share":
        return f"{value:+.2%}"
    unit = {"time": " ms", "bytes": " B"}.get(METRICS[gate.metric], "")
    return f"{value:+.6g}{unit}" if gate.kind == "change" else f"{value:.6g}{unit}"
