"""Say what a run did: the frozen record whose JSON is the product; everything printed is a view of it."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from graphopt.graph.stats import GraphStats
from graphopt.pipeline.runner import PassRecord
from graphopt.rewrite.steps import Remark, Step

__all__ = [
    "LatencyRecord",
    "RaceRecord",
    "Report",
    "RolledBack",
    "TrialRecord",
    "TuningRecord",
    "VerifyRecord",
    "versions",
]


@dataclass(frozen=True)
class VerifyRecord:
    """How the result was compared with the original.

    `status`: `same`, `different`, `not-run` (the runtime cannot run this model), `unchanged` (nothing was rewritten) or
    `off`. `max_error` is relative to the largest magnitude of the output it occurs in, None if nothing was compared;
    `tolerance` is what was allowed. `feeds` counts the inputs that both were run on.
    """

    status: str
    detail: str = ""
    max_error: float | None = None
    tolerance: float | None = None
    bit_identical: bool | None = None
    feeds: int = 0
    source: str = "drawn"


@dataclass(frozen=True)
class LatencyRecord:
    """Median latencies in milliseconds, timed in turns with the runtime's optimizations on.

    `ratio` is after / before with its 95 % interval `low` to `high`; `twin_low` to `twin_high` is that of the model
    before against itself, the noise floor. `no_difference` is True where noise alone explains the ratio.
    """

    before_ms: float
    after_ms: float
    ratio: float
    low: float
    high: float
    twin_low: float
    twin_high: float
    threads: int
    rounds: int
    no_difference: bool


@dataclass(frozen=True)
class RolledBack:
    """A rewrite that verification found wrong and that was left out; `reproducer` is a folder, or empty."""

    step: Step
    reason: str
    reproducer: str = ""


@dataclass(frozen=True)
class TrialRecord:
    """How one way to rewrite a place did against leaving it: rules and nodes in `sites`, time ratio, 95 % interval.

    `before_ms` is what the place and its neighbours take as they are. `taken` tells whether the result has it, `cached`
    whether the times are of an earlier run or of a place that looks the same.
    """

    label: str
    sites: tuple[tuple[str, str], ...]
    before_ms: float
    ratio: float
    low: float
    high: float
    taken: bool
    cached: bool


@dataclass(frozen=True)
class RaceRecord:
    """How a whole model, or one with other settings, did against the base of its race; the base's own is the noise."""

    label: str
    base: str
    ratio: float
    low: float
    high: float
    threads: int


@dataclass(frozen=True)
class TuningRecord:
    """What was measured to choose the result, `chosen`.

    `config` holds the entries of onnxruntime's session that win, `metadata` the options that the model declares.
    """

    chosen: str
    trials: tuple[TrialRecord, ...]
    races: tuple[RaceRecord, ...]
    config: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Everything that a run did, asked for and found.

    `fast_math` names the rewrites among `rules` that hide NaN or infinities. `model` is empty for one built in memory.

    `steps` is every single rewrite in order: what replaces a node bears the node's name, so that a step tells where a
    part of the result comes from. `rules` counts them by rule.
    """

    model: str
    output: str
    target: str
    pipeline: str
    before: GraphStats
    after: GraphStats
    before_sha256: str
    after_sha256: str
    before_bytes: int
    after_bytes: int
    passes: tuple[PassRecord, ...]
    rules: dict[str, int]
    steps: tuple[Step, ...]
    verification: VerifyRecord
    latency: LatencyRecord | None = None
    fast_math: tuple[str, ...] = ()
    rolled_back: tuple[RolledBack, ...] = ()
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    seed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    tuning: TuningRecord | None = None


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"


def versions() -> dict[str, str]:
    """Return the versions of graphopt and of what its results depend on."""
    names = ("graphopt", "onnx", "onnxruntime", "onnx-ir", "numpy")
    return {"python": platform.python_version(), **{name: _version(name) for name in names}}
