"""Draw the ratios of a result file as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.records import GRAPHOPT, RIGHT, ModelResult, SuiteResult, entry_of
from graphopt.measure.records import BenchReport

__all__ = ["draw"]

# Okabe and Ito, Color Universal Design, 2008: told apart by people with any colour vision.
_COLOURS = ("#0072B2", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#999999")
# Grey is read on white and on black.
_INK = "#808080"


def draw(result: SuiteResult, threads: int, path: Path) -> None:
    """Draw each model's ratios with their intervals, and the noise floor behind them; the same file each time."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.size": 9, "text.color": _INK})
    import matplotlib.pyplot as plt

    rows = [(model, report) for model in result.models for report in model.reports if report.threads == threads]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.42 * len(rows)), layout="constrained")
    tools = list(result.tools)
    for height, (model, report) in enumerate(reversed(rows)):
        _draw_row(axes, height, model, report, tools)
    axes.axvline(1, color=_INK, linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(rows)), [model.name for model, _ in reversed(rows)])
    axes.set_xlabel("latency over the original's (left of 1 is faster); bars: 95 % interval, grey: noise", color=_INK)
    axes.tick_params(colors=_INK, which="both")
    for spine in axes.spines.values():
        spine.set_visible(False)
    marks = [axes.plot([], [], label=tool, **_mark(place, tool))[0] for place, tool in enumerate(tools)]
    figure.legend(handles=marks, loc="outside upper center", ncols=4, frameon=False, labelcolor=_INK)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def _draw_row(axes: Any, height: int, model: ModelResult, report: BenchReport, tools: list[str]) -> None:
    """Draw one model: the twin's interval as a band, and a point with its interval for each tool that is right."""
    if report.twin is not None:
        low, high = report.twin.low, report.twin.high
        axes.fill_between([low, high], height - 0.4, height + 0.4, color=_INK, alpha=0.25, linewidth=0)
    right = {attempt.tool for attempt in model.attempts if attempt.status == RIGHT}
    for place, tool in enumerate(tools):
        entry = entry_of(report, tool)
        if tool not in right or entry is None or entry.ratio is None:
            continue
        ratio = entry.ratio
        at = height + 0.36 - 0.72 * place / max(1, len(tools) - 1)
        axes.errorbar(
            ratio.median,
            at,
            xerr=[[ratio.median - ratio.low], [ratio.high - ratio.median]],
            **_mark(place, tool),
        )


def _mark(place: int, tool: str) -> dict[str, Any]:
    """Return how the point of a tool looks: graphopt's is bigger."""
    big = tool == GRAPHOPT
    colour = _COLOURS[place % len(_COLOURS)]
    return {"color": colour, "marker": "D" if big else "o", "markersize": 5 if big else 3, "linewidth": 1}
