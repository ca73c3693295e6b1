"""Remember what was measured, on this machine and with this runtime, in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from graphopt.runtime.machine import machine

__all__ = ["Cache", "cache_folder", "surroundings"]


def cache_folder() -> Path:
    """Return where this user's programs keep what they can make again; `GRAPHOPT_CACHE` names another place."""
    chosen = os.environ.get("GRAPHOPT_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "graphopt"


def surroundings(runtime: str, threads: int) -> str:
    """Return what a time depends on besides the model: processor, its extensions, runtime, threads."""
    here = machine()
    return "; ".join((here["processor"], here["vector extensions"], runtime, f"{threads} threads"))


class Cache:
    """Small records by key, one file each, that survive the process; a folder that cannot be written keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, *key: str) -> Any:
        """Return the record of that key; None if there is none that can be read."""
        try:
            return json.loads(self._place(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def put(self, record: Any, *key: str) -> None:
        """Keep a record; a reader in another process sees the old one or the new one."""
        place = self._place(key)
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, delete=False) as file:
                json.dump(record, file)
            Path(file.name).replace(place)

    def _place(self, key: tuple[str, ...]) -> Path:
        name = hashlib.sha256("\n".join(key).encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"
