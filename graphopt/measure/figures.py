"""Find the figures that gates judge, with what noise leaves open of each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from graphopt.measure.gate import Figure
from graphopt.measure.records import BenchReport, Entry, Latency, Memory, RatioRecord, base_of
from graphopt.measure.results import ResultComparison
from graphopt.pipeline.report import Report

__all__ = ["bench_figures", "optimize_figures", "result_figures"]

Figures = Mapping[str, Callable[[str], Figure | None]]


def bench_figures(report: BenchReport) -> Figures:
    """Return the figures of each entry but the first, against what its ratio is to; of the first if it is alone."""
    first, *others = report.entries
    if not others:
        return {first.label: partial(_figure, report, None, first, None)}
    found = {}
    for entry in others:
        base = base_of(entry, report.entries)
        # Where the base failed, the ratio is to another entry, which nobody's gate is about.
        ratio = entry.ratio if entry.ratio is not None and entry.ratio.to == base.label else None
        found[entry.label] = partial(_figure, report, base, entry, ratio)
    return found


def result_figures(found: ResultComparison) -> Figures:
    """Return the figures of each entry of an old result, which is the base; those that the new one lacks have none."""
    missing: dict[str, Callable[[str], Figure | None]] = {entry.label: lambda _: None for entry in found.old.entries}
    return missing | {
        after.label: partial(_figure, found.new, before, after, found.ratios.get(after.label))
        for before, after in found.pairs
    }


def optimize_figures(report: Report) -> Figures:
    """Return the figures of an optimized model; the model before is the base."""

    def find(metric: str) -> Figure | None:
        if metric == "rel_err":
            return None if report.verification.max_error is None else Figure(report.verification.max_error)
        if metric == "latency":
            one = report.latency
            if one is None:
                return None
            low, high = min(one.low, one.ratio / one.twin_high), max(one.high, one.ratio / one.twin_low)
            return Figure(
                one.after_ms,
                one.before_ms,
                one.before_ms * one.low,
                one.before_ms * one.high,
                one.ratio,
                low,
                high,
            )
        pairs = {
            "size": (report.after_bytes, report.before_bytes),
            "parameters": (report.after.parameters, report.before.parameters),
            "nodes": (report.after.nodes, report.before.nodes),
            "macs": (report.after.macs, report.before.macs),
        }
        value, base = pairs.get(metric, (None, None))
        return None if value is None else Figure(value, base)

    return {report.output or report.model: find}


def _figure(
    report: BenchReport, base: Entry | None, entry: Entry, ratio: RatioRecord | None, metric: str
) -> Figure | None:
    if entry.trouble:
        return None
    if metric == "latency":
        return _latency(entry.latency, None if base is None else base.latency, ratio, report.twin)
    if metric == "memory":
        return _memory(entry.memory, None if base is None else base.memory, report)
    value, other = _plain(entry, metric), None if base is None else _plain(base, metric)
    return None if value is None else Figure(value, other)


def _plain(entry: Entry, metric: str) -> float | None:
    quality = entry.quality
    if metric == "rel_err":
        return None if quality is None else math.nan if quality.error is None else quality.error
    if metric == "score":
        return None if quality is None else quality.score
    found: dict[str, float | None] = {
        "size": entry.file_bytes,
        "parameters": entry.parameters,
        "nodes": entry.nodes,
        "macs": entry.macs,
    }
    return found[metric]


def _latency(
    found: Latency | None, base: Latency | None, ratio: RatioRecord | None, twin: RatioRecord | None
) -> Figure | None:
    if found is None:
        return None
    low, high = median_interval(found.rounds_ms)
    if base is None or ratio is None:
        return Figure(found.median_ms, None, low, high)
    noise_low, noise_high = (twin.low, twin.high) if twin is not None else (1.0, 1.0)
    return Figure(
        found.median_ms,
        base.median_ms,
        low,
        high,
        ratio.median,
        min(ratio.low, ratio.median / noise_high),
        max(ratio.high, ratio.median / noise_low),
    )


def _memory(found: Memory | None, base: Memory | None, report: BenchReport) -> Figure | None:
    if found is None:
        return None
    # What two processes of the same model differ by is noise.
    first, twin = report.entries[0].memory, report.twin_memory
    noise = abs(first.model_bytes - twin.model_bytes) if first is not None and twin is not None else 0
    value = found.model_bytes
    return Figure(value, None if base is None else base.model_bytes, value - noise, value + noise)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median by order statistics (Conover, Practical Nonparametric Statistics, 3.2)."""
    ordered, count = sorted(values), len(values)
    if count < 6:
        return (ordered[0], ordered[-1]) if ordered else (math.nan, math.nan)
    reach = 1.96 * math.sqrt(count) / 2
    low, high = math.floor(count / 2 - reach), math.ceil(count / 2 + reach)
    middle = statistics.median(ordered)
    return min(middle, ordered[max(low, 0)]), max(middle, ordered[min(high, count - 1)])
