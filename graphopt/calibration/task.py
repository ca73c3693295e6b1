"""Read feeds from a task: a Python file, `.npz` files, or ONNX's own test data."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from graphopt.errors import GraphOptError, TaskError
from graphopt.graph.data import read_tensor_file

__all__ = ["Feed", "Task", "load_task"]

Feed = dict[str, np.ndarray[Any, Any]]
MAX_ARRAY_BYTES = 4 << 30
"""An `.npz` member that says it is bigger than this is refused before anything is read."""


class Task:
    """Data under a name; each feed is a dict from input name to array.

    `module` is what a Python task defines, None for other forms, which hold feeds for calibration alone.
    """

    def __init__(
        self, name: str, calibration: Callable[[int], Iterator[Feed]], module: ModuleType | None = None
    ) -> None:
        self.name = name
        self.module = module
        self._calibration = calibration

    def calibration(self, count: int) -> Iterator[Feed]:
        """Yield at most `count` feeds for looking at, never for the verdict.

        Raises `TaskError`, with the sample's index, for a feed that is not a dict of numeric arrays, and if the task's
        own code raises.
        """
        return self._feeds(self._calibration, count, "sample")

    @property
    def has_score(self) -> bool:
        """Whether results can be scored: the task defines evaluation(n) and score(outputs)."""
        return all(callable(getattr(self.module, name, None)) for name in ("evaluation", "score"))

    def evaluation(self, count: int) -> Iterator[Feed]:
        """Yield at most `count` feeds for the verdict, to be read once.

        Raises `TaskError` as `calibration` does, and if the task defines none.
        """
        return self._feeds(self._defined("evaluation"), count, "evaluation item")

    def score(self, outputs: Sequence[Sequence[Any]], part: str = "") -> float:
        """Return the task's score of the model's outputs for each item; higher is better.

        `part` names the items where they are not those of `evaluation`, such as `validation`.

        Raises `TaskError` if the task defines no score, its code raises, or what it returns is no finite number.
        """
        scored = self._defined("score")
        given = [list(one) for one in outputs]
        try:
            found = scored(given, part=part) if part else scored(given)
            value = float(found)
        except GraphOptError:
            raise
        except Exception as error:
            raise TaskError(f"{self.name!r} cannot score: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise TaskError(f"{self.name!r} scores {value}", where=f"on {len(given)} items")
        return value

    def _defined(self, name: str) -> Callable[..., Any]:
        found = getattr(self.module, name, None)
        if not callable(found):
            raise TaskError(f"{self.name!r} defines no {name}", advice="see the contract of --task")
        defined: Callable[..., Any] = found
        return defined

    def _feeds(self, source: Callable[[int], Iterator[Feed]], count: int, kind: str) -> Iterator[Feed]:
        for index, feed in enumerate(self._given(source, count, kind)):
            if not isinstance(feed, dict) or not feed:
                raise TaskError(f"{kind} {index} of {self.name} is no dict from input name to array")
            yield {str(name): np.asarray(array) for name, array in feed.items()}

    def _given(self, source: Callable[[int], Iterator[Feed]], count: int, kind: str) -> Iterator[Any]:
        done = 0
        try:
            for feed in itertools.islice(source(count), count):
                yield feed
                done += 1
        except GraphOptError:
            raise
        except Exception as error:
            raise TaskError(
                f"{self.name!r} cannot give its samples: {type(error).__name__}: {error}", where=f"at {kind} {done}"
            ) from error


def load_task(text: str, inputs: list[str]) -> Task:
    """Open the task that `text` names; `inputs` are the model's input names, in order.

    Raises `TaskError` if it does not exist, has no known form, or does not hold what the form asks for.
    """
    path = Path(text)
    if path.suffix == ".py":
        return _python(path)
    if path.suffix == ".npz":
        return Task(str(path), lambda _: _one_npz(path))
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if files:
            return Task(str(path), lambda _: (_npz(file) for file in files))
        sets = sorted(path.glob("test_data_set_*"))
        if sets:
            return Task(str(path), lambda _: (_test_data(folder, inputs) for folder in sets))
    raise TaskError(
        f"{text!r} is no task",
        advice="name a .py file, an .npz file, a folder of .npz files, or a folder with test_data_set_*/input_N.pb",
    )


def _python(path: Path) -> Task:
    if not path.is_file():
        raise TaskError(f"task file {str(path)!r} does not exist")
    spec = importlib.util.spec_from_file_location(f"graphopt_task_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    for place in (folder, str(Path(folder).parent)):
        if place not in sys.path:
            sys.path.append(place)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TaskError(f"{str(path)!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "calibration", None)):
        raise TaskError(f"{str(path)!r} defines no calibration(n)")
    return Task(str(path), module.calibration, module)


def _npz(path: Path) -> Feed:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.file_size > MAX_ARRAY_BYTES:
                    raise TaskError(f"{info.filename!r} in {str(path)!r} says it holds {info.file_size} bytes")
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, zipfile.BadZipFile, MemoryError) as error:
        raise TaskError(f"{str(path)!r} cannot be read as .npz: {error}") from error


def _one_npz(path: Path) -> Iterator[Feed]:
    arrays = _npz(path)
    counts = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1 or counts == {0}:
        raise TaskError(f"the arrays of {str(path)!r} have no common, non-empty sample axis")
    for index in range(counts.pop()):
        yield {name: array[index : index + 1] for name, array in arrays.items()}


def _test_data(folder: Path, inputs: list[str]) -> Feed:
    files = sorted(folder.glob("input_*.pb"), key=lambda file: int(file.stem.rpartition("_")[2]))
    if len(files) > len(inputs):
        raise TaskError(f"{str(folder)!r} holds {len(files)} inputs, the model has {len(inputs)}")
    return {name: read_tensor_file(file) for name, file in zip(inputs, files, strict=False)}
