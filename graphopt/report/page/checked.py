"""Lay out what a check found."""

from __future__ import annotations

from graphopt.measure.check.records import CheckReport, TargetReport
from graphopt.report.checked import check_tables
from graphopt.report.page.blocks import Card, Chapter, Loud, Section, TableBlock
from graphopt.report.page.facts import facts, file_name
from graphopt.report.page.svg import shown

__all__ = ["check_chapter"]

_TONES = {"runs": "good", "runs-with-fallback": "warn", "fails": "bad", "unknown": "warn"}
_SAID = {
    "runs": "It runs on",
    "runs-with-fallback": "It runs, but not all of it there, on",
    "fails": "It would not run on",
    "unknown": "It could not be checked for",
}


def check_chapter(report: CheckReport, command: str = "") -> Chapter:
    """Return the chapter of a check."""
    verdicts = [each.verdict for each in report.targets]
    tone = next(
        (_TONES[verdict] for verdict in ("fails", "unknown", "runs-with-fallback") if verdict in verdicts), "good"
    )
    sections = [Section("Findings", tuple(TableBlock(table) for table in check_tables(report)))]
    run = (("command", command), ("SHA-256", report.sha256), ("opsets", report.opsets))
    sections.append(Section("How it was made", (facts(run, "Run"),)))
    return Chapter(
        f"Check of {shown(file_name(report.model), 80)}",
        _sentence(report),
        tone if report.targets else "note",
        tuple(_card(each) for each in report.targets),
        tuple(Loud("note", shown(remark)) for remark in report.remarks),
        tuple(sections),
    )


def _sentence(report: CheckReport) -> str:
    """Say the verdicts, the gravest first, each with its targets."""
    names = {
        verdict: [shown(each.target, 40) for each in report.targets if each.verdict == verdict]
        for verdict in ("fails", "unknown", "runs-with-fallback", "runs")
    }
    said = [f"{_SAID[verdict]} {', '.join(targets)}." for verdict, targets in names.items() if targets]
    return " ".join(said) or "Nothing was asked for."


def _card(one: TargetReport) -> Card:
    share = "" if one.native_share is None else f"; {one.native_share:.0%} of its nodes run there"
    return Card(
        shown(one.target, 40), one.verdict, shown(f"{one.why}{share}".removeprefix("; "), 300), _TONES[one.verdict]
    )
