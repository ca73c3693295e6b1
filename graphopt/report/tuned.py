"""View what a choice by measurement measured: by kind of rewrite, and in races of whole models."""

from __future__ import annotations

from collections.abc import Iterator

from graphopt.pipeline.report import TrialRecord, TuningRecord
from graphopt.tables import Table

__all__ = ["tuning_tables"]


def tuning_tables(tuning: TuningRecord | None) -> list[Table]:
    """Return one table of the places by what was tried there, and one of the races; none if nothing was tuned."""
    if tuning is None:
        return []
    labels = dict.fromkeys(each.label for each in tuning.trials)
    places = [_places(label, [each for each in tuning.trials if each.label == label]) for label in labels]
    tables = [Table(("tried at places", "timed", "kept", "saves"), tuple(places), "", frozenset({1, 2, 3}))]
    header = ("race", "against", "threads", "ratio")
    return [*(tables if places else []), Table(header, tuple(_races(tuning)), "", frozenset({2, 3}))]


def _places(label: str, trials: list[TrialRecord]) -> tuple[str, ...]:
    saved = sum(each.before_ms * (1 - each.ratio) for each in trials if each.taken)
    return label, str(len(trials)), str(sum(each.taken for each in trials)), f"{saved:.3f} ms"


def _races(tuning: TuningRecord) -> Iterator[tuple[str, ...]]:
    for each in tuning.races:
        against = "itself" if each.label == each.base else each.base
        yield each.label, against, str(each.threads), f"{each.ratio:.3f} [{each.low:.3f}, {each.high:.3f}]"
