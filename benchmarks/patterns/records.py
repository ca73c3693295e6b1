"""Hold what a run over the patterns found: one file for each machine and commit, from which the table is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.patterns.catalogue import PATTERNS, Pattern
from benchmarks.records import GRAPHOPT, ORIGINAL, entry_of
from graphopt.measure.records import BenchReport, RatioRecord
from graphopt.rewrite.rule import Rule
from graphopt.tables import Table, render
from graphopt_passes import PASSES

__all__ = ["Run", "Site", "load", "pattern_of", "reaches", "save", "stays_out", "table"]

TELLING = frozenset(rule.name for rule in PASSES if isinstance(rule, Rule) and rule.stage not in {"simplify", ""})
"""Rules that are for speed; the others clean up around them."""


@dataclass(frozen=True)
class Site:
    """One export of one pattern: what was rewritten in it, how far that was verified, and how fast it is.

    `rules` counts rewrites, `operators` those of the result, and there is one report for each number of threads.
    """

    pattern: str
    way: str
    status: str
    rules: Mapping[str, int]
    operators: Mapping[str, int]
    shapes: Mapping[str, Sequence[int]]
    reports: tuple[BenchReport, ...]


@dataclass(frozen=True)
class Run:
    """Everything that a run found."""

    machine: str
    commit: str
    created: str
    target: str
    versions: dict[str, str]
    budget_s: float
    sites: tuple[Site, ...] = ()


def load(path: Path) -> Run:
    """Read a result file."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def save(run: Run, path: Path) -> None:
    """Write a result file; the old one or the new one is there at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    fresh.replace(path)


def pattern_of(site: Site) -> Pattern | None:
    """Return what the catalogue says of a site."""
    return next((one for one in PATTERNS if one.name == site.pattern), None)


def stays_out(site: Site, pattern: Pattern) -> bool:
    """Tell whether the result holds the operators that it must hold, and no others that it must not."""
    return all(site.operators.get(name, 0) == count for name, count in pattern.keeps.items())


def ratio_of(site: Site, threads: int) -> RatioRecord | None:
    """Return the result's latency over the original's."""
    found = (entry_of(report, GRAPHOPT) for report in site.reports if report.threads == threads)
    return next((entry.ratio for entry in found if entry is not None), None)


def reaches(site: Site, pattern: Pattern) -> bool:
    """Tell whether four fifths are saved of what the gain saves, on one thread; or nothing lost, where none is."""
    ratio = ratio_of(site, 1)
    if ratio is None or not stays_out(site, pattern):
        return False
    return ratio.no_difference or ratio.median <= 1 if pattern.gain == 1 else ratio.median <= pattern.bound


def table(run: Run) -> str:
    """Return the table of a run, in Markdown."""
    threads = sorted({report.threads for site in run.sites for report in site.reports})
    header = ("pattern", "exporter", "rewrites", "original", *(f"ratio, {count} thr." for count in threads))
    rows = [_row(site, pattern, threads) for pattern in PATTERNS for site in run.sites if site.pattern == pattern.name]
    whole = (*header, "by hand", "reached")
    return render([Table(whole, tuple(rows), "", frozenset(range(3, len(whole) - 1)))], "markdown").strip()


def _row(site: Site, pattern: Pattern, threads: Sequence[int]) -> tuple[str, ...]:
    base = entry_of(site.reports[0], ORIGINAL) if site.reports else None
    latency = "" if base is None or base.latency is None else f"{base.latency.median_ms:.3g} ms"
    telling = {name: count for name, count in site.rules.items() if name in TELLING}
    rules = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in telling.items())
    hand = "" if pattern.gain == 1 else f"{1 / pattern.gain:.2f}"
    verdict = "yes" if reaches(site, pattern) else "**no**"
    cells = [_cell(ratio_of(site, count)) for count in threads]
    return (f"{pattern.family}: {pattern.says}", site.way, rules, latency, *cells, hand, verdict)


def _cell(ratio: RatioRecord | None) -> str:
    if ratio is None:
        return "-"
    return f"{'≈' if ratio.no_difference else ''}{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
