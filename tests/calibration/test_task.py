"""Tasks: every form gives the same feeds, and a wrong one is named with its sample."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from graphopt.calibration.task import Task, load_task
from graphopt.errors import TaskError

SAMPLES = np.arange(12, dtype=np.float32).reshape(3, 4)


def python(folder: Path, body: str) -> str:
    path = folder / "task.py"
    path.write_text(f"import numpy as np\n\ndef calibration(n):\n{body}\n")
    return str(path)


def as_npz(folder: Path) -> str:
    np.savez(folder / "samples.npz", x=SAMPLES)
    return str(folder / "samples.npz")


def as_folder(folder: Path) -> str:
    for index, sample in enumerate(SAMPLES):
        np.savez(folder / f"{index}.npz", x=sample[None])
    return str(folder)


def as_test_data(folder: Path) -> str:
    for index, sample in enumerate(SAMPLES):
        place = folder / f"test_data_set_{index}"
        place.mkdir()
        tensor = onnx.numpy_helper.from_array(sample[None], "x")
        (place / "input_0.pb").write_bytes(tensor.SerializeToString())
    return str(folder)


def as_python(folder: Path) -> str:
    return python(folder, "    for i in range(3):\n        yield {'x': np.arange(4, dtype='f4')[None] + 4 * i}")


@pytest.mark.parametrize("form", [as_npz, as_folder, as_test_data, as_python])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_every_form_gives_the_samples(form: Callable[[Path], str], count: int, tmp_path: Path) -> None:
    feeds = list(load_task(form(tmp_path), ["x"]).calibration(count))
    assert len(feeds) == min(count, 3)
    for feed, sample in zip(feeds, SAMPLES, strict=False):
        assert list(feed) == ["x"]
        np.testing.assert_array_equal(feed["x"], sample[None])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    import no_such_module", "no_such_module"),
        ("    yield {'x': np.zeros(1)}\n    raise RuntimeError('the disk is gone')", "the disk is gone"),
        ("    yield np.zeros(1)", "sample 0"),
        ("    yield {}", "sample 0"),
        ("    return 3", "not iterable"),
    ],
)
def test_a_task_that_fails_is_named(body: str, words: str, tmp_path: Path) -> None:
    task = load_task(python(tmp_path, body), ["x"])
    with pytest.raises(TaskError, match=words) as caught:
        list(task.calibration(5))
    assert "task.py" in str(caught.value)


def test_samples_beyond_the_count_are_not_asked_for(tmp_path: Path) -> None:
    body = "    yield {'x': np.zeros(1)}\n    raise RuntimeError('too far')"
    assert len(list(itertools.islice(load_task(python(tmp_path, body), ["x"]).calibration(1), 5))) == 1


@pytest.mark.parametrize("name", ["nothing", "nothing.py", "empty"])
def test_what_is_no_task_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=name):
        load_task(str(tmp_path / name), ["x"])


SCORED = """
import numpy as np

def calibration(n):
    yield {'x': np.zeros(1)}

def evaluation(n):
    for i in range(min(n, 4)):
        yield {'x': np.full(1, i, 'f4')}

def score(outputs, part=''):
    return sum(float(one[0].sum()) for one in outputs) * (10 if part == 'validation' else 1)
"""


def scored(folder: Path, body: str = "") -> Task:
    path = folder / "scored.py"
    path.write_text(SCORED + body)
    return load_task(str(path), ["x"])


def test_a_task_scores_its_items(tmp_path: Path) -> None:
    task = scored(tmp_path)
    assert task.has_score
    assert [float(item["x"][0]) for item in task.evaluation(9)] == [0, 1, 2, 3]
    assert len(list(task.evaluation(2))) == 2
    outputs = [[np.ones(2)], [np.ones(3)]]
    assert task.score(outputs) == 5
    assert task.score(outputs, part="validation") == 50


def test_only_python_tasks_score(tmp_path: Path) -> None:
    task = load_task(as_npz(tmp_path), ["x"])
    assert not task.has_score
    with pytest.raises(TaskError, match="defines no evaluation"):
        task.evaluation(1)
    with pytest.raises(TaskError, match="defines no score"):
        task.score([[np.ones(1)]])
    assert not load_task(python(tmp_path, "    yield {'x': np.zeros(1)}"), ["x"]).has_score


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def evaluation(n):\n    yield {'x': np.zeros(1)}\n    yield 3", "evaluation item 1"),
        (
            "def evaluation(n):\n    yield {'x': np.zeros(1)}\n    raise OSError('the disk is gone')",
            "at evaluation item 1",
        ),
        ("def score(outputs, part=''):\n    return outputs[7]", "cannot score: IndexError"),
        ("def score(outputs, part=''):\n    return 'good'", "cannot score: ValueError"),
        ("def score(outputs, part=''):\n    return float('nan')", "scores nan"),
    ],
)
def test_a_score_that_fails_is_named(body: str, words: str, tmp_path: Path) -> None:
    task = scored(tmp_path, body)
    with pytest.raises(TaskError) as caught:
        task.score([[item["x"]] for item in task.evaluation(5)])
    assert words in str(caught.value)
    assert "scored.py" in str(caught.value)
