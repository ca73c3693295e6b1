"""Measure models on execution providers: in turns, with the noise, the numbers and the environment beside them."""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graphopt.calibration.task import Feed
from graphopt.errors import TaskError, UnsupportedError
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.kinds import Exactness
from graphopt.measure.contenders import BenchOptions, contenders, describe
from graphopt.measure.energy import EnergyMeter
from graphopt.measure.environment import environment, environment_hash, load_average
from graphopt.measure.feeds import candidates, first_that_runs
from graphopt.measure.load import closed_load, open_load
from graphopt.measure.records import BenchReport, Entry, Latency, Memory, RatioRecord, Share, base_of
from graphopt.measure.scoring import Reference, Scorer, scorer, with_score
from graphopt.measure.shares import mac_shares
from graphopt.pipeline.report import versions
from graphopt.runtime.frames import Array
from graphopt.runtime.harvest import narrowest_float
from graphopt.runtime.process import RequestError, WorkerDied
from graphopt.runtime.ratios import Ratio
from graphopt.runtime.tolerance import EPSILON, Tolerance
from graphopt.runtime.turns import TWIN, Stand, Timing, take_turns

__all__ = ["BenchOptions", "bench"]

Stands = dict[str, Stand]
Outputs = list[dict[str, Array]]
_ENERGY_SECONDS = 0.5


