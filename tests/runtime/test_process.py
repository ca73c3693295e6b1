from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from graphopt.runtime.evaluate import evaluate
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, Worker, WorkerDied
from tests.runtime.models import FLOAT, constant, crash, endless

GOOD = constant("Add", np.array([3]), np.array([-1]), shape=[1])


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as one:
        yield one


def test_starting_does_not_wait_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, time; from graphopt.runtime.process import Worker; w = Worker(); t = time.perf_counter();"
        "w.start(); t = time.perf_counter() - t; assert not {'numpy', 'onnxruntime', 'onnx'} & set(sys.modules);"
        "w.close(); print(t)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=_path())
    assert float(told.stdout) < 0.1


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def test_a_constant_is_evaluated(worker: Worker) -> None:
    assert evaluate(worker, GOOD, ["y"])["y"].tolist() == [2]


def test_a_crash_kills_the_child_only_and_the_next_request_is_served(worker: Worker) -> None:
    with pytest.raises(WorkerDied, match="SIGFPE") as caught:
        evaluate(worker, crash(), ["y"])
    assert caught.value.cause == "signal"
    assert worker.generation == 1
    assert evaluate(worker, GOOD, ["y"])["y"].tolist() == [2]
    assert worker.generation == 2


@pytest.mark.parametrize("poll", [False, True])
def test_cpu_time_is_limited(poll: bool) -> None:
    with Worker(poll=poll) as worker, pytest.raises(WorkerDied) as caught:
        evaluate(worker, endless(), ["y"], Limits(cpu_seconds=1, wall_seconds=60))
    assert caught.value.cause == "cpu"


def test_wall_time_is_limited(worker: Worker) -> None:
    start = time.monotonic()
    with pytest.raises(WorkerDied) as caught:
        evaluate(worker, endless(), ["y"], Limits(wall_seconds=0.5))
    assert caught.value.cause == "timeout"
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("poll", [False, True])
def test_memory_is_limited(poll: bool) -> None:
    bomb = constant("ConstantOfShape", np.array([30_000, 10_000]), kind=FLOAT, shape=[30_000, 10_000])
    with Worker(poll=poll) as worker, pytest.raises(WorkerDied) as caught:
        evaluate(worker, bomb, ["y"], Limits(memory_bytes=256 << 20, wall_seconds=60))
    assert caught.value.cause == "memory"


def test_limits_end_with_their_request(worker: Worker) -> None:
    worker.request("ping", {}, limits=Limits(memory_bytes=64 << 20, cpu_seconds=1))
    big = constant("ConstantOfShape", np.array([8000, 4000]), kind=FLOAT, shape=[8000, 4000])
    assert evaluate(worker, big, ["y"], Limits())["y"].shape == (8000, 4000)
    assert worker.generation == 1


def test_a_child_killed_in_a_request_is_reported(worker: Worker) -> None:
    worker.request("ping", {})
    pid = worker.pid
    assert pid is not None
    killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        evaluate(worker, endless(), ["y"], Limits(wall_seconds=60))
    killer.join()


def test_a_child_killed_between_requests_is_replaced(worker: Worker) -> None:
    worker.request("ping", {})
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)], timeout=10)
    assert evaluate(worker, GOOD, ["y"])["y"].tolist() == [2]


def test_bytes_that_are_no_model_are_refused(worker: Worker) -> None:
    with pytest.raises(RequestError) as caught:
        evaluate(worker, b"no model", ["y"])
    assert caught.value.kind == "load"


def test_outputs_that_are_too_big_are_refused(worker: Worker) -> None:
    big = constant("ConstantOfShape", np.array([1000]), kind=FLOAT, shape=[1000])
    with pytest.raises(RequestError) as caught:
        evaluate(worker, big, ["y"], max_bytes=3999)
    assert caught.value.kind == "size"
    assert evaluate(worker, big, ["y"], max_bytes=4000)["y"].nbytes == 4000


def test_big_arrays_pass_both_ways(worker: Worker) -> None:
    array = np.arange(3_000_000.0)
    _, found = worker.request("ping", {}, [array])
    assert np.array_equal(found[0], array)


def test_what_native_code_prints_reaches_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with Worker() as worker:
        with pytest.raises(WorkerDied):
            evaluate(worker, crash(), ["y"])
        with pytest.raises(RequestError):
            evaluate(worker, constant("NoSuchOperator", np.array([1])), ["y"])
    assert capfd.readouterr() == ("", "")


def _wait_gone(pid: int) -> bool:
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


PARENT = """
import sys
from pathlib import Path
from graphopt.runtime.process import Worker
from graphopt.runtime.evaluate import evaluate
worker = Worker()
worker.request("ping", {})
print(worker.pid, flush=True)
if sys.argv[1:]:
    evaluate(worker, Path(sys.argv[1]).read_bytes(), ["y"])
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("busy", [False, True])
def test_no_orphan_is_left(how: signal.Signals, busy: bool, tmp_path: Path) -> None:
    path = tmp_path / "endless.onnx"
    path.write_bytes(endless())
    arguments = [sys.executable, "-c", PARENT, *([str(path)] if busy else [])]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_path()
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(how)
        parent.wait(20)
        assert _wait_gone(child)


def test_ctrl_c_ends_the_request_and_the_child(worker: Worker) -> None:
    worker.request("ping", {})
    pid = worker.pid
    assert pid is not None
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        evaluate(worker, endless(), ["y"], Limits(wall_seconds=60))
    assert worker.pid is None
    assert _wait_gone(pid)
    assert evaluate(worker, GOOD, ["y"])["y"].tolist() == [2]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_of_the_parent_has_a_child_of_its_own(worker: Worker) -> None:
    worker.request("ping", {})
    pid = worker.pid
    fork = os.fork()
    if fork == 0:
        worker.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert worker.request("ping", {})[0]["pid"] == pid


def test_files_of_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with Worker() as worker:
        assert "pid" in worker.request("ping", {})[0]


def test_an_unknown_request_is_refused(worker: Worker) -> None:
    with pytest.raises(RequestError) as caught:
        worker.request("_private", {})
    assert caught.value.kind == "request"


def test_requests_do_not_leak(worker: Worker) -> None:
    def use() -> tuple[int, int, int]:
        child = psutil.Process(worker.pid)
        return child.memory_info().rss, child.num_fds(), psutil.Process().num_fds()

    for _ in range(300):
        evaluate(worker, GOOD, ["y"])
    before = use()
    for _ in range(1500):
        evaluate(worker, GOOD, ["y"])
    after = use()
    assert after[0] - before[0] < 4 << 20
    assert after[1:] == before[1:]
    assert threading.active_count() < 20
