"""Find and read the letters of rendered captchas."""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .drawn import Array, Box, DrawnTask, Feed
from .rendering import captcha
from .scores import average_precision, character_accuracy, overlaps, read_ctc

__all__ = ["BoxTask", "TextTask"]

_SIDE, _GREY = 416, 114
_STRIDES = (8, 16, 32)
_LEAST_SCORE, _MOST_OVERLAP = 0.1, 0.45


class BoxTask(DrawnTask):
    """Ddddocr's detector, a YOLOX: average precision of the boxes of letters at an overlap of half."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, list[Box]]:
        """Draw a captcha, scaled to fit 416 by 416 pixels, and the boxes of its letters."""
        width = int(random.integers(200, 330))
        pixels, letters = captcha(self.data, random, width, int(width * random.uniform(0.4, 0.8)))
        scale = min(_SIDE / side for side in pixels.shape[:2])
        fitted = Image.fromarray(pixels).resize((int(width * scale), int(pixels.shape[0] * scale)))
        frame = np.full((_SIDE, _SIDE, 3), _GREY, np.float32)
        frame[: fitted.height, : fitted.width] = np.asarray(fitted)[:, :, ::-1]
        boxes = [(left * scale, top * scale, right * scale, low * scale) for _, (left, top, right, low) in letters]
        return {"images": np.ascontiguousarray(frame.transpose(2, 0, 1)[None])}, boxes

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the boxes."""
        return average_precision([(*_decode(outputs[0][0]), truth) for outputs, truth in found])


def _decode(rows: Array) -> tuple[Array, Array]:
    """Turn offsets from a grid [n, 6] into boxes [m, 4] and scores [m] (Ge et al., YOLOX, 2021)."""
    sides = [_SIDE // stride for stride in _STRIDES]
    grids = [np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) for side in sides]
    strides = np.concatenate([np.full((side * side, 1), stride) for side, stride in zip(sides, _STRIDES, strict=True)])
    middle = (rows[:, :2] + np.concatenate(grids)) * strides
    half = np.exp(np.clip(rows[:, 2:4], -20, 12)) * strides / 2
    scores = rows[:, 4] * rows[:, 5]
    likely = scores > _LEAST_SCORE
    boxes, scores = np.concatenate([middle - half, middle + half], 1)[likely], scores[likely]
    kept: list[int] = []
    for at in np.argsort(-scores, kind="stable"):
        if not kept or overlaps(boxes[[at]], boxes[kept]).max() <= _MOST_OVERLAP:
            kept.append(int(at))
    return boxes[kept], scores[kept]


class TextTask(DrawnTask):
    """Ddddocr's older reader: grey captchas of 64 pixels height; character accuracy without regard to case."""

    @functools.cached_property
    def characters(self) -> list[str]:
        """Return the character of each class."""
        source = ast.parse((self.data / "ddddocr_charsets.py").read_text(encoding="utf-8"))
        (table,) = [
            node.value
            for node in source.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHARSET_OLD"
        ]
        return [str(one) for one in ast.literal_eval(table)]

    def draw(self, random: np.random.Generator) -> tuple[Feed, str]:
        """Draw a captcha and its letters."""
        pixels, letters = captcha(self.data, random, int(random.integers(150, 220)), 64)
        grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32) / 255
        return {"input1": grey[None, None]}, "".join(glyph for glyph, _ in letters)

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the letters that were read."""
        read = [
            (read_ctc(outputs[0].reshape(-1, len(self.characters)).argmax(-1), self.characters), truth)
            for outputs, truth in found
        ]
        return character_accuracy([(text.upper(), truth) for text, truth in read])
