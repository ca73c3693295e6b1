"""Lay out a comparison of two models."""

from __future__ import annotations

from graphopt.measure.compare import Comparison
from graphopt.report.page.blocks import Card, Chapter, Loud, Section, TableBlock
from graphopt.report.page.facts import facts, file_name
from graphopt.report.page.optimized import latency_section
from graphopt.report.page.svg import shown

__all__ = ["compared_chapter"]


def compared_chapter(outcome: Comparison, command: str = "") -> Chapter:
    """Return the chapter of a comparison."""
    numbers, ratio = outcome.numbers, outcome.ratio
    verdict = f"{outcome.verdict[0].upper()}{outcome.verdict[1:]}."
    wrong = numbers.status != "same"
    tone = "bad" if wrong else "note" if ratio.no_difference else "good" if ratio.median < 1 else "warn"
    cards = (
        Card(shown(file_name(outcome.a), 60), f"{outcome.a_ms:.3f} ms", "before"),
        Card(shown(file_name(outcome.b), 60), f"{outcome.b_ms:.3f} ms", "after"),
        Card(
            "Largest error",
            "-" if numbers.max_error is None else f"{numbers.max_error:.1e}",
            f"{numbers.status}, {numbers.feeds} {numbers.source} inputs",
            "bad" if wrong else "good",
        ),
    )
    loud = (Loud("bad", f"The numbers: {shown(numbers.status)} {shown(numbers.detail)}"),) if wrong else ()
    run = facts((("command", command), ("before", outcome.a), ("after", outcome.b)))
    sections = (
        latency_section(outcome.latency),
        Section("Comparison", (TableBlock(outcome.table()),)),
        Section("How it was made", (run,)),
    )
    return Chapter("Comparison", verdict, tone, cards, loud, sections)
