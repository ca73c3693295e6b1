"""Hold the tasks of the zoo to what they promise, on models that are in the cache (see test_zoo)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo import ZooModel, cache_folder, catalogue, fetch, task
from benchmarks.zoo_tasks.scores import average_precision, box_f1, character_accuracy, read_ctc
from benchmarks.zoo_tasks.sounds import NoteTask
from graphopt.calibration.task import load_task
from graphopt.runtime.turns import Contender, Stand

MAY_DOWNLOAD = os.environ.get("GRAPHOPT_ZOO") == "1"
WITH_TASK = [
    model
    for model in catalogue()
    if model.task and (MAY_DOWNLOAD or cache_folder().joinpath(model.name, "task.py").is_file())
]
SAMPLES = 24
# Well below what the models reach on more samples, and far above chance.
AT_LEAST = {"minilm_int8": 0.4, "ppocr2_cls": 0.8}


@pytest.mark.zoo
@pytest.mark.slow
@pytest.mark.parametrize("model", WITH_TASK, ids=lambda model: model.name)
def test_models_do_well_at_their_tasks(model: ZooModel) -> None:
    pytest.importorskip("PIL", reason="the tasks draw with Pillow; `nox -s bench` installs it")
    path = fetch([model], cache_folder())[model.name]
    module = load_task(str(task(model, cache_folder())), []).module
    assert module is not None
    with Stand(Contender(model.name, path)) as stand:
        stand.open()
        outputs = [list(stand.outputs(feed).values()) for feed in module.evaluation(SAMPLES)]
    assert module.score(outputs) >= AT_LEAST.get(model.name, 0.85)


def test_samples_are_the_same_each_time_and_differ_by_part() -> None:
    task = NoteTask(Path("nowhere"))
    (first,), (again,), (other,) = task.evaluation(1), task.evaluation(1), task.calibration(1)
    name = next(iter(first))
    assert np.array_equal(first[name], again[name])
    assert not np.array_equal(first[name], other[name])


def test_texts_are_read_without_blanks_and_repeats() -> None:
    assert read_ctc(np.array([1, 1, 0, 1, 2, 2, 0]), ["", "a", "b"]) == "aab"


@pytest.mark.parametrize(
    ("found", "truth", "score"), [("abc", "abc", 1), ("abd", "abc", 2 / 3), ("", "abc", 0), ("xxxxxxx", "abc", 0)]
)
def test_character_accuracy(found: str, truth: str, score: float) -> None:
    assert character_accuracy([(found, truth)]) == pytest.approx(score)


def test_boxes_are_scored() -> None:
    truth = [(0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)]
    right, wrong = [0.0, 0.0, 10.0, 9.0], [50.0, 50.0, 60.0, 60.0]
    assert box_f1([(np.array([right]), truth)]) == pytest.approx(2 / 3)
    # A true box is met once only.
    assert box_f1([(np.array([right, right]), truth)]) == pytest.approx(1 / 2)
    assert average_precision([(np.array([right, wrong]), np.array([0.9, 0.5]), truth)]) == pytest.approx(0.5)
    assert average_precision([(np.array([right, wrong]), np.array([0.5, 0.9]), truth)]) == pytest.approx(0.25)