def bench(
    models: str | Path | Sequence[str | Path],
    options: BenchOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measure every model on every provider; the first that runs is the base of all errors.

    A ratio is to the first model on the same provider and threads, and that of this model to the first of all. A model
    that a provider cannot run is shown with its trouble.

    Raises `UsageError` for an unknown provider or an option that it does not take, `ModelError` for a model that cannot
    be read, `TaskError` for data that does not fit, `MeasureError` if anything else than a requested provider would
    run, `UnsupportedError` if nothing can be measured.
    """
    given = [models] if isinstance(models, (str, Path)) else models
    paths, tell = [Path(model) for model in given], progress or (lambda _: None)
    with tempfile.TemporaryDirectory(prefix="graphopt-", ignore_cleanup_errors=True) as cache:
        return _Bench(paths, options or BenchOptions(), tell, cache).run()


class _Bench:
    def __init__(self, models: Sequence[Path], options: BenchOptions, tell: Callable[[str], None], cache: str) -> None:
        self.options, self.tell = options, tell
        self.contenders = contenders(models, options, cache)
        self.models: dict[Path, Model] = {model: load(model) for model in models}
        self.entries = {one.label: describe(one, self.models[one.path]) for one in self.contenders}
        self.scorer: Scorer | None = scorer(options.task, options.evaluate, self.models[models[0]])
        self.meter = EnergyMeter()
        self.twin_memory: Memory | None = None

    def run(self) -> BenchReport:
        """Open everything, compare the numbers, time what may be timed."""
        started, before = time.perf_counter(), load_average()
        with ExitStack() as stack:
            stands = {
                one.label: stack.enter_context(Stand(one, warm_ups=self.options.warm_up)) for one in self.contenders
            }
            usable = {label: stand for label, stand in stands.items() if self.open(stand)}
            feeds = self.judge(usable)
            for label, stand in usable.items():
                model = self.models[stand.contender.path]
                self.change(label, shares=mac_shares(model, feeds[0], stand.facts["placement"]))
            timed = {label: stand for label, stand in usable.items() if not self.entries[label].software}
            timing = self.time(timed, feeds[0])
        self.load(timed, feeds[0])
        return self.report(timing, feeds[0], before, time.perf_counter() - started)

    def report(self, timing: Timing | None, feed: Feed, before: str, seconds: float) -> BenchReport:
        options, found = self.options, environment(before, load_average())
        first = next(iter(timing.rounds)) if timing is not None else ""
        return BenchReport(
            entries=tuple(self.entries.values()),
            twin=None if timing is None else _record(timing.noise, first, timing),
            environment=found,
            environment_hash=environment_hash(found),
            feed={name: f"{array.dtype}{list(array.shape)}" for name, array in feed.items()},
            source=Path(options.task).name if options.task else "drawn",
            threads=options.threads[0],
            seed=options.seed,
            budget_s=options.budget_s,
            seconds=seconds,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            versions=versions(),
            twin_memory=self.twin_memory,
            precision=options.precision,
            energy=self.meter.source,
        )

    def change(self, label: str, **fields: Any) -> None:
        self.entries[label] = replace(self.entries[label], **fields)

    def trouble(self, label: str, what: str, error: Exception) -> None:
        """Note why an entry has no numbers, in one line that names no folder."""
        path = next(one.path for one in self.contenders if one.label == label)
        text = str(getattr(error, "detail", "") or getattr(error, "what", "") or error)
        for folder in (str(path.resolve().parent), str(path.parent)):
            text = text.replace(f"{folder}/", "") if folder != "." else text
        line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
        kept = {name: getattr(self.entries[label], name) for name in _LASTING}
        self.entries[label] = Entry(**kept, trouble=f"{what}: {line}"[:400])

    def open(self, stand: Stand) -> bool:
        """Open a model and note what the runtime says of it; tell whether it could be opened."""
        label = stand.contender.label
        self.tell(f"open {label}")
        try:
            facts = stand.open()
        except (RequestError, WorkerDied) as error:
            self.trouble(label, "does not load", error)
            return False
        self.change(
            label,
            software=facts["software"],
            chosen=facts["chosen"],
            shares=_shares(facts["placement"]),
            load_ms=facts["seconds"] * 1e3,
        )
        return True

    # The numbers.

    def judge(self, stands: Stands) -> tuple[Feed, ...]:
        """Find feeds that the first runs, and compare the outputs of all with its; return the feeds."""
        self.tell("compare the numbers")
        advice = "`graphopt check` says more of a model that does not load"
        while stands:
            label, first = next(iter(stands.items()))
            try:
                expected, feeds = self.find_feeds(first)
                break
            except UnsupportedError as error:
                self.trouble(label, "does not run", UnsupportedError(error.where))
                advice = error.advice
                del stands[label]
        else:
            raise self.nothing(advice)
        reference = Reference(label, feeds, expected, first.outputs)
        try:
            score = self.score(first)
        except (RequestError, WorkerDied) as error:
            raise TaskError(f"{label} does not run the task's evaluation items", where=str(error)) from error
        count = len(self.scorer.items) if self.scorer else 0
        self.change(label, quality=reference.itself(score, count))
        for other in list(stands)[1:]:
            try:
                found = self.run_once(stands[other], feeds)
                quality = reference.compare(found, self.tolerance(label, other))
                own = self.score(stands[other])
            except (RequestError, WorkerDied) as error:
                self.trouble(other, "does not run", error)
                del stands[other]
                continue
            self.change(other, quality=quality if own is None else with_score(quality, own, score, count))
        return feeds

    def nothing(self, advice: str) -> UnsupportedError:
        lines = [f"{entry.label}: {entry.trouble}" for entry in self.entries.values()]
        return UnsupportedError("nothing could be measured", where="\n  ".join(lines), advice=advice)

    def find_feeds(self, stand: Stand) -> tuple[Outputs, tuple[Feed, ...]]:
        """Find feeds that a model runs, and run it on them; what is kept is of a process that ran nothing before."""
        options, failed = self.options, False
        path = stand.contender.path

        def attempt(group: tuple[Feed, ...]) -> Outputs:
            nonlocal failed
            try:
                return self.run_once(stand, group)
            except (RequestError, WorkerDied) as error:
                failed = True
                if isinstance(error, WorkerDied):
                    stand.open()
                raise

        groups = candidates(path, options.task, options.samples, options.seed, options.custom_ops)
        expected, feeds = first_that_runs(groups, attempt)
        if failed:
            stand.restart()
            stand.open()
            expected = self.run_once(stand, feeds)
        return expected, feeds

    def run_once(self, stand: Stand, feeds: Sequence[Feed]) -> Outputs:
        """Time the first inference of a process, read its memory, and return the outputs for all feeds."""
        stand.feed(feeds[0])
        first, _ = stand.first()
        peak, empty = stand.ask("memory")[0]["peak_bytes"], stand.facts["empty_bytes"]
        if stand.contender.label in self.entries:
            first_ms = None if self.entries[stand.contender.label].software else first * 1e3
            self.change(stand.contender.label, first_ms=first_ms, memory=Memory(peak, empty, max(0, peak - empty)))
        return [stand.outputs(feed) for feed in feeds]

    def score(self, stand: Stand) -> float | None:
        if self.scorer is None:
            return None
        return self.scorer.score([name for name, _ in stand.facts["outputs"]], stand.outputs)

    def tolerance(self, base: str, other: str) -> Tolerance:
        """Return what rounding explains between two entries, by the less precise of both."""
        paths = {one.label: one.path for one in self.contenders}
        names = [narrowest_float(self.models[paths[label]]) for label in (base, other)]
        return Tolerance(Exactness.REASSOCIATES, narrowest=max(names, key=lambda name: EPSILON.get(name, 0.0)))

    # Time.

    def time(self, stands: Stands, feed: Feed) -> Timing | None:
        """Time what runs; whoever fails in the middle is left out, and the others begin anew."""
        while stands:
            try:
                return self.turns(stands, feed)
            except (RequestError, WorkerDied) as error:
                broken = [label for label, stand in stands.items() if not self.lives(stand, feed)] or list(stands)
                for label in broken:
                    self.trouble(label, "fails while it is timed", error)
                    del stands[label]
        return None

    def lives(self, stand: Stand, feed: Feed) -> bool:
        try:
            stand.open()
            stand.feed(feed)
            stand.first()
        except (RequestError, WorkerDied):
            return False
        return True

    def turns(self, stands: Stands, feed: Feed) -> Timing:
        base = next(iter(stands))
        with Stand(stands[base].contender, warm_ups=self.options.warm_up) as twin:
            twin.open()
            twin.feed(feed)
            twin.first()
            peak, empty = twin.ask("memory")[0]["peak_bytes"], twin.facts["empty_bytes"]
            self.twin_memory = Memory(peak, empty, max(0, peak - empty))
            for stand in stands.values():
                stand.feed(feed)
            self.tell("time in turns")
            options = self.options
            ready = {**stands, TWIN: twin}
            timing = take_turns(ready, budget_s=options.budget_s, width=options.width, seed=options.seed)
        for label, stand in stands.items():
            ratio = None if label == base else self.ratio(timing, label, list(stands))
            self.change(label, latency=_latency(timing, label), ratio=ratio, energy_j=self.energy(stand, timing, label))
        return timing

    def ratio(self, timing: Timing, label: str, timed: Sequence[str]) -> RatioRecord:
        to = base_of(self.entries[label], [self.entries[each] for each in timed]).label
        return _record(timing.ratio(label, to, self.options.seed), to, timing)

    def energy(self, stand: Stand, timing: Timing, label: str) -> float | None:
        """Return the joules of one inference, of the whole processor; None where they cannot be read."""
        count = max(1, int(_ENERGY_SECONDS * 1e3 / timing.median_ms(label)))
        # A batch may begin with one more.
        extra: list[int] = []
        used = self.meter.joules(lambda: extra.append(stand.ask("batch", key="", count=count)[0]["extra"]))
        return None if used is None else used / (count + sum(extra))

    def load(self, stands: Mapping[str, Stand], feed: Feed) -> None:
        """Put load on each alone, in a process of its own that has the cores for it."""
        options = self.options
        callers = max(options.concurrency, default=1)
        if not options.concurrency and not options.rate:
            return
        for label, timed in stands.items():
            self.tell(f"load on {label}")
            with Stand(timed.contender, callers=callers) as stand:
                try:
                    self.crowd(label, stand, feed, callers)
                except (RequestError, WorkerDied) as error:
                    self.change(label, notes=(*self.entries[label].notes, f"fails under load: {error.what}"))

    def crowd(self, label: str, stand: Stand, feed: Feed, callers: int) -> None:
        options = self.options
        stand.open()
        stand.feed(feed)
        stand.first()
        if options.concurrency:
            found = tuple(closed_load(stand, count, options.load_s) for count in options.concurrency)
            self.change(label, throughput=found)
        if options.rate:
            self.change(label, open_load=open_load(stand, options.rate, options.load_s, options.seed, callers))


_LASTING = ("label", "model", "sha256", "ep", "threads", "file_bytes", "parameters", "nodes", "macs", "chosen")


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
        openings=tuple(map(len, timing.rounds[label])),
    )
