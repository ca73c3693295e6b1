"""View a profile: where the time goes, by node, operator and region, and what changed."""

from __future__ import annotations

from collections.abc import Sequence

from graphopt.measure.profile_records import Change, Group, ModelProfile, ProfileReport, Work
from graphopt.measure.roofline import Peaks
from graphopt.report.views import human_count
from graphopt.tables import Table, plain

__all__ = ["profile_lines", "profile_tables", "provider_line", "providers"]

_COLUMNS = ("ms", "share", "calls", "MACs", "GFLOP/s", "GB/s", "roof", "bound")


def profile_tables(report: ProfileReport, top: int = 20) -> list[Table]:
    """Return the tables of each model, nodes cut to the `top` slowest, and for two models those of the differences."""
    tables = [table for model in report.models for table in _of_model(model, top, len(report.models) > 1)]
    if len(report.models) == 1:
        return tables
    labels = [model.label for model in report.models]
    if labels[0] == labels[1]:
        labels = ["before", "after"]
    return [
        *tables,
        _changed("operator", report.operators, labels),
        _changed("region", report.regions, labels),
    ]


def _of_model(model: ModelProfile, top: int, is_one_of_two: bool) -> list[Table]:
    title = f"{model.label} on {model.ep}, {model.runs} runs"
    key = f"{model.label}: " if is_one_of_two else ""
    slowest = model.kernels[:top]
    rest = f", the slowest {top} of {len(model.kernels)}" if len(model.kernels) > top else ""
    mixed = len(providers(model)) > 1
    named = ("node", "operator", "region", *(["provider"] if mixed else []))
    nodes = tuple(
        (
            kernel.name,
            kernel.operator,
            kernel.region,
            *([kernel.provider] if mixed else []),
            *_cells(kernel.work),
        )
        for kernel in slowest
    )
    return [
        Table((*named, *_COLUMNS), nodes, f"{title}: nodes{rest}", _flush(len(named)), f"{key}nodes"),
        _grouped("operator", model.operators, f"{title}: operators", f"{key}operators"),
        _grouped("region", model.regions, f"{title}: regions", f"{key}regions"),
    ]


def providers(model: ModelProfile) -> dict[str, float]:
    """Return the share of each provider in the time of all kernels, 0 to 1, the largest first."""
    found: dict[str, float] = {}
    for kernel in model.kernels:
        found[kernel.provider] = found.get(kernel.provider, 0.0) + kernel.work.share
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def provider_line(model: ModelProfile) -> str:
    """Say what share of the kernels' time each provider takes; nothing if no kernel was timed."""
    shares = ", ".join(f"{share:.1%} on {plain(name)}" for name, share in providers(model).items())
    return f"time of kernels: {shares}" if shares else ""


def _grouped(what: str, groups: Sequence[Group], title: str, key: str) -> Table:
    rows = tuple((group.name, str(group.kernels), *_cells(group.work)) for group in groups)
    return Table((what, "nodes", *_COLUMNS), rows, title, _flush(2) | {1}, key)


def _changed(what: str, changes: Sequence[Change], labels: Sequence[str]) -> Table:
    before, after = labels
    header = (what, f"nodes {before}", f"nodes {after}", f"ms {before}", f"ms {after}", "difference")
    rows = tuple(
        (
            change.name,
            str(change.before_kernels),
            str(change.after_kernels),
            f"{change.before_ms:.3f}",
            f"{change.after_ms:.3f}",
            f"{change.delta_ms:+.3f}",
        )
        for change in changes
    )
    return Table(header, rows, f"{after} against {before}, by {what}", frozenset(range(1, 6)), f"{what}s compared")


def _cells(work: Work) -> tuple[str, ...]:
    return (
        f"{work.ms:.3f}",
        f"{work.share:.1%}",
        f"{work.calls:g}",
        human_count(work.macs) if work.macs else "-",
        _rate(work.gflops),
        _rate(work.gbs),
        "-" if work.roof_share is None else f"{work.roof_share:.0%}",
        work.bound or "-",
    )


def _flush(first: int) -> frozenset[int]:
    """Return the numeric ones of the columns, which begin at `first`."""
    return frozenset(range(first, first + len(_COLUMNS) - 1))


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def profile_lines(report: ProfileReport) -> list[str]:
    """Return the sentences that a reader must not miss."""
    lines = [_peaks(report.peaks)]
    for model in report.models:
        lines.append(
            f"{plain(model.label)}: one inference {model.latency_ms:.3f} ms, kernels {model.kernels_ms:.3f} ms, "
            f"outside kernels {model.outside_ms:+.3f} ms"
        )
        said = provider_line(model)
        lines += [f"{plain(model.label)}: {each}" for each in (said, *map(plain, model.notes)) if each]
    if len(report.models) == 2:
        before, after = report.models
        lines.append(
            f"kernels {after.kernels_ms - before.kernels_ms:+.3f} ms, one inference "
            f"{after.latency_ms - before.latency_ms:+.3f} ms; `graphopt bench` tells whether that is more than noise"
        )
    return lines


def _peaks(peaks: Peaks) -> str:
    quick = "" if peaks.int8_gops is None else f", of 8-bit integers {peaks.int8_gops:.0f} GOP/s"
    return (
        f"the roof is what this machine reached just now: a copy {peaks.copy_gbs:.1f} GB/s, a matrix product "
        f"{peaks.gemm_gflops:.0f} GFLOP/s{quick}; what is above 100 % had data in the caches, or a quieter machine"
    )
