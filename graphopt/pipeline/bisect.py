"""Find the first rewrite that changes what a model computes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from graphopt.errors import VerificationError
from graphopt.graph.stage import stage
from graphopt.pipeline.attempt import Attempts
from graphopt.pipeline.options import Options
from graphopt.pipeline.proof import Proof
from graphopt.pipeline.rollback import first_bad
from graphopt.rewrite.steps import Step
from graphopt.runtime.process import Worker

__all__ = ["Judge", "bisect_model"]


class Judge:
    """Tell for any number of rewrites whether the model still computes the same."""

    def __init__(
        self, source: Path, folder: Path, options: Options, worker: Worker, tell: Callable[[str], None]
    ) -> None:
        self._proof = Proof(source, options, worker)
        self.attempts = Attempts(source, options, worker, self._proof, tell)
        self._folder = folder
        self._tell = tell

    def is_bad(self, limit: int | None) -> bool:
        """Run at most `limit` rewrites and compare with the original.

        Raises `VerificationError` if the two cannot be compared.
        """
        self._tell(f"bisect: first {limit} rewrites" if limit is not None else "bisect: all rewrites")
        attempt = self.attempts.run(limit)
        staged = stage(attempt.model, self._folder / "trial.onnx")
        try:
            record = self._proof.compare(attempt.steps, staged.model_path)
        finally:
            staged.discard()
        if record.status == "not-run":
            raise VerificationError("the model could not be run, so nothing can be bisected", where=record.detail)
        return record.status == "different"

    def first_bad_step(self) -> Step | None:
        """Return the first rewrite after which the results differ; None if they never do."""
        steps = self.attempts.run().steps
        if not steps.done or not self.is_bad(None):
            return None
        number = first_bad(steps.count, self.is_bad)
        return next((step for step in steps.done if step.number == number), None)


def bisect_model(source: Path, options: Options, tell: Callable[[str], None]) -> Step | None:
    """Return the first rewrite that changes the results of `source`; None if none does."""
    with Worker() as worker, tempfile.TemporaryDirectory(prefix="graphopt-") as folder:
        return Judge(source, Path(folder), options, worker, tell).first_bad_step()
