"""Tell malignant from benign tumours by 30 measures of cells: accuracy on rows that training left out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .drawn import Array, DrawnTask, Feed

__all__ = ["Task"]

_ROWS = 32


class Task(DrawnTask):
    """The Wisconsin table of breast cancer; every third row is left out of training, one sample is 32 of them."""

    @functools.cached_property
    def table(self) -> Array:
        """Return the rows that training left out; the last column is the class."""
        return np.loadtxt(self.data / "breast_cancer.csv", delimiter=",", skiprows=1)[::3]

    def draw(self, random: np.random.Generator) -> tuple[Feed, Array]:
        """Draw rows and their classes."""
        rows = self.table[random.integers(0, len(self.table), _ROWS)]
        return {"X": rows[:, :-1].astype(np.float32)}, rows[:, -1].astype(np.int64)

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the classes."""
        return float(np.mean([np.mean(outputs[0] == truth) for outputs, truth in found]))
