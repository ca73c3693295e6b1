"""Lay out a measurement."""

from __future__ import annotations

from collections.abc import Iterator

from graphopt.measure.records import BenchReport, Entry
from graphopt.report.measured import bench_tables, ratio_text
from graphopt.report.page.bars import Share, Shares
from graphopt.report.page.blocks import Block, Card, Chapter, ChartBlock, Loud, Section, TableBlock, Tabs
from graphopt.report.page.charts import (
    COLOURS,
    Cumulative,
    Interval,
    Intervals,
    Point,
    Points,
    Rounds,
    Series,
    legend,
)
from graphopt.report.page.facts import file_name, milliseconds, reproduction, times
from graphopt.report.page.svg import shown
from graphopt.report.views import human_bytes, human_count
from graphopt.tables import Table

__all__ = ["bench_chapter", "bench_verdict"]

MOST_CARDS = 8


def bench_chapter(report: BenchReport, command: str = "") -> Chapter:
    """Return the chapter of a measurement."""
    run = (
        ("command", command),
        ("inputs", report.source),
        ("timed with", report.feed),
        ("threads", report.threads),
        ("seed", report.seed),
        ("budget", f"{report.budget_s:g} s"),
        ("took", f"{report.seconds:.1f} s"),
        ("made", report.created),
        ("environment hash", report.environment_hash),
    )
    verdict, tone = bench_verdict(report)
    made = (*_sections(report), reproduction(run, report.environment, report.versions))
    names = list(dict.fromkeys(file_name(entry.model) for entry in report.entries))
    title = f"Measurement of {shown(names[0], 60)}" if names else "Measurement"
    title += f" and {len(names) - 1} more" if len(names) > 1 else ""
    return Chapter(title, verdict, tone, tuple(_cards(report)), tuple(_loud(report)), made)


def bench_verdict(report: BenchReport) -> tuple[str, str]:
    """Say in one sentence what was found, and its tone."""
    if not report.entries:
        return "nothing was measured", "bad"
    base, *others = report.entries
    wrong = [entry for entry in others if _is_wrong(entry)]
    timed = [entry for entry in others if entry.ratio is not None and entry not in wrong]
    name = shown(base.label, 80)
    if wrong and len(wrong) == len(others):
        return f"Nothing else computes the same as {name}.", "bad"
    said = f" Not the same results: {', '.join(shown(entry.label, 60) for entry in wrong)}." if wrong else ""
    if not timed and not wrong:
        latency = None if base.latency is None else base.latency.median_ms
        return (f"{name}: {milliseconds(latency)}" if latency else f"{name} was not timed"), "note"
    text, tone = _fastest(name, timed)
    return text + said, "bad" if wrong else tone


def _fastest(base: str, entries: list[Entry]) -> tuple[str, str]:
    """Say which of the entries that compute the same as the base is the fastest."""
    if not entries:
        return "Nothing else was timed.", "note"
    differing = [entry for entry in entries if entry.ratio and not entry.ratio.no_difference]
    if not differing:
        return f"No difference in latency from {base} beyond the noise.", "note"
    best = min(differing, key=lambda entry: entry.ratio.median if entry.ratio else 1.0)
    ratio = best.ratio
    if ratio is None or ratio.median >= 1:
        return f"{base} is the fastest.", "note" if len(entries) > 1 else "warn"
    error = "" if best.quality is None or best.quality.error is None else f", with an error of {best.quality.error:.1e}"
    interval = f"95 % interval of the ratio {ratio.low:.3f} to {ratio.high:.3f}"
    return f"{shown(best.label, 80)} is {times(ratio.median)} as {base} ({interval}){error}.", "good"


def _cards(report: BenchReport) -> Iterator[Card]:
    for index, entry in enumerate(report.entries[:MOST_CARDS]):
        latency = entry.latency
        value = milliseconds(None if latency is None else latency.median_ms)
        if latency is None:
            value = "no number" if entry.trouble else "not timed"
        note, tone = "the base of the ratios", ""
        if entry.ratio is not None:
            note = f"ratio {ratio_text(entry.ratio)}"
            tone = "" if entry.ratio.no_difference else "good" if entry.ratio.median < 1 else "bad"
        if _is_wrong(entry):
            note, tone = f"NOT THE SAME RESULTS; {note}", "bad"
        yield Card(shown(entry.label, 60), value, note if index == 0 or entry.ratio else entry.trouble, tone)


def _loud(report: BenchReport) -> Iterator[Loud]:
    for entry in report.entries:
        label = shown(entry.label, 100)
        if entry.trouble:
            yield Loud("bad", f"{label}: {shown(entry.trouble)}")
        if entry.software:
            yield Loud(
                "warn", f"{label} ran on a software adapter, so its latency is not shown: it says nothing of a GPU"
            )
        quality = entry.quality
        if quality is not None and (quality.wrong or quality.error is None) and quality.detail:
            yield Loud("bad" if quality.wrong else "warn", f"{label}: {shown(quality.detail)}")
        yield from (Loud("note", f"{label}: {shown(note)}") for note in entry.notes)
    if report.twin is not None:
        yield Loud(
            "note", f"The noise floor: the base against a second process of itself, ratio {ratio_text(report.twin)}"
        )
    yield Loud("note", f"Energy: {shown(report.energy)}")


