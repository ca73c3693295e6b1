"""Open models in a child process and say in one line why one is refused."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from graphopt.errors import MeasureError
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, Worker, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphopt.runtime.frames import Array

__all__ = ["Opener", "compiled", "one_line"]

_LIMITS = Limits(wall_seconds=900)
_REFUSALS = frozenset({"load", "memory", "type"})
_NOISE = (
    re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : "),
    re.compile(r"Exception from \S+:\d+:\s*"),
    re.compile(r"Check '.*?' failed at \S+:\d+:\s*"),
    re.compile(r"FrontEnd API failed with OpConversionFailure:\s*"),
    re.compile(r"Model wasn't fully converted\.\s*(Summary:\s*)?(-- )?"),
    re.compile(r"(Load model from .*? failed:\s*)(This is an invalid model\.\s*)?", re.DOTALL),
    re.compile(r"/onnxruntime_src/\S+ "),
    re.compile(r"Invalid Node - \S+\s+(?=\S)"),
    re.compile(r"\w+::\w+: Error Code \d+: (API Usage Error)? ?"),
    re.compile(r"In node -1 with name:\s+and operator:\s+\(importInitializers\): UNSUPPORTED_NODE: "),
    re.compile(r"Assertion failed: [^:]*(?:::[^:]*)*: (?=\S)"),
    re.compile(r"In \S+ at /_src/\S+"),
    re.compile(r"\[?/_src/\S+\]?"),
    re.compile(r"\[\w+\.cpp::catchCudaError::\d+\].*", re.DOTALL),
    re.compile(r"\[\w+\.cpp::\w+::\d+\] "),
)


def one_line(message: str, most: int = 400) -> str:
    """Reduce a runtime's message to one line without its source files."""
    for pattern in _NOISE:
        message = pattern.sub("", message)
    line = " ".join(message.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def compiled(
    worker: Worker, package: str, op: str, request: dict[str, Any], arrays: Sequence[Array] = ()
) -> dict[str, Any]:
    """Ask `graphopt.measure.check.station` about a model; if the compiler crashes, `crashed` says how.

    Raises `MeasureError` if it cannot be asked: the package crashes without a model too.
    """
    try:
        return worker.request(op, request, arrays, _LIMITS)[0]
    except RequestError as error:
        raise MeasureError(f"{package} cannot be asked", where=one_line(error.what)) from error
    except WorkerDied as error:
        crash = error
    try:
        worker.request("load", {"package": package}, (), _LIMITS)
    except (RequestError, WorkerDied) as error:
        raise MeasureError(f"{package} cannot be asked", where=one_line(error.what)) from error
    return {"crashed": one_line(crash.what)}


class Opener:
    """A child process that opens models with one provider."""

    def __init__(self, ep: str, custom_ops: tuple[str, ...] = (), **options: Any) -> None:
        self.ep = ep
        paths = [str(Path(path).resolve()) for path in custom_ops]
        self._options = {"threads": 1, "config": {}, "custom_ops": paths, **options}
        self._worker = Worker("graphopt.runtime.station:Station")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._worker.close()

    def why_not(self) -> str:
        """Say why the provider cannot be used here; empty if it can."""
        try:
            return str(
                self._worker.request("why_not", {"ep": self.ep, "options": self._options}, (), _LIMITS)[0]["reason"]
            )
        except (RequestError, WorkerDied) as error:
            return error.what

    def open(self, path: Path) -> tuple[dict[str, Any], str]:
        """Open a model: what the provider says of it, or nothing and why it refused; a crash is a refusal.

        Raises `MeasureError` if the provider could not be asked.
        """
        request = {"ep": self.ep, "path": str(path.resolve()), "options": self._options}
        try:
            reply, _ = self._worker.request("open", request, (), _LIMITS)
        except RequestError as error:
            if error.kind not in _REFUSALS:
                raise MeasureError(f"{self.ep} cannot be asked", where=one_line(error.what)) from error
            return {}, one_line(error.what) or "it gives no reason"
        except WorkerDied as error:
            if error.cause == "start":
                raise MeasureError(f"{self.ep} cannot be asked", where=one_line(error.what)) from error
            return {}, one_line(error.what)
        if "not_usable" in reply:
            return {}, one_line(reply["not_usable"])
        return reply, ""

    def refusal(self, path: Path) -> str:
        """Say why a model is refused; empty if it is not."""
        return self.open(path)[1]
