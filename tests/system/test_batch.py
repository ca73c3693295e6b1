"""Optimize many models in one process: each as the first, and the process does not grow."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import graphopt
from graphopt.runtime.process import Worker
from tests.system.small_models import small_model

WARM = 500
"""Models after which caches are full."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as held:
        yield held


def used(process: psutil.Process) -> int:
    """Return the bytes of memory that a process holds itself, without files that it maps."""
    gc.collect()
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if not rollup.exists():
        return int(process.memory_full_info().uss)
    found = re.search(r"^Anonymous: +(\d+) kB$", rollup.read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def grow(count: int, folder: Path, worker: Worker, *, verify: str) -> tuple[int, int]:
    """Optimize `count` models after a number to warm up; return how much this process and its child have grown."""
    worker.start()
    assert worker.pid is not None
    processes = [psutil.Process(), psutil.Process(worker.pid)]
    before = [0, 0]
    files = processes[0].num_fds()
    for number in range(WARM + count):
        if number == WARM:
            before = [used(process) for process in processes]
        path = small_model(number, folder / "in.onnx")
        result = graphopt.optimize(path, folder / "out.onnx", verify=verify, worker=worker)
        assert result.report.rules
        assert result.report.rolled_back == ()
    after = [used(process) for process in processes]
    assert worker.generation == 1
    assert processes[0].num_fds() <= files + 2
    assert sorted(path.name for path in folder.iterdir()) == ["in.onnx", "out.onnx"]
    return after[0] - before[0], after[1] - before[1]


def test_a_thousand_models(tmp_path: Path, worker: Worker) -> None:
    own, _ = grow(500, tmp_path, worker, verify="off")
    assert own < 2 << 20


@pytest.mark.slow
@pytest.mark.parametrize(("count", "verify"), [(9500, "off"), (1500, "end")])
def test_ten_thousand_models(tmp_path: Path, count: int, verify: str) -> None:
    with Worker() as worker:
        own, child = grow(count, tmp_path, worker, verify=verify)
    assert own < 20 << 20
    assert child < 20 << 20


def test_a_model_is_treated_as_the_first_one(tmp_path: Path, worker: Worker) -> None:
    """What came before, failures included, leaves no trace."""
    first, later = tmp_path / "first.onnx", tmp_path / "later.onnx"
    path = small_model(7, tmp_path / "in.onnx")
    graphopt.optimize(path, first, worker=worker)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(path.read_bytes()[:-40])
    for number in range(20):
        with pytest.raises(graphopt.GraphOptError):
            graphopt.optimize(broken, worker=worker)
        graphopt.optimize(small_model(number, tmp_path / "other.onnx"), worker=worker)
    graphopt.optimize(path, later, worker=worker)
    assert first.read_bytes() == later.read_bytes()
