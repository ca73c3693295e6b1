"""Lay out where the time goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphopt.measure.profile_records import Group as Timed
from graphopt.measure.profile_records import KernelTime, ModelProfile, ProfileReport, Work
from graphopt.report.page.bars import Bar, Bars
from graphopt.report.page.blocks import Block, Card, Chapter, ChartBlock, Loud, Section, SideBySide, TableBlock
from graphopt.report.page.charts import COLOURS
from graphopt.report.page.facts import file_name, milliseconds, reproduction
from graphopt.report.page.svg import shown
from graphopt.report.page.treemap import Cell, Group, Treemap
from graphopt.report.profiled import provider_line, providers
from graphopt.tables import Table

__all__ = ["profile_chapter"]

MOST_ROWS = 40


def profile_chapter(report: ProfileReport, command: str = "") -> Chapter:
    """Return the chapter of a profile."""
    run = (
        ("command", command),
        ("inputs", report.source),
        ("timed with", report.feed),
        ("threads", report.threads),
        ("seed", report.seed),
        ("took", f"{report.seconds:.1f} s"),
        ("made", report.created),
        ("environment hash", report.environment_hash),
    )
    verdict = " ".join(_sentence(model) for model in report.models)
    notes = tuple(
        Loud("note", f"{shown(each.label, 80)}: {shown(note)}")
        for each in report.models
        for note in (provider_line(each), *each.notes)
        if note
    )
    made = (*_sections(report), reproduction(run, report.environment, report.versions))
    name = file_name(report.models[0].model) if report.models else "nothing"
    return Chapter(f"Profile of {shown(name, 80)}", verdict, "note", tuple(_cards(report.models)), notes, made)


def _sentence(model: ModelProfile) -> str:
    if not model.operators:
        return f"{shown(model.label, 80)}: no kernel was timed."
    first = model.operators[0]
    where = f"{first.name} takes {first.work.share:.0%} of the time of all kernels."
    return f"{shown(model.label, 80)}: {milliseconds(model.latency_ms)}; {shown(where, 200)}"


def _cards(models: Sequence[ModelProfile]) -> Iterator[Card]:
    for model in models:
        yield Card(
            shown(model.label, 60), milliseconds(model.latency_ms), f"on {shown(model.ep, 40)}, without profiler"
        )
        outside = f"{milliseconds(model.outside_ms)} outside of kernels"
        yield Card("In kernels", milliseconds(model.kernels_ms), outside)


def _sections(report: ProfileReport) -> Iterator[Section]:
    tones = {
        name: index % COLOURS
        for index, name in enumerate(dict.fromkeys(k.operator for model in report.models for k in model.kernels))
    }
    maps = tuple(
        ChartBlock(
            Treemap(_grouped(model, tones), "time", f"time by operator: {model.label}"), title=shown(model.label, 80)
        )
        for model in report.models
        if model.kernels
    )
    if maps:
        blocks: tuple[Block, ...] = (SideBySide(maps),) if len(maps) > 1 else maps
        yield Section("Time by operator", (*blocks, *_changes(report)), "Areas are times of kernels.")
    for model in report.models:
        name = shown(model.label, 80)
        regions = sorted(model.regions, key=lambda region: -region.work.ms)[:MOST_ROWS]
        blocks = (_table(f"Operators of {name}", model.operators), _slowest(model))
        if len(regions) > 1:
            bars = tuple(Bar(each.name, each.work.ms, _said(each.work)) for each in regions)
            blocks = (ChartBlock(Bars(bars, "time by region"), title="By region of the source"), *blocks)
        yield Section(f"Kernels of {name}", blocks)


def _said(work: Work) -> str:
    return f"{work.ms:.3f} ms, {work.share:.0%}"


def _grouped(model: ModelProfile, tones: dict[str, int]) -> tuple[Group, ...]:
    found: dict[str, list[Cell]] = {}
    for kernel in model.kernels:
        tip = f"{shown(kernel.operator, 60)} {shown(kernel.name, 120)}: {_said(kernel.work)}"
        found.setdefault(kernel.operator, []).append(Cell(kernel.name, kernel.work.ms, tip))
    return tuple(Group(name, tuple(cells), tones[name]) for name, cells in found.items())


def _changes(report: ProfileReport) -> Iterator[Block]:
    for title, changes in (("Operators", report.operators), ("Regions", report.regions)):
        rows = tuple(
            (
                shown(each.name, 120),
                f"{each.before_ms:.3f} ms",
                f"{each.after_ms:.3f} ms",
                f"{each.delta_ms:+.3f} ms",
                f"{each.before_kernels} → {each.after_kernels}",
            )
            for each in sorted(changes, key=lambda each: -abs(each.delta_ms))[:MOST_ROWS]
        )
        if rows:
            header = (title.lower().removesuffix("s"), "before", "after", "change", "kernels")
            yield TableBlock(Table(header, rows, f"{title} that changed most", frozenset({1, 2, 3, 4})))


_HEADER = ("", "time", "share", "calls", "GFLOP/s", "GB/s", "of the roof", "bound by")


def _row(name: str, work: Work) -> tuple[str, ...]:
    def rate(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    roof = "-" if work.roof_share is None else f"{work.roof_share:.0%}"
    times = (f"{work.ms:.3f} ms", f"{work.share:.1%}", f"{work.calls:g}")
    return (shown(name, 120), *times, rate(work.gflops), rate(work.gbs), roof, work.bound or "-")


def _table(title: str, groups: Sequence[Timed]) -> TableBlock:
    rows = tuple(_row(each.name, each.work) for each in groups[:MOST_ROWS])
    return TableBlock(Table(_HEADER, rows, title, frozenset(range(1, 7))))


def _slowest(model: ModelProfile) -> TableBlock:
    kernels: list[KernelTime] = sorted(model.kernels, key=lambda kernel: -kernel.work.ms)[:MOST_ROWS]
    mixed = len(providers(model)) > 1
    header = (*_HEADER, *(["provider"] if mixed else []))
    rows = tuple(
        (*_row(f"{each.operator} {each.name}", each.work), *([shown(each.provider, 60)] if mixed else []))
        for each in kernels
    )
    return TableBlock(Table(header, rows, f"The {len(rows)} slowest kernels", frozenset(range(1, 7))))
