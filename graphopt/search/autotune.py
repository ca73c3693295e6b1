"""Optimize a model by measurement: choose rewrites place by place, then the whole, then the session's settings."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from graphopt.calibration.task import Feed
from graphopt.errors import UsageError
from graphopt.graph.save import save
from graphopt.graph.stage import stage
from graphopt.kinds import Target
from graphopt.pipeline.attempt import Attempts
from graphopt.pipeline.manifest import content_hash, original_weights, stage_signed
from graphopt.pipeline.optimize import Result, optimize
from graphopt.pipeline.options import Options
from graphopt.pipeline.passes import EXPLORE
from graphopt.pipeline.proof import Proof
from graphopt.pipeline.registry import installed
from graphopt.pipeline.report import LatencyRecord, RaceRecord, TrialRecord, TuningRecord
from graphopt.runtime.process import Worker
from graphopt.runtime.turns import Contender, Timing
from graphopt.search.cache import Cache, cache_folder, surroundings
from graphopt.search.candidates import BLIND, choice_rules, find_spots
from graphopt.search.choice import choose
from graphopt.search.race import cores, find_feed, race, records
from graphopt.search.settings import SETTINGS, Setting, SettingTrials
from graphopt.search.sidecar import content, declare, notes_on, write_settings
from graphopt.search.trials import Trial, Trials

__all__ = ["autotune"]

_TARGETS = (Target.PORTABLE, Target.ORT_CPU)
_SHARES = (0.4, 0.35, 0.25)
"""Shares of the time for places, for whole models, and for settings."""

ORIGINAL = "original"


def autotune(
    model: str | Path,
    output: str | Path | None = None,
    *,
    options: Options | None = None,
    budget_s: float = 60.0,
    progress: Callable[[str], None] | None = None,
    **choices: object,
) -> Result:
    """Optimize a model and keep of the rewrites what is measured to be faster here, on the task's shapes.

    Takes what `optimize` takes; about `budget_s` seconds are spent on timing. The result is never slower than the
    original by this measurement: where nothing wins, the original is what is written.

    Raises what `optimize` raises, and `MeasureError` if the model cannot be timed here.
    """
    options = options or Options(**choices)  # type: ignore[arg-type]
    if options.target not in _TARGETS:
        raise UsageError(
            f"--autotune times on onnxruntime's CPU, not on {options.target}", advice="take --target ort-cpu"
        )
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(contextlib.closing(Worker()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="graphopt-", ignore_cleanup_errors=True)))
        target = None if output is None else Path(output)
        return _Tuning(Path(model), target, folder, options, budget_s, worker, progress or (lambda _: None)).run()


class _Tuning:
    def __init__(
        self,
        source: Path,
        output: Path | None,
        folder: Path,
        options: Options,
        budget_s: float,
        worker: Worker,
        tell: Callable[[str], None],
    ) -> None:
        self.started = time.perf_counter()
        self.source, self.output, self.folder, self.options = source, output, folder, options
        self.budget_s, self.worker, self.tell = budget_s, worker, tell
        self.explored = [rule.name for rule in choice_rules(installed(), options, (EXPLORE,))]
        self.trials: list[TrialRecord] = []
        self.races: list[RaceRecord] = []

    def run(self) -> Result:
        default = self.optimize("default", self.options)
        feed = find_feed(self.source, self.options.task, self.options.seed, self.options.custom_ops)
        plain = self.optimize("no choices", self.without_choices())
        chosen = self.optimize(
            "choices", self.choose_places(feed, f"onnxruntime {plain.report.versions['onnxruntime']}")
        )
        results = {"choices": chosen, "default": default, "no choices": plain}
        winner, latency = self.fastest(self.distinct(results), feed)
        setting = self.tune_session(winner, feed, latency)
        if winner == ORIGINAL:
            return self.finish(
                winner, self.optimize("unchanged", replace(self.options, stop_after=0)), latency, setting
            )
        return self.finish(winner, results[winner], latency, setting)

    def optimize(self, name: str, options: Options) -> Result:
        """Optimize and prove under `name`, into the folder."""
        tell = self.tell
        return optimize(
            self.source,
            self.place(name),
            options=options,
            worker=self.worker,
            progress=lambda step: tell(f"{name}: {step}"),
        )

    def place(self, name: str) -> Path:
        if name == ORIGINAL:
            return self.source
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder / "model.onnx"

    def without_choices(self) -> Options:
        rules = choice_rules(installed(), self.options)
        return replace(self.options, skip=(*self.options.skip, *(rule.name for rule in rules)))

    # Places.

    def bare(self) -> Path:
        """Save the model as it is before any choice, which the rules of choice can still read."""
        options = self.without_choices()
        known = [name for name in BLIND if name in installed().names()]
        options = replace(options, skip=(*options.skip, *known), verify="off", precision="", snapshots="")
        proof = Proof(self.source, options, self.worker)
        attempt = Attempts(self.source, options, self.worker, proof, self.tell).run()
        path = self.folder / "bare" / "model.onnx"
        path.parent.mkdir()
        save(attempt.model, path)
        return path

    def choose_places(self, feed: Feed, runtime: str) -> Options:
        """Return options under which every place gets what is fastest there."""
        ground = find_spots(self.bare(), self.options, installed(), self.worker, self.tell)
        here = surroundings(runtime, 1)
        folder = self.folder / "regions"
        folder.mkdir()
        timed = Trials(ground, feed, folder, Cache(cache_folder()), here, self.options.custom_ops, self.options.freeze)
        trials = timed.run(_SHARES[0] * self.budget_s, self.tell)
        choice = choose(ground, trials)
        self.trials = [_trial(trial, taken=trial.alternative in choice.taken) for trial in trials]
        return choice.options(self.options, self.explored)

    # Whole models.

    def distinct(self, results: dict[str, Result]) -> list[str]:
        """List the results that differ from the original and from those before them."""
        found: dict[str, str] = {}
        for name, result in results.items():
            if result.report.steps:
                found.setdefault(content_hash(result.model), name)
        return list(found.values())

    def fastest(self, names: list[str], feed: Feed) -> tuple[str, LatencyRecord]:
        """Return the first that is not slower than the original or another beyond the noise; if none is, the original.

        `names` begin with what is the fastest by the times of its places, which tell smaller differences.
        """
        self.tell("time whole models")
        timing = self.race([ORIGINAL, *names], feed, threads=1)
        raced = [name for name in names if name in timing.ratios]
        for name in raced:
            others = [timing.ratio(name, other, self.options.seed) for other in (ORIGINAL, *raced) if other != name]
            slower = any(ratio.low > 1 and not ratio.no_difference for ratio in others)
            if not slower and timing.ratios[name].low <= 1 and self.holds(name, feed):
                return name, _latency(timing, name)
        return ORIGINAL, _latency(timing, ORIGINAL)

    def holds(self, name: str, feed: Feed) -> bool:
        """Tell whether a result is not slower with two threads either."""
        if cores() < 2:
            return True
        return self.race([ORIGINAL, name], feed, threads=2).ratios[name].low <= 1

    def race(self, names: list[str], feed: Feed, threads: int) -> Timing:
        options = {"threads": threads, "custom_ops": [str(Path(each).resolve()) for each in self.options.custom_ops]}
        contenders = [Contender(name, self.place(name), options=options) for name in names]
        timing = race(contenders, feed, _SHARES[1] * self.budget_s / 2, self.options.seed)
        self.races.extend(records(timing, names[0], threads))
        return timing

    # The result.

    def tune_session(self, winner: str, feed: Feed, latency: LatencyRecord) -> Setting:
        """Return the settings with which the winner is faster beyond the noise."""
        self.tell("time settings")
        known = {} if self.options.exact else SETTINGS
        timed = SettingTrials(self.place(winner), self.folder, feed, self.options.custom_ops, self.options.seed)
        setting = timed.run(known, _SHARES[2] * self.budget_s, latency.after_ms / 1e3)
        self.races.extend(timed.races)
        return setting

    def finish(self, winner: str, result: Result, latency: LatencyRecord, setting: Setting) -> Result:
        """Write the winner with its settings in it and beside it; the report tells all of it."""
        model, report = result.model, result.report
        tuning = TuningRecord(
            winner, tuple(self.trials), tuple(self.races), dict(setting.config), dict(setting.metadata)
        )
        if setting.metadata:
            declare(model, setting.metadata)
        notes = (*report.notes, *notes_on(tuning, self.output))
        report = replace(report, output="" if self.output is None else str(self.output), notes=notes, tuning=tuning)
        output = self.output or self.folder / "output.onnx"
        signed = bool(report.steps or setting.metadata)
        weights = original_weights(model)
        staged = stage_signed(model, output, report.pipeline, weights) if signed else stage(model, output)
        with staged:
            with staged.model_path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = staged.model_path.stat().st_size
            if self.output is not None:
                staged.commit()
                write_settings(self.output, content(report))
        report = replace(report, latency=latency, after_sha256=digest, after_bytes=size)
        return Result(model, replace(report, seconds=time.perf_counter() - self.started))


def _trial(trial: Trial, *, taken: bool) -> TrialRecord:
    one, ratio = trial.alternative, trial.ratio
    return TrialRecord(
        one.label, one.sites, trial.before_ms, ratio.median, ratio.low, ratio.high, taken=taken, cached=trial.cached
    )


def _latency(timing: Timing, name: str) -> LatencyRecord:
    noise = timing.noise
    ratio = timing.ratios.get(name) or replace(noise, no_difference=True)
    return LatencyRecord(
        timing.median_ms(ORIGINAL),
        timing.median_ms(name),
        ratio.median,
        ratio.low,
        ratio.high,
        noise.low,
        noise.high,
        threads=1,
        rounds=timing.count,
        no_difference=ratio.no_difference,
    )
