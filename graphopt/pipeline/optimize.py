"""Optimize a model: run the pipeline, prove the result, roll back what is wrong, save."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from graphopt.errors import GraphOptError, OutputError, PassError, UsageError, VerificationError
from graphopt.graph.model import Model
from graphopt.graph.save import refresh_value_info, save
from graphopt.graph.stage import Staged, stage
from graphopt.graph.stats import stats
from graphopt.pipeline.attempt import Attempt, Attempts
from graphopt.pipeline.manifest import stage_signed
from graphopt.pipeline.offline import save_offline
from graphopt.pipeline.options import Options
from graphopt.pipeline.precision import FloatKept, Gate
from graphopt.pipeline.proof import Proof
from graphopt.pipeline.report import Report, RolledBack, VerifyRecord, versions
from graphopt.pipeline.rollback import first_bad
from graphopt.pipeline.runner import Instrument, Watch
from graphopt.rewrite.steps import Site
from graphopt.runtime.machine import machine
from graphopt.runtime.process import Worker

__all__ = ["Result", "optimize"]

MAX_ROLLBACKS = 64
"""After so many wrong rewrites, the run is given up."""


@dataclass
class Result:
    """What `optimize` returns: the model, and the report of what was done to it."""

    model: Model
    report: Report

    def save(self, path: str | Path) -> None:
        """Save the model atomically: `path` holds the old file or the new one, never a part.

        Raises `OutputError` if it cannot be written.
        """
        save(self.model, Path(path))

    def _repr_html_(self) -> str:
        """Return the report as a notebook shows it."""
        from graphopt.report.notebook import optimized_html

        return optimized_html(self.report)


def optimize(
    model: str | Path | Model,
    output: str | Path | None = None,
    *,
    options: Options | None = None,
    progress: Callable[[str], None] | None = None,
    worker: Worker | None = None,
    **choices: object,
) -> Result:
    """Optimize a model and prove that the result computes the same.

    `model` is a file or a model in memory, which is left as it is; `output` is where to save the result (None:
    nowhere). `choices` are the fields of `Options`. `progress` is told the name of each step. `worker` is the child
    process that folds and verifies; one that is given is used and left running, which saves its start for each model.

    Raises `ModelError`, `UnsupportedError`, `UsageError`, `OutputError` and, under `on_mismatch="fail"` or
    `require_verify`, `VerificationError`.
    """
    options = options or Options(**choices)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        worker = worker or stack.enter_context(contextlib.closing(Worker()))
        if options.verify != "off":
            worker.start()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="graphopt-")))
        source = Path(model) if isinstance(model, (str, Path)) else _spill(model, folder)
        target = Path(output) if output is not None else None
        tell = progress or (lambda _: None)
        result = _optimized(source, target, folder, options, worker, tell)
    if isinstance(model, Model):
        # Not the name of the temporary file.
        result.report = replace(result.report, model=str(model.path or ""))
    return result


def _optimized(
    source: Path, output: Path | None, folder: Path, options: Options, worker: Worker, tell: Callable[[str], None]
) -> Result:
    """Run once; and once more without narrowing if that cannot be had."""
    with contextlib.closing(Proof(source, options, worker)) as proof:
        try:
            return _Run(source, output, folder, proof, worker, tell).run()
        except FloatKept as error:
            why = f"float32 kept: {error}"
    result = _optimized(source, output, folder, options.unnarrowed, worker, tell)
    result.report = replace(result.report, notes=(why, *result.report.notes))
    return result


def _spill(model: object, folder: Path) -> Path:
    """Write a model in memory to a file, because every attempt begins with loading.

    Raises `UsageError` for a model of another kind than ours.
    """
    if not isinstance(model, Model):
        raise UsageError(
            f"optimize takes a path or a graphopt.Model, not {type(model).__name__}",
            advice="make one: graphopt.load(path), or graphopt.graph.load.from_proto(proto)",
        )
    path = folder / "input.onnx"
    save(model, path)
    return path


class _Run:
    def __init__(
        self,
        source: Path,
        output: Path | None,
        folder: Path,
        proof: Proof,
        worker: Worker,
        tell: Callable[[str], None],
    ) -> None:
        self.started = time.perf_counter()
        self.source, self.output, self.folder, self.options = source, output, folder, proof.options
        self.tell = tell
        self.proof = proof
        self.attempts = Attempts(source, proof.options, worker, proof, tell)
        self.gate = Gate(self.attempts, proof, proof.options)
        self.rolled_back: list[RolledBack] = []

    def run(self) -> Result:
        watchers = [
            (self.options.verify == "end", self.observe),
            (self.options.verify == "each", self.checkpoint),
            (bool(self.options.snapshots), self.snapshots),
        ]
        try:
            attempt = self.attempts.run(instruments=tuple(watch for wanted, watch in watchers if wanted))
        except PassError as error:
            raise self.explain(error) from error.__cause__
        while True:
            with self.stage(attempt) as staged:
                record = self.prove(attempt, staged)
                if record.status != "different":
                    attempt.model.remarks += self.gate.judge(attempt, self.source, staged.model_path)
                    attempt.model.remarks += self.save_offline(attempt, staged)
                    return self.finish(attempt, staged, record)
            attempt = self.roll_back(attempt, record)

    def observe(self, attempt: Attempt) -> Instrument:
        """Let the original run while the pipeline goes on, as soon as something changed."""
        del attempt

        def after(name: str, model: Model, changes: int) -> None:
            del name, model
            if changes:
                self.proof.observe()

        return Watch(after)

    def checkpoint(self, attempt: Attempt) -> Instrument:
        """Compare after each pass; the first pass whose result differs is the last one that runs."""

        def after(name: str, model: Model, changes: int) -> None:
            if not changes:
                return
            self.tell(f"verify after {name}")
            with stage(model, self.folder / "checkpoint.onnx") as staged:
                if self.proof.compare(attempt.steps, staged.model_path).status == "different":
                    attempt.steps.limit = attempt.steps.count

        return Watch(after)

    def snapshots(self, attempt: Attempt) -> Instrument:
        """Save the model after each pass that changed it, numbered in order."""
        del attempt
        folder, numbers = Path(self.options.snapshots), itertools.count(1)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"snapshots cannot be kept: {error.strerror}", where=str(folder)) from error

        def after(name: str, model: Model, changes: int) -> None:
            if changes:
                save(model, folder / f"{next(numbers):03}-{name}.onnx")

        return Watch(after)

    def stage(self, attempt: Attempt) -> Staged:
        """Write the result beside its place, so that exactly those bytes are verified and then renamed."""
        self.tell("save")
        refresh_value_info(attempt.model, attempt.context.facts)
        output = self.output or self.folder / "output.onnx"
        if not attempt.steps.done:
            return stage(attempt.model, output)
        return stage_signed(attempt.model, output, self.attempts.pipeline.text, attempt.weights)

    def prove(self, attempt: Attempt, staged: Staged) -> VerifyRecord:
        self.tell("verify")
        record = self.proof.compare(attempt.steps, staged.model_path)
        if self.options.require_verify and record.status in {"off", "not-run"}:
            raise VerificationError(
                "the result could not be verified",
                where=record.detail,
                advice="leave out --require-verify to accept it",
            )
        return record

    def roll_back(self, attempt: Attempt, record: VerifyRecord) -> Attempt:
        """Widen what narrowing costs most, or withhold the first rewrite that makes the result wrong; run again."""
        self.tell("bisect")
        if self.gate.widen(attempt, self.is_bad):
            return self.attempts.run(withheld=self.withheld)
        number = first_bad(attempt.steps.count, self.is_bad)
        step = None if number is None else next((s for s in attempt.steps.done if s.number == number), None)
        if step is None or len(self.rolled_back) == MAX_ROLLBACKS:
            raise VerificationError(
                "the result differs from the original, and no single rewrite is to blame",
                where=record.detail,
                advice="report it with the model; --verify off accepts the result unproven",
            )
        if self.options.on_mismatch == "fail":
            raise VerificationError(
                f"rewrite {step.rule!r} changes what the model computes",
                where=f"at node {step.node!r}, step {step.number}: {record.detail}",
                advice=f"go on without it: --skip {step.rule}",
            )
        kept = self.keep_reproducer("mismatch", step.number, before=step.number - 1, after=step.number)
        self.rolled_back.append(RolledBack(step, record.detail, kept))
        return self.attempts.run(withheld=self.withheld)

    @property
    def withheld(self) -> set[Site]:
        """The sites of what was rolled back or widened."""
        return {*self.gate.widened, *((each.step.rule, each.step.node) for each in self.rolled_back)}

    def is_bad(self, limit: int) -> bool:
        """Tell whether the results differ after the first `limit` rewrites."""
        trial = self.attempts.run(limit, self.withheld)
        with stage(trial.model, self.folder / "trial.onnx") as staged:
            return self.proof.compare(trial.steps, staged.model_path).status == "different"

    def save_offline(self, attempt: Attempt, staged: Staged) -> list[str]:
        """Save the form that starts fast, if it is asked for, and say so."""
        options = self.options
        if not options.offline:
            return []
        self.tell("save as optimized by onnxruntime")
        output = Path(options.offline)
        return [save_offline(staged.model_path, output, self.proof, attempt.steps, options.custom_ops)]

    def keep_reproducer(self, kind: str, number: int, **limits: int) -> str:
        """Keep the model as it is after so many rewrites, each under its name, in a folder beside the output."""
        if self.output is None:
            return ""
        folder = self.output.with_name(f"{self.output.name}.{kind}-{number}")
        folder.mkdir(exist_ok=True)
        for name, limit in limits.items():
            save(self.attempts.run(limit, self.withheld).model, folder / f"{name}.onnx")
        return str(folder)

    def explain(self, error: PassError) -> PassError:
        """Keep the model as a pass that failed got it, if there is a place for it, and say so in the error."""
        with contextlib.suppress(GraphOptError, OSError):
            kept = error.running and self.keep_reproducer("error", error.done + 1, before=error.done)
            if kept:
                again = f"graphopt optimize {kept}/before.onnx --pipeline {error.running!r}"
                error.where = f"{error.where}; kept the model that it got: {again}"
        return error

    def finish(self, attempt: Attempt, staged: Staged, record: VerifyRecord) -> Result:
        with ThreadPoolExecutor(2) as pool:
            digests = pool.map(_sha256, (self.source, staged.model_path))
            after = stats(attempt.model, attempt.context.facts)
            before_sha256, after_sha256 = digests
        report = Report(
            model=str(self.source),
            output="" if self.output is None else str(self.output),
            target=self.options.target,
            pipeline=self.attempts.pipeline.text,
            before=attempt.before,
            after=after,
            before_sha256=before_sha256,
            after_sha256=after_sha256,
            before_bytes=self.source.stat().st_size,
            after_bytes=staged.model_path.stat().st_size,
            passes=attempt.timer.records(),
            rules=dict(Counter(step.rule for step in attempt.steps.done)),
            steps=tuple(attempt.steps.done),
            verification=record,
            fast_math=self.attempts.registry.fast_math(attempt.steps.done),
            rolled_back=tuple(self.rolled_back),
            remarks=tuple(attempt.steps.remarks),
            notes=tuple(attempt.model.remarks),
            seed=self.options.seed,
            versions=versions(),
            machine=machine(),
        )
        if self.output is None:
            staged.discard()
        else:
            staged.commit()
        return Result(attempt.model, replace(report, seconds=time.perf_counter() - self.started))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
