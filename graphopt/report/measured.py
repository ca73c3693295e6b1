"""View a measurement: one row for each entry, and the sentences that a reader must not miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from graphopt.measure.records import BenchReport, Entry, RatioRecord
from graphopt.report.views import human_bytes
from graphopt.tables import Table, plain

__all__ = ["bench_lines", "bench_tables"]

T = TypeVar("T")


def bench_tables(report: BenchReport) -> list[Table]:
    """Return the table of entries."""
    header = ("", "ep", "load", "first", "median", "p90", "ratio", "error", "peak memory", "file")
    rows = tuple(_row(entry) for entry in report.entries)
    title = f"{report.threads} thread{'s' if report.threads > 1 else ''}, inputs {report.source}"
    return [Table(header, rows, title, frozenset(range(2, len(header))), "entries")]


def _row(entry: Entry) -> tuple[str, ...]:
    latency = entry.latency
    return (
        entry.label,
        f"{entry.ep} (software adapter)" if entry.software else entry.ep,
        _ms(entry.load_ms),
        _ms(entry.first_ms),
        _ms(None if latency is None else latency.median_ms),
        _ms(None if latency is None else latency.p90_ms),
        "not timed" if entry.software else _shown(entry.ratio, ratio_text),
        _shown(entry.quality, lambda quality: "-" if quality.error is None else f"{quality.error:.1e}"),
        _shown(entry.memory, lambda memory: human_bytes(memory.peak_bytes)),
        human_bytes(entry.file_bytes),
    )


def ratio_text(ratio: RatioRecord) -> str:
    """Print a ratio with its interval."""
    word = " (no difference)" if ratio.no_difference else ""
    return f"{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]{word}"


def bench_lines(report: BenchReport) -> list[str]:
    """Return the sentences that a reader must not miss."""
    lines = []
    if report.twin is not None:
        lines.append(f"the first against itself: {ratio_text(report.twin)}, the noise floor")
    for entry in report.entries:
        lines += [
            f"{plain(entry.label)}: {share.node_share:.0%} of the nodes on {plain(share.provider)}"
            for share in entry.shares
        ]
        chosen = ", ".join(f"{key} {value}" for key, value in entry.chosen.items())
        lines.append(f"{plain(entry.label)}: {plain(chosen)}")
    return lines


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} ms" if value < 100 else f"{value:.0f} ms"


def _shown(value: T | None, show: Callable[[T], str]) -> str:
    return "-" if value is None else show(value)
