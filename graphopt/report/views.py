"""View a report: the before/after table, the rewrites, the time by pass, and loud lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphopt.pipeline.report import Report, VerifyRecord
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


def report_tables(report: Report, latency: Mapping[str, object] | None = None) -> list[Table]:
    """Return the tables of a report: before and after, rewrites by rule, time by pass."""
    return [_before_after(report, latency), *_rules(report), _passes(report)]


def _before_after(report: Report, latency: Mapping[str, object] | None) -> Table:
    before, after = report.before, report.after
    rows = [
        ("nodes", str(before.nodes), str(after.nodes), _change(before.nodes, after.nodes)),
        (
            "parameters",
            human_count(before.parameters),
            human_count(after.parameters),
            _change(before.parameters, after.parameters),
        ),
        (
            "file size",
            human_bytes(report.before_bytes),
            human_bytes(report.after_bytes),
            _change(report.before_bytes, report.after_bytes),
        ),
        ("MACs", human_count(before.macs), human_count(after.macs), _change(before.macs, after.macs)),
    ]
    if latency is not None:
        rows.append(("latency", str(latency["before"]), str(latency["after"]), str(latency["change"])))
    else:
        rows.append(("latency", "-", "-", "not measured; see `graphopt compare`"))
    rows.append(("largest error", "", _error(report.verification), _tolerance(report.verification)))
    names = [*before.operators, *(name for name in after.operators if name not in before.operators)]
    for name in names:
        old, new = before.operators.get(name, 0), after.operators.get(name, 0)
        rows.append((f"  {name}", str(old), str(new), f"{new - old:+d}" if new != old else ""))
    return Table(("", "before", "after", "change"), tuple(rows), report.model, frozenset({1, 2, 3}))


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
