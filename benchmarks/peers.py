"""Run graphopt and its peers on a model, each in a process of its own, and verify what they make of it.

The peers that `peers.toml` lists live in an environment of their own, made from exact versions under the cache.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.records import FAILED, GRAPHOPT, RIGHT, UNVERIFIED, WRONG, Attempt
from benchmarks.venvs import environment

__all__ = ["Peer", "attempt", "catalogue", "kept_attempt", "peer_environment", "pins", "verified"]

LIST = Path(__file__).with_name("peers.toml")
TARGET = "ort-cpu"
"""What graphopt is told to optimize for: the runtime that all are timed on."""

_STATUS = {"same": RIGHT, "different": WRONG, "not-run": UNVERIFIED}


@dataclass(frozen=True)
class Peer:
    """A tool and how it is called."""

    name: str
    package: str
    code: str


def catalogue() -> tuple[Peer, ...]:
    """Return all peers of `peers.toml`, in its order."""
    return tuple(Peer(**fields) for fields in _list()["peers"])


def pins() -> dict[str, str]:
    """Return the versions of the peers' environment by package."""
    return dict(pin.split("==") for pin in _list()["pins"])


def _list() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def peer_environment(cache: Path) -> Path:
    """Return the interpreter of the peers' environment, making it if `cache` has none.

    Raises `InstallError` if the packages cannot be had.
    """
    return environment([f"{name}=={version}" for name, version in pins().items()], cache)


def attempt(peer: Peer | None, python: Path, model: Path, result: Path, limit_s: float) -> Attempt:
    """Let a tool write `result`; None is graphopt, of the interpreter that runs this.

    `limit_s` seconds are what it may take. Whatever goes wrong is the attempt's status, never an exception.
    """
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    if peer is None:
        command = [
            sys.executable,
            "-m",
            "graphopt",
            "optimize",
            str(model),
            "-o",
            str(result),
            "--target",
            TARGET,
            "-q",
        ]
    else:
        command = [str(python), "-c", peer.code, str(model), str(result)]
    name = GRAPHOPT if peer is None else peer.name
    begin = time.perf_counter()
    code, _, said = _run(command, limit_s)
    seconds = round(time.perf_counter() - begin, 3)
    if code is None:
        return Attempt(name, FAILED, seconds, f"took longer than {limit_s:g} s")
    if code or not result.is_file():
        return Attempt(name, FAILED, seconds, f"exit {code}: {_last_line(said, [model, result])}")
    return Attempt(name, UNVERIFIED, seconds)


def kept_attempt(peer: Peer, python: Path, model: Path, result: Path, limit_s: float) -> Attempt:
    """Do as `attempt`, but only once for each model and version of the peer."""
    note = result.with_suffix(".json")
    if note.is_file() and result.is_file():
        return msgspec.json.decode(note.read_bytes(), type=Attempt)
    made = attempt(peer, python, model, result, limit_s)
    if made.status != FAILED:
        note.write_bytes(msgspec.json.encode(made))
    return made


def verified(made: Attempt, model: Path, result: Path, task: Path | None, samples: int, limit_s: float) -> Attempt:
    """Compare a result with the original by `graphopt verify`, and say so in the attempt."""
    if made.status == FAILED:
        return made
    command = [sys.executable, "-m", "graphopt", "verify", str(model), str(result), "--format", "json"]
    command += ["--samples", str(samples), *(["--task", str(task)] if task else [])]
    code, printed, said = _run(command, limit_s)
    if code is None:
        return replace(made, detail=f"verifying took longer than {limit_s:g} s")
    if not printed.strip():
        # The original is known to load, so that it is the result which does not.
        return replace(made, status=FAILED, detail=f"cannot be loaded: {_last_line(said, [model, result])}")
    record = json.loads(printed)
    detail = _without_folders(record["detail"], [model, result])
    if record["status"] == "different" and not record["feeds"]:
        return replace(made, status=FAILED, detail=detail)
    status = _STATUS[record["status"]]
    return replace(made, status=status, detail=detail, max_error=record["max_error"], feeds=record["feeds"])


def _run(command: Sequence[str], limit_s: float) -> tuple[int | None, str, str]:
    """Run a command in a process group of its own; return its exit code, None if it took too long, and what it said."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            printed, said = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
            return None, "", ""
        return process.returncode, printed, said


def _last_line(text: str, paths: Sequence[Path]) -> str:
    return _without_folders((text.strip().splitlines() or ["no message"])[-1], paths)


def _without_folders(text: str, paths: Sequence[Path]) -> str:
    """Leave the folders of files out of a message: results are kept and compared elsewhere."""
    for path in paths:
        text = text.replace(str(path), path.name).replace(f"{path.parent}{os.sep}", "")
    return " ".join(text.split())[:300]
