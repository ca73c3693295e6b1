"""Measure models on execution providers: in turns, with the noise, the numbers and the environment beside them."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from graphopt.calibration.task import Feed
from graphopt.errors import MeasureError
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.stats import stats
from graphopt.measure.environment import environment, environment_hash
from graphopt.measure.feeds import candidates, first_that_runs
from graphopt.measure.records import BenchReport, Entry, Latency, Memory, Quality, RatioRecord, Share
from graphopt.pipeline.report import versions
from graphopt.runtime.difference import differ
from graphopt.runtime.frames import Array
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.providers import known_name
from graphopt.runtime.ratios import Ratio
from graphopt.runtime.turns import TWIN, Contender, Stand, Timing, take_turns

__all__ = ["BenchOptions", "bench"]


@dataclass(frozen=True)
class BenchOptions:
    """The choices of a measurement, as on the command line.

    `budget_s` seconds are spent on timing; `width` is the half width of the intervals at which it stops before.
    `config` is passed to the runtime verbatim. `software` admits adapters that only imitate a GPU.
    """

    eps: tuple[str, ...] = ("cpu",)
    threads: int = 1
    task: str = ""
    samples: int = 3
    budget_s: float = 20.0
    width: float = 0.01
    seed: int = 0
    precision: str = "f32"
    config: Mapping[str, str] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()
    software: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        for name in self.eps:
            known_name(name)


def bench(
    models: Sequence[str | Path], options: BenchOptions = BenchOptions(), progress: Callable[[str], None] | None = None
) -> BenchReport:
    """Measure every model on every provider; the first model on the first provider is the base.

    Raises `UsageError` for an unknown provider, `ModelError` for a model that cannot be read, `MeasureError` if
    anything else than a requested provider would run, or no input is found that the base runs.
    """
    return _Bench([Path(model) for model in models], options, progress or (lambda _: None)).run()


class _Bench:
    def __init__(self, models: Sequence[Path], options: BenchOptions, tell: Callable[[str], None]) -> None:
        self.options, self.tell = options, tell
        self.models = models
        self.contenders = _contenders(models, options)
        self.entries: dict[str, Entry] = {}

    def run(self) -> BenchReport:
        """Open everything, compare the numbers, time what may be timed."""
        started = time.perf_counter()
        options = self.options
        with ExitStack() as stack:
            stands = {each.label: stack.enter_context(Stand(each)) for each in self.contenders}
            for label, stand in stands.items():
                self.tell(f"open {label}")
                self.entries[label] = self.opened(stand)
            self.tell("compare the numbers")
            feeds = self.judge(stands)
            timed = {label: stand for label, stand in stands.items() if not self.entries[label].software}
            timing = self.time(timed, feeds[0], stack)
            self.remember(stands)
        twin = None if timing is None else _record(timing.noise, next(iter(timed)), timing)
        found = environment()
        return BenchReport(
            entries=tuple(self.entries.values()),
            twin=twin,
            environment=found,
            environment_hash=environment_hash(found),
            feed={name: f"{array.dtype}{list(array.shape)}" for name, array in feeds[0].items()},
            source=options.task or "drawn",
            threads=options.threads,
            seed=options.seed,
            budget_s=options.budget_s,
            seconds=time.perf_counter() - started,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            versions=versions(),
        )

    def opened(self, stand: Stand) -> Entry:
        one = stand.contender
        try:
            facts = stand.open()
        except (RequestError, WorkerDied) as error:
            raise MeasureError(f"{one.ep} cannot load {one.path.name}", where=error.what) from error
        model = load(one.path)
        counted = stats(model, Facts(model))
        return Entry(
            label=one.label,
            model=str(one.path),
            sha256=hashlib.sha256(one.path.read_bytes()).hexdigest(),
            ep=one.ep,
            threads=self.options.threads,
            software=facts["software"],
            chosen=facts["chosen"],
            shares=_shares(facts["placement"]),
            load_ms=facts["seconds"] * 1e3,
            file_bytes=one.path.stat().st_size,
            parameters=counted.parameters,
            nodes=counted.nodes,
            macs=counted.macs,
        )

    def judge(self, stands: Mapping[str, Stand]) -> tuple[Feed, ...]:
        """Find feeds that the first runs, and compare the outputs of all with its; return the feeds."""
        (base, first), *others = stands.items()
        options = self.options
        groups = candidates(self.models[0], options.task, options.samples, options.seed, options.custom_ops)
        expected, feeds = first_that_runs(groups, lambda group: [first.outputs(feed) for feed in group])
        for label, stand in others:
            try:
                found = [stand.outputs(feed) for feed in feeds]
            except (RequestError, WorkerDied) as error:
                raise MeasureError(f"{label} does not run", where=error.what) from error
            quality = _quality(base, expected, found)
            self.entries[label] = replace(self.entries[label], quality=quality)
        return feeds

    def time(self, stands: dict[str, Stand], feed: Mapping[str, Array], stack: ExitStack) -> Timing | None:
        if not stands:
            return None
        base = next(iter(stands))
        twin = stack.enter_context(Stand(stands[base].contender))
        twin.open()
        ready = {**stands, TWIN: twin}
        for stand in ready.values():
            stand.feed(feed)
        for label, stand in stands.items():
            first, _ = stand.first()
            self.entries[label] = replace(self.entries[label], first_ms=first * 1e3)
        self.tell("time in turns")
        timing = take_turns(ready, budget_s=self.options.budget_s, width=self.options.width, seed=self.options.seed)
        for label in stands:
            ratio = None if label == base else _record(timing.ratios[label], base, timing)
            self.entries[label] = replace(self.entries[label], latency=_latency(timing, label), ratio=ratio)
        return timing

    def remember(self, stands: Mapping[str, Stand]) -> None:
        """Read the peaks of memory at the end."""
        for label, stand in stands.items():
            peak, empty = stand.ask("memory")[0]["peak_bytes"], stand.facts["empty_bytes"]
            self.entries[label] = replace(self.entries[label], memory=Memory(peak, empty, peak - empty))


def _contenders(models: Sequence[Path], options: BenchOptions) -> list[Contender]:
    """Make one contender for each model and provider; a label names what tells them apart."""
    given: dict[str, Any] = {
        "threads": options.threads,
        "precision": options.precision,
        "config": dict(options.config),
        "custom_ops": [str(Path(path).resolve()) for path in options.custom_ops],
        "software": options.software,
        "strict": options.strict,
    }
    names = _names(models)
    return [
        Contender(f"{name} on {ep}" if len(options.eps) > 1 else name, model, ep, given)
        for ep in options.eps
        for name, model in zip(names, models, strict=True)
    ]


def _names(models: Sequence[Path]) -> list[str]:
    """Name the models as shortly as tells them apart: by file, by path, or by their number."""
    for names in ([model.stem for model in models], [str(model) for model in models]):
        if len(set(names)) == len(names):
            return names
    return [f"{model} ({number})" for number, model in enumerate(models, 1)]


def _shares(placement: Mapping[str, Sequence[str]] | None) -> tuple[Share, ...]:
    if placement is None:
        return ()
    total = sum(map(len, placement.values())) or 1
    return tuple(Share(name, len(nodes), len(nodes) / total) for name, nodes in placement.items())


def _record(ratio: Ratio, to: str, timing: Timing) -> RatioRecord:
    return RatioRecord(to, ratio.median, ratio.low, ratio.high, timing.count, ratio.no_difference)


def _latency(timing: Timing, label: str) -> Latency:
    samples = np.asarray(timing.samples[label]) * 1e3
    median = float(np.median(samples))
    return Latency(
        samples=len(samples),
        min_ms=float(samples.min()),
        median_ms=median,
        p90_ms=float(np.quantile(samples, 0.9)),
        p99_ms=float(np.quantile(samples, 0.99)) if len(samples) >= 1000 else None,
        mad_ms=float(statistics.median(abs(samples - median))),
        rounds_ms=tuple(value * 1e3 for row in timing.rounds[label] for value in row),
    )


def _quality(to: str, expected: Sequence[Mapping[str, Array]], found: Sequence[Mapping[str, Array]]) -> Quality:
    """Compare the outputs on each feed; what cannot be measured counts as no error but says why."""
    names = sorted({*expected[0], *found[0]})
    if missing := [name for name in names if name not in expected[0] or name not in found[0]]:
        return Quality(to, None, len(found), detail=f"only one of both has output {missing[0]!r}")
    every = [
        one for a, b in zip(expected, found, strict=True) for name in names for one in differ(name, a[name], b[name])
    ]
    if trouble := next((f"output {one.name!r} {one.problem}" for one in every if one.problem), ""):
        return Quality(to, None, len(found), detail=trouble)
    worst = max((math.inf if one.nonfinite else one.relative for one in every), default=0.0)
    return Quality(to, worst, len(found))
