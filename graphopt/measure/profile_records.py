"""Hold what a profile found: frozen records whose JSON is the product; all else is a view of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphopt.measure.roofline import Peaks

__all__ = ["Change", "Group", "KernelTime", "ModelProfile", "ProfileReport"]

SCHEMA = 1
"""Version of the JSON form; a change that breaks readers raises it."""


@dataclass(frozen=True)
class Work:
    """What was done in the time of one inference, in `ms` milliseconds, a `share` (0 to 1) of that of all kernels.

    `macs`, `flops` and `bytes` are None where they are not known of some of it; then nothing is said of rates and
    roof. `gflops` and `gbs` are what was reached, in 1e9 per second. `roof_ms` is the least that the peaks allow, by
    `bound`, which is `compute` or `memory`; `roof_share` is that over `ms`: 1 is the roof, and it is above where the
    data lay in the caches.
    """

    ms: float
    share: float
    calls: float
    macs: int | None = None
    flops: int | None = None
    bytes: int | None = None
    gflops: float | None = None
    gbs: float | None = None
    roof_ms: float | None = None
    roof_share: float | None = None
    bound: str = ""


@dataclass(frozen=True)
class KernelTime:
    """One executed node of the runtime's graph; `nodes` are those of the model that it stands for, as far as known."""

    name: str
    operator: str
    provider: str
    region: str
    nodes: tuple[str, ...]
    work: Work
    implementation: str = ""


@dataclass(frozen=True)
class Group:
    """Kernels of one operator or of one region of the source."""

    name: str
    kernels: int
    work: Work


@dataclass(frozen=True)
class Change:
    """One operator or region before and after; `delta_ms` is the second less the first."""

    name: str
    before_ms: float
    after_ms: float
    delta_ms: float
    before_kernels: int
    after_kernels: int


@dataclass(frozen=True)
class ModelProfile:
    """Where one model's time goes.

    `latency_ms` is the median of whole inferences without the profiler, `kernels_ms` the sum of the kernels under it,
    medians over `runs`; `outside_ms` is the difference. It is negative where the profiler's own work is more than what
    the runtime does between kernels.
    """

    label: str
    model: str
    sha256: str
    ep: str
    runs: int
    latency_ms: float
    kernels_ms: float
    outside_ms: float
    kernels: tuple[KernelTime, ...]
    operators: tuple[Group, ...]
    regions: tuple[Group, ...]
    chosen: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProfileReport:
    """Everything that a profile found: of one model, or of one before and one after a change.

    `operators` and `regions` compare the two; they are empty for one. `feed` is the shape and dtype of each input.
    """

    models: tuple[ModelProfile, ...]
    operators: tuple[Change, ...]
    regions: tuple[Change, ...]
    peaks: Peaks
    environment: dict[str, str]
    environment_hash: str
    feed: dict[str, str]
    source: str
    threads: int
    depth: int
    seed: int
    seconds: float
    created: str
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def _repr_html_(self) -> str:
        """Return the profile as a notebook shows it."""
        from graphopt.report.notebook import profile_html

        return profile_html(self)
