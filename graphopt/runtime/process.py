"""Own the child process that runs models: start it, ask it, bound it, replace it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, cast

from graphopt.errors import GraphOptError
from graphopt.runtime.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array

__all__ = ["Cause", "RequestError", "Worker", "WorkerDied"]

Cause = Literal["signal", "exit", "timeout", "cpu", "memory", "start"]

# The child imports what the parent would, from the same places, whatever the working directory holds.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from graphopt.runtime.worker import main; main(sys.argv[2])"
)
_ROOT = str(Path(__file__).resolve().parents[2])
_SERVICE = "graphopt.runtime.worker:Service"
_POLL_SECONDS = 0.05
_START_SECONDS = 120.0


class WorkerDied(GraphOptError):  # noqa: N818 - it names an event
    """Report that the child process ended while it served a request.

    `cause`: `signal`, `exit`, `timeout` (wall), `cpu`, `memory`, or `start` if it never came up.
    """

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"the runtime's process ended: {detail}")
        self.cause = cause
        self.detail = detail


class RequestError(GraphOptError):
    """Report that the child could not serve a request and lives on.

    `kind`: `load`, `run`, `type`, `size` or `request`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        try:
            cast("BinaryIO", stream).close()
        except OSError:
            continue


class _Exchange(threading.Thread):
    """Write one request and read its reply, so that the caller can watch limits meanwhile."""

    def __init__(self, process: subprocess.Popen[bytes], request: dict[str, Any], arrays: Sequence[Array]) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.request = request
        self.arrays = arrays
        self.reply: tuple[dict[str, Any], list[Array]] | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        from graphopt.runtime.frames import FrameError, read_frame, write_frame

        try:
            if self.request:
                write_frame(cast("BinaryIO", self.process.stdin), self.request, self.arrays)
            self.reply = read_frame(cast("BinaryIO", self.process.stdout))
        except (OSError, EOFError, FrameError, ValueError) as error:
            self.error = error


