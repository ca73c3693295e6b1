"""Hold what a run over runtimes other than onnxruntime found: one file for each machine and commit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.records import GRAPHOPT, ORIGINAL, entry_of
from graphopt.measure.records import BenchReport, Entry, RatioRecord
from graphopt.tables import Table, render

__all__ = ["Outcome", "Run", "Verdict", "geomean", "load", "save", "table"]

RUNS = "runs"


@dataclass(frozen=True)
class Verdict:
    """Whether a target takes a model, and what that rests on; `refused` names operators that the target lacks."""

    verdict: str
    why: str
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one model for one target: the verdicts before and after, and the latencies if it was timed.

    `status` is that of verification against the original in onnxruntime.
    """

    model: str
    sha256: str
    target: str
    status: str
    rules: Mapping[str, int]
    before: Verdict
    after: Verdict
    report: BenchReport | None = None


@dataclass(frozen=True)
class Run:
    """Everything that a run found."""

    machine: str
    commit: str
    created: str
    versions: dict[str, str]
    budget_s: float
    outcomes: tuple[Outcome, ...] = ()


def load(path: Path) -> Run:
    """Read a result file."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def save(run: Run, path: Path) -> None:
    """Write a result file; the old one or the new one is there at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    fresh.replace(path)


def _entry(outcome: Outcome, label: str) -> Entry | None:
    return None if outcome.report is None else entry_of(outcome.report, label)


def _ratio(outcome: Outcome) -> RatioRecord | None:
    entry = _entry(outcome, GRAPHOPT)
    return None if entry is None else entry.ratio


def geomean(outcomes: Iterable[Outcome]) -> float | None:
    """Return the geometric mean of the ratios of all models that were timed before and after; None if there is none."""
    ratios = [ratio.median for outcome in outcomes if (ratio := _ratio(outcome)) is not None]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def table(run: Run, target: str) -> str:
    """Return the table of one target, in Markdown."""
    outcomes = [outcome for outcome in run.outcomes if outcome.target == target]
    timed = any(outcome.report is not None for outcome in outcomes)
    header = ("model", "before", "after", *(("original", "ratio") if timed else ()), "rewrites for the target")
    rows = [_row(outcome, timed=timed) for outcome in outcomes]
    before, after = [one.before for one in outcomes], [one.after for one in outcomes]
    taken = [sum(each.verdict == RUNS for each in side) for side in (before, after)]
    mean = geomean(outcomes)
    means = ("", "" if mean is None else f"{mean:.3f}") if timed else ()
    rows.append(("all", *(f"{count} of {len(outcomes)}" for count in taken), *means, ""))
    return render([Table(header, tuple(rows), "", frozenset({3, 4} if timed else ()))], "markdown").strip()


def _row(outcome: Outcome, *, timed: bool) -> tuple[str, ...]:
    base, ratio = _entry(outcome, ORIGINAL), _ratio(outcome)
    latency = "" if base is None or base.latency is None else f"{base.latency.median_ms:.3g} ms"
    cells = (latency, _cell(ratio)) if timed else ()
    rules = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in outcome.rules.items())
    return (outcome.model, _said(outcome.before), _said(outcome.after), *cells, rules)


def _said(verdict: Verdict) -> str:
    if verdict.verdict == RUNS:
        return "✓"
    return f"{verdict.verdict}: {', '.join(verdict.refused) or verdict.why[:120]}"


def _cell(ratio: RatioRecord | None) -> str:
    if ratio is None:
        return ""
    return f"{'≈' if ratio.no_difference else ''}{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
