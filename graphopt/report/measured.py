"""View a measurement: one row for each entry, and the sentences that a reader must not miss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from graphopt.measure.compare import verdict
from graphopt.measure.records import BenchReport, Entry, OpenLoad, RatioRecord
from graphopt.measure.results import ResultComparison, ResultRow
from graphopt.report.views import human_bytes, human_count
from graphopt.tables import Table, plain

__all__ = ["bench_lines", "bench_tables", "ratio_text", "result_lines", "result_tables"]

T = TypeVar("T")


def bench_tables(report: BenchReport) -> list[Table]:
    """Return the table of entries, that of what each costs, and those of load where some was put on."""
    found = [_entries(report), _costs(report)]
    if any(entry.throughput for entry in report.entries):
        found.append(_throughput(report))
    if any(entry.open_load for entry in report.entries):
        found.append(_open_load(report))
    return found


def _entries(report: BenchReport) -> Table:
    header: tuple[str, ...] = ("", "ep", "load", "first", "min", "median", "p90", "p99", "ratio", "error", "score")
    rows = [_row(entry) for entry in report.entries]
    numeric = frozenset(range(2, len(header)))
    if _several_bases(report):
        header = (*header, "ratio to")
        rows = [(*row, entry.ratio.to if entry.ratio else "-") for row, entry in zip(rows, report.entries, strict=True)]
    alike = len({entry.threads for entry in report.entries}) == 1
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}, " if alike else ""
    return Table(header, tuple(rows), f"{threads}inputs {report.source}", numeric, "entries")


def _several_bases(report: BenchReport) -> bool:
    """Tell whether a ratio is to another entry than the first row."""
    return any(entry.ratio and entry.ratio.to != report.entries[0].label for entry in report.entries)


def _row(entry: Entry) -> tuple[str, ...]:
    latency, quality = entry.latency, entry.quality
    # A percentile of few samples is noise; a blank would not say so.
    few = "n < 1000" if latency is not None and latency.p99_ms is None else None
    return (
        entry.label,
        f"{entry.ep} (software adapter)" if entry.software else entry.ep,
        _ms(entry.load_ms),
        _ms(entry.first_ms),
        _ms(None if latency is None else latency.min_ms),
        _ms(None if latency is None else latency.median_ms),
        _ms(None if latency is None else latency.p90_ms),
        few or _ms(None if latency is None else latency.p99_ms),
        "not timed" if entry.software else "failed" if entry.trouble else _shown(entry.ratio, ratio_text),
        "-" if quality is None or quality.error is None else f"{quality.error:.1e}{' WRONG' if quality.wrong else ''}",
        "-" if quality is None or quality.score is None else f"{quality.score:.4g}",
    )


def _costs(report: BenchReport) -> Table:
    header = ("", "peak memory", "above the runtime", "file", "parameters", "MACs", "energy")
    rows = tuple(
        (
            entry.label,
            _shown(entry.memory, lambda memory: human_bytes(memory.peak_bytes)),
            _shown(entry.memory, lambda memory: human_bytes(memory.model_bytes)),
            human_bytes(entry.file_bytes),
            human_count(entry.parameters),
            human_count(entry.macs),
            "unavailable" if entry.energy_j is None else f"{entry.energy_j * 1e3:.3g} mJ",
        )
        for entry in report.entries
    )
    return Table(header, rows, "", frozenset(range(1, len(header))), "costs")


def _throughput(report: BenchReport) -> Table:
    header = ("", "callers", "inferences/s", "median", "p90")
    rows = tuple(
        (entry.label, str(one.concurrency), f"{one.per_second:.1f}", _ms(one.median_ms), _ms(one.p90_ms))
        for entry in report.entries
        for one in entry.throughput
    )
    return Table(header, rows, "callers that wait for their result", frozenset(range(1, 5)), "throughput")


def _open_load(report: BenchReport) -> Table:
    header = ("", "due/s", "served/s", "requests", "median", "p90", "p99", "began late")
    rows = tuple(_open_row(entry.label, entry.open_load) for entry in report.entries if entry.open_load is not None)
    return Table(header, rows, "requests at random moments, timed from when due", frozenset(range(1, 8)), "open_load")


def _open_row(label: str, one: OpenLoad) -> tuple[str, ...]:
    return (
        label,
        f"{one.rate:g}",
        f"{one.per_second:.1f}",
        str(one.requests),
        _ms(one.median_ms),
        _ms(one.p90_ms),
        "n < 1000" if one.p99_ms is None else _ms(one.p99_ms),
        f"{one.behind:.1%}" + (", DOES NOT KEEP UP" if one.unserved else ""),
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
        to = f", against {entry.ratio.to}" if entry.ratio and _several_bases(report) else ""
        lines += [f"{plain(entry.label)}: {plain(line)}" for line in _entry_lines(entry, to)]
    lines += _crowded(report)
    lines.append(f"energy: {report.energy}")
    env = report.environment
    about = ", ".join(f"{key} {env[key]}" for key in ("processor", "cores", "governor", "turbo") if key in env)
    lines.append(plain(f"environment {report.environment_hash}: {about}"))
    lines.append(plain(f"load average before {env.get('load before', '-')}, after {env.get('load after', '-')}"))
    return lines


def _crowded(report: BenchReport) -> Iterator[str]:
    """Say that threads had to share cores."""
    cores, most = report.environment.get("cores", ""), max(entry.threads for entry in report.entries)
    if cores.isdecimal() and most > int(cores):
        are = "core is" if cores == "1" else "cores are"
        yield f"{most} threads were asked for where {cores} {are} available: they share them"


def _entry_lines(entry: Entry, to: str) -> Iterator[str]:
    yield f"{verdict(entry)}{to}"
    for share in entry.shares:
        macs = "" if share.mac_share is None else f" and {share.mac_share:.0%} of the MACs"
        yield f"{share.node_share:.0%} of the nodes{macs} on {share.provider}"
    if entry.chosen:
        yield ", ".join(f"{key} {value}" for key, value in entry.chosen.items())
    yield from entry.notes


def result_tables(found: ResultComparison) -> list[Table]:
    """Return the table of two results, label by label."""
    rows = tuple(map(_result_row, found.rows))
    header = ("", "old median", "new median", "ratio", "old memory", "new memory", "old error", "new error", "score")
    title = f"{found.old.created} against {found.new.created}, not in turns"
    return [Table(header, rows, title, frozenset(range(1, len(header))), "results")]


def _result_row(row: ResultRow) -> tuple[str, ...]:
    pair = (row.old, row.new)
    return (
        row.label,
        *(_ms(one.median_ms) for one in pair),
        _shown(row.ratio, ratio_text),
        *(_shown(one.memory_bytes, human_bytes) for one in pair),
        *(_shown(one.error, "{:.1e}".format) for one in pair),
        " -> ".join(_shown(one.score, "{:.4g}".format) for one in pair),
    )


def result_lines(found: ResultComparison) -> list[str]:
    """Return what a reader of two results must not miss."""
    lines = [f"NOT MEASURED ALIKE: {plain(line)}" for line in found.unlike]
    lines += [f"the model is another one now: {plain(label)}" for label in found.changed]
    lines += [f"only one of both has {plain(label)}" for label in found.alone]
    lines += [
        f"{plain(entry.label)}: {plain(verdict(entry))}"
        for entry in found.new.entries
        if entry.trouble or (entry.quality is not None and entry.quality.wrong)
    ]
    return lines


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} ms" if value < 100 else f"{value:.0f} ms"


def _shown(value: T | None, show: Callable[[T], str]) -> str:
    return "-" if value is None else show(value)