class Worker:
    """A child process that runs models for this one.

    It starts at the first request, or in the background with `start`; after a death the next request starts another,
    which knows nothing of sessions and feeds sent before: `generation` counts the starts. Requests are served one at a
    time. `service` is the class that serves in the child (module:name), `environment` what it finds set there. `poll`
    watches memory and time from outside, as is done where the system has no limits.
    """

    def __init__(
        self, service: str = _SERVICE, *, poll: bool | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.service = service
        self.environment = environment or {}
        self.generation = 0
        self._poll = sys.platform != "linux" if poll is None else poll
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._greeted = False
        self._end: weakref.finalize[Any, Any] | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None if there is none."""
        return self._process.pid if self._process is not None and self._owner == os.getpid() else None

    def start(self) -> None:
        """Start the child unless it lives, and return without waiting for it.

        Raises `WorkerDied` if there is no Python to start.
        """
        with self._lock:
            if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
                return
            self.close()
            self._process = _spawn(self.service, self.environment)
            self._owner = os.getpid()
            self._greeted = False
            self.generation += 1
            self._end = weakref.finalize(self, _kill, self._process, self._owner)

    def interrupt(self) -> None:
        """Kill the child under a request that another thread waits for; that one gets `WorkerDied`."""
        process = self._process
        if process is not None and self._owner == os.getpid():
            process.kill()

    def close(self) -> None:
        """Kill the child; the next request starts another."""
        with self._lock:
            if self._end is not None:
                self._end()
            self._end = self._process = None

    def request(
        self, op: str, arguments: dict[str, Any], arrays: Sequence[Array] = (), limits: Limits = NO_LIMITS
    ) -> tuple[dict[str, Any], list[Array]]:
        """Serve `op` in the child and return its header and arrays.

        Raises `WorkerDied` if the child ended or went over `limits`, `RequestError` if it refused.
        """
        with self._lock:
            self.start()
            if not self._greeted:
                self._greet()
            header = {"op": op, **arguments}
            if not self._poll:
                header |= {"memory_bytes": limits.memory_bytes, "cpu_seconds": limits.cpu_seconds}
            reply, found = self._ask(header, arrays, limits)
        kind, message = reply.get("error"), reply.get("message", "")
        if kind == "memory":
            # A heap that ran dry in native code is not to be trusted.
            self.close()
            raise WorkerDied("memory", f"out of memory ({message.splitlines()[0][:200] if message else 'no detail'})")
        if kind is not None:
            raise RequestError(kind, message)
        return reply, found

    def _greet(self) -> None:
        reply, _ = self._ask({}, (), Limits(wall_seconds=_START_SECONDS))
        if "error" in reply:
            self.close()
            raise WorkerDied("start", f"it cannot import what it needs: {reply['message']}")
        self._greeted = True

    def _ask(
        self, request: dict[str, Any], arrays: Sequence[Array], limits: Limits
    ) -> tuple[dict[str, Any], list[Array]]:
        process = cast("subprocess.Popen[bytes]", self._process)
        exchange = _Exchange(process, request, arrays)
        exchange.start()
        try:
            killed = self._watch(exchange, limits)
        except BaseException:
            self.close()
            raise
        if exchange.reply is not None:
            return exchange.reply
        died = killed or self._autopsy(process, exchange.error)
        self.close()
        raise died from exchange.error

    def _watch(self, exchange: _Exchange, limits: Limits) -> WorkerDied | None:
        """Wait for the reply; kill the child when it exceeds what the system does not bound by itself."""
        meter = _Meter(exchange.process.pid, limits) if self._poll and exchange.request else None
        deadline = None if limits.wall_seconds is None else time.monotonic() + limits.wall_seconds
        while exchange.is_alive():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return self._stop(exchange, WorkerDied("timeout", f"no answer in {limits.wall_seconds:g} s"))
            over = None if meter is None else meter.over()
            if over is not None:
                return self._stop(exchange, over)
            exchange.join(left if meter is None else min(_POLL_SECONDS, left or _POLL_SECONDS))
        return None

    def _stop(self, exchange: _Exchange, why: WorkerDied) -> WorkerDied:
        exchange.process.kill()
        exchange.join()
        return why

    def _autopsy(self, process: subprocess.Popen[bytes], error: Exception | None) -> WorkerDied:
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            return WorkerDied("exit", f"it answered nonsense ({error})")
        if code < 0:
            name = _signal_name(-code)
            return (
                WorkerDied("cpu", "out of CPU time") if name == "SIGXCPU" else WorkerDied("signal", f"killed by {name}")
            )
        return WorkerDied("exit" if self._greeted else "start", f"exit status {code & 0xFFFFFFFF:#x}")


class _Meter:
    """Watch a child from outside, where the system cannot bound it."""

    def __init__(self, pid: int, limits: Limits) -> None:
        import psutil

        self.gone = psutil.Error
        self.limits = limits
        self.process = psutil.Process(pid)
        self.memory, self.cpu = self._use() or (0, 0.0)

    def _use(self) -> tuple[int, float] | None:
        try:
            times = self.process.cpu_times()
            return self.process.memory_info().rss, times.user + times.system
        except self.gone:
            return None

    def over(self) -> WorkerDied | None:
        """Say which limit is exceeded; None if none is."""
        use = self._use()
        if use is None:
            return None
        memory, cpu = use[0] - self.memory, use[1] - self.cpu
        if self.limits.memory_bytes is not None and memory > self.limits.memory_bytes:
            return WorkerDied("memory", f"it uses more than {self.limits.memory_bytes} bytes")
        if self.limits.cpu_seconds is not None and cpu > self.limits.cpu_seconds:
            return WorkerDied("cpu", "out of CPU time")
        return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _spawn(service: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise WorkerDied("start", "this Python does not know its own executable")
    search = [*dict.fromkeys(entry for entry in sys.path if entry)]
    if _ROOT not in search:
        search.append(_ROOT)
    # A terminal's Ctrl-C is for the parent, which then ends the child.
    own_group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _BOOT, json.dumps(search), service],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # onnxruntime would send usage data to its makers, and leave a file in the temporary folder.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1", **environment},
            **own_group,
        )
    except OSError as error:
        raise WorkerDied("start", f"cannot start {sys.executable}: {error}") from error
