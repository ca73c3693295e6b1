"""Find the lines of rendered pages: F1 of boxes that overlap a true one by half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .drawn import Array, Box, DrawnTask, Feed
from .rendering import page
from .scores import box_f1
from .words import words

__all__ = ["Task"]

_LEVEL, _MEAN, _SMALLEST = 0.3, 0.4, 3
# Detectors mark the core of a line; boxes grow by this share of area over circumference (Liao et al., Real-time Scene
# Text Detection with Differentiable Binarization, 2020, section 3.3).
_GROWTH = 1.6


class Task(DrawnTask):
    """PaddleOCR's detection: one map of the probability of text over the page."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, list[Box]]:
        """Draw a page and the boxes of its lines."""
        pixels, boxes = page(self.data, words(self.data / "networkx.whl"), random)
        pixels = pixels[:, :, ::-1].transpose(2, 0, 1)
        return {"x": np.ascontiguousarray(pixels[None], np.float32) / 127.5 - 1}, boxes

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the boxes around connected regions of the map."""
        return box_f1([(_boxes(outputs[0][0, 0]), truth) for outputs, truth in found])


def _boxes(chances: Array) -> Array:
    found = []
    for region in _regions(chances > _LEVEL):
        top, bottom, left, right = region
        width, height = right - left, bottom - top
        if min(width, height) >= _SMALLEST and chances[top:bottom, left:right].mean() >= _MEAN:
            grown = width * height * _GROWTH / (2 * (width + height))
            found.append((left - grown, top - grown, right + grown, bottom + grown))
    return np.asarray(found, np.float32).reshape(-1, 4)


def _regions(mask: Array) -> list[tuple[int, int, int, int]]:
    """Return top, bottom, left and right of each region of neighbours (four to a pixel)."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        # The largest label spreads along rows and columns until nothing changes.
        spread = labels.copy()
        for axis in (0, 1):
            for side in (1, -1):
                moved = np.roll(spread, side, axis)
                edge = [slice(None), slice(None)]
                edge[axis] = slice(0, 1) if side == 1 else slice(-1, None)
                moved[tuple(edge)] = 0
                spread = np.where(mask, np.maximum(spread, moved), 0)
        if np.array_equal(spread, labels):
            break
        labels = spread
    found = []
    for label in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == label)
        found.append((int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1))
    return found
