"""View results in a notebook: HTML without a script, with a style of its own that takes the ink of the page around."""

from __future__ import annotations

from collections.abc import Sequence

from graphopt.measure.check.records import CheckReport
from graphopt.measure.profile_records import ProfileReport
from graphopt.measure.records import BenchReport
from graphopt.pipeline.report import Report
from graphopt.report.checked import check_tables
from graphopt.report.exhibits import Exhibits
from graphopt.report.measured import bench_tables
from graphopt.report.page.bench import bench_chapter
from graphopt.report.page.blocks import Chapter, ChartBlock
from graphopt.report.page.charts import Intervals
from graphopt.report.page.checked import check_chapter
from graphopt.report.page.optimized import optimized_chapter
from graphopt.report.page.profiled import profile_chapter
from graphopt.report.page.svg import Element, element, markup, shown
from graphopt.report.profiled import profile_tables
from graphopt.report.views import report_tables
from graphopt.tables import Table

__all__ = ["bench_html", "check_html", "optimized_html", "profile_html"]

WIDTH = 720.0
_STYLE = """
.graphopt {--ink: currentColor; font-size: 13px}
.graphopt table {border-collapse: collapse; font-variant-numeric: tabular-nums}
.graphopt th, .graphopt td {padding: 2px 10px; text-align: left}
.graphopt .number {text-align: right}
.graphopt .bad {font-weight: bold; color: #c4500f}
.graphopt svg {max-width: 100%; height: auto}
.graphopt svg text {font-size: 12px; fill: currentColor}
.graphopt .grid {stroke: #88888855}
.graphopt .base {stroke: currentColor; stroke-dasharray: 4 3}
.graphopt .noise {fill: #88888840}
.graphopt .line {stroke: #3b8fc4; stroke-width: 2; fill: none}
.graphopt .dot {fill: #3b8fc4}
.graphopt .hollow {fill: #ffffff; stroke: #3b8fc4; stroke-width: 2}
"""


def optimized_html(report: Report) -> str:
    """Return what an optimization did as HTML: verdict, loud lines, the latency ratio, before and after."""
    first = report_tables(report)[0]
    rows = tuple(row for row in first.rows if row[3] or not row[0].startswith("  "))
    chapter = optimized_chapter(report, Exhibits())
    return _fragment(chapter, [Table(first.header, rows, "", first.numeric)])


def bench_html(report: BenchReport) -> str:
    """Return a measurement as HTML: verdict, loud lines, ratios, entries."""
    return _fragment(bench_chapter(report), bench_tables(report))


def profile_html(report: ProfileReport) -> str:
    """Return a profile as HTML: where the time goes by node, operator and region, and what changed."""
    return _fragment(profile_chapter(report), profile_tables(report))


def check_html(report: CheckReport) -> str:
    """Return a check as HTML: the verdict on each target, and the nodes that it rests on."""
    return _fragment(check_chapter(report), check_tables(report))


def _fragment(chapter: Chapter, tables: Sequence[Table]) -> str:
    root = element("div", class_="graphopt")
    element("style", root).text = _STYLE
    line = element("p", root)
    element("b", line, shown(chapter.title))
    line[-1].tail = f": {shown(chapter.verdict)}"
    for each in chapter.loud:
        element("p", root, each.text, class_=each.tone)
    for section in chapter.sections:
        for block in section.blocks:
            if isinstance(block, ChartBlock) and isinstance(block.chart, Intervals):
                root.append(block.chart.draw(WIDTH))
    for table in tables:
        _table(root, table)
    return markup(root)


def _table(root: Element, table: Table) -> None:
    made = element("table", root)
    if table.title:
        element("caption", made, shown(table.title))
    for tag, rows in (("th", (table.header,)), ("td", table.rows)):
        for row in rows:
            line = element("tr", made)
            for column, cell in enumerate(row):
                element(tag, line, shown(cell), class_="number" if column in table.numeric else "text")
