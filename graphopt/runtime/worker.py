"""Serve requests in a child process: evaluate, open, feed, run, compare, nudge.

Requests and replies are frames (`graphopt.runtime.frames`) on standard input and output. This
process runs models that may crash, spin or eat memory; it imports numpy, onnxruntime and its siblings only.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from graphopt.runtime.frames import Array

__all__ = ["Service", "main"]

_MEMORY_WORDS = ("bad_alloc", "failed to allocate", "could not allocate", "out of memory", "cannot allocate memory")


class _RequestError(Exception):
    """Report why a request cannot be served."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Service:
    """Hold the session, feeds and results between requests."""

    def __init__(self) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        self.session: Any = None
        self.feeds: dict[str, dict[str, Array]] = {}
        self.results: dict[str, list[Any]] = {}

    def ping(self, _: dict[str, Any], arrays: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Answer with the process id and what was sent."""
        return {"pid": os.getpid()}, arrays

    def evaluate(self, request: dict[str, Any], arrays: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Run a model that has no inputs and return its outputs."""
        from graphopt.runtime.frames import NATIVE
        from graphopt.runtime.session import open_session, plain

        session = _guard("load", lambda: open_session(arrays[0].tobytes()))
        names = request["outputs"]
        kinds = {output.name: output.type for output in session.get_outputs()}
        allowed = {f"tensor({_ORT_NAMES.get(name, name)})" for name in NATIVE} | {"tensor(string)"}
        for name in names:
            if kinds.get(name) not in allowed:
                raise _RequestError("type", f"output {name!r} has type {kinds.get(name, 'none')}")
        found = _guard("run", lambda: plain(session, {}, names))
        if sum(array.nbytes for array in found) > request["max_bytes"]:
            raise _RequestError("size", f"outputs above {request['max_bytes']} bytes")
        return {}, found

    def open(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Open the model that is run next."""
        from graphopt.runtime.session import open_session

        self.session = None
        changed = {name: self.feeds[request["nudged"]][name] for name in request.get("replaced", ())}
        options = {key: request[key] for key in ("threads", "custom_ops", "pack")}
        self.session = _guard("load", lambda: open_session(request["path"], initializers=changed, **options))
        reply = {
            "inputs": [[value.name, value.type] for value in self.session.get_inputs()],
            "outputs": [[value.name, value.type] for value in self.session.get_outputs()],
        }
        return reply, []

    def save_optimized(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Have a model saved as the runtime optimizes it for this machine."""
        from graphopt.runtime.session import save_optimized

        _guard("load", lambda: save_optimized(request["path"], request["output"], request["custom_ops"]))
        return {}, []

    def close(self, _: dict[str, Any], __: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Close the session."""
        self.session = None
        return {}, []

    def feed(self, request: dict[str, Any], arrays: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Keep a feed under a key."""
        self.feeds[request["key"]] = dict(zip(request["names"], arrays, strict=True))
        return {}, []

    def nudge(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Move the floats of a feed by the smallest steps."""
        from graphopt.runtime.difference import nudge

        source = self.feeds[request["source"]]
        moved = {
            name: nudge(array, request["epsilon"], request["seed"] + at)
            for at, (name, array) in enumerate(source.items())
        }
        self.feeds[request["key"]] = moved
        return {"moved": [name for name in moved if moved[name] is not source[name]]}, []

    def run(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Run the session on a feed and keep the results."""
        from graphopt.runtime.session import plain

        if self.session is None:
            raise _RequestError("request", "no session is open")
        feed = self.feeds[request["feed"]]
        start = time.perf_counter()
        found = _guard("run", lambda: plain(self.session, feed))
        self.results[request["key"]] = found
        seconds = time.perf_counter() - start
        elements = sum(value.size if hasattr(value, "size") else 1 for value in found)
        return {"seconds": seconds, "elements": elements}, []

    def compare(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Compare two results."""
        from graphopt.runtime.difference import differ

        before, after = self.results[request["before"]], self.results[request["after"]]
        if len(before) != len(after):
            raise _RequestError("request", "results of unlike length")
        names = request["names"]
        found = [one.packed() for name, *pair in zip(names, before, after, strict=True) for one in differ(name, *pair)]
        return {"differences": found}, []

    def fetch(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Hand out results that are arrays, and drop them."""
        return {}, self.results.pop(request["key"])

    def forget(self, request: dict[str, Any], _: list[Array]) -> tuple[dict[str, Any], list[Array]]:
        """Drop feeds and results."""
        for key in request["keys"]:
            self.results.pop(key, None)
            self.feeds.pop(key, None)
        return {}, []


_ORT_NAMES = {"float32": "float", "float64": "double"}


def _guard(kind: str, action: Callable[[], Any]) -> Any:
    """Run `action`; turn whatever the runtime raises into a `_RequestError`."""
    try:
        return action()
    except MemoryError as error:
        raise _RequestError("memory", str(error)) from error
    except Exception as error:  # the runtime's exceptions have no common base
        text = str(error)
        short = any(word in text.lower() for word in _MEMORY_WORDS)
        raise _RequestError("memory" if short else kind, text) from error


def _serve(service: object, source: BinaryIO, sink: BinaryIO) -> None:
    from graphopt.runtime import limits
    from graphopt.runtime.frames import read_frame, write_frame

    serve: dict[str, Callable[..., Any]] = {
        name: getattr(service, name) for name in vars(type(service)) if not name.startswith("_")
    }
    while True:
        request, arrays = read_frame(source)
        try:
            limits.put(request.get("memory_bytes"), request.get("cpu_seconds"))
            reply, found = serve[request["op"]](request, arrays)
        except _RequestError as error:
            reply, found = {"error": error.kind, "message": str(error)}, []
        except MemoryError as error:
            reply, found = {"error": "memory", "message": str(error)}, []
        except (KeyError, ValueError, TypeError) as error:
            reply, found = {"error": "request", "message": f"{type(error).__name__}: {error}"}, []
        except Exception as error:  # noqa: BLE001 - a runtime's exceptions have no common base
            reply, found = {"error": "load" if request["op"] == "open" else "run", "message": str(error)}, []
        finally:
            limits.lift()
        write_frame(sink, reply, found)
        # Big arrays must not live until the next request.
        del request, arrays, reply, found


def _die_with(parent: int) -> None:
    """End this process once its parent is gone, even while a model runs."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for frames; native code that prints reaches nobody."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return source, sink


def main(service: str) -> None:
    """Serve with the class `service` (module:name) until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = _claim_pipes()
    if os.name == "posix":
        threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    from graphopt.runtime import limits
    from graphopt.runtime.frames import write_frame

    limits.hush_core_dumps()
    module, _, kind = service.partition(":")
    try:
        served = getattr(import_module(module), kind)()
    except ImportError as error:
        write_frame(sink, {"error": "import", "message": str(error)})
        return
    write_frame(sink, {"hello": os.getpid()})
    try:
        _serve(served, source, sink)
    except (EOFError, BrokenPipeError):
        sys.exit(0)
