"""View a report: the before/after table, the rewrites, the time by pass, and loud lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from graphopt.pipeline.report import LatencyRecord, Report, VerifyRecord
from graphopt.report.tuned import tuning_tables
from graphopt.tables import Table, plain

__all__ = ["human_bytes", "human_count", "loud_lines", "report_tables"]


def human_bytes(count: float) -> str:
    """Print a number of bytes with a binary prefix."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def human_count(count: float | None) -> str:
    """Print a count with a decimal prefix; a dash if it is not known."""
    if count is None:
        return "-"
    for unit in ("", "k", "M", "G"):
        if abs(count) < 1000:
            return f"{count:.0f}" if unit == "" else f"{count:.2f}{unit}"
        count /= 1000
    return f"{count:.2f}T"


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None or not before:
        return ""
    return "" if before == after else f"{(after - before) / before:+.1%}"


def report_tables(report: Report) -> list[Table]:
    """Return the tables of a report: before and after, rewrites by rule, time by pass, what was measured to choose."""
    return [_before_after(report), *_rules(report), _passes(report), *tuning_tables(report.tuning)]


def _before_after(report: Report) -> Table:
    before, after = report.before, report.after
    rows = [
        _row("nodes", before.nodes, after.nodes, str),
        _row("parameters", before.parameters, after.parameters, human_count),
        _row("file size", report.before_bytes, report.after_bytes, human_bytes),
        _row("MACs (symbolic sizes as 1)", before.macs, after.macs, human_count),
        _latency(report.latency),
        ("largest error", "", _error(report.verification), _tolerance(report.verification)),
    ]
    names = [*before.operators, *(name for name in after.operators if name not in before.operators)]
    for name in names:
        old, new = before.operators.get(name, 0), after.operators.get(name, 0)
        rows.append((f"  {name}", str(old), str(new), f"{new - old:+d}" if new != old else ""))
    return Table(("", "before", "after", "change"), tuple(rows), report.model, frozenset({1, 2, 3}))


def _row(name: str, before: float | None, after: float | None, show: Callable[[Any], str]) -> tuple[str, ...]:
    return name, show(before), show(after), _change(before, after)


def _latency(record: LatencyRecord | None) -> tuple[str, ...]:
    if record is None:
        return "latency", "-", "-", "not measured (--latency)"
    word = " (no difference)" if record.no_difference else ""
    change = f"{record.ratio - 1:+.1%} [{record.low - 1:+.1%}, {record.high - 1:+.1%}]{word}"
    return f"latency, {record.threads} thread", f"{record.before_ms:.3f} ms", f"{record.after_ms:.3f} ms", change


def _error(record: VerifyRecord) -> str:
    if record.status == "same" and record.bit_identical:
        return "0 (bit-identical)"
    return "-" if record.max_error is None else f"{record.max_error:.1e}"


def _tolerance(record: VerifyRecord) -> str:
    return "" if record.tolerance is None else f"allowed {record.tolerance:.0e}"


def _rules(report: Report) -> Iterator[Table]:
    if report.rules:
        rows = sorted(report.rules.items(), key=lambda item: (-item[1], item[0]))
        yield Table(("rewrite", "times"), tuple((name, str(count)) for name, count in rows), "", frozenset({1}))


def _passes(report: Report) -> Table:
    rows = [(each.name, str(each.changes), f"{each.seconds * 1e3:.0f} ms") for each in report.passes]
    return Table(("pass", "changes", "time"), tuple(rows), "", frozenset({1, 2}))


def loud_lines(report: Report) -> list[str]:
    """Return the sentences that a user must not miss."""
    lines = [f"note: {plain(note)}" for note in report.notes]
    if report.fast_math:
        lines.append(f"FAST MATH: NaN and infinities may be hidden by {', '.join(map(plain, report.fast_math))}")
    for each in report.rolled_back:
        kept = f"; reproducer: {plain(each.reproducer)}" if each.reproducer else ""
        lines.append(
            f"ROLLED BACK: {plain(each.step.rule)} at {plain(each.step.node)} (step {each.step.number}): "
            f"{plain(each.reason)}{kept}"
        )
    record = report.verification
    detail = f": {plain(record.detail)}" if record.detail else ""
    lines.append(
        {
            "same": f"verified: the same results on {record.feeds} {record.source} inputs{detail}",
            "unchanged": "unchanged: nothing to rewrite",
            "off": "NOT VERIFIED: --verify off",
            "not-run": f"NOT VERIFIED{detail}",
            "different": f"DIFFERENT{detail}",
        }[record.status]
    )
    return lines
