"""Keep tools in environments of their own, made once from exact versions."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["InstallError", "environment"]

_MARK = "complete"


class InstallError(Exception):
    """The packages of an environment cannot be installed."""


def environment(pins: Sequence[str], cache: Path) -> Path:
    """Return the interpreter of an environment that holds exactly `pins`, making it if `cache` has none.

    `pins` name all packages, those that others need too, as NAME==VERSION.

    Raises `InstallError` if the packages cannot be had.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256("\n".join([version, *sorted(pins)]).encode()).hexdigest()[:12]
    folder = cache / "environments" / key
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if (folder / _MARK).exists():
        return python
    # A virtual environment cannot be moved, so that an unfinished one is made anew instead.
    shutil.rmtree(folder, ignore_errors=True)
    print(f"install {len(pins)} packages into {folder}", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    with tempfile.TemporaryDirectory(prefix="graphopt-pins-") as scratch:
        listed = Path(scratch, "pins.txt")
        listed.write_text("\n".join(pins) + "\n", encoding="utf-8")
        quiet = ("--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-deps")
        _run([str(python), "-m", "pip", "install", *quiet, "--requirement", str(listed)])
    (folder / _MARK).touch()
    return python


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InstallError(f"{' '.join(command[:5])} failed: {reason}")
