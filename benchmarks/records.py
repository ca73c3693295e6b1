"""Hold what a run of the suite found: one file for each machine and commit, from which table and plots are drawn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from graphopt.measure.records import BenchReport, Entry

__all__ = [
    "FAILED",
    "GRAPHOPT",
    "ORIGINAL",
    "RIGHT",
    "UNVERIFIED",
    "WRONG",
    "Attempt",
    "ModelResult",
    "Settings",
    "SuiteResult",
    "Summary",
    "entry_of",
    "json_schema",
    "load",
    "save",
    "summarize",
]

SCHEMA = 1
ORIGINAL, GRAPHOPT = "original", "graphopt"
RIGHT, WRONG, FAILED, UNVERIFIED = "right", "wrong", "failed", "unverified"


@dataclass(frozen=True)
class Attempt:
    """What one tool made of one model.

    `status` is "right" if the result computes what the original does, "wrong" if not, "failed" if there is no result,
    and "unverified" if it could not be compared. `seconds` is the wall time of the tool's whole process.
    """

    tool: str
    status: str
    seconds: float
    detail: str = ""
    max_error: float | None = None
    feeds: int = 0


@dataclass(frozen=True)
class ModelResult:
    """One model of the zoo: what the tools made of it, and the reports of timing, one for each number of threads.

    In a report the entries are named by tool, the first one is the original. `trouble` says why there are none.
    """

    name: str
    origin: str
    sha256: str
    area: str
    weights: str
    attempts: tuple[Attempt, ...]
    reports: tuple[BenchReport, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Settings:
    """What was asked for; results with other settings are not continued."""

    threads: tuple[int, ...]
    budget_s: float
    samples: int
    evaluate: int
    seed: int
    limit_s: float


@dataclass(frozen=True)
class Summary:
    """One tool over all models, at one number of threads.

    `geomean` is of the ratios of latency to the original's; a result that failed or is wrong counts as 1, as its user
    keeps the original. `faster` and `slower` count right results whose difference is no noise.
    """

    tool: str
    threads: int
    models: int
    geomean: float
    right: int
    wrong: int
    failed: int
    faster: int
    slower: int


@dataclass(frozen=True)
class SuiteResult:
    """Everything that a run found; `tools` are the versions by name."""

    machine: str
    commit: str
    created: str
    environment: dict[str, str]
    environment_hash: str
    settings: Settings
    tools: dict[str, str]
    models: tuple[ModelResult, ...] = ()
    summary: tuple[Summary, ...] = ()
    schema: int = SCHEMA


def json_schema() -> bytes:
    """Return the JSON schema of result files; that of a report stands in the file that graphopt ships."""
    (root,), found = msgspec.json.schema_components((SuiteResult,), ref_template="#/$defs/{name}")
    _, reports = msgspec.json.schema_components((BenchReport,))
    own: dict[str, Any] = {name: one for name, one in found.items() if name not in reports}
    own[BenchReport.__name__] = {"$ref": "../../graphopt/measure/bench.schema.json"}
    return msgspec.json.format(msgspec.json.encode({**root, "$defs": own}), indent=2) + b"\n"


def load(path: Path) -> SuiteResult:
    """Read a result file.

    Raises `ValueError` if it is none, or of another version.
    """
    result = msgspec.json.decode(path.read_bytes(), type=SuiteResult)
    if result.schema != SCHEMA:
        raise ValueError(f"{path.name} has version {result.schema}, this is {SCHEMA}")
    return result


def save(result: SuiteResult, path: Path) -> None:
    """Write a result file; the old one or the new one is there at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    fresh.replace(path)


def entry_of(report: BenchReport, label: str) -> Entry | None:
    """Return the entry with that label, if it was timed."""
    return next((entry for entry in report.entries if entry.label == label and entry.latency is not None), None)


def summarize(models: Sequence[ModelResult]) -> tuple[Summary, ...]:
    """Summarize each tool over the models that were timed, for each number of threads."""
    timed = [(model, report) for model in models for report in model.reports]
    counts = sorted({report.threads for _, report in timed})
    tools = list(dict.fromkeys(attempt.tool for model in models for attempt in model.attempts))
    return tuple(
        _summary(tool, threads, [pair for pair in timed if pair[1].threads == threads])
        for threads in counts
        for tool in tools
    )


def _summary(tool: str, threads: int, timed: Sequence[tuple[ModelResult, BenchReport]]) -> Summary:
    found = [(_status(model, tool), entry_of(report, tool)) for model, report in timed]
    ratios = [entry.ratio for status, entry in found if status == RIGHT and entry is not None and entry.ratio]
    logs = [math.log(ratio.median) for ratio in ratios] + [0.0] * (len(timed) - len(ratios))
    sure = [ratio.median for ratio in ratios if not ratio.no_difference]
    return Summary(
        tool,
        threads,
        len(timed),
        math.exp(statistics.fmean(logs)) if logs else 1.0,
        len(ratios),
        sum(status == WRONG for status, _ in found),
        len(timed) - len(ratios) - sum(status == WRONG for status, _ in found),
        sum(ratio < 1 for ratio in sure),
        sum(ratio > 1 for ratio in sure),
    )


def _status(model: ModelResult, tool: str) -> str:
    return next((attempt.status for attempt in model.attempts if attempt.tool == tool), FAILED)