def _sections(report: BenchReport) -> Iterator[Section]:
    yield Section("Entries", tuple(TableBlock(table) for table in bench_tables(report)))
    timed = [(index, entry) for index, entry in enumerate(report.entries) if entry.latency is not None]
    if timed:
        yield Section("Latency", tuple(_latency(report, timed)))
    if any(entry.shares for entry in report.entries):
        yield Section("Which provider ran it", tuple(_shares(report)))
    yield from _quality(timed)
    yield Section("Models and runtimes", tuple(_details(report)))


def _is_wrong(entry: Entry) -> bool:
    return entry.quality is not None and entry.quality.wrong


def _name(entry: Entry) -> str:
    """Name an entry where its latency is seen, so that a wrong one is never taken for a fast one."""
    return f"{shown(entry.label, 120)} (NOT THE SAME RESULTS)" if _is_wrong(entry) else entry.label


def _tone(index: int) -> int:
    return index % COLOURS


def _latency(report: BenchReport, timed: list[tuple[int, Entry]]) -> Iterator[Block]:
    twin = report.twin
    noise = None if twin is None else (twin.low, twin.high)
    rows = tuple(
        Interval(
            _name(entry), entry.ratio.low, entry.ratio.median, entry.ratio.high, entry.ratio.no_difference, _tone(index)
        )
        for index, entry in timed
        if entry.ratio is not None
    )
    if rows:
        caption = "The band is the noise floor: the base against itself. A hollow mark means no difference beyond it."
        bases = {entry.ratio.to for _, entry in timed if entry.ratio is not None}
        base = shown(bases.pop(), 60) if len(bases) == 1 else "the first of the same provider and threads"
        yield ChartBlock(Intervals(rows, noise), caption, title=f"Ratio to {base}")
    series = tuple(
        Series(_name(entry), entry.latency.rounds_ms, _tone(index))
        for index, entry in timed
        if entry.latency is not None and len(entry.latency.rounds_ms) > 1
    )
    if not series:
        return
    median = report.entries[0].latency.median_ms if report.entries[0].latency else None
    band = None if noise is None or median is None else (median * noise[0], median * noise[1])
    said = "Each step is the median of one round; the band is how far the base moves against itself."
    yield Tabs(
        "Distribution of latency",
        (
            ("Distribution", ChartBlock(Cumulative(series, band), said, legend(series))),
            ("By round", ChartBlock(Rounds(series), "Drift or a busy machine would show here.", legend(series))),
        ),
    )


def _shares(report: BenchReport) -> Iterator[Block]:
    names = list(dict.fromkeys(share.provider for entry in report.entries for share in entry.shares))
    tone = {name: _tone(index) for index, name in enumerate(names)}
    nodes = tuple(
        (
            entry.label,
            tuple(Share(s.provider, s.node_share, tone[s.provider], f"({s.nodes} nodes)") for s in entry.shares),
        )
        for entry in report.entries
        if entry.shares
    )
    macs = tuple(
        (
            entry.label,
            tuple(
                Share(s.provider, s.mac_share, tone[s.provider], f"({human_count(s.macs)} MACs)")
                for s in entry.shares
                if s.mac_share is not None
            ),
        )
        for entry in report.entries
        if any(share.mac_share is not None for share in entry.shares)
    )
    colours = tuple(tone.items())
    tabs: list[tuple[str, Block]] = [("By nodes", ChartBlock(Shares(nodes, "nodes by provider"), legend=colours))]
    if macs:
        tabs.append(
            ("By multiply-accumulates", ChartBlock(Shares(macs, "multiply-accumulates by provider"), legend=colours))
        )
    yield Tabs("Shares of providers", tuple(tabs))


def _quality(timed: list[tuple[int, Entry]]) -> Iterator[Section]:
    errors, scores = [], []
    for index, entry in timed:
        if entry.latency is None:
            continue
        median, quality = entry.latency.median_ms, entry.quality
        if index == 0 and (quality is None or quality.error is None):
            errors.append(Point(_name(entry), median, 0.0, _tone(index)))
        elif quality is not None and quality.error is not None:
            errors.append(Point(_name(entry), median, quality.error, _tone(index)))
        if quality is not None and quality.score is not None:
            scores.append(Point(_name(entry), median, quality.score, _tone(index)))
    blocks: list[Block] = []
    if len(scores) > 1:
        chart = Points(tuple(scores), "ms, median", "score, higher is better")
        blocks.append(ChartBlock(chart, "Up and to the left is better.", legend(scores)))
    if len(errors) > 1:
        chart = Points(tuple(errors), "ms, median", "error relative to the base", log=True)
        blocks.append(ChartBlock(chart, "Down and to the left is better.", legend(errors)))
    if blocks:
        yield Section("Accuracy against latency", tuple(blocks), "A fast model that is wrong is not fast.")


def _details(report: BenchReport) -> Iterator[Block]:
    header = ("", "model", "provider", "file", "parameters", "nodes", "MACs", "chosen", "SHA-256")
    rows = tuple(
        (
            shown(entry.label, 100),
            shown(file_name(entry.model)),
            f"{entry.ep} (software adapter)" if entry.software else entry.ep,
            human_bytes(entry.file_bytes),
            human_count(entry.parameters),
            str(entry.nodes),
            human_count(entry.macs),
            shown(", ".join(f"{key} {value}" for key, value in entry.chosen.items())),
            entry.sha256[:12],
        )
        for entry in report.entries
    )
    yield TableBlock(Table(header, rows, "MACs with symbolic sizes as 1", frozenset(range(3, 7))))
