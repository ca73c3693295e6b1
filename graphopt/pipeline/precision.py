"""Hold a narrowed model to what it came from: widen what costs too much, and judge the rest by the task's score."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from graphopt.calibration.emulation import runnable
from graphopt.calibration.rounding import site_losses
from graphopt.calibration.scoring import score_file
from graphopt.calibration.task import load_task
from graphopt.errors import VerificationError
from graphopt.graph.load import load
from graphopt.kinds import Exactness
from graphopt.pipeline.attempt import Attempt, Attempts
from graphopt.pipeline.options import PRECISIONS, Options
from graphopt.pipeline.proof import Proof, checked_feeds
from graphopt.rewrite.steps import Site, Step

__all__ = ["FloatKept", "Gate"]

_DROP = 0.01
"""How much a score may drop unless the user says."""
_ITEMS = 200
"""Evaluation items that are scored at most."""
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""Of what was narrowed, the shares that are widened one after the other, the costliest first."""


class FloatKept(Exception):  # noqa: N818 - it names an outcome
    """Say why nothing can be narrowed."""


class Gate:
    """Widen the costliest sites until a narrowed model agrees with the original, and then ask for its score."""

    def __init__(self, attempts: Attempts, proof: Proof, options: Options) -> None:
        self._attempts, self._proof, self._options = attempts, proof, options
        self._ranked: list[Site] = []
        self._tries = 0
        self.widened: list[Site] = []

    def widen(self, attempt: Attempt, is_bad: Callable[[int], bool]) -> bool:
        """Name more sites to keep wide, as `attempt` differs; False if narrowing is not to blame.

        Raises `FloatKept` if nothing is left to be widened.
        """
        narrowed = _narrowed(attempt)
        if not self._tries:
            if not narrowed or is_bad(narrowed[0].number - 1):
                return False
            self._ranked = self._rank(narrowed)
        if self._tries == len(_SHARES):
            raise FloatKept("the results differ however little is narrowed")
        self.widened = self._ranked[: math.ceil(len(self._ranked) * _SHARES[self._tries])]
        self._tries += 1
        return True

    def _rank(self, narrowed: list[Step]) -> list[Site]:
        """Order sites by what narrowing each alone costs, the costliest first."""
        model = self._attempts.run(narrowed[0].number - 1).model
        to, names = PRECISIONS[self._options.precision], [step.node for step in narrowed]
        losses = site_losses(model, to, self._proof.feeds(), names, self._options.custom_ops)
        sites = [(step.rule, step.node) for step in narrowed]
        return sorted(sites, key=lambda site: -losses.get(site[1], 0.0))

    def judge(self, attempt: Attempt, source: Path, result: Path) -> list[str]:
        """Say what narrowing cost: the score before and after, and what was widened again.

        Raises `FloatKept` if nothing is narrow or the score drops too much, `VerificationError` if it drops by more
        than the user allows explicitly.
        """
        count = len(_narrowed(attempt))
        if not self._options.precision:
            return []
        if self._tries and not count:
            raise FloatKept("the results differ however little is narrowed")
        said = [f"kept in float32 to agree with the original: {len(self.widened)} of {len(self._ranked)}"]
        return [*(said if self._tries else []), *(self._scored(source, result) if count else [])]

    def _scored(self, source: Path, result: Path) -> list[str]:
        options = self._options
        model = load(source)
        names = [value.name or "" for value in model.graph.inputs if not value.is_initializer()]
        task = load_task(options.task, names) if options.task else None
        if task is None or not task.has_score:
            return ["no task with a score: judged by the difference from the original alone"]
        offered = (checked_feeds([item], model)[0] for item in task.evaluation(_ITEMS))
        before, items = score_file(source, task, offered, options.custom_ops)
        with runnable(result) as path:
            after, again = score_file(path, task, items, options.custom_ops)
        if len(again) < len(items):
            # It is slower, as it emulates; both are scored on as many.
            before, items = score_file(source, task, again, options.custom_ops)
        text = f"score {before:.6g} became {after:.6g} on {len(items)} items"
        allowed = _DROP if options.max_drop is None else options.max_drop
        if before - after <= allowed:
            return [text]
        if options.max_drop is None:
            raise FloatKept(f"{text}, which is more than {allowed:g} less")
        raise VerificationError(
            f"--precision {options.precision} costs more than --max-drop {allowed:g}",
            where=text,
            advice="keep sensitive nodes in float32 with --keep-fp32, or allow more",
        )


def _narrowed(attempt: Attempt) -> list[Step]:
    return [step for step in attempt.steps.done if step.exactness is Exactness.LOSSY]
