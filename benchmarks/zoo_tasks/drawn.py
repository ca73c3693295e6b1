"""Tasks whose samples are drawn: number and part decide a sample, so that it is the same everywhere."""

from __future__ import annotations

import abc
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Array", "Box", "DrawnTask", "Feed"]

Array = np.ndarray[Any, Any]
Feed = dict[str, Array]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


class DrawnTask(abc.ABC):
    """A stream of labelled samples for calibration, and another one for the verdict.

    `folder` holds the model; beside it lie `data` and the folders of the other models.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def data(self) -> Path:
        """Return the folder of data that the zoo has downloaded."""
        return self.folder.parent / "data"

    @abc.abstractmethod
    def draw(self, random: np.random.Generator) -> tuple[Feed, Any]:
        """Return the inputs of one sample, and what is true of it."""

    @abc.abstractmethod
    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Return how well outputs meet what is true, for each sample; 1 is best."""

    def sample(self, part: str, index: int) -> tuple[Feed, Any]:
        """Return the sample with this number; `part` is "calibration" or "evaluation"."""
        return self.draw(np.random.default_rng([zlib.crc32(part.encode()), index]))

    def calibration(self, n: int = 32) -> Iterator[Feed]:
        """Yield `n` inputs to look at."""
        return (self.sample("calibration", index)[0] for index in range(n))

    def evaluation(self, n: int = 32) -> Iterator[Feed]:
        """Yield `n` inputs for the verdict."""
        return (self.sample("evaluation", index)[0] for index in range(n))

    def score(self, outputs: Sequence[Sequence[Array]]) -> float:
        """Score the outputs of the first `len(outputs)` evaluation inputs; 0 to 1, higher is better."""
        truths = (self.sample("evaluation", index)[1] for index in range(len(outputs)))
        return self.judge(list(zip(outputs, truths, strict=True)))
