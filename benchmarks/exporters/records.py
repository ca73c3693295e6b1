"""Hold what a comparison of exporters found, and lay it out as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import defs

from graphopt.measure.records import BenchReport
from graphopt.tables import Table

__all__ = ["Comparison", "Result", "Run", "differences", "functions", "spread", "table"]


@dataclass(frozen=True)
class Result:
    """What graphopt made of one export: `way` names exporter and opset, `status` is that of its verification.

    `apart` counts the nodes that only this result has or only the first one, names and values of weights aside.
    """

    way: str
    status: str
    operators: dict[str, int]
    apart: int


@dataclass(frozen=True)
class Comparison:
    """The results of all exports of one module, with `shapes` fixed or dynamic and of these opsets, for one target.

    In the report of timing the first entry is the first result, to which the ratios are.
    """

    module: str
    shapes: str
    opsets: str
    target: str
    results: tuple[Result, ...]
    latency: BenchReport | None = None


@dataclass(frozen=True)
class Run:
    """All comparisons on one machine, at one commit, with the versions of what exported and ran."""

    machine: str
    commit: str
    created: str
    versions: dict[str, str]
    comparisons: tuple[Comparison, ...]


def functions(names: Sequence[str]) -> list[str]:
    """Return the operators that stand for several simpler ones: the standard's functions and those of other domains."""
    return [name for name in names if "." in name or _is_function(name)]


def _is_function(name: str) -> bool:
    schema = defs.get_schema(name) if defs.has(name) else None
    return any(getattr(schema, told, False) for told in ("has_function", "has_context_dependent_function"))


def differences(results: Sequence[Result]) -> dict[str, list[int]]:
    """Return the operators whose counts differ, with the count of each result."""
    names = sorted({name for one in results for name in one.operators})
    counts = {name: [one.operators.get(name, 0) for one in results] for name in names}
    return {name: listed for name, listed in counts.items() if len(set(listed)) > 1}


def spread(report: BenchReport | None) -> float | None:
    """Return the latency of the slowest result over that of the fastest; None if none was timed."""
    if report is None:
        return None
    ratios = [1.0, *(entry.ratio.median for entry in report.entries[1:] if entry.ratio is not None)]
    return max(ratios) / min(ratios)


def table(comparisons: Sequence[Comparison]) -> Table:
    """Return one row for each module, kind of shapes and target; `latency` is the slowest over the fastest."""
    header = ("module", "shapes", "target", "opset", "right", "nodes", "functions", "differences", "apart", "latency")
    return Table(header, tuple(_row(one) for one in comparisons), "", frozenset({4, 5, 8, 9}))


def _row(one: Comparison) -> tuple[str, ...]:
    differ = differences(one.results)
    first = one.results[0].operators
    shared = [name for name in functions(sorted(first)) if name not in differ]
    nodes = sorted({sum(result.operators.values()) for result in one.results})
    ratio = spread(one.latency)
    return (
        one.module,
        one.shapes,
        one.target,
        one.opsets,
        f"{sum(result.status == 'same' for result in one.results)} of {len(one.results)}",
        "-".join(dict.fromkeys((str(nodes[0]), str(nodes[-1])))),
        ", ".join(f"{name} {first[name]}" for name in shared) or "none",
        ", ".join(f"{name} {'/'.join(map(str, counts))}" for name, counts in differ.items()) or "none",
        str(max(result.apart for result in one.results)),
        "" if ratio is None else f"{ratio:.3f}",
    )
