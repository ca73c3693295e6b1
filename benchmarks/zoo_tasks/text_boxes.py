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
    """Return top, bottom, left and right of each region of neighbours, four to a pixel."""
    found: list[tuple[int, int, int, int]] = []
    # Regions that reach the row above, with the runs of pixels that they have in it.
    open_regions: list[tuple[tuple[int, int, int, int], list[tuple[int, int]]]] = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(line, prepend=False, append=False)).tolist()
        below: list[tuple[tuple[int, int, int, int], list[tuple[int, int]]]] = []
        runs = {run: (row, row + 1, *run) for run in zip(edges[::2], edges[1::2], strict=True)}
        for box, above in [*open_regions, *((box, [run]) for run, box in runs.items())]:
            # A run of this row is its own region until an older one, or another run, takes it in.
            touched = [run for run in runs if any(run[0] < end and begin < run[1] for begin, end in above)]
            joined = [one for one in below if any(run in one[1] for run in touched)]
            for one in joined:
                below.remove(one)
            boxes = [box, *(one[0] for one in joined), *((row, row + 1, *run) for run in touched)]
            if not touched:
                found.append(box)
                continue
            merged = sorted({*touched, *(run for one in joined for run in one[1])})
            below.append((_around(boxes), merged))
        open_regions = below
    return found + [box for box, _ in open_regions]


def _around(boxes: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    return min(tops), max(bottoms), min(lefts), max(rights)
