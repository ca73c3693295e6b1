"""Hold what a measurement found: frozen records whose JSON is the product; all else is a view of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = [
    "BenchReport",
    "Entry",
    "Latency",
    "Memory",
    "OpenLoad",
    "Quality",
    "RatioRecord",
    "Share",
    "Throughput",
    "base_of",
]

SCHEMA = 1
"""Version of the JSON form; a change that breaks readers raises it."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference, over `samples` of them; `p99_ms` is None below 1,000.

    `mad_ms` is the median absolute deviation. `rounds_ms` is the median of each round, in order, `openings` the number
    of rounds after each opening of the model.
    """

    samples: int
    min_ms: float
    median_ms: float
    p90_ms: float
    p99_ms: float | None
    mad_ms: float
    rounds_ms: tuple[float, ...]
    openings: tuple[int, ...] = ()


@dataclass(frozen=True)
class RatioRecord:
    """Latency over that of the entry `to`: median over the rounds with its 95 % interval.

    `no_difference` is True where the interval covers 1, or the ratio lies within that of the twin, the noise floor.
    """

    to: str
    median: float
    low: float
    high: float
    rounds: int
    no_difference: bool


@dataclass(frozen=True)
class Share:
    """What one provider runs of a model: nodes of the optimized graph, and multiply-accumulates of the given feed.

    Shares are 0 to 1. `macs` and `mac_share` are None where the runtime does not tell which nodes it runs.
    """

    provider: str
    nodes: int
    node_share: float
    macs: int | None = None
    mac_share: float | None = None


@dataclass(frozen=True)
class Throughput:
    """Inferences per second with `concurrency` callers, each of which waits for its result (closed loop)."""

    concurrency: int
    per_second: float
    median_ms: float
    p90_ms: float


@dataclass(frozen=True)
class OpenLoad:
    """Latency under requests that come at random moments, `rate` per second, timed from when each was due.

    `p99_ms` is None below 1,000 requests. `behind` is the share of requests, 0 to 1, for which none of the `servers`
    was free when they were due. `per_second` is what was served; `unserved` counts the requests that were given up
    because the model does not keep up with the rate, so that its latencies say nothing but that.
    """

    rate: float
    servers: int
    requests: int
    per_second: float
    median_ms: float
    p90_ms: float
    p99_ms: float | None
    behind: float
    unserved: int = 0


@dataclass(frozen=True)
class Memory:
    """Peak bytes of resident memory: of the whole process, of one that only loaded the runtime, and the difference."""

    peak_bytes: int
    empty_bytes: int
    model_bytes: int


@dataclass(frozen=True)
class Quality:
    """How good the results are.

    `error` is the largest difference from the entry `to` on `feeds` feeds, relative to the largest magnitude of the
    output it occurs in; of outputs that are no floats, the share of elements that differ. None if it could not be
    compared. `limit` is the error that rounding explains, `wrong` says that it does not, and `detail` why. `score` is
    the task's own on `items` items, higher is better; None without one. `score_change` is that from the entry `to`.
    """

    to: str
    error: float | None
    feeds: int
    score: float | None = None
    detail: str = ""
    limit: float | None = None
    wrong: bool = False
    items: int = 0
    score_change: float | None = None


@dataclass(frozen=True)
class Entry:
    """One model on one provider with one set of options.

    `ep` is the provider's name as asked for. `chosen` is what the runtime chose or was told: precision, adapter,
    version, options verbatim. A provider on a software adapter (`software`) is never timed: its latency says nothing
    about the device that it stands for. `trouble` says why an entry has no numbers; then the rest is empty. `model` is
    the name of its file, `file_bytes` its size with external data. `load_ms` is with the file in memory already,
    `first_ms` the first inference of the process. `energy_j` is the processor's energy for one inference, None where it
    cannot be read.
    """

    label: str
    model: str
    sha256: str
    ep: str
    threads: int
    software: bool = False
    trouble: str = ""
    chosen: dict[str, str] = field(default_factory=dict)
    shares: tuple[Share, ...] = ()
    load_ms: float | None = None
    first_ms: float | None = None
    latency: Latency | None = None
    ratio: RatioRecord | None = None
    throughput: tuple[Throughput, ...] = ()
    open_load: OpenLoad | None = None
    memory: Memory | None = None
    quality: Quality | None = None
    file_bytes: int = 0
    parameters: int = 0
    nodes: int = 0
    macs: int | None = None
    energy_j: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchReport:
    """Everything that a measurement found.

    The first entry is the base of all errors. A ratio is to the first entry of the same provider and threads, and that
    of such a first one to the first of all. `twin` is the base against a second process of itself, the
    noise floor, and `twin_memory` the memory of that process; None if nothing was timed. `environment` describes
    machine and software; results whose `environment_hash` differ are not comparable. `feed` is the shape and dtype of
    each input that was timed, `source` the name of the task that it is from, or "drawn". `threads` are those of the
    base. `precision` is that asked for. `energy` says where the figures of energy come from, or "unavailable" and why.
    """

    entries: tuple[Entry, ...]
    twin: RatioRecord | None
    environment: dict[str, str]
    environment_hash: str
    feed: dict[str, str]
    source: str
    threads: int
    seed: int
    budget_s: float
    seconds: float
    created: str
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    twin_memory: Memory | None = None
    precision: str = "f32"
    energy: str = "unavailable"

    def _repr_html_(self) -> str:
        """Return the measurement as a notebook shows it."""
        from graphopt.report.notebook import bench_html

        return bench_html(self)


def base_of(entry: Entry, entries: Sequence[Entry]) -> Entry:
    """Return what an entry is compared with: the first of its provider and threads; for that one the first of all."""
    first = next(other for other in entries if (other.ep, other.threads) == (entry.ep, entry.threads))
    return entries[0] if first.label == entry.label else first
