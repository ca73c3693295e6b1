"""Decide by trials which alternative each place gets, and say it in options of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphopt.pipeline.options import Options
from graphopt.search.candidates import Alternative, Ground
from graphopt.search.trials import Trial

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What is taken and what is left: alternatives, all of them."""

    taken: tuple[Alternative, ...]
    left: tuple[Alternative, ...]

    def options(self, options: Options, explored: Sequence[str]) -> Options:
        """Return options under which a run makes this choice; `explored` are the rules that no preset runs."""
        taken = {site for each in self.taken for site in each.sites}
        left = {site for each in self.left for site in each.sites} - taken
        sites = {rule: tuple(sorted(node for name, node in taken if name == rule)) for rule in explored}
        refused = {name for name, _ in left} - set(explored)
        withheld = {rule: tuple(sorted(node for name, node in left if name == rule)) for rule in sorted(refused)}
        return replace(options, sites=sites, withheld=withheld)


def choose(ground: Ground, trials: Sequence[Trial]) -> Choice:
    """Take at each place what saves the most time beyond the noise; steer decides where it could not be timed."""
    taken: list[Alternative] = []
    left: list[Alternative] = []
    for spot in ground.spots:
        here = [trial for trial in trials if trial.spot is spot]
        best = max((trial for trial in here if trial.wins), key=lambda trial: trial.saved_ms, default=None)
        timed = [trial.alternative for trial in here]
        kept = (
            best.alternative
            if best
            else next((e for e in spot.alternatives if e.label == "steer" and e not in timed), None)
        )
        taken.extend([] if kept is None else [kept])
        left.extend(each for each in spot.alternatives if each is not kept)
    return Choice(tuple(taken), tuple(left))
