"""Lay out what an optimization did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from graphopt.pipeline.report import LatencyRecord, Report, VerifyRecord
from graphopt.report.exhibits import Exhibits
from graphopt.report.page.bars import Bar, Bars, Histogram
from graphopt.report.page.blocks import (
    Block,
    Card,
    Chapter,
    ChartBlock,
    Drawn,
    Listing,
    Loud,
    Section,
    SideBySide,
    TableBlock,
    Viewer,
)
from graphopt.report.page.charts import Interval, Intervals
from graphopt.report.page.dag import draw_part
from graphopt.report.page.facts import facts, file_name, reproduction, times
from graphopt.report.page.makeup import makeup
from graphopt.report.page.svg import shown
from graphopt.report.views import human_bytes, human_count, report_tables
from graphopt.tables import Table

__all__ = ["latency_section", "optimized_chapter", "optimized_verdict"]

MOST_ROWS = 20_000
MOST_OPERATORS = 40
_FOLDED = (
    "Grey: before. Line: after. A weight that a scale was folded into changes too; the error above judges the whole."
)


def optimized_chapter(report: Report, shown_models: Exhibits, command: str = "") -> Chapter:
    """Return the chapter of an optimization."""
    verdict, tone = optimized_verdict(report)
    run = (
        ("command", command),
        ("model", report.model),
        ("output", report.output or "nothing written"),
        ("target", report.target),
        ("pipeline", report.pipeline),
        ("seed", report.seed),
        ("took", f"{report.seconds:.2f} s"),
        ("SHA-256 before", report.before_sha256),
        ("SHA-256 after", report.after_sha256),
    )
    made = (*_sections(report, shown_models), reproduction(run, report.machine, report.versions))
    return Chapter(file_name(report.model), verdict, tone, tuple(_cards(report)), tuple(_loud(report)), made)


def optimized_verdict(report: Report) -> tuple[str, str]:
    """Say in one sentence what came out, and its tone."""
    record, latency = report.verification, report.latency
    if record.status == "unchanged":
        return "Nothing to rewrite: the model is as it was.", "note"
    parts = [f"{report.before.nodes} nodes became {report.after.nodes}"]
    if latency is not None:
        faster = "no difference in latency beyond the noise" if latency.no_difference else times(latency.ratio)
        parts.insert(0, faster)
    said, tone = _proof(record)
    slower = latency is not None and not latency.no_difference and latency.ratio > 1
    text = ", ".join([*parts, said])
    return f"{text[0].upper()}{text[1:]}.", tone if tone != "good" or not slower else "warn"


def _proof(record: VerifyRecord) -> tuple[str, str]:
    same = "every bit the same" if record.bit_identical else "the same results"
    return {
        "same": (f"{same} on {record.feeds} {record.source} inputs", "good"),
        "unchanged": ("unchanged", "note"),
        "off": ("not verified", "warn"),
        "not-run": ("not verified", "warn"),
        "different": ("different results", "bad"),
    }.get(record.status, (shown(record.status, 40), "warn"))


def _cards(report: Report) -> Iterator[Card]:
    latency, record = report.latency, report.verification
    if latency is None:
        yield Card("Latency", "not measured", "--latency measures it")
    else:
        tone = "" if latency.no_difference else "good" if latency.ratio < 1 else "bad"
        note = f"{latency.before_ms:.3f} → {latency.after_ms:.3f} ms"
        yield Card("Latency", "no difference" if latency.no_difference else f"{latency.ratio - 1:+.1%}", note, tone)
    yield _change("Nodes", report.before.nodes, report.after.nodes, "{:.0f}".format)
    yield _change("File size", report.before_bytes, report.after_bytes, human_bytes)
    pairs = (("Parameters", report.before.parameters, report.after.parameters), ("MACs", *_macs(report)))
    yield from (_change(name, old, new, human_count) for name, old, new in pairs if old != new)
    error = "0" if record.bit_identical else "-" if record.max_error is None else f"{record.max_error:.1e}"
    allowed = "" if record.tolerance is None else f"allowed {record.tolerance:.0e}"
    yield Card("Largest error", error, allowed, _proof(record)[1])
    undone = f"{len(report.rolled_back)} rolled back" if report.rolled_back else "none rolled back"
    yield Card("Rewrites", str(len(report.steps)), undone, "bad" if report.rolled_back else "")


def _macs(report: Report) -> tuple[int, int]:
    """Return the multiply-accumulates before and after; equal where one is not known, as nothing is said then."""
    before, after = report.before.macs, report.after.macs
    return (0, 0) if before is None or after is None else (before, after)


def _change(label: str, before: float, after: float, show: Callable[[float], str]) -> Card:
    if before == after or not before:
        return Card(label, "same" if before == after else show(after), show(after))
    share = (after - before) / before
    value = f"{share:+.1%}" if abs(share) >= 0.0005 else "under 0.1%"
    tone = "good" if after < before and abs(share) >= 0.0005 else ""
    return Card(label, value, f"{show(before)} → {show(after)}", tone)


def _loud(report: Report) -> Iterator[Loud]:
    for each in report.rolled_back:
        kept = f"; reproducer: {each.reproducer}" if each.reproducer else ""
        where = f"{shown(each.step.rule, 80)} at {shown(each.step.node, 120)} (step {each.step.number})"
        yield Loud("bad", f"Rolled back: {where}: {shown(each.reason)}{shown(kept)}")
    record = report.verification
    if record.status in {"off", "not-run", "different"}:
        tone = "bad" if record.status == "different" else "warn"
        detail = f": {shown(record.detail)}" if record.detail else ""
        yield Loud(tone, f"{_proof(record)[0].capitalize()}{detail}")
    if report.fast_math:
        yield Loud("warn", f"Fast math: NaN and infinities may be hidden by {shown(', '.join(report.fast_math))}")
    yield from (Loud("note", shown(note)) for note in report.notes)


def _sections(report: Report, models: Exhibits) -> Iterator[Section]:
    yield Section("Before and after", tuple(_tables(report)))
    if report.latency is not None:
        yield latency_section(report.latency)
    yield makeup(report.before, report.after, models)
    if models.histograms:
        yield Section("Weights that changed", tuple(_histograms(models)), _FOLDED)
    if report.steps or report.remarks or report.rolled_back:
        yield Section("Rewrites", tuple(_rewrites(report, models)), models.missing)
    rows = sorted(report.passes, key=lambda each: -each.seconds)[:MOST_OPERATORS]
    bars = tuple(Bar(each.name, each.seconds, f"{each.seconds * 1e3:.1f} ms, {each.changes} changes") for each in rows)
    if bars:
        yield Section("Time of the passes", (ChartBlock(Bars(bars, "time of the passes")),))


def _tables(report: Report) -> Iterator[Block]:
    whole = report_tables(report)[0]
    rows = [(row[0].strip(), *row[1:]) for row in whole.rows if not row[0].startswith("  ")]
    yield TableBlock(Table(("", *whole.header[1:]), tuple(rows), "", whole.numeric))
    operators = [(row[0].strip(), *row[1:]) for row in whole.rows if row[0].startswith("  ")]
    changed = sorted(operators, key=lambda row: -abs(int(row[3] or 0)))
    rest = len(changed) - MOST_OPERATORS
    title = "Operators" if rest <= 0 else f"Operators, without {rest} that changed least"
    yield TableBlock(Table(("operator", *whole.header[1:]), tuple(changed[:MOST_OPERATORS]), title, whole.numeric))


def latency_section(latency: LatencyRecord) -> Section:
    """Return the section of a latency ratio."""
    row = Interval("after / before", latency.low, latency.ratio, latency.high, latency.no_difference)
    caption = (
        "The band is the noise floor: the model before against itself. A hollow mark means no difference beyond it."
    )
    pairs = (
        ("before", f"{latency.before_ms:.3f} ms"),
        ("after", f"{latency.after_ms:.3f} ms"),
        ("threads", latency.threads),
        ("rounds, in turns", latency.rounds),
    )
    chart = Intervals((row,), (latency.twin_low, latency.twin_high))
    return Section("Latency", (ChartBlock(chart, caption), facts(pairs)))


def _histograms(models: Exhibits) -> Iterator[Block]:
    yield SideBySide(
        tuple(
            ChartBlock(
                Histogram(each.name, each.edges, each.before, each.after),
                f"changed by {each.change:.2%} of its norm",
                title=shown(each.name, 120),
            )
            for each in models.histograms
        ),
        columns=3,
    )


def _rewrites(report: Report, models: Exhibits) -> Iterator[Block]:
    for table in report_tables(report)[1:-1]:
        bars = tuple(Bar(name, float(count), count) for name, count in table.rows[:MOST_OPERATORS])
        yield ChartBlock(Bars(bars, "how often each rewrite was done"))
    yield _listing(report, {region.step: index for index, region in enumerate(models.regions)})
    if models.regions:
        drawn = tuple(
            Drawn(
                f"{region.step}: {shown(region.rule, 60)} at {shown(region.node, 80)}",
                draw_part(region.before, f"nodes around {region.node} before"),
                draw_part(region.after, f"nodes around {region.node} after"),
            )
            for region in models.regions
        )
        changes = [sum(bool(box.change) for box in (*each.before.boxes, *each.after.boxes)) for each in models.regions]
        yield Viewer(drawn, changes.index(max(changes)))


def _listing(report: Report, drawn: dict[int, int]) -> Listing:
    back = [
        (each.step.number, shown(each.step.rule), shown(each.step.node), "rolled back", shown(each.reason), -1)
        for each in report.rolled_back
    ]
    done = [
        (step.number, shown(step.rule), shown(step.node), str(step.exactness), "", drawn.get(step.number, -1))
        for step in report.steps
    ]
    said = [(0, shown(each.rule), shown(each.node), shown(each.kind), shown(each.text), -1) for each in report.remarks]
    rows = (*back, *done, *said)
    return Listing(rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS))
